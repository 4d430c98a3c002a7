"""Deletes old rows day by day, the oldest day first.

A day is deleted in one transaction. A day with more than PORTION_ROWS rows takes several, so that
other writers never wait long. A briefing and all of its events are deleted in the same transaction.
"""

import sqlite3
import time
from collections.abc import Iterator
from typing import Any

from fleet_lib.history.selection import (
    DELETABLE_BRIEFING,
    DELETABLE_COMMANDER,
    DELETABLE_EVENT,
    DELETABLE_JOB,
    DELETABLE_SESSION,
    JOB_ENDED,
)
from fleet_lib.records import Record
from fleet_lib.store import db

PORTION_ROWS = 2000

_PAUSE_SECONDS = 0.01  # between two transactions, for other writers

_CHOSEN = "IN (SELECT id FROM temp.chosen)"


class _Kind(Record):
    """A table whose rows have an age, and what else is deleted or cleared for each row."""

    table: str
    alias: str
    key: str
    moment: str  # the SQL expression of a row's age
    deletable: str
    statements: tuple[str, ...]  # that come before the rows are deleted


# The order within a day: the start of a session is kept as long as the session.
_KINDS = (
    _Kind(
        *("briefings", "b", "briefing_id", "b.created_at", DELETABLE_BRIEFING),
        (
            # An import must not bring back what was pruned.
            "INSERT OR IGNORE INTO pruned_turns (session_id, turn_key)"
            f" SELECT session_id, turn_key FROM turns WHERE briefing_id {_CHOSEN}",
            "DELETE FROM turn_inputs WHERE (session_id, turn_key) IN"
            f" (SELECT session_id, turn_key FROM turns WHERE briefing_id {_CHOSEN})",
            "UPDATE sessions SET event_id = NULL WHERE event_id IN"
            f" (SELECT event_id FROM outbox_events WHERE briefing_id {_CHOSEN})",
            f"UPDATE sessions SET briefing_id = NULL WHERE briefing_id {_CHOSEN}",
            f"DELETE FROM turns WHERE briefing_id {_CHOSEN}",
            f"DELETE FROM outbox_events WHERE briefing_id {_CHOSEN}",
        ),
    ),
    _Kind(
        *("outbox_events", "e", "event_id", "e.ts", DELETABLE_EVENT),
        (f"UPDATE sessions SET event_id = NULL WHERE event_id {_CHOSEN}",),
    ),
    _Kind(
        *("jobs", "j", "job_id", JOB_ENDED, DELETABLE_JOB),
        (f"DELETE FROM job_stream_chunks WHERE job_id {_CHOSEN}",),
    ),
    _Kind(
        *("sessions", "s", "session_id", "s.last_seen_at", DELETABLE_SESSION),
        (
            # What the session used stays with its project.
            "UPDATE usage_sums SET project_id = (SELECT s.project_id FROM sessions s"
            " WHERE s.session_id = usage_sums.session_id)"
            f" WHERE project_id IS NULL AND session_id {_CHOSEN}",
        ),
    ),
    _Kind(
        *("commander_sessions", "c", "session_id", "c.updated_at", DELETABLE_COMMANDER),
        (
            f"DELETE FROM prelude_shown WHERE session_id {_CHOSEN}",
            f"DELETE FROM commander_branches WHERE session_id {_CHOSEN}",
            f"DELETE FROM commander_sessions_apart WHERE session_id {_CHOSEN}",
        ),
    ),
)
_COUNTED = ("briefings", "outbox_events", "turns", "jobs", "sessions", "commander_sessions")


class Portion(Record):
    """The old rows of one day, or of a part of a large one."""

    day: str  # the first ten characters of the rows' times
    number: int


def portions(connection: sqlite3.Connection, values: dict[str, Any]) -> list[Portion]:
    """Everything that is old, the oldest first. Its ids are collected in temp.old_rows: no index
    has the ages, so each table is scanned once and not once for each day."""
    connection.execute("DROP TABLE IF EXISTS temp.old_rows")
    connection.execute(
        "CREATE TEMP TABLE old_rows (day, portion, kind, id, PRIMARY KEY (day, portion, kind, id))"
    )
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS chosen (id PRIMARY KEY)")
    rows = " UNION ALL ".join(
        f"SELECT substr({kind.moment}, 1, 10) AS day, {number} AS kind,"
        f" {kind.alias}.{kind.key} AS id FROM {kind.table} {kind.alias}"
        f" WHERE {kind.moment} < :before"
        for number, kind in enumerate(_KINDS)
    )
    connection.execute(
        "INSERT INTO temp.old_rows SELECT day,"
        f" (row_number() OVER (PARTITION BY day ORDER BY kind, id) - 1) / {PORTION_ROWS}, kind, id"
        f" FROM ({rows})",
        values,
    )
    found = connection.execute(
        "SELECT DISTINCT day, portion FROM temp.old_rows ORDER BY day, portion"
    )
    return [Portion(*row) for row in found]


def delete(
    connection: sqlite3.Connection, portion: Portion, values: dict[str, Any]
) -> dict[str, int]:
    """Delete a portion, except for what must be kept, in one transaction; {table: rows}. What must
    be kept is decided under the write lock: a Stop may just have revised an old briefing."""
    deleted = dict.fromkeys(_COUNTED, 0)
    with db.transaction(connection):
        for table, count in _delete(connection, portion, values):
            deleted[table] += count
    time.sleep(_PAUSE_SECONDS)
    return deleted


def _delete(
    connection: sqlite3.Connection, portion: Portion, values: dict[str, Any]
) -> Iterator[tuple[str, int]]:
    """(table, deleted rows) for each table that is counted."""
    place = {"day": portion.day, "portion": portion.number}
    for number, kind in enumerate(_KINDS):
        connection.execute("DELETE FROM temp.chosen")
        connection.execute(
            f"INSERT INTO temp.chosen SELECT {kind.alias}.{kind.key} FROM temp.old_rows o"
            f" CROSS JOIN {kind.table} {kind.alias} ON {kind.alias}.{kind.key} = o.id"
            f" WHERE o.day = :day AND o.portion = :portion AND o.kind = {number}"
            f" AND {kind.deletable}",
            values | place,
        )
        for sql in kind.statements:
            rows = connection.execute(sql).rowcount
            table = sql.split()[2]
            if sql.startswith("DELETE") and table in _COUNTED:
                yield table, rows
        sql = f"DELETE FROM {kind.table} WHERE {kind.key} {_CHOSEN}"
        yield kind.table, connection.execute(sql).rowcount
