"""Which session touched which file within the last day, and which overlaps were announced."""

from __future__ import annotations

from collections.abc import Sequence

from fleet_lib.records import Record

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    import sqlite3

_NEIGHBOURS = 20  # of a file, the newest: the cost of a turn does not grow with a day
_UNANNOUNCED_SQL = f"""
SELECT session_id, title, is_other FROM (
  SELECT t.session_id, s.title, t.worktree <> mine.worktree AS is_other, t.touched_at
  FROM touched_files mine
  JOIN touched_files t ON t.project_id = mine.project_id AND t.file = mine.file
  JOIN sessions s ON s.session_id = t.session_id
  WHERE mine.session_id = :session AND mine.file = :file AND t.session_id <> :session
    AND t.touched_at > :since AND s.ended_at IS NULL
  ORDER BY t.touched_at DESC LIMIT {_NEIGHBOURS})
WHERE NOT EXISTS (SELECT 1 FROM file_overlaps o
  WHERE o.first_session_id = min(session_id, :session)
    AND o.second_session_id = max(session_id, :session)
    AND o.file = :file AND o.announced_at > :since)
ORDER BY touched_at DESC, session_id
"""


class Overlap(Record):
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
        if not files:
            return
        self._connection.executemany(
            "INSERT INTO touched_files (session_id, file, project_id, worktree, touched_at)"
            " VALUES (?, ?, ?, ?, ?) ON CONFLICT (session_id, file) DO UPDATE"
            " SET project_id = excluded.project_id, worktree = excluded.worktree,"
            " touched_at = max(touched_at, excluded.touched_at)",
            [(session_id, file, project_id, worktree, at) for file in files],
        )

    def unannounced(self, session_id: str, files: Sequence[str], since: str) -> list[Overlap]:
        """Which of the session's files other living sessions have touched since that time (ISO),
        newest first, so far as no event has said so since then. Of each file the newest neighbours
        are looked at."""
        found: list[Overlap] = []
        for file in files:
            rows = self._connection.execute(
                _UNANNOUNCED_SQL, {"session": session_id, "file": file, "since": since}
            )
            found += [Overlap(file, row[0], row[1], bool(row[2])) for row in rows]
        return found

    def note_announced(self, session_id: str, overlaps: Sequence[Overlap], at: str) -> None:
        """An event at that time (ISO) names these overlaps. It is for both sessions."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO file_overlaps"
            " (first_session_id, second_session_id, file, announced_at) VALUES (?, ?, ?, ?)",
            [(*sorted((session_id, each.session_id)), each.file, at) for each in overlaps],
        )

    def forget_before(self, moment: str) -> None:
        """Delete what is older than an ISO time: only the last day counts."""
        self._connection.execute("DELETE FROM touched_files WHERE touched_at < ?", (moment,))
        self._connection.execute("DELETE FROM file_overlaps WHERE announced_at < ?", (moment,))
