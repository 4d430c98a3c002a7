"""Keeps the history within an age and a size: deletes the oldest days and frees their space.
Nothing here prints."""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any

from fleet_lib import clock
from fleet_lib.history import deletion, selection, space
from fleet_lib.records import MutableRecord, field
from fleet_lib.store import db, search_index
from fleet_lib.store.usage import UsageRepo

YOUNG_SECONDS = 600  # kept whatever the size: a hook's entry may still be on its way
BUSY_SECONDS = 120  # to wait for other writers

_INSTRUCTIONS = 1_000_000  # of SQLite's machine, between two calls of `progress` in a dry run

Progress = Callable[[int, int], None]


class Pruned(MutableRecord):
    """What a run did, or what it would do if it was a dry run."""

    before: str | None  # everything older than this was considered
    deleted: dict[str, int] = field(default_factory=dict)  # {table: rows}
    kept: dict[str, int] = field(default_factory=dict)  # {reason: rows, although old enough}
    used_bytes_before: int = 0
    used_bytes_after: int = 0  # of a dry run: estimated
    file_bytes_before: int = 0
    file_bytes_after: int = 0
    fits: bool = True  # False: what stays is larger than the bound
    notes: list[str] = field(default_factory=list)  # for people


def prune(
    connection: sqlite3.Connection,
    *,
    before: str | None,
    max_bytes: int | None,
    dry_run: bool,
    progress: Progress | None = None,
    is_gentle: bool = False,
) -> Pruned:
    """Delete what is older than `before` (the database's ISO form), then whole days, oldest first,
    until the part of the file that is in use fits `max_bytes`.

    The connection is `db.connect`'s, in no transaction; its busy timeout is changed. A dry run may
    have a read-only one and writes nothing. `progress(done, total)` counts days, a large one as
    several; of a dry run it is called with (0, 1) as long as that reads. With `is_gentle` other
    writers get half of the time, and none waits for the space to be freed. Raises sqlite3.Error,
    after BUSY_SECONDS also for a database that others hold; whatever was committed until then is
    whole.
    """
    used, file = space.sizes(connection)
    report = Pruned(before, used_bytes_before=used, file_bytes_before=file)
    if dry_run:
        with (
            _shown(connection, progress),
            db.transaction(connection, "DEFERRED"),  # one snapshot for every count
        ):
            _estimate(connection, report, max_bytes)
        return report
    connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
    search_index.catch_up(connection, only_changes=True)  # or the file would grow in between
    if before:
        _delete_days(connection, report, before, None, progress, is_gentle=is_gentle)
        UsageRepo(connection).forget_files(before)
    if max_bytes is not None and space.sizes(connection)[0] > max_bytes:
        young = max(before or "", clock.ago(YOUNG_SECONDS))
        _delete_days(connection, report, young, max_bytes, progress)
    give_back = space.give_back_gently if is_gentle else space.give_back
    report.notes += give_back(connection)
    report.used_bytes_after, report.file_bytes_after = space.sizes(connection)
    _explain(connection, report, max_bytes)
    return report


@contextlib.contextmanager
def _shown(connection: sqlite3.Connection, progress: Progress | None) -> Iterator[None]:
    """While the body reads, call `progress` again and again."""

    def tick() -> bool:
        if progress:
            progress(0, 1)
        return False

    connection.set_progress_handler(tick, _INSTRUCTIONS)
    try:
        yield
    finally:
        connection.set_progress_handler(None, 0)


def _delete_days(
    connection: sqlite3.Connection,
    report: Pruned,
    before: str,
    max_bytes: int | None,
    progress: Progress | None,
    *,
    is_gentle: bool = False,
) -> None:
    """Delete what is older than `before`, the oldest day first; with `max_bytes` until it fits.

    Deleted words leave the search index only when it is merged, which is slow. So the index is
    merged, and the size checked, each time that half of the excess is deleted: no more days are
    deleted than necessary.
    """
    portions = deletion.portions(connection, selection.bounds(before))
    done = 0
    while done < len(portions):
        used = space.sizes(connection)[0]
        if max_bytes is not None and used <= max_bytes:
            return
        enough = 0 if max_bytes is None else (used + max_bytes) // 2
        is_changed = False
        while done < len(portions) and space.sizes(connection)[0] > enough:
            bound = min(before, _end_of(portions[done].day))
            report.before = max(report.before or "", bound)
            began = time.monotonic()
            deleted = deletion.delete(connection, portions[done], selection.bounds(bound))
            if is_gentle:  # a writer that waits looks in every tenth of a second
                time.sleep(time.monotonic() - began)
            search_index.catch_up(connection, only_changes=True)
            for table, count in deleted.items():
                report.deleted[table] = report.deleted.get(table, 0) + count
            is_changed = is_changed or any(deleted.values())
            done += 1
            if progress:
                progress(done, len(portions))
        if is_changed:
            space.merge_search_index(connection)
    report.before = before


def _end_of(day: str) -> str:
    """The first moment after a day; the end of time where another program wrote no date."""
    try:
        return f"{date.fromisoformat(day) + timedelta(days=1)}T00:00:00.000Z"
    except (ValueError, OverflowError):
        return "9999"


def _estimate(connection: sqlite3.Connection, report: Pruned, max_bytes: int | None) -> None:
    """Report what a run would do. The bytes are an estimate."""
    used = report.used_bytes_before
    old = dict(space.estimate_days(connection, selection.bounds(report.before), used))
    left = used - sum(old.values())
    if max_bytes is not None and left > max_bytes:
        young = max(report.before or "", clock.ago(YOUNG_SECONDS))
        for day, freed in space.estimate_days(connection, selection.bounds(young), used):
            if left <= max_bytes:
                break
            left -= freed - old.get(day, 0)
            report.before = max(report.before or "", min(young, _end_of(day)))
        else:
            report.before = young
    values = selection.bounds(report.before)
    report.deleted = selection.count_deleted(connection, values)
    report.used_bytes_after = left
    report.file_bytes_after = min(report.file_bytes_before, left)
    _explain(connection, report, max_bytes)


def _explain(connection: sqlite3.Connection, report: Pruned, max_bytes: int | None) -> None:
    """Report whether the bound is met, and why rows that are old enough are kept."""
    report.fits = max_bytes is None or report.used_bytes_after <= max_bytes
    if report.before is None:
        return
    values: dict[str, Any] = selection.bounds(report.before)
    report.kept = selection.count_kept(connection, values)
    if not report.fits and (young := selection.count_young(connection, values)):
        report.kept["younger than ten minutes"] = young
