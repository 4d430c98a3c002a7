"""Old history out, in bounds of age and size, and the space given back. No terminal here.

What goes: briefings with their turns, inputs, events and search rows; events of no briefing; finished
jobs; sessions; dead sessions of the Commander. What stays, however old:

- every event after a cursor, with its briefing and job. A conversation's cursor counts always, one of
  a Commander session only while the session moved within CURSOR_DAYS (resumed later, it is told what
  is left). Where no Commander ever looked there is no cursor, and age alone decides.
- open alerts: the stuck session, its event, its briefing
- the newest briefing of each project (the roster), and the latest of each session at work now
- jobs that are queued or running, projects, and the pairs of doc_drift_pairs, which have no age
- the newest event and job, so that no id is ever given twice, AUTOINCREMENT or not

A briefing and its events go in one transaction, and all of its events go with it.
"""

import contextlib
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from fleet_lib import clock
from fleet_lib.rules import ACTIVE_SESSION_SECONDS, OPEN_ALERT_SECONDS, SESSION
from fleet_lib.store import db
from fleet_lib.store.job_runs import start_of_day

CURSOR_DAYS = 30
YOUNG_SECONDS = 600  # for the bound of size: a hook's entry may still be on its way
BATCH_ROWS = 1000
BUSY_SECONDS = 120.0

_SIZE_MARGIN = 0.95  # what is left is estimated; aim below the bound
_ROUNDS = 8
_BREATH_SECONDS = 0.01  # between two transactions, for whoever waits to write
_VACUUM_PAGES = 4000
_MERGE_PAGES = 1000
_LAST_ID = (1 << 63) - 1

# The smallest cursor. Every statement reads it anew: a hook may move one between two batches.
_HELD = f"""ifnull((SELECT min(cursor) FROM (
    SELECT ifnull(last_outbox_event_id_seen, 0) AS cursor FROM conversations
    UNION ALL SELECT cursor_event_id FROM commander_sessions WHERE updated_at >= :cursors_since
  )), {_LAST_ID})"""

_STUCK = """(s.ended_at IS NULL AND s.state IN ('blocked', 'failed', 'waiting_for_permission')
    AND s.state_at > :alerts_since)"""
_AT_WORK = "(s.ended_at IS NULL AND s.last_seen_at > :active_since)"

_OLD_BRIEFING = (
    "(b.created_at < :before OR (b.created_at = :before AND b.briefing_id <= :before_briefing))"
)
_ALERT_BRIEFING = f"""b.briefing_id IN (
    SELECT s.briefing_id FROM sessions s WHERE s.briefing_id IS NOT NULL AND {_STUCK}
    UNION ALL SELECT o.briefing_id FROM sessions s JOIN outbox_events o ON o.event_id = s.event_id
      WHERE o.briefing_id IS NOT NULL AND {_STUCK})"""
_UNSEEN_BRIEFING = f"""EXISTS (SELECT 1 FROM outbox_events o
    WHERE o.briefing_id = b.briefing_id AND o.event_id > {_HELD})"""
_WORKING_BRIEFING = f"""b.briefing_id IN (
    SELECT s.briefing_id FROM sessions s WHERE s.briefing_id IS NOT NULL AND {_AT_WORK})"""
_NEWEST_BRIEFING = """b.briefing_id = (
    SELECT n.briefing_id FROM briefings n WHERE n.project_id = b.project_id
      ORDER BY ifnull(n.ended_at, n.created_at) DESC, n.briefing_id DESC LIMIT 1)"""
# The newest event may be a briefing's; then both stay.
_LAST_EVENT_BRIEFING = """b.briefing_id = (
    SELECT o.briefing_id FROM outbox_events o ORDER BY o.event_id DESC LIMIT 1)"""
_BRIEFING_STAYS = (
    f"({_ALERT_BRIEFING} OR {_NEWEST_BRIEFING} OR {_WORKING_BRIEFING} OR {_UNSEEN_BRIEFING}"
    f" OR ifnull({_LAST_EVENT_BRIEFING}, 0))"
)
_BRIEFING_GOES = f"({_OLD_BRIEFING} AND NOT {_BRIEFING_STAYS})"

_SESSION_GOES = f"""(s.last_seen_at < :before AND NOT {_STUCK}
    AND (s.ended_at IS NOT NULL OR s.last_seen_at < :cursors_since))"""

# An event of a briefing goes with it. A session's start is remembered as long as the session, or its
# SessionStart, applied again, would be announced again.
_LOOSE = "NOT EXISTS (SELECT 1 FROM briefings b WHERE b.briefing_id = e.briefing_id)"
_ALERT_EVENT = f"""e.event_id IN (
    SELECT s.event_id FROM sessions s WHERE s.event_id IS NOT NULL AND {_STUCK})"""
_START_OF_KEPT = f"""(e.type = 'session_started' AND EXISTS (SELECT 1 FROM sessions s
    WHERE s.session_id = ({SESSION}) AND NOT {_SESSION_GOES}))"""
_EVENT_GOES = f"""(e.ts < :before AND e.event_id <= {_HELD}
    AND e.event_id < (SELECT max(event_id) FROM outbox_events)
    AND {_LOOSE} AND NOT {_ALERT_EVENT} AND NOT {_START_OF_KEPT})"""

_JOB_ENDED = "ifnull(j.ts_finished, j.ts_created)"
_UNSEEN_JOB = f"""j.job_id IN (SELECT json_extract(payload_json, '$.job.jobId') FROM outbox_events
    WHERE event_id > {_HELD} AND type = 'job_completed'
      AND CASE WHEN typeof(payload_json) = 'text' THEN json_valid(payload_json) ELSE 0 END)"""
_JOB_GOES = f"""(j.status IN ('completed', 'failed', 'canceled') AND {_JOB_ENDED} < :before
    AND j.job_id < (SELECT max(job_id) FROM jobs) AND NOT ifnull({_UNSEEN_JOB}, 0)
    AND NOT EXISTS (SELECT 1 FROM job_runs r WHERE r.job_id = j.job_id AND r.started_at >= :today))"""

_COMMANDER_GOES = """(c.updated_at < min(:before, :cursors_since)
    AND c.session_id NOT IN (SELECT claude_session_id FROM conversations
      WHERE claude_session_id IS NOT NULL))"""

_BRIEFING_WEIGHT = """(400 + length(CAST(b.raw_markdown AS BLOB)) + ifnull(length(b.files_touched_json), 0)
    + ifnull(length(b.docs_touched_json), 0) + ifnull(length(b.blockers_json), 0)
    + ifnull(length(b.next_steps_json), 0))"""
_EVENT_WEIGHT = "(300 + length(CAST(e.payload_json AS BLOB)))"
_JOB_WEIGHT = """(200 + ifnull(length(j.request_json), 0) + ifnull(length(j.stream_chunks_json), 0)
    + ifnull(length(j.result_json), 0) + ifnull(length(j.error), 0))"""
_EVENTS_OF_BRIEFING = f"""ifnull((SELECT sum({_EVENT_WEIGHT}) FROM outbox_events e
    WHERE e.briefing_id = b.briefing_id), 0)"""


@dataclass
class Pruned:
    """What a run deleted (a dry run: would delete), what stays though it is old, and sizes in bytes."""

    before: str | None  # what is older than this goes; None: nothing had to
    deleted: dict[str, int] = field(default_factory=dict)  # a table's rows
    kept: dict[str, int] = field(default_factory=dict)  # {why: briefings, events and sessions}
    used_bytes_before: int = 0
    used_bytes_after: int = 0  # a dry run: estimated
    file_bytes_before: int = 0
    file_bytes_after: int = 0
    fits: bool = True  # False: what stays is larger than the bound
    notes: list[str] = field(default_factory=list)  # sentences for a person


def prune(
    connection: sqlite3.Connection,
    *,
    before: str | None,
    max_bytes: int | None,
    dry_run: bool,
    progress: Callable[[int, int], None] | None = None,
) -> Pruned:
    """Delete what is older than `before` (the database's ISO form) and, oldest first, until what is
    used of the file fits `max_bytes`.

    The connection is `db.connect`'s, in no transaction; a dry run may have a read-only one and writes
    nothing. `progress(done, total)` counts briefings. Raises sqlite3.Error, after BUSY_SECONDS also for
    a database that others hold; whatever was committed until then is whole.
    """
    values = _bounds(before)
    sizes = _sizes(connection)
    report = Pruned(before, used_bytes_before=sizes[0], file_bytes_before=sizes[1])
    if dry_run:
        # One snapshot for every count.
        with _reading(connection):
            values = _with_size_bound(connection, values, max_bytes)
            report.deleted = _count_deleted(connection, values)
            report.used_bytes_after = sizes[0] - _estimated_bytes(connection, values, sizes[0])
            _finish(connection, report, values, max_bytes)
        report.file_bytes_after = min(sizes[1], report.used_bytes_after)
        return report
    for _ in range(_ROUNDS):
        values = _with_size_bound(connection, values, max_bytes)
        deleted = _delete(connection, values, progress)
        for table, count in deleted.items():
            report.deleted[table] = report.deleted.get(table, 0) + count
        if any(deleted.values()):
            _merge_search_index(connection)
        if max_bytes is None or _sizes(connection)[0] <= max_bytes or not any(deleted.values()):
            break
    report.notes += _give_back(connection)
    report.used_bytes_after, report.file_bytes_after = _sizes(connection)
    _finish(connection, report, values, max_bytes)
    return report


def count_briefings(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM briefings").fetchone()[0])


# --- which -------------------------------------------------------------------------------------


def _bounds(before: str | None) -> dict[str, Any]:
    """What the conditions above are given. Without `before` nothing is old."""
    return {
        "before": before or "",
        "today": start_of_day(),  # what today's jobs cost counts towards the day's cap
        "before_briefing": 0,
        "cursors_since": _ago(CURSOR_DAYS * 86400),
        "alerts_since": _ago(OPEN_ALERT_SECONDS),
        "active_since": _ago(ACTIVE_SESSION_SECONDS),
    }


def _with_size_bound(
    connection: sqlite3.Connection, values: dict[str, Any], max_bytes: int | None
) -> dict[str, Any]:
    """The bounds moved on until what is left should fit: size becomes age, oldest first."""
    used = _sizes(connection)[0]
    if max_bytes is None or used <= max_bytes:
        return values
    excess = used - max_bytes * _SIZE_MARGIN
    scale = used / max(1, _total_weight(connection))
    young = values | {"before": max(values["before"], _ago(YOUNG_SECONDS))}
    oldest_first = connection.execute(
        f"""
        SELECT b.created_at AS moment, b.briefing_id, {_BRIEFING_WEIGHT} + {_EVENTS_OF_BRIEFING}
          FROM briefings b WHERE {_BRIEFING_GOES}
        UNION ALL SELECT e.ts, 0, {_EVENT_WEIGHT} FROM outbox_events e WHERE {_EVENT_GOES}
        UNION ALL SELECT {_JOB_ENDED}, 0, {_JOB_WEIGHT} FROM jobs j WHERE {_JOB_GOES}
        ORDER BY moment, 2
        """,
        young,
    )
    with contextlib.closing(oldest_first):
        for moment, briefing_id, weight in oldest_first:
            excess -= weight * scale
            if excess <= 0:
                if (moment, briefing_id) <= (values["before"], values["before_briefing"]):
                    return values
                return values | {"before": moment, "before_briefing": briefing_id}
    return young


def _total_weight(connection: sqlite3.Connection) -> int:
    return int(
        connection.execute(
            f"SELECT ifnull((SELECT sum({_BRIEFING_WEIGHT}) FROM briefings b), 0)"
            f" + ifnull((SELECT sum({_EVENT_WEIGHT}) FROM outbox_events e), 0)"
            f" + ifnull((SELECT sum({_JOB_WEIGHT}) FROM jobs j), 0)"
        ).fetchone()[0]
    )


def _estimated_bytes(connection: sqlite3.Connection, values: dict[str, Any], used: int) -> int:
    """Roughly what deleting gives back."""
    weight = connection.execute(
        f"""SELECT
          ifnull((SELECT sum({_BRIEFING_WEIGHT} + {_EVENTS_OF_BRIEFING}) FROM briefings b
            WHERE {_BRIEFING_GOES}), 0)
          + ifnull((SELECT sum({_EVENT_WEIGHT}) FROM outbox_events e WHERE {_EVENT_GOES}), 0)
          + ifnull((SELECT sum({_JOB_WEIGHT}) FROM jobs j WHERE {_JOB_GOES}), 0)""",
        values,
    ).fetchone()[0]
    return int(used * weight / max(1, _total_weight(connection)))


def _count_deleted(connection: sqlite3.Connection, values: dict[str, Any]) -> dict[str, int]:
    """{table: rows that a run would delete}."""
    briefings = f"SELECT b.briefing_id FROM briefings b WHERE {_BRIEFING_GOES}"
    counts = {
        "briefings": f"SELECT count(*) FROM ({briefings})",
        "outbox_events": f"SELECT (SELECT count(*) FROM outbox_events WHERE briefing_id IN ({briefings}))"
        f" + (SELECT count(*) FROM outbox_events e WHERE {_EVENT_GOES})",
        "turns": f"SELECT count(*) FROM turns WHERE briefing_id IN ({briefings})",
        "jobs": f"SELECT count(*) FROM jobs j WHERE {_JOB_GOES}",
        "sessions": f"SELECT count(*) FROM sessions s WHERE {_SESSION_GOES}",
        "commander_sessions": f"SELECT count(*) FROM commander_sessions c WHERE {_COMMANDER_GOES}",
    }
    return {
        table: int(connection.execute(sql, values).fetchone()[0]) for table, sql in counts.items()
    }


def _finish(
    connection: sqlite3.Connection,
    report: Pruned,
    values: dict[str, Any],
    max_bytes: int | None,
) -> None:
    """Why what is old enough is still there, and whether the bound is met."""
    report.before = values["before"] or None
    report.fits = max_bytes is None or report.used_bytes_after <= max_bytes
    if report.before is None:
        return
    not_alert, not_unseen = f"NOT {_ALERT_BRIEFING}", f"NOT {_UNSEEN_BRIEFING}"
    reasons = {
        "open alerts": f"SELECT count(*) FROM sessions s WHERE {_STUCK} AND s.state_at < :before",
        "briefings after a cursor": f"SELECT count(*) FROM briefings b WHERE {_OLD_BRIEFING}"
        f" AND {not_alert} AND {_UNSEEN_BRIEFING}",
        "other events after a cursor": "SELECT count(*) FROM outbox_events e WHERE e.ts < :before"
        f" AND e.event_id > {_HELD} AND {_LOOSE}",
        "newest of their project": f"SELECT count(*) FROM briefings b WHERE {_OLD_BRIEFING}"
        f" AND {not_alert} AND {not_unseen} AND {_NEWEST_BRIEFING}",
        "latest of a session at work": f"SELECT count(*) FROM briefings b WHERE {_OLD_BRIEFING}"
        f" AND {not_alert} AND {not_unseen} AND NOT {_NEWEST_BRIEFING} AND {_WORKING_BRIEFING}",
        "jobs not finished": "SELECT count(*) FROM jobs j WHERE j.ts_created < :before"
        " AND j.status IN ('queued', 'running')",
    }
    if not report.fits:
        reasons["younger than ten minutes"] = (
            f"SELECT count(*) FROM briefings b WHERE NOT {_OLD_BRIEFING}"
        )
    found = {
        why: int(connection.execute(sql, values).fetchone()[0]) for why, sql in reasons.items()
    }
    report.kept = {why: count for why, count in found.items() if count}


# --- deleting ----------------------------------------------------------------------------------


def _delete(
    connection: sqlite3.Connection,
    values: dict[str, Any],
    progress: Callable[[int, int], None] | None,
) -> dict[str, int]:
    """Delete what goes, a batch a transaction; {table: rows}."""
    total = 0
    if progress:
        total = connection.execute(
            f"SELECT count(*) FROM briefings b WHERE {_BRIEFING_GOES}", values
        ).fetchone()[0]
    deleted = dict.fromkeys(
        ("briefings", "outbox_events", "turns", "jobs", "sessions", "commander_sessions"), 0
    )
    for key, table, alias, goes, clear in (
        ("briefing_id", "briefings", "b", _BRIEFING_GOES, _delete_briefings),
        ("event_id", "outbox_events", "e", _EVENT_GOES, _delete_events),
        ("job_id", "jobs", "j", _JOB_GOES, _delete_jobs),
        # Sessions after events: which of them go decides which starts go.
        ("session_id", "sessions", "s", _SESSION_GOES, _delete_sessions),
        ("session_id", "commander_sessions", "c", _COMMANDER_GOES, _delete_commander_sessions),
    ):
        # Chosen under the write lock: a Stop that comes in between may have made one news again.
        choose = (
            f"SELECT json_group_array(id), count(*), max(id) FROM (SELECT {alias}.{key} AS id"
            f" FROM {table} {alias} WHERE {alias}.{key} > :after AND {goes}"
            f" ORDER BY {alias}.{key} LIMIT {BATCH_ROWS})"
        )
        after: object = "" if key == "session_id" else 0
        while True:
            with _writing(connection):
                chosen, count, last = connection.execute(
                    choose, values | {"after": after}
                ).fetchone()
                if count:
                    clear(connection, chosen, deleted)
            if count < BATCH_ROWS:
                break
            after = last
            if progress and table == "briefings":
                progress(deleted["briefings"], total)
            time.sleep(_BREATH_SECONDS)
    return deleted


def _delete_briefings(connection: sqlite3.Connection, chosen: str, deleted: dict[str, int]) -> None:
    ids = "(SELECT value FROM json_each(?))"
    # An import must not bring back what was pruned.
    connection.execute(
        "INSERT OR IGNORE INTO pruned_turns (session_id, turn_key)"
        f" SELECT session_id, turn_key FROM turns WHERE briefing_id IN {ids}",
        (chosen,),
    )
    connection.execute(
        "DELETE FROM turn_inputs WHERE (session_id, turn_key) IN"
        f" (SELECT session_id, turn_key FROM turns WHERE briefing_id IN {ids})",
        (chosen,),
    )
    connection.execute(
        "UPDATE sessions SET event_id = NULL WHERE event_id IN"
        f" (SELECT event_id FROM outbox_events WHERE briefing_id IN {ids})",
        (chosen,),
    )
    connection.execute(
        f"UPDATE sessions SET briefing_id = NULL WHERE briefing_id IN {ids}", (chosen,)
    )
    for table in ("turns", "outbox_events", "briefings"):
        deleted[table] += connection.execute(
            f"DELETE FROM {table} WHERE briefing_id IN {ids}", (chosen,)
        ).rowcount


def _delete_events(connection: sqlite3.Connection, chosen: str, deleted: dict[str, int]) -> None:
    ids = "(SELECT value FROM json_each(?))"
    connection.execute(f"UPDATE sessions SET event_id = NULL WHERE event_id IN {ids}", (chosen,))
    deleted["outbox_events"] += connection.execute(
        f"DELETE FROM outbox_events WHERE event_id IN {ids}", (chosen,)
    ).rowcount


def _delete_jobs(connection: sqlite3.Connection, chosen: str, deleted: dict[str, int]) -> None:
    for table in ("job_stream_chunks", "jobs"):
        count = connection.execute(
            f"DELETE FROM {table} WHERE job_id IN (SELECT value FROM json_each(?))", (chosen,)
        ).rowcount
    deleted["jobs"] += count


def _delete_sessions(connection: sqlite3.Connection, chosen: str, deleted: dict[str, int]) -> None:
    deleted["sessions"] += connection.execute(
        "DELETE FROM sessions WHERE session_id IN (SELECT value FROM json_each(?))", (chosen,)
    ).rowcount


def _delete_commander_sessions(
    connection: sqlite3.Connection, chosen: str, deleted: dict[str, int]
) -> None:
    for table in ("prelude_shown", "commander_sessions"):
        count = connection.execute(
            f"DELETE FROM {table} WHERE session_id IN (SELECT value FROM json_each(?))", (chosen,)
        ).rowcount
    deleted["commander_sessions"] += count


# --- space -------------------------------------------------------------------------------------


def _merge_search_index(connection: sqlite3.Connection) -> None:
    """What `optimize` does, in steps: deleted words only leave the index when it is merged, and one
    `optimize` of a large index holds the write lock for its whole length."""
    pages = -_MERGE_PAGES  # negative: also start merging what would not need it yet
    for _ in range(100_000):
        with _writing(connection):
            changes = connection.total_changes
            connection.execute(
                "INSERT INTO briefings_fts(briefings_fts, rank) VALUES ('merge', ?)", (pages,)
            )
            changes = connection.total_changes - changes
        if changes < 2:  # FTS5's own sign that nothing was left to merge
            return
        pages = _MERGE_PAGES
        time.sleep(_BREATH_SECONDS)


def _give_back(connection: sqlite3.Connection) -> list[str]:
    """Free pages back to the file system; sentences on what could not be done."""
    notes = []
    is_incremental = _pragma(connection, "auto_vacuum") == 2
    if is_incremental:
        while free := _pragma(connection, "freelist_count"):
            # `execute` would free one page: it steps a statement once.
            _patiently(
                lambda: connection.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
            )
            if _pragma(connection, "freelist_count") >= free:
                break
            time.sleep(_BREATH_SECONDS)
    elif _pragma(connection, "auto_vacuum") == 0 and _pragma(connection, "freelist_count"):
        path = connection.execute("PRAGMA database_list").fetchone()[2]
        needed = 2 * _sizes(connection)[0]  # the copy, and the log that it is written back through
        if path and shutil.disk_usage(path).free < needed * 1.1:
            notes.append(
                "the disk has too little room to make the file smaller;"
                " what was freed in it will be used again"
            )
        else:
            _patiently(lambda: connection.executescript("PRAGMA auto_vacuum = INCREMENTAL; VACUUM"))
    deadline = time.monotonic() + 10
    while connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        if time.monotonic() > deadline:
            notes.append(
                "another program is reading the database: the file shrinks when it is done"
            )
            break
        time.sleep(0.1)
    return notes


def _sizes(connection: sqlite3.Connection) -> tuple[int, int]:
    """(bytes used, bytes of the file)."""
    page = _pragma(connection, "page_size")
    pages = _pragma(connection, "page_count")
    return (pages - _pragma(connection, "freelist_count")) * page, pages * page


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _ago(seconds: float) -> str:
    return clock.iso(time.time_ns() - int(seconds * 1e9))


@contextlib.contextmanager
def _reading(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


@contextlib.contextmanager
def _writing(connection: sqlite3.Connection) -> Iterator[None]:
    """One IMMEDIATE transaction; its beginning waits as long as a drainer may hold the file."""
    _patiently(lambda: connection.execute("BEGIN IMMEDIATE"))
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _patiently(action: Callable[[], object]) -> None:
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            action()
            return
        except sqlite3.OperationalError as error:
            if not db.is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
