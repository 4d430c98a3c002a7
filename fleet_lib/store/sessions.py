"""The latest state of every worker session: which are at work, which are stuck, and on what."""

import sqlite3
from dataclasses import dataclass
from typing import Literal

from fleet_lib.rules import AT_WORK, STUCK

SessionState = Literal[
    "working", "completed", "blocked", "failed", "waiting_for_input", "waiting_for_permission"
]


@dataclass(frozen=True, slots=True)
class Session:
    session_id: str
    project_id: str
    folder: str
    state: SessionState
    state_at: str
    detail: str
    briefing_id: int | None
    event_id: int | None
    last_seen_at: str
    ended_at: str | None
    head_commit: str | None
    head_at: int | None  # Unix nanoseconds
    status_digest: str | None
    status_turn: str | None


_NAMES = tuple(Session.__annotations__)
_SAVE_SQL = (
    f"INSERT INTO sessions ({', '.join(_NAMES)}) VALUES ({', '.join('?' * len(_NAMES))})"
    " ON CONFLICT (session_id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _NAMES[1:])
)


class SessionRepo:
    """Takes a connection; the caller's transaction holds what it does."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def get(self, session_id: str) -> Session | None:
        row = self._connection.execute(
            "SELECT * FROM sessions WHERE session_id = ?", (session_id,)
        ).fetchone()
        return _from_row(row) if row else None

    def save(self, session: Session) -> None:
        self._connection.execute(_SAVE_SQL, tuple(getattr(session, name) for name in _NAMES))

    def open_alerts(self, since: str, limit: int = 200) -> list[Session]:
        """The stuck sessions that got there after `since` (ISO), newest first."""
        rows = self._connection.execute(
            f"SELECT s.* FROM sessions s WHERE {STUCK}"
            " ORDER BY s.state_at DESC, s.session_id LIMIT :limit",
            {"alerts_since": since, "limit": limit},
        )
        return [_from_row(row) for row in rows]

    def active(self, since: str, limit: int = 200) -> list[Session]:
        """Sessions that have not ended and were heard of after `since` (ISO); newest first."""
        rows = self._connection.execute(
            f"SELECT s.* FROM sessions s WHERE {AT_WORK}"
            " ORDER BY s.last_seen_at DESC, s.session_id LIMIT :limit",
            {"active_since": since, "limit": limit},
        )
        return [_from_row(row) for row in rows]


def _from_row(row: sqlite3.Row) -> Session:
    return Session(*(row[name] for name in _NAMES))
