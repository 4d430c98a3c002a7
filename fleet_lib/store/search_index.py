"""The full-text index: what it holds of a briefing, filling it, rebuilding it. Searching in it is
search.py's.

Triggers note in `search_changes` which briefings changed; from there the drainer indexes them, once
they are committed. Briefings that are older than the index are added from the newest to the oldest;
`search_progress` holds how far that is. The index is derived: whatever is wrong with it is repaired
here, and never raised to a writer.
"""

import time
from collections.abc import Callable, Iterable

from fleet_lib import clock, words
from fleet_lib.digests import blake2b
from fleet_lib.json_text import json_array_or_none
from fleet_lib.records import Record
from fleet_lib.sqlite import sqlite3
from fleet_lib.store import db, migrate

BATCH = 400  # briefings in one transaction
_TOGETHER = 500_000  # characters of briefings that are in memory together, or one longer one

_MIGRATION = 11  # the one that makes these tables
_TABLES = ("search_text", "search_changes", "search_progress")
_TRIGGERS = (
    *("search_briefing_insert", "search_briefing_update", "search_briefing_delete"),
    *("search_turn_insert", "search_turn_update", "search_turn_delete"),
)
_OBJECTS = ("search_fts", *_TABLES, *_TRIGGERS)
_LISTS = ("blockers_json", "next_steps_json", "files_touched_json", "docs_touched_json")
_LAST_ID = 2**63 - 1
_SAME_MOMENT = 64  # seconds by which a place may differ from a briefing's time


class Progress(Record):
    waiting: int  # briefings that are not in the index, or not as they are now
    total: int


class Document(Record):
    """What the index holds of one briefing."""

    second: int  # when its turn ended, Unix time
    title: str
    body: str
    filters: str


def project_word(project_id: object) -> str:
    return "p" + _digest(project_id)


def status_word(status: object) -> str:
    return "s" + _digest(status)


def is_whole(connection: sqlite3.Connection) -> bool:
    """Whether all tables and triggers of the index are there."""
    marks = ", ".join("?" * len(_OBJECTS))
    found = connection.execute(
        f"SELECT count(*) FROM sqlite_master WHERE name IN ({marks})", _OBJECTS
    ).fetchone()[0]
    return bool(found == len(_OBJECTS))


def rebuild(connection: sqlite3.Connection) -> None:
    """Replace the index by an empty one, in the caller's transaction; `catch_up` fills it."""
    for name in _TRIGGERS:
        connection.execute(f"DROP TRIGGER IF EXISTS {name}")
    migrate.drop_search_table(connection, "search_fts")
    for name in _TABLES:
        connection.execute(f"DROP TABLE IF EXISTS {name}")
    for statement in migrate.statements(dict(migrate.scripts())[_MIGRATION]):
        if statement.startswith("CREATE"):
            connection.execute(statement)


def repair(connection: sqlite3.Connection) -> bool:
    """Rebuild an index that lacks a table or trigger, in a transaction of its own. False if it lacks
    none."""
    if is_whole(connection):
        return False
    with db.transaction(connection):
        if not is_whole(connection):
            rebuild(connection)
    return True


def index_changes(connection: sqlite3.Connection) -> int:
    """Index a batch of what changed, in the caller's transaction; the number of changes. Not in a
    transaction that captures: where the index is damaged, FTS5 makes SQLite give up the whole."""
    rows = connection.execute(
        "SELECT rowid, briefing_id FROM search_changes ORDER BY rowid LIMIT ?", (BATCH,)
    ).fetchall()
    if rows:
        _index(connection, list(dict.fromkeys(row[1] for row in rows)))
        connection.execute("DELETE FROM search_changes WHERE rowid <= ?", (rows[-1][0],))
    return len(rows)


def catch_up(
    connection: sqlite3.Connection,
    seconds: float = float("inf"),
    *,
    only_changes: bool = False,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[Progress], None] | None = None,
) -> bool:
    """Index what is not in the index, in transactions of BATCH briefings: first what changed, then
    what is older than the index for so many seconds, both until `stop()` is true. True when nothing
    is left. A damaged index is rebuilt, once. Raises sqlite3.Error for a database that cannot be
    written."""
    end_of_older = None
    is_rebuilt = repair(connection)
    while True:
        try:
            with db.transaction(connection):
                done = index_changes(connection)
                is_last = 0 < done < BATCH and (only_changes or _filled_from(connection) == 0)
                if not done and not only_changes:
                    end_of_older = end_of_older or time.monotonic() + seconds
                    if time.monotonic() <= end_of_older:
                        done = _index_older(connection)
        except (sqlite3.Error, MemoryError) as error:
            if connection.in_transaction:  # the commit failed
                connection.execute("ROLLBACK")
            if is_rebuilt or not is_damage(error):
                raise
            is_rebuilt = True
            with db.transaction(connection):
                rebuild(connection)
            continue
        if progress:
            progress(progress_of(connection))
        if is_last or not done or stop():
            return is_last or (not done and (only_changes or is_complete(connection)))


def is_damage(error: sqlite3.Error | MemoryError) -> bool:
    """Whether the index itself may be at fault. FTS5 reports its own damage in many ways; a wrong
    length makes it ask for too much memory."""
    return isinstance(error, MemoryError) or db.primary_code(error) in (
        None,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_MISMATCH,
    )


def progress_of(connection: sqlite3.Connection) -> Progress:
    changed = connection.execute(
        "SELECT count(DISTINCT briefing_id) FROM search_changes"
    ).fetchone()[0]
    filled_from = _filled_from(connection)
    older = (
        0
        if filled_from == 0
        else connection.execute(
            "SELECT count(*) FROM briefings WHERE briefing_id < ?",
            (_LAST_ID if filled_from is None else filled_from,),
        ).fetchone()[0]
    )
    total = connection.execute("SELECT count(*) FROM briefings").fetchone()[0]
    return Progress(min(changed + older, max(total, changed)), total)


def is_complete(connection: sqlite3.Connection) -> bool:
    """Whether every briefing is in the index as it is now."""
    if _filled_from(connection) != 0:
        return False
    return connection.execute("SELECT 1 FROM search_changes LIMIT 1").fetchone() is None


def count_differences(connection: sqlite3.Connection) -> tuple[int, int]:
    """(briefings that should be in the index and are not, those in it that are gone), apart from
    the changes that are known to wait."""
    filled_from = _filled_from(connection)
    waiting = "briefing_id NOT IN (SELECT briefing_id FROM search_changes)"
    missing = connection.execute(
        f"SELECT count(*) FROM briefings WHERE briefing_id >= ? AND {waiting}"
        " AND briefing_id NOT IN (SELECT briefing_id FROM search_text)",
        (_LAST_ID if filled_from is None else filled_from,),
    ).fetchone()[0]
    left_over = connection.execute(
        f"SELECT count(*) FROM search_text WHERE {waiting}"
        " AND briefing_id NOT IN (SELECT briefing_id FROM briefings)"
    ).fetchone()[0]
    return missing, left_over


def documents(connection: sqlite3.Connection, ids: Iterable[int]) -> dict[int, Document]:
    """{briefing id: what the index should hold of it}, for the briefings that exist."""
    chosen = list(ids)
    if not chosen:
        return {}
    marks = ", ".join("?" * len(chosen))
    spoken: dict[int, list[tuple[object, ...]]] = {}
    for briefing_id, *texts in connection.execute(
        f"SELECT briefing_id, title, summary, question FROM turns WHERE briefing_id IN ({marks})",
        chosen,
    ):
        spoken.setdefault(briefing_id, []).append(tuple(texts))
    rows = connection.execute(
        "SELECT briefing_id, ifnull(ended_at, created_at), project_id, status, branch, task_id,"
        f" raw_markdown, {', '.join(_LISTS)} FROM briefings WHERE briefing_id IN ({marks})",
        chosen,
    )
    found = {}
    for briefing_id, ended, project_id, status, branch, task_id, markdown, *lists in rows:
        turns = spoken.get(briefing_id, [])
        body = [*(turn[2] for turn in turns), markdown, *map(_items, lists), branch, task_id]
        found[briefing_id] = Document(
            _second(ended),
            words.as_text("\n".join(_text(part) for turn in turns for part in turn[:2])),
            words.as_text("\n".join(map(_text, body))),
            f" {project_word(project_id)} {status_word(status)} ",
        )
    return found


def _index_older(connection: sqlite3.Connection) -> int:
    """Index a batch of what was there before the index, the newest first; their number."""
    filled_from = _filled_from(connection)
    if filled_from == 0:
        return 0
    rows = connection.execute(
        # What is in the index already came there as a change, and is as it is now.
        "SELECT briefing_id FROM briefings WHERE briefing_id < ?"
        " AND briefing_id NOT IN (SELECT briefing_id FROM search_text)"
        " ORDER BY briefing_id DESC LIMIT ?",
        (_LAST_ID if filled_from is None else filled_from, BATCH),
    ).fetchall()
    _index(connection, [row[0] for row in rows])
    connection.execute(
        "INSERT OR REPLACE INTO search_progress (id, filled_from) VALUES (1, ?)",
        (rows[-1][0] if rows else 0,),
    )
    return len(rows)


def _filled_from(connection: sqlite3.Connection) -> int | None:
    """Every briefing with this id or a higher one has been in the index. None: it was not begun; 0:
    it is done."""
    row = connection.execute("SELECT filled_from FROM search_progress").fetchone()
    return int(row[0]) if row else None


def _index(connection: sqlite3.Connection, ids: list[int]) -> None:
    """Make the index hold these briefings as they are."""
    part: list[int] = []
    size = 0
    for briefing_id in ids:
        row = connection.execute(
            "SELECT length(raw_markdown) FROM briefings WHERE briefing_id = ?", (briefing_id,)
        ).fetchone()
        length = row[0] or 0 if row else 0
        if part and size + length > _TOGETHER:
            _index_together(connection, part)
            part, size = [], 0
        part.append(briefing_id)
        size += length
    _index_together(connection, part)


def _index_together(connection: sqlite3.Connection, ids: list[int]) -> None:
    marks = ", ".join("?" * len(ids))
    old = {
        row[1]: row
        for row in connection.execute(
            "SELECT doc, briefing_id, title, body, filters FROM search_text"
            f" WHERE briefing_id IN ({marks})",
            ids,
        )
    }
    new = documents(connection, ids)
    for briefing_id in ids:
        before, after = old.get(briefing_id), new.get(briefing_id)
        if before and after and _is_same(before, after):
            del old[briefing_id], new[briefing_id]
    # One statement for all: FTS5 writes what it has collected at the end of each.
    gone = [row[0] for row in old.values()]
    chosen = f"FROM search_text WHERE doc IN ({', '.join('?' * len(gone))})"
    if gone:
        connection.execute(
            "INSERT INTO search_fts (search_fts, rowid, title, body, filters)"
            f" SELECT 'delete', doc, title, body, filters {chosen}",
            gone,
        )
        connection.execute(f"DELETE {chosen}", gone)
    added = []
    for briefing_id, after in new.items():
        added.append(_free_place(connection, after.second, briefing_id))
        connection.execute(
            "INSERT INTO search_text (doc, briefing_id, title, body, filters)"
            " VALUES (?, ?, ?, ?, ?)",
            (added[-1], briefing_id, after.title, after.body, after.filters),
        )
    connection.execute(
        "INSERT INTO search_fts (rowid, title, body, filters) SELECT doc, title, body, filters"
        f" FROM search_text WHERE doc IN ({', '.join('?' * len(added))})",
        added,
    )


def _is_same(before: sqlite3.Row, after: Document) -> bool:
    texts = (after.title, after.body, after.filters)
    return tuple(before[2:]) == texts and 0 <= before[0] - after.second < _SAME_MOMENT


def _free_place(connection: sqlite3.Connection, second: int, briefing_id: int) -> int:
    """The second, or a little later if other turns ended then too: later the more there are."""
    spread = 1
    while True:
        doc = second + briefing_id * 2654435761 % spread
        taken = connection.execute("SELECT 1 FROM search_text WHERE doc = ?", (doc,)).fetchone()
        if not taken:
            return doc
        spread *= 2


def _second(moment: object) -> int:
    """Unix time; 0 for a text of another program that is no time."""
    try:
        return max(0, int(clock.parse(str(moment)).timestamp()))
    except (ValueError, OverflowError):
        return 0


def _items(stored: object) -> str:
    """The items of a list, a line each; whatever else another program stored there as it is."""
    if not isinstance(stored, str | bytes):
        return _text(stored)
    items = json_array_or_none(stored)
    return _text(stored) if items is None else "\n".join(map(_text, items))


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return "" if value is None else str(value)


def _digest(value: object) -> str:
    return blake2b(_text(value).encode("utf-8", "replace"), digest_size=8).hexdigest()
