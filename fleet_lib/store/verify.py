"""What must hold in the database, checked: `fleet db check` and `fleet doctor`. Reads only."""

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

from fleet_lib import paths
from fleet_lib.machines import is_here
from fleet_lib.store import search_index

WHOLE_BYTES = 32 * 1000 * 1000  # of a database that is looked at whole in a moment
_ROWS = 200  # of each end of a table
_INSTRUCTIONS = 1_000_000  # of SQLite's machine, between two calls of `tick`


def problems(
    connection: sqlite3.Connection,
    tick: Callable[[], object] | None = None,
    *,
    is_quick: bool = False,
) -> list[str]:
    """What is wrong, a line each; [] if nothing is. Quick: indexes are not compared with their
    tables. `tick` is called again and again meanwhile."""
    found: list[str] = []
    if tick:
        connection.set_progress_handler(lambda: bool(tick()) and False, _INSTRUCTIONS)
    try:
        for row in connection.execute(f"PRAGMA {'quick' if is_quick else 'integrity'}_check(20)"):
            if row[0] != "ok":
                found.append(f"integrity: {row[0]}")
        for row in connection.execute("PRAGMA foreign_key_check").fetchmany(20):
            found.append(f"foreign key: row {row[1]} of {row[0]} points to no {row[2]}")
        orphans = connection.execute(
            "SELECT count(*) FROM turns t LEFT JOIN outbox_events e ON e.briefing_id = t.briefing_id"
            " AND e.type = 'briefing_added' WHERE e.event_id IS NULL"
            # Of another machine's the event that announced it may have been too old to be sent.
            f" AND {is_here('t.session_id')}"
            # What was imported is history, and was never announced.
            " AND t.briefing_id NOT IN (SELECT briefing_id FROM imported_turns)"
        ).fetchone()[0]
        if orphans:
            found.append(f"outbox: {orphans} briefings have no briefing_added event")
    finally:
        connection.set_progress_handler(None, 0)
    return found


def problems_at_the_ends(connection: sqlite3.Connection) -> list[str]:
    """What cannot be read of the first and last rows of each table, which takes a moment in any
    database."""
    tables = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0"
        " AND sql NOT LIKE '%WITHOUT ROWID%'"
    )
    found: list[str] = []
    for (table,) in tables.fetchall():
        for order in ("ASC", "DESC"):
            sql = f'SELECT * FROM "{table}" ORDER BY rowid {order} LIMIT {_ROWS}'
            try:
                connection.execute(sql).fetchall()
            except sqlite3.DatabaseError as error:
                found.append(f"integrity: {table}: {error}")
                break
    return found


def search_index_problems(path: Path) -> list[str]:
    """Whether the search index is whole and holds what the briefings say, as far as it is filled.
    FTS5 answers only to an INSERT, which is rolled back."""
    uri = paths.uri(str(path), "rw")
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
        try:
            if not search_index.is_whole(connection):
                return ["search index: a table or trigger of it is missing"]
            connection.execute(
                "INSERT INTO search_fts(search_fts, rank) VALUES ('integrity-check', 1)"
            )
            connection.rollback()
            missing, left_over = search_index.count_differences(connection)
        except (sqlite3.DatabaseError, MemoryError) as error:
            return [f"search index: {error or 'it asks for too much memory'}"]
        finally:
            connection.rollback()
    found = [(missing, "briefings are missing"), (left_over, "briefings that are gone are still")]
    return [f"search index: {number} {what} in it" for number, what in found if number]
