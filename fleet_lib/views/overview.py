"""What needs attention, the latest of each project, and how far the Commander and capture are: what
`fleet status` and the dashboard show."""

import sqlite3
import time
from typing import Any

from fleet_lib import clock, hot_settings, spool
from fleet_lib.drain import put_off, quarantine
from fleet_lib.drain.foreground import lock_trouble
from fleet_lib.history import daily, space
from fleet_lib.lines import summary_of
from fleet_lib.machines import is_here
from fleet_lib.prelude.events import count_news
from fleet_lib.store.conversations import ConversationRepo
from fleet_lib.store.job_hold import JobHoldRepo
from fleet_lib.store.outbox import OutboxRepo
from fleet_lib.store.projects import ProjectRepo
from fleet_lib.store.relay import RelayRepo
from fleet_lib.views.projects import NamesOnDemand, project_names
from fleet_lib.views.sessions import SessionsNow, count_hidden, left_open, needs_you, working


def overview(
    connection: sqlite3.Connection,
    home: str,
    machine: str | None = None,
    most: int | None = None,
) -> dict[str, Any]:
    """needs_you, left_open, working, projects, commander, jobs, capture, database, hidden; times are
    in the database's form. `machine` is another machine, or "" for this one, whose sessions and
    briefings these are; all else is of this one. `most` is how many projects are wanted, the last
    active ones; then `projects_in_all` is how many there are."""
    names = project_names(connection) if most is None else NamesOnDemand(connection)
    conversation = ConversationRepo(connection).get_commander()
    seen = conversation.last_outbox_event_id_seen if conversation else 0
    now, repo = SessionsNow(connection), ProjectRepo(connection)
    needing, left, busy = (
        [row for row in make(now, names) if machine in (None, row.get("machine", ""))]
        for make in (needs_you, left_open, working)
    )
    return {
        "needs_you": needing,
        "left_open": left,
        "working": busy,
        "projects": _roster(connection, names, machine, most),
        **({} if most is None else {"projects_in_all": repo.count(machine=machine)}),
        "commander": {
            "last_event_seen": seen,
            "last_event": OutboxRepo(connection).latest_id(),
            "started": conversation is not None,
            # Without a Commander no event is waiting for it.
            "new": count_news(connection, seen) if conversation else 0,
        },
        "jobs": count_jobs(connection),
        "capture": capture(home, connection),
        "database": database(home),
        "hidden": count_hidden(connection, needing + left, machine),
        **_machines(connection),
    }


def nothing(home: str) -> dict[str, Any]:
    """The overview before there is a database."""
    return {
        "needs_you": [],
        "left_open": [],
        "working": [],
        "projects": [],
        "commander": {"last_event_seen": 0, "last_event": 0, "started": False, "new": 0},
        "jobs": {"queued": 0, "running": 0, "held": None},
        "capture": capture(home, None),
        "database": database(home),
        "hidden": {"dismissed": 0, "snoozed": 0, "until": None},
    }


def database(home: str) -> dict[str, Any]:
    """How large the database is, how many days it keeps (0: all), and when it was last pruned."""
    return {
        "bytes": space.bytes_on_disk(home),
        "keep_days": hot_settings.keep_days(home),
        "pruned_at": daily.last_prune(home).pruned_at or None,
    }


def capture(home: str, connection: sqlite3.Connection | None) -> dict[str, Any]:
    """Whether capture works: the last capture, how many entries wait or are in quarantine, which
    places do not answer, and what keeps the drainer from going on, "" if nothing does."""
    now = time.time()
    last = None
    if connection:
        last = connection.execute(
            f"SELECT max(last_seen_at) FROM sessions s WHERE {is_here('s.session_id')}"
        ).fetchone()[0]
    return {
        "last_capture_at": last,
        "waiting": len(spool.pending(home)),
        "quarantined": len(quarantine.names(home)),
        "put_off": [
            {
                "place": place.place,
                "reason": place.reason,
                "since": clock.iso(int(place.since * 1e9)),
                "entries": len(place.entries),
                "processes": place.hanging(),
                "line": put_off.in_words(place, now),
            }
            for place in put_off.read(home)
            if place.entries
        ],
        "drainer": lock_trouble(home),
    }


def _roster(
    connection: sqlite3.Connection, names: dict[str, str], machine: str | None, most: int | None
) -> list[dict[str, Any]]:
    """The projects, the last active one first."""
    rows = ProjectRepo(connection).newest_turns(machine, most)
    return [
        {
            "project_id": project_id,
            "project": names[project_id],
            **({"machine": other} if other else {}),
            "status": status,
            "briefing_id": briefing_id,
            "at": at,
            "summary": "" if briefing_id is None else summary_of(summary, text),
        }
        for project_id, at, briefing_id, status, summary, text, other in rows
    ]


def _machines(connection: sqlite3.Connection) -> dict[str, Any]:
    """When each other machine was last heard of; nothing for a home that has joined no relay."""
    repo = RelayRepo(connection)
    member = repo.member()
    if member is None:
        return {}
    heard: dict[str, str] = {}
    for peer in repo.peers():
        if peer.machine != member.machine:
            heard[peer.machine] = max(heard.get(peer.machine, ""), peer.heard_at)
    machines = [{"machine": name, "heard_at": at} for name, at in heard.items()]
    return {
        "relay": {
            "machine": member.machine,
            "failing_since": member.failing_since,
            "trouble": member.trouble,
            "copy_heard_at": max((one.heard_at for one in repo.copies(member)), default=None),
            "machines": machines,
        }
    }


def count_jobs(connection: sqlite3.Connection) -> dict[str, Any]:
    rows = connection.execute(
        "SELECT status, count(*) FROM jobs WHERE status IN ('queued', 'running') GROUP BY status"
    )
    hold = JobHoldRepo(connection).of_waiting_jobs()
    held = {"until": hold.held_until, "reason": hold.reason} if hold else None
    return {"queued": 0, "running": 0, "held": held} | {row[0]: row[1] for row in rows}
