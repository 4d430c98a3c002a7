"""What live state needs of the database: Claude Code's configuration folders, and the permission
prompts that wait for an answer with the words in which they ask."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from fleet_lib.machines import is_here
from fleet_lib.records import Record

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    import sqlite3


class PermissionRequest(Record):
    """One permission prompt. A session has one for each of its threads."""

    session_id: str
    agent_id: str  # "" for the main thread
    asked_at: str
    text: str
    is_question: bool
    is_announced: bool  # an event has announced it


class PermissionRepo:
    """Takes a connection; the caller's transaction holds what it does."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def save(self, request: PermissionRequest) -> None:
        """Put the request in the place of its thread's last one."""
        self._connection.execute(
            "INSERT OR REPLACE INTO permission_requests"
            " (session_id, agent_id, asked_at, text, is_question, is_announced)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (
                request.session_id,
                request.agent_id,
                request.asked_at,
                request.text,
                request.is_question,
                request.is_announced,
            ),
        )

    def pending(self, session_id: str) -> list[PermissionRequest]:
        """The session's requests, newest first."""
        rows = self._connection.execute(
            "SELECT session_id, agent_id, asked_at, text, is_question, is_announced"
            " FROM permission_requests WHERE session_id = ? ORDER BY asked_at DESC, agent_id",
            (session_id,),
        )
        return [
            PermissionRequest(row[0], row[1], row[2], row[3], bool(row[4]), bool(row[5]))
            for row in rows
        ]

    def forget_all(self, session_id: str) -> None:
        """The session's client has ended or started anew: nothing asks any more."""
        self._connection.execute(
            "DELETE FROM permission_requests WHERE session_id = ?", (session_id,)
        )

    def forget(self, session_id: str, agent_ids: Collection[str]) -> None:
        """The requests of these threads were answered, or can no longer be."""
        self._connection.executemany(
            "DELETE FROM permission_requests WHERE session_id = ? AND agent_id = ?",
            [(session_id, agent_id) for agent_id in agent_ids],
        )


class ClientFolderRepo:
    """Takes a connection; the caller's transaction holds what it does."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def note(self, folder: str, device: int, checked_at: str, unless_after: str) -> None:
        """The drainer has looked into the folder. One that it looked into after `unless_after` is
        left as it is, so that not every entry writes here."""
        self._connection.execute(
            "INSERT INTO client_folders (folder, device, checked_at) VALUES (?, ?, ?)"
            " ON CONFLICT (folder) DO UPDATE"
            " SET device = excluded.device, checked_at = excluded.checked_at"
            " WHERE checked_at < ? OR device <> excluded.device",
            (folder, device, checked_at, unless_after),
        )


class ClientFileRepo:
    """Which sessions had a session file of Claude Code's, and the end of those whose client is
    gone. Takes a connection; the caller's transaction holds what it does."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def open_sessions(self) -> list[tuple[str, str | None, str]]:
        """[(session id, folder of its file or None if it never had one, when it was last heard of)]
        of the sessions that have not ended."""
        rows = self._connection.execute(
            "SELECT s.session_id, f.folder, s.last_seen_at FROM sessions s"
            " LEFT JOIN client_files f USING (session_id) WHERE s.ended_at IS NULL"
            f" AND {is_here('s.session_id')}"
        )
        return [(row[0], row[1], row[2]) for row in rows]

    def note_files(self, folders: Mapping[str, str]) -> None:
        """`folders`: {session id: the folder of its file}."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO client_files (session_id, folder) VALUES (?, ?)",
            folders.items(),
        )

    def end(self, sessions: Iterable[tuple[str, str]]) -> None:
        """End the sessions at their last event, unless there was one since. `sessions`: (session
        id, when it was last heard of)."""
        self._connection.executemany(
            "UPDATE sessions SET ended_at = last_seen_at"
            " WHERE session_id = ? AND last_seen_at = ? AND ended_at IS NULL",
            sessions,
        )
