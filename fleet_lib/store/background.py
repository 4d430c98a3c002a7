"""Turns with background agents: which prompt is a follow-up of which turn, which turns are not at
their end yet, and how two turns become one. What this means for a briefing is in ingest/."""

from __future__ import annotations

from collections.abc import Iterable

from fleet_lib import clock, json_text
from fleet_lib.records import Record, field

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    import sqlite3
    from typing import Any

_HELD = "session_id, turn_key, since, agents_json, news_json"


class ProvisionalTurn(Record):
    """A turn whose own agents still run."""

    session_id: str
    turn_key: str
    since: str  # when the Stop was received that left the agents running
    agents: tuple[str, ...]
    news: dict[str, Any] = field(default_factory=dict)  # what is announced when it has ended


class BackgroundRepo:
    """Uses the caller's connection and transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    # --- follow-ups ---

    def turn_of(self, session_id: str, prompt_id: str) -> str:
        """The turn that the prompt belongs to: its own unless it is a follow-up."""
        row = self._connection.execute(
            "SELECT turn_key FROM follow_ups WHERE session_id = ? AND prompt_id = ?",
            (session_id, prompt_id),
        ).fetchone()
        return str(row[0]) if row else prompt_id

    def add_follow_up(self, session_id: str, prompt_id: str, turn_key: str) -> None:
        """Note the turn of a follow-up. What was noted as the follow-up's own goes to that turn,
        too."""
        self._connection.execute(
            "INSERT OR REPLACE INTO follow_ups (session_id, prompt_id, turn_key) VALUES (?, ?, ?)",
            (session_id, prompt_id, turn_key),
        )
        self._connection.execute(
            "UPDATE follow_ups SET turn_key = ? WHERE session_id = ? AND turn_key = ?",
            (turn_key, session_id, prompt_id),
        )

    def unplaced(self, session_id: str, limit: int = 20) -> list[tuple[str, str]]:
        """(turn_key, stopped_at) of the turns whose prompt the transcript did not have yet."""
        rows = self._connection.execute(
            "SELECT turn_key, stopped_at FROM turns WHERE session_id = ? AND NOT is_placed LIMIT ?",
            (session_id, limit),
        )
        return [(row[0], row[1]) for row in rows]

    def set_placed(self, session_id: str, turn_key: str) -> None:
        self._connection.execute(
            "UPDATE turns SET is_placed = 1 WHERE session_id = ? AND turn_key = ?",
            (session_id, turn_key),
        )

    def rename_turn(self, session_id: str, turn_key: str, new_key: str) -> None:
        """Give a turn, and all that names it, another key."""
        for table in ("turns", "provisional_turns"):
            self._connection.execute(
                f"UPDATE {table} SET turn_key = ? WHERE session_id = ? AND turn_key = ?",
                (new_key, session_id, turn_key),
            )
        self._connection.execute(
            "UPDATE briefings SET task_id = ? WHERE session_id = ? AND task_id = ? AND briefing_id"
            " IN (SELECT briefing_id FROM turns WHERE session_id = ? AND turn_key = ?)",
            (new_key, session_id, turn_key, session_id, new_key),
        )
        self._rename_inputs(session_id, turn_key, new_key)

    def delete_merged(
        self, session_id: str, turn_key: str, briefing_id: int, new_key: str, kept_id: int
    ) -> None:
        """Delete a turn and its briefing that became part of another: its payloads, its events and
        its session name that one from now on."""
        self._rename_inputs(session_id, turn_key, new_key)
        self._connection.execute(
            "DELETE FROM turns WHERE session_id = ? AND turn_key = ?", (session_id, turn_key)
        )
        self._connection.execute(
            "UPDATE outbox_events SET briefing_id = ?1, payload_json = CASE"
            " WHEN json_valid(payload_json) AND json_type(payload_json, '$.briefing.briefingId')"
            " IS NOT NULL THEN json_set(payload_json, '$.briefing.briefingId', ?1)"
            " ELSE payload_json END WHERE briefing_id = ?2",
            (kept_id, briefing_id),
        )
        self._connection.execute(
            "UPDATE sessions SET briefing_id = ? WHERE briefing_id = ?", (kept_id, briefing_id)
        )
        self._connection.execute("DELETE FROM briefings WHERE briefing_id = ?", (briefing_id,))

    def _rename_inputs(self, session_id: str, turn_key: str, new_key: str) -> None:
        self._connection.execute(
            "UPDATE OR REPLACE turn_inputs SET turn_key = ? WHERE session_id = ? AND turn_key = ?",
            (new_key, session_id, turn_key),
        )
        self._connection.execute(
            "UPDATE sessions SET status_turn = ? WHERE session_id = ? AND status_turn = ?",
            (new_key, session_id, turn_key),
        )

    # --- provisional turns ---

    def hold(self, turn: ProvisionalTurn) -> None:
        self._connection.execute(
            f"INSERT OR REPLACE INTO provisional_turns ({_HELD}) VALUES (?, ?, ?, ?, ?)",
            (
                turn.session_id,
                turn.turn_key,
                turn.since,
                json_text.dumps(turn.agents),
                json_text.dumps(turn.news, ensure_ascii=False),
            ),
        )

    def release(self, session_id: str, turn_key: str) -> ProvisionalTurn | None:
        """Take the turn out of the provisional ones; None if it was none."""
        row = self._connection.execute(
            f"DELETE FROM provisional_turns WHERE session_id = ? AND turn_key = ? RETURNING {_HELD}",
            (session_id, turn_key),
        ).fetchone()
        return _from_row(row) if row else None

    def provisional(self, session_id: str) -> list[ProvisionalTurn]:
        return self._provisional("session_id = ?", session_id)

    def provisional_since(self, before: str) -> list[ProvisionalTurn]:
        """Those whose last Stop was received before an ISO time."""
        return self._provisional("since < ?", before)

    def _provisional(self, condition: str, value: str) -> list[ProvisionalTurn]:
        rows = self._connection.execute(
            f"SELECT {_HELD} FROM provisional_turns WHERE {condition} ORDER BY since, turn_key",
            (value,),
        )
        return [_from_row(row) for row in rows.fetchall()]

    # --- which agents run ---

    def agents_after(self, session_id: str, moment: str) -> set[str] | None:
        """The agents that ran at the session's newest Stop after this time; None without one."""
        row = self._connection.execute(
            "SELECT agents_json FROM turns WHERE session_id = ? AND stopped_at > ?"
            " AND agents_json IS NOT NULL ORDER BY stopped_at DESC LIMIT 1",
            (session_id, moment),
        ).fetchone()
        return set(json_text.loads(row[0])) if row else None

    def listed_before(self, session_id: str, turn_key: str, agents: Iterable[str]) -> set[str]:
        """Those of the agents that ran at the Stop of another turn of the session."""
        rows = self._connection.execute(
            "SELECT DISTINCT value FROM turns, json_each(agents_json)"
            " WHERE session_id = ? AND turn_key <> ? AND agents_json IS NOT NULL",
            (session_id, turn_key),
        )
        return {row[0] for row in rows}.intersection(agents)

    def note_end(self, session_id: str, moment: str) -> None:
        """The session's process ended then, or a new one began."""
        self._connection.execute(
            "INSERT INTO session_ends (session_id, ended_at) VALUES (?, ?) ON CONFLICT (session_id)"
            " DO UPDATE SET ended_at = max(ended_at, excluded.ended_at)",
            (session_id, moment),
        )

    def end_of(self, session_id: str) -> str:
        """When the session's process last ended, or a new one began; "" if it is not known, or is in
        the future, from a clock that was set back since."""
        row = self._connection.execute(
            "SELECT ended_at FROM session_ends WHERE session_id = ?", (session_id,)
        ).fetchone()
        return str(row[0]) if row and not clock.is_ahead(str(row[0])) else ""


def _from_row(row: sqlite3.Row) -> ProvisionalTurn:
    return ProvisionalTurn(
        row[0], row[1], row[2], tuple(json_text.loads(row[3])), json_text.loads(row[4])
    )
