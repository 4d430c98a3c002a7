"""The fields of briefings that Fleet derived because they were not written, and which of these
briefings a model is to be asked about next. What a model is asked, and what its answer changes, is
in jobs/semantics.py."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fleet_lib import clock, json_text
from fleet_lib.store.briefings import BriefingRepo

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    import sqlite3
    from typing import Any

NEVER = float("inf")
BATCH = 10  # briefings that one job asks about
ASKED_SECONDS = 86400  # older briefings are no longer news: no model is asked about them


class DerivedRepo:
    """Uses the caller's connection and transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def get(self, briefing_id: int) -> dict[str, Any]:
        """{field: the derived value, None once the field was classified}."""
        row = self._connection.execute(
            "SELECT fields_json FROM briefing_derived WHERE briefing_id = ?", (briefing_id,)
        ).fetchone()
        fields: dict[str, Any] = json_text.loads(row[0]) if row else {}
        return fields

    def save(self, briefing_id: int, fields: Mapping[str, Any], *, changed_something: bool) -> None:
        self._connection.execute(
            "INSERT INTO briefing_derived (briefing_id, fields_json, changed_something)"
            " VALUES (?1, ?2, ?3) ON CONFLICT (briefing_id) DO UPDATE"
            " SET fields_json = ?2, changed_something = ?3",
            (briefing_id, json_text.dumps(fields, ensure_ascii=False), changed_something),
        )

    def unasked(self, since: str, limit: int = BATCH) -> list[int]:
        """The briefings since an ISO time whose classification is only derived, oldest first."""
        rows = self._connection.execute(
            "SELECT d.briefing_id FROM briefing_derived d JOIN briefings b USING (briefing_id)"
            " WHERE d.asked_job_id IS NULL AND d.changed_something = 1 AND b.created_at >= ?"
            " AND json_extract(d.fields_json, '$.impact_level') = b.impact_level"
            " ORDER BY d.briefing_id LIMIT ?",
            (since, limit),
        )
        return [row[0] for row in rows]

    def note_asked(self, briefing_ids: Iterable[int], job_id: int) -> None:
        self._connection.execute(
            "UPDATE briefing_derived SET asked_job_id = ?"
            " WHERE briefing_id IN (SELECT value FROM json_each(?))",
            (job_id, json_text.dumps(list(briefing_ids))),
        )


def due(connection: sqlite3.Connection, wait_seconds: float) -> tuple[list[int], float]:
    """(the briefings to ask about now, seconds until there are some).

    A batch is due once it is full, or once its oldest briefing has waited `wait_seconds`. ([], inf)
    if no briefing is waiting.
    """
    waiting = DerivedRepo(connection).unasked(clock.ago(ASKED_SECONDS))
    if not waiting:
        return [], NEVER
    oldest = BriefingRepo(connection).get(waiting[0])
    assert oldest is not None
    age = clock.seconds_since(oldest.created_at)
    if len(waiting) >= BATCH or age >= wait_seconds:
        return waiting, 0.0
    return [], wait_seconds - age
