"""The sessions that need you, those that are left open, those that are working, and those that have
not ended."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from fleet_lib.levels import SessionState
from fleet_lib.machines import apart, record_ids
from fleet_lib.prelude.live_sessions import LiveSession, live_sessions
from fleet_lib.records import replace
from fleet_lib.rules import DISMISSED
from fleet_lib.store.briefings import BriefingRepo
from fleet_lib.store.sessions import Session, SessionRepo

# {state of a session: why it waits for a person}
REASONS = {
    "waiting_for_permission": "permission",
    "waiting_for_input": "question",
    "blocked": "blocked",
    "failed": "failed",
}
# {that reason: the state}, for the words and colours of a screen
STATE_OF_REASON = {reason: state for state, reason in REASONS.items()}


def needs_you(now: "SessionsNow", names: dict[str, str]) -> list[dict[str, Any]]:
    """The live sessions that wait for a person, newest first. `names` is {project_id: name}."""
    return [open_record(session, names) for session in now.needing_you()]


def left_open(now: "SessionsNow", names: dict[str, str]) -> list[dict[str, Any]]:
    """The ended sessions that wait for a person, newest first. `names` is {project_id: name}."""
    return [open_record(session, names) for session in now.left_open()]


def working(now: "SessionsNow", names: dict[str, str]) -> list[dict[str, Any]]:
    """The sessions that are working, the most recently seen first. `names` is {project_id: name}."""
    return [
        {
            **_place(session, names),
            "title": session.title,
            "since": session.state_at,
            "folder": session.folder,
        }
        for session in now.open()
        if session.state == "working"
    ]


def hidden(
    connection: sqlite3.Connection,
    shown: Sequence[Mapping[str, Any]],
    names: dict[str, str],
    machine: str | None = None,
) -> list[dict[str, Any]]:
    """The sessions that wait for a person and are dismissed or snoozed, with `hidden_until`; without
    those that are shown all the same, because they said something new. `machine` is another
    machine, or "" for this one."""
    is_shown = {row["session_id"] for row in shown}
    return [
        open_record(_titled(connection, session), names) | {"hidden_until": session.hidden_until}
        for session in SessionRepo(connection).hidden()
        if session.session_id not in is_shown and machine in (None, apart(session.session_id)[1])
    ]


def count_hidden(
    connection: sqlite3.Connection,
    shown: Sequence[Mapping[str, Any]],
    machine: str | None = None,
) -> dict[str, Any]:
    """How many are dismissed and snoozed, and until when the first of the snoozed ones is."""
    untils = [row["hidden_until"] for row in hidden(connection, shown, {}, machine)]
    snoozed = [until for until in untils if until < DISMISSED]
    return {
        "dismissed": len(untils) - len(snoozed),
        "snoozed": len(snoozed),
        "until": min(snoozed, default=None),
    }


def open_sessions(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """The sessions that have not ended, the most recently seen first."""
    return [
        {
            **record_ids(session.session_id),
            "project_id": session.project_id,
            "state": session.state,
            "since": session.state_at,
            "detail": session.detail,
            "title": session.title,
            "briefing_id": session.briefing_id,
            "last_seen_at": session.last_seen_at,
        }
        for session in SessionsNow(connection).open()
    ]


def title_of(connection: sqlite3.Connection, session_id: str) -> str | None:
    """What a session is called: its name if a person gave it one, else its newest turn's title."""
    session = SessionRepo(connection).get(session_id)
    title = session.title if session else None
    return title or BriefingRepo(connection).last_title(session_id)


def _titled(connection: sqlite3.Connection, session: Session) -> Session:
    if session.title:
        return session
    return replace(session, title=BriefingRepo(connection).last_title(session.session_id))


class SessionsNow:
    """The sessions as they are now: the stored ones, corrected by Claude Code's own files, which
    are read once. One that no person named has its newest turn's title."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._repo = SessionRepo(connection)
        self._connection = connection
        self._live = live_sessions(connection, is_thorough=True)

    def has_client(self, session_id: str) -> bool:
        """Whether a Claude Code has the session open, by its own file."""
        live = self._live.get(session_id)
        return live is not None and live.state != "ended"

    def needing_you(self) -> list[Session]:
        """Those that wait for a person, newest first."""
        return self._corrected(
            self._repo.needing_you(), lambda live: live.needs_you(), lambda one: one.state_at
        )

    def left_open(self) -> list[Session]:
        """Those that have ended and wait for a person, newest first."""
        return self._corrected(
            self._repo.left_open(), lambda live: live.is_now_left_open(), lambda one: one.state_at
        )

    def open(self) -> list[Session]:
        """Those that have not ended, the most recently seen first."""
        return self._corrected(
            self._repo.at_work(), lambda live: live.state != "ended", lambda one: one.last_seen_at
        )

    def _corrected(
        self,
        stored: list[Session],
        is_one: Callable[[LiveSession], bool],
        order: Callable[[Session], str],
    ) -> list[Session]:
        """The stored sessions of a rule that have no file, and those with one that are of it now."""
        found = [session for session in stored if session.session_id not in self._live]
        for live in self._live.values():
            if is_one(live) and (session := self._repo.get(live.session_id)):
                found.append(session_now(session, live))
        titled = [_titled(self._connection, session) for session in found]
        return sorted(titled, key=order, reverse=True)


def session_now(session: Session, live: LiveSession) -> Session:
    """The session with what is so now."""
    if live.state == "ended":
        return replace(session, ended_at=session.ended_at or live.since)
    return replace(
        session,
        # The state is no other than a stored one here.
        state=cast("SessionState", live.state),
        state_at=live.since,
        detail=live.text,
        ended_at=None,
    )


def open_record(session: Session, names: dict[str, str]) -> dict[str, Any]:
    """A session that waits for a person, as programs get it."""
    return {
        **_place(session, names),
        "reason": REASONS[session.state],
        "text": session.detail,
        "since": session.state_at,
        "briefing_id": session.briefing_id,
        "folder": session.folder,
    }


def _place(session: Session, names: dict[str, str]) -> dict[str, str | None]:
    return {
        **record_ids(session.session_id),
        "project_id": session.project_id,
        "project": names.get(session.project_id, session.project_id),
        **({"title": session.title} if session.title else {}),
    }
