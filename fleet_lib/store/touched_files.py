"""Which session touched which file within the last day, and which overlaps were announced."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Overlap:
    """A file that a session has touched and another, living session of the repository too."""

    file: str
    session_id: str  # the other one's
    title: str | None
    is_other_worktree: bool


class TouchedFileRepo:
    """Takes a connection; the caller's transaction holds what it does."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(
        self, project_id: str, session_id: str, worktree: str, files: Sequence[str], at: str
    ) -> None:
        """A turn of the session that ended at this time (ISO) touched these files."""
        self._connection.executemany(
            "INSERT INTO touched_files (session_id, file, project_id, worktree, touched_at)"
            " VALUES (?, ?, ?, ?, ?) ON CONFLICT (session_id, file) DO UPDATE"
            " SET project_id = excluded.project_id, worktree = excluded.worktree,"
            " touched_at = max(touched_at, excluded.touched_at)",
            [(session_id, file, project_id, worktree, at) for file in files],
        )

    def overlaps(self, session_id: str, files: Sequence[str], since: str) -> list[Overlap]:
        """Those of the session's files that another living session has touched since that time
        (ISO), newest first."""
        rows = self._connection.execute(
            """
            SELECT t.file, t.session_id, s.title, t.worktree <> mine.worktree
            FROM touched_files mine
            JOIN touched_files t ON t.project_id = mine.project_id AND t.file = mine.file
            JOIN sessions s ON s.session_id = t.session_id
            WHERE mine.session_id = ? AND mine.file IN (SELECT value FROM json_each(?))
              AND t.session_id <> mine.session_id AND t.touched_at > ? AND s.ended_at IS NULL
            ORDER BY t.touched_at DESC, t.session_id, t.file
            """,
            (session_id, json.dumps(files), since),
        )
        return [Overlap(row[0], row[1], row[2], bool(row[3])) for row in rows]

    def note_announced(self, session_id: str, overlap: Overlap, at: str, since: str) -> bool:
        """Note that an event names this overlap. False if one did since that time, whichever of
        the two sessions it was about."""
        first, second = sorted((session_id, overlap.session_id))
        cursor = self._connection.execute(
            "INSERT INTO file_overlaps (first_session_id, second_session_id, file, announced_at)"
            " VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET announced_at = excluded.announced_at"
            " WHERE announced_at <= ?",
            (first, second, overlap.file, at, since),
        )
        return cursor.rowcount == 1

    def forget_before(self, moment: str) -> None:
        """Delete what is older (ISO): it says nothing any more."""
        self._connection.execute("DELETE FROM touched_files WHERE touched_at < ?", (moment,))
        self._connection.execute("DELETE FROM file_overlaps WHERE announced_at < ?", (moment,))
