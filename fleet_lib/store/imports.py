"""Which turns came from a transcript, which are known, and which were pruned and must not come
back."""

from __future__ import annotations

from fleet_lib import clock
from fleet_lib.records import Record

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    import sqlite3


class TurnIdentity(Record):
    """What a turn in a transcript is known by."""

    session_id: str
    prompt_id: str | None
    prompt_key: (
        str  # the prompt line's uuid, which stands for the id that an old client does not report
    )
    started_at: str | None  # as the database holds times

    @property
    def keys(self) -> tuple[str, ...]:
        line = (f"line:{self.prompt_key}",) if self.prompt_key else ()
        return (self.prompt_id, *line) if self.prompt_id else line


class ImportRepo:
    """Takes a connection; the caller's transaction holds what it does."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def mark(self, briefing_id: int, at: str) -> None:
        """Note that a briefing was imported. Its row is as old as its turn, so that the history is."""
        self._connection.execute(
            "INSERT OR REPLACE INTO imported_turns (briefing_id, imported_at) VALUES (?, ?)",
            (briefing_id, clock.now()),
        )
        self._connection.execute(
            "UPDATE briefings SET created_at = ? WHERE briefing_id = ?", (at, briefing_id)
        )

    def is_imported(self, briefing_id: int) -> bool:
        """Whether a transcript is all that is known of the turn."""
        return self._exists(
            "SELECT 1 FROM imported_turns WHERE briefing_id = ? AND reported_at IS NULL",
            briefing_id,
        )

    def note_reported(self, briefing_id: int) -> None:
        """The turn's own hook reported it after all; of an imported turn that is noted."""
        self._connection.execute(
            "UPDATE imported_turns SET reported_at = ? WHERE briefing_id = ? AND reported_at IS NULL",
            (clock.now(), briefing_id),
        )

    def is_known(self, turn: TurnIdentity) -> bool:
        """Whether the turn has a briefing or had one. A forked or resumed conversation repeats
        turns of another session: the same prompt at the same time is the same turn."""
        return any(
            self._exists(
                "SELECT 1 FROM turns WHERE session_id = ?1 AND turn_key = ?2"
                " UNION ALL SELECT 1 FROM pruned_turns WHERE session_id = ?1 AND turn_key = ?2"
                " UNION ALL SELECT 1 FROM follow_ups WHERE session_id = ?1 AND prompt_id = ?2",
                turn.session_id,
                key,
            )
            or self._exists(
                "SELECT 1 FROM turns t JOIN briefings b USING (briefing_id)"
                " WHERE t.turn_key = ? AND b.started_at = ?",
                key,
                turn.started_at,
            )
            for key in turn.keys
        )

    def is_a_jobs(self, session_id: str) -> bool:
        """Whether a job ran this session."""
        return self._exists("SELECT 1 FROM job_runs WHERE session_id = ?", session_id)

    def _exists(self, sql: str, *values: object) -> bool:
        return self._connection.execute(f"{sql} LIMIT 1", values).fetchone() is not None
