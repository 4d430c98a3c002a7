"""The sessions that need you, and those that have not ended."""

import sqlite3
from typing import Any

from fleet_lib import clock
from fleet_lib.rules import ACTIVE_SESSION_SECONDS, OPEN_ALERT_SECONDS
from fleet_lib.store.sessions import Session, SessionRepo


def sessions_that_need_you(
    connection: sqlite3.Connection, project_names: dict[str, str]
) -> list[dict[str, Any]]:
    """The sessions that are stuck, the newest first. `project_names` is {project_id: name}."""
    return [
        _row(session) | {"project": project_names.get(session.project_id, session.project_id)}
        for session in SessionRepo(connection).open_alerts(clock.ago(OPEN_ALERT_SECONDS))
    ]


def open_sessions(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """The sessions that have not ended, the most recently seen first."""
    return [
        _row(session) | {"last_seen_at": session.last_seen_at}
        for session in SessionRepo(connection).active(clock.ago(ACTIVE_SESSION_SECONDS))
    ]


def _row(session: Session) -> dict[str, Any]:
    return {
        "session_id": session.session_id,
        "project_id": session.project_id,
        "state": session.state,
        "since": session.state_at,
        "detail": session.detail,
        "briefing_id": session.briefing_id,
    }
