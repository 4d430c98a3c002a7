"""The sessions of all time as records for people and programs: those that live first, then those
that have ended, newest first. The cost of a page does not grow with the history."""

import sqlite3
import time
from typing import Any, cast, get_args

from fleet_lib import live
from fleet_lib.levels import SessionState
from fleet_lib.machines import apart, machine_of, record_ids
from fleet_lib.prelude.live_sessions import LiveSession, live_sessions
from fleet_lib.records import replace
from fleet_lib.rules import LEFT_OPEN, SESSION, STUCK, moments
from fleet_lib.store.briefings import ENDED
from fleet_lib.store.sessions import Session, SessionRepo
from fleet_lib.views.sessions import REASONS, session_now, title_of

# What a list may be limited to: one of the groups, or a state.
FILTERS: tuple[str, ...] = ("live", "ended", "needs_you", "left_open", *get_args(SessionState))
_MOST_LIVING = 500
_UNKNOWN = (
    *("event_id", "hidden_until", "head_commit", "head_at", "status_digest", "status_turn"),
)
_LOOKED_AT = 1000  # briefings, for sessions that nothing else knows
# What an ended session cannot be: it was interrupted or killed meanwhile, and its work is done.
_ONLY_LIVING: tuple[SessionState, ...] = ("working", "waiting_for_permission")

Place = tuple[str, str]  # the `last_at` and `session_id` of a record


def session_list(
    connection: sqlite3.Connection,
    names: dict[str, str],
    *,
    project_id: str | None = None,
    state: str | None = None,
    since: str | None = None,
    machine: str | None = None,
    before: Place | None = None,
    limit: int = 50,
) -> list[dict[str, Any]]:
    """Records as `SessionRecords.record` makes them. `names` is {project_id: name}, `state` one of
    FILTERS, `since` an ISO time after which the session was last active. `machine` is
    another machine's name, or "" for this one. `before` is the place of
    the last record of the page before: only ended sessions follow."""
    now = SessionRecords(connection, names)
    found = {one.session_id: one for one in now.with_file()}
    for one in _stored(connection, project_id, state, since, machine, before, limit + len(found)):
        found.setdefault(one.session_id, one)
    if state not in ("needs_you", "left_open"):
        for session_id in _without_row(connection, project_id, since, machine, before):
            if session := now.of_briefings(session_id):
                found.setdefault(session_id, session)
    chosen = [
        one
        for one in (now.corrected(session) for session in found.values())
        if project_id in (None, one.project_id)
        and machine in (None, apart(one.session_id)[1])
        and (since is None or one.last_seen_at >= since)
        and (before is None or _is_after(one, before))
        and now.is_of(one, state)
    ]
    chosen.sort(key=lambda one: one.session_id)
    chosen.sort(key=lambda one: (one.ended_at is None, one.last_seen_at), reverse=True)
    return [now.record(session) for session in chosen[:limit]]


def _stored(
    connection: sqlite3.Connection,
    project_id: str | None,
    state: str | None,
    since: str | None,
    machine: str | None,
    before: Place | None,
    limit: int,
) -> list[Session]:
    """Sessions that may be of the list by what is stored: at least its first `limit`."""
    repo = SessionRepo(connection)
    if state == "needs_you":
        return repo.needing_you(limit=_MOST_LIVING)
    if state == "left_open":
        return repo.left_open(limit=_MOST_LIVING)
    found: list[Session] = []
    if before is None and state != "ended":
        found += repo.living(
            project_id=project_id, since=since, machine=machine, limit=_MOST_LIVING
        )
    states: tuple[SessionState | None, ...] = (None,)
    if state in get_args(SessionState):
        states = tuple(one for one in get_args(SessionState) if _when_ended(one) == state)
    if state != "live":
        for one in states:
            found += repo.ended(
                project_id=project_id,
                state=one,
                since=since,
                machine=machine,
                before=before,
                limit=limit,
            )
    return found


def _without_row(
    connection: sqlite3.Connection,
    project_id: str | None,
    since: str | None,
    machine: str | None,
    before: Place | None,
) -> list[str]:
    """The sessions that only their briefings know, of the newest briefings."""
    project = "AND project_id = :project_id" if project_id else ""
    if machine is not None:
        project += f" AND {machine_of('session_id')} = :machine"
    values = {"project_id": project_id, "machine": machine, "since": since or ""}
    rows = connection.execute(
        f"""SELECT DISTINCT n.session_id FROM (
          SELECT session_id FROM briefings WHERE {ENDED} >= :since AND {ENDED} <= :until {project}
          ORDER BY {ENDED} DESC, briefing_id DESC LIMIT {_LOOKED_AT}) n
        WHERE n.session_id IS NOT NULL AND NOT EXISTS (
          SELECT 1 FROM sessions s WHERE s.session_id = n.session_id)""",
        values | {"until": before[0] if before else "9999"},
    )
    return [str(row[0]) for row in rows]


def _is_after(session: Session, place: Place) -> bool:
    """Whether an ended session comes after a place of the list."""
    if session.ended_at is None or session.last_seen_at > place[0]:
        return False
    own_id = apart(session.session_id)[0] or ""  # as the record has it
    return session.last_seen_at < place[0] or own_id > place[1]


def _when_ended(state: SessionState) -> SessionState:
    return "completed" if state in _ONLY_LIVING else state


class SessionRecords:
    """Sessions as they are now, as records. Claude Code's own files are read once."""

    def __init__(self, connection: sqlite3.Connection, names: dict[str, str]) -> None:
        self._connection = connection
        self._names = names
        self._files: dict[str, list[live.ClientFile]] | None = None
        self._live: dict[str, LiveSession] = live_sessions(connection, is_thorough=True)

    def with_file(self) -> list[Session]:
        """The sessions that a client has a file of, as they are stored: they may be in another
        state by now."""
        repo = SessionRepo(self._connection)
        return [session for name in self._live if (session := repo.get(name))]

    def of_briefings(self, session_id: str) -> Session | None:
        """A session that only its briefings know: another program wrote them, they were imported
        while it lived, or its row was pruned. A client that has it open shows that it lives."""
        row = self._connection.execute(
            f"SELECT project_id, status, briefing_id, {ENDED} FROM briefings WHERE session_id = ?"
            f" ORDER BY {ENDED} DESC, briefing_id DESC LIMIT 1",
            (session_id,),
        ).fetchone()
        if row is None:
            return None
        project_id, status, briefing_id, at = row
        state, since = status if status in get_args(SessionState) else "completed", at
        if self._files is None:
            self._files = live.read(self._connection)
        ended_at = at
        if files := self._files.get(session_id):
            stored = live.Stored(state, at, None, False)
            now_ms = time.time_ns() // 1_000_000
            said, said_since, _ = live.corrected(stored, files, now_ms, is_thorough=True)
            if said != "ended":
                state, since, ended_at = said, said_since, None
        return Session(
            session_id=session_id,
            project_id=project_id,
            folder="",
            state=cast("SessionState", state),
            state_at=since,
            detail="",
            briefing_id=briefing_id,
            last_seen_at=at,
            ended_at=ended_at,
            **dict.fromkeys(_UNKNOWN),
        )

    def corrected(self, session: Session) -> Session:
        """The session as it is now, with its title."""
        found = self._live.get(session.session_id)
        now = session_now(session, found) if found else session
        return replace(now, state=_when_ended(now.state)) if now.ended_at else now

    def is_of(self, session: Session, state: str | None) -> bool:
        """Whether a corrected session passes a filter of FILTERS."""
        if state is None or state == session.state:
            return True
        if state in ("live", "ended"):
            return (session.ended_at is None) == (state == "live")
        return state == self.attention(session)

    def attention(self, session: Session) -> str | None:
        """`needs_you`, `left_open`, or None: whether a corrected session waits for a person."""
        if now := self._live.get(session.session_id):
            needs_you, is_left_open = now.needs_you(), now.is_now_left_open()
        else:
            needs_you, is_left_open = self._connection.execute(
                f"SELECT {STUCK}, {LEFT_OPEN} FROM sessions s WHERE s.session_id = :session_id",
                {**moments(), "session_id": session.session_id},
            ).fetchone() or (False, False)
        return "needs_you" if needs_you else "left_open" if is_left_open else None

    def record(self, session: Session) -> dict[str, Any]:
        """A corrected session: who, where, what it does now, and when it was active."""
        attention = self.attention(session)
        newest = self._newest(session.session_id)
        return {
            **record_ids(session.session_id),
            "project_id": session.project_id,
            "project": self._names.get(session.project_id, session.project_id),
            "folder": session.folder or None,
            "branch": newest[1] if newest else None,
            "title": session.title or title_of(self._connection, session.session_id),
            "state": session.state,
            "since": session.state_at,
            "is_live": session.ended_at is None,
            "attention": attention,
            "reason": REASONS.get(session.state) if attention else None,
            "text": session.detail,
            "hidden_until": session.hidden_until,
            "first_at": first_at(self._connection, session.session_id)
            or min(session.state_at, session.last_seen_at),
            "last_at": session.last_seen_at,
            "ended_at": session.ended_at,
            "turns": self._connection.execute(
                "SELECT count(*) FROM briefings WHERE session_id = ?", (session.session_id,)
            ).fetchone()[0],
            "briefing_id": newest[0] if newest else None,
        }

    def _newest(self, session_id: str) -> tuple[int, str | None] | None:
        """(its newest briefing, the branch of it)."""
        row = self._connection.execute(
            "SELECT briefing_id, branch FROM briefings WHERE session_id = ?"
            f" ORDER BY {ENDED} DESC, briefing_id DESC LIMIT 1",
            (session_id,),
        ).fetchone()
        return (row[0], row[1]) if row else None


def first_at(connection: sqlite3.Connection, session_id: str) -> str | None:
    """When the session was first heard of, or its first turn began. None if nothing says it."""
    row = connection.execute(
        "SELECT min(at) FROM (SELECT min(coalesce(started_at, ended_at, created_at)) AS at"
        " FROM briefings WHERE session_id = ?1"
        f" UNION ALL SELECT * FROM (SELECT ts FROM outbox_events WHERE ({SESSION}) = ?1"
        " ORDER BY event_id LIMIT 1))",
        (session_id,),
    ).fetchone()
    return None if row[0] is None else str(row[0])
