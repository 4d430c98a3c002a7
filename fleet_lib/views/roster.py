"""The projects with their sessions: what needs a person first, then what is left open, what works,
and what happened last. One row a project, and a session once."""

import sqlite3
from collections import defaultdict
from typing import Any

from fleet_lib import clock
from fleet_lib.lines import summary_of
from fleet_lib.machines import apart, record_ids
from fleet_lib.prelude.events import count_news
from fleet_lib.store.briefings import BriefingRepo
from fleet_lib.store.conversations import ConversationRepo
from fleet_lib.store.relay import RelayRepo
from fleet_lib.store.sessions import Session, SessionRepo
from fleet_lib.views.overview import capture, count_jobs
from fleet_lib.views.places import way_to, web_address
from fleet_lib.views.projects import NamesOnDemand
from fleet_lib.views.sessions import SessionsNow

_LOOKED_FOR = 30  # sessions of which the transcript is looked for
GROUPS = ("needs_you", "left_open", "working", "open")  # of sessions, in the order of a screen

# The active projects with the end of their newest turn, by the index of it.
_PROJECTS_SQL = """
SELECT project_id, git_remote, coalesce((SELECT max(ifnull(b.ended_at, b.created_at))
  FROM briefings b WHERE b.project_id = p.project_id), updated_at) AS at
FROM projects p WHERE ifnull(status, 'active') = 'active' ORDER BY at DESC, project_id
"""


def roster(
    connection: sqlite3.Connection, home: str, *, quiet: int, machine: str | None = None
) -> dict[str, Any]:
    """{counts, projects, quiet_projects, hidden, machines, commander, jobs, capture}. `quiet` is how
    many projects without a session are wanted, the latest ones; `quiet_projects` is how many there
    are. `hidden` are the sessions that would wait, but are dismissed or snoozed. `machine` leaves
    only the sessions of a machine, "" for this one, and the quiet projects whose latest turn was
    there. `machines` are the names of the others."""
    names = NamesOnDemand(connection)
    now = SessionsNow(connection)
    rows = [(str(row[0]), row[1], row[2]) for row in connection.execute(_PROJECTS_SQL)]
    active = {row[0] for row in rows}
    found = _sessions(connection, now, machine)
    sessions = {project_id: own for project_id, own in found.items() if project_id in active}
    counts = dict.fromkeys(GROUPS, 0)
    waiting = set()  # (id, machine); also those that were hidden and have said something new
    for own in sessions.values():
        for session in own:
            counts[session["group"]] += 1
            if session["group"] in GROUPS[:2]:
                waiting.add((session["session_id"], session.get("machine", "")))
    projects, quiet_projects = [], 0
    for project_id, remote, at in rows:
        own = sessions.get(project_id, [])
        if not own and machine is not None and not _is_latest_of(connection, project_id, machine):
            continue
        quiet_projects += not own
        if own or quiet_projects <= quiet:
            projects.append(
                {
                    "project_id": project_id,
                    "project": names.get(project_id, project_id),
                    "web": web_address(remote),
                    **_latest(connection, project_id, at),
                    "sessions": own,
                }
            )
    conversation = ConversationRepo(connection).get_commander()
    seen = conversation.last_outbox_event_id_seen if conversation else 0
    return {
        "counts": counts,
        "projects": _in_order(projects),
        "quiet_projects": quiet_projects,
        "hidden": [
            _hidden(connection, now, names, session)
            for session in SessionRepo(connection).hidden()
            if apart(session.session_id) not in waiting and _is_of(session.session_id, machine)
        ],
        "machines": RelayRepo(connection).other_machines(),
        "commander": {
            "started": conversation is not None,
            "new": count_news(connection, seen) if conversation else 0,
        },
        "jobs": count_jobs(connection),
        "capture": capture(home, connection),
    }


def _hidden(
    connection: sqlite3.Connection, now: SessionsNow, names: dict[str, str], session: Session
) -> dict[str, Any]:
    return _record(connection, now, "hidden", session) | {
        "project_id": session.project_id,
        "project": names.get(session.project_id, session.project_id),
        "hidden_until": session.hidden_until,
    }


def _in_order(projects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By the first group that they have a session of, then by the newest of that; the others as
    they came."""

    def key(project: dict[str, Any]) -> tuple[int, float]:
        first = min(
            (GROUPS.index(one["group"]) for one in project["sessions"]), default=len(GROUPS)
        )
        own = [one for one in project["sessions"] if GROUPS.index(one["group"]) == first]
        return first, -max((_second(one["since"]) for one in own), default=0.0)

    return sorted(projects, key=key)


def _second(moment: object) -> float:
    try:
        return clock.parse(str(moment)).timestamp()
    except (ValueError, OverflowError):  # another program's
        return 0.0


def _is_of(session_id: str | None, machine: str | None) -> bool:
    return machine is None or apart(session_id)[1] == machine


def _is_latest_of(connection: sqlite3.Connection, project_id: str, machine: str) -> bool:
    """Whether the project's newest turn was on a machine."""
    latest = next(iter(BriefingRepo(connection).get_by_project(project_id, limit=1)), None)
    return latest is not None and _is_of(latest.session_id, machine)


def _sessions(
    connection: sqlite3.Connection, now: SessionsNow, machine: str | None
) -> dict[str, list[dict[str, Any]]]:
    """{project: its sessions}, those that need you first, and in each group the newest first."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    known: set[str] = set()

    def add(group: str, session: Session) -> None:
        if session.session_id not in known and _is_of(session.session_id, machine):
            known.add(session.session_id)
            found[session.project_id].append(_record(connection, now, group, session, len(known)))

    for session in now.needing_you():
        add("needs_you", session)
    for session in now.left_open():
        add("left_open", session)
    others = now.open()
    for session in others:
        if session.state == "working":
            add("working", session)
    for session in others:
        add("open", session)
    return dict(found)


def _record(
    connection: sqlite3.Connection, now: SessionsNow, group: str, session: Session, number: int = 0
) -> dict[str, Any]:
    text = session.detail
    if not text and session.briefing_id:
        turn = BriefingRepo(connection).turn_of(session.briefing_id)
        text = turn.summary if turn else ""
    return {
        **record_ids(session.session_id),
        "group": group,
        "state": session.state,
        "title": session.title,
        # A session that works has not said yet how it ends.
        "text": "" if group == "working" else text,
        "since": session.state_at,
        "briefing_id": session.briefing_id,
        "folder": session.folder,
        "resume": way_to(
            connection,
            session,
            is_open=now.has_client(session.session_id),
            is_listed=group not in GROUPS[:2] or number > _LOOKED_FOR,
        ),
    }


def _latest(connection: sqlite3.Connection, project_id: str, at: object) -> dict[str, Any]:
    """What the project's newest turn did."""
    repo = BriefingRepo(connection)
    latest = next(iter(repo.get_by_project(project_id, limit=1)), None)
    if latest is None:
        return {"status": None, "briefing_id": None, "at": at, "summary": "", "session_id": None}
    turn = repo.turn_of(latest.briefing_id)
    return {
        "status": latest.status,
        "briefing_id": latest.briefing_id,
        "at": latest.ended_at or latest.created_at,
        "summary": summary_of(turn.summary if turn else None, latest.raw_markdown),
        **record_ids(latest.session_id),
    }
