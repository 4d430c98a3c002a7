"""The space of the database: how much it is, an estimate for each day, and freeing it."""

import contextlib
import sqlite3
import time
from pathlib import Path
from typing import Any

from fleet_lib import paths
from fleet_lib.history.selection import (
    DELETABLE_BRIEFING,
    DELETABLE_EVENT,
    DELETABLE_JOB,
    JOB_ENDED,
)
from fleet_lib.store import db, search_index

_PAUSE_SECONDS = 0.01  # between two transactions, for other writers
_VACUUM_PAGES = 4000
_MERGE_PAGES = 1000
_FREE_SHARE = 4  # a quarter of the file
_REWRITTEN_BYTES = 100_000_000  # about a second
_READERS_SECONDS = 10  # to wait for readers before the file can shrink

_BRIEFING_BYTES = "(400 + length(CAST(b.raw_markdown AS BLOB)))"
_EVENT_BYTES = "(300 + length(CAST(e.payload_json AS BLOB)))"
_JOB_BYTES = "(200 + ifnull(length(j.stream_chunks_json), 0) + ifnull(length(j.result_json), 0))"


def sizes(connection: sqlite3.Connection) -> tuple[int, int]:
    """(bytes used, bytes of the file)."""
    page = _pragma(connection, "page_size")
    pages = _pragma(connection, "page_count")
    return (pages - _pragma(connection, "freelist_count")) * page, pages * page


def bytes_on_disk(home: str) -> int:
    """What the database takes, its log included. The files are not opened: only SQLite may."""
    size = 0
    for name in (paths.database(home), f"{paths.database(home)}-wal"):
        with contextlib.suppress(OSError):
            size += Path(name).stat().st_size
    return size


def estimate_days(
    connection: sqlite3.Connection, values: dict[str, Any], used: int
) -> list[tuple[str, int]]:
    """(day, bytes that deleting it may free), the oldest first. The estimate is each row's share of
    all text. It is for a dry run, which cannot delete a day and look at the size."""
    rows = connection.execute(
        f"""
        SELECT day, sum(bytes) FROM (
          SELECT substr(b.created_at, 1, 10) AS day, {_BRIEFING_BYTES} + ifnull((
              SELECT sum({_EVENT_BYTES}) FROM outbox_events e
              WHERE e.briefing_id = b.briefing_id), 0) AS bytes
            FROM briefings b WHERE {DELETABLE_BRIEFING}
          UNION ALL SELECT substr(e.ts, 1, 10), {_EVENT_BYTES}
            FROM outbox_events e WHERE {DELETABLE_EVENT}
          UNION ALL SELECT substr({JOB_ENDED}, 1, 10), {_JOB_BYTES}
            FROM jobs j WHERE {DELETABLE_JOB}
        ) GROUP BY day ORDER BY day
        """,
        values,
    ).fetchall()
    if not rows:
        return []  # the rest is not worth reading
    total = connection.execute(
        f"SELECT ifnull((SELECT sum({_BRIEFING_BYTES}) FROM briefings b), 0)"
        f" + ifnull((SELECT sum({_EVENT_BYTES}) FROM outbox_events e), 0)"
        f" + ifnull((SELECT sum({_JOB_BYTES}) FROM jobs j), 0)"
    ).fetchone()[0]
    return [(row[0], int(used * row[1] / max(1, total))) for row in rows]


def merge_search_index(connection: sqlite3.Connection) -> None:
    """What `optimize` does, in steps: deleted words only leave the index when it is merged, and one
    `optimize` of a large index holds the write lock for its whole length."""
    pages = -_MERGE_PAGES  # negative: merge also what would not need it yet
    for _ in range(100_000):
        try:
            with db.transaction(connection):
                changes = connection.total_changes
                connection.execute(
                    "INSERT INTO search_fts(search_fts, rank) VALUES ('merge', ?)", (pages,)
                )
                changes = connection.total_changes - changes
        except (sqlite3.Error, MemoryError) as error:
            if search_index.is_damage(error):
                return  # a damaged index is not worth stopping for: the next drain repairs it
            raise
        if changes < 2:  # FTS5's sign that nothing is left to merge
            return
        pages = _MERGE_PAGES
        time.sleep(_PAUSE_SECONDS)


def _free_bytes(path: str) -> int:
    import shutil  # `fleet status` only looks at sizes

    return shutil.disk_usage(path).free


def give_back(connection: sqlite3.Connection) -> list[str]:
    """Give free pages back to the file system. Returns notes on what could not be done."""
    notes = []
    if not _vacuum_in_steps(connection) and _pragma(connection, "freelist_count"):
        path = connection.execute("PRAGMA database_list").fetchone()[2]
        needed = 2 * sizes(connection)[0]  # the copy, and the log that it is written back through
        if path and _free_bytes(path) < needed * 1.1:
            notes.append(
                "the disk has too little room to make the file smaller;"
                " Fleet will use the freed space in it again"
            )
        else:
            _vacuum(connection)
    connection.execute(f"PRAGMA busy_timeout = {_READERS_SECONDS * 1000}")
    if connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        notes.append(
            "another program is reading the database: the file shrinks when it has finished"
        )
    return notes


def give_back_gently(connection: sqlite3.Connection) -> list[str]:
    """The same without making another writer wait. The file of another program, which frees no
    pages in steps, is rewritten only if much of it is free and little is in use; it frees them in
    steps from then on. Otherwise its free pages are used again."""
    used, size = sizes(connection)
    if not _vacuum_in_steps(connection):
        path = connection.execute("PRAGMA database_list").fetchone()[2]
        is_worth_it = (size - used) * _FREE_SHARE >= size and used <= _REWRITTEN_BYTES
        if is_worth_it and _free_bytes(path) > 3 * used:
            connection.execute("PRAGMA busy_timeout = 0")
            with contextlib.suppress(
                sqlite3.OperationalError
            ):  # another program writes: another day
                _vacuum(connection)
    # A checkpoint that waits for readers would hold up writers, too.
    connection.execute("PRAGMA busy_timeout = 0")
    with contextlib.suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return []


def _vacuum_in_steps(connection: sqlite3.Connection) -> bool:
    """Free all pages, a few at a time. False for a file that cannot free them in steps."""
    if _pragma(connection, "auto_vacuum") != 2:
        return _pragma(connection, "auto_vacuum") == 1
    while free := _pragma(connection, "freelist_count"):
        # `execute` steps a statement once, which would free one page.
        connection.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
        if _pragma(connection, "freelist_count") >= free:
            break
        time.sleep(_PAUSE_SECONDS)
    return True


def _vacuum(connection: sqlite3.Connection) -> None:
    connection.executescript("PRAGMA auto_vacuum = INCREMENTAL; VACUUM")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
