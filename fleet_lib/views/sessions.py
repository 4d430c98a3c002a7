"""The sessions that need you, those that are left open, those that are working, and those that have
not ended."""

import sqlite3
from typing import Any

from fleet_lib.store.sessions import Session, SessionRepo

# {state of a session: why it waits for a person}
_REASONS = {
    "waiting_for_permission": "permission",
    "waiting_for_input": "question",
    "blocked": "blocked",
    "failed": "failed",
}
# {that reason: the state}, for the words and colours of a screen
STATE_OF_REASON = {reason: state for state, reason in _REASONS.items()}


def needs_you(connection: sqlite3.Connection, names: dict[str, str]) -> list[dict[str, Any]]:
    """The live sessions that wait for a person, newest first. `names` is {project_id: name}."""
    return [open_record(session, names) for session in SessionRepo(connection).needing_you()]


def left_open(connection: sqlite3.Connection, names: dict[str, str]) -> list[dict[str, Any]]:
    """The ended sessions that wait for a person, newest first. `names` is {project_id: name}."""
    return [open_record(session, names) for session in SessionRepo(connection).left_open()]


def working(connection: sqlite3.Connection, names: dict[str, str]) -> list[dict[str, Any]]:
    """The sessions that are working, the most recently seen first. `names` is {project_id: name}."""
    return [
        {
            **_place(session, names),
            "title": None,  # no title is stored yet
            "since": session.state_at,
            "folder": session.folder,
        }
        for session in SessionRepo(connection).at_work()
        if session.state == "working"
    ]


def open_sessions(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """The sessions that have not ended, the most recently seen first."""
    return [
        {
            "session_id": session.session_id,
            "project_id": session.project_id,
            "state": session.state,
            "since": session.state_at,
            "detail": session.detail,
            "briefing_id": session.briefing_id,
            "last_seen_at": session.last_seen_at,
        }
        for session in SessionRepo(connection).at_work()
    ]


def open_record(session: Session, names: dict[str, str]) -> dict[str, Any]:
    """A session that waits for a person, as programs get it."""
    return {
        **_place(session, names),
        "reason": _REASONS[session.state],
        "text": session.detail,
        "since": session.state_at,
        "briefing_id": session.briefing_id,
        "folder": session.folder,
    }


def _place(session: Session, names: dict[str, str]) -> dict[str, str]:
    return {
        "session_id": session.session_id,
        "project_id": session.project_id,
        "project": names.get(session.project_id, session.project_id),
    }
