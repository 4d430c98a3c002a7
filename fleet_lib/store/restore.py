"""Putting a backup in the database's place, so that nothing of the database before is lost."""

import contextlib
import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from fleet_lib import held, paths, spool, wake
from fleet_lib.errors import BadInput, DatabaseUnusable
from fleet_lib.records import Record
from fleet_lib.store import db, migrate, verify
from fleet_lib.store.conversations import clamp_cursors

LOCK_SECONDS = 60.0
_LOG_FILES = ("-wal", "-shm")  # what SQLite keeps beside a database


class Restored(Record):
    """What was put in place, and where the database before is now."""

    schema_version: int
    last_event: int
    clamped: bool  # whether cursors were past the newest event
    replaced: Path | None


def restore(home: str, backup: Path) -> Restored:
    """Put a copy of `backup` in the database's place while no drainer runs. The database before
    goes to `backups`. Raises BadInput if the file cannot be used, DatabaseUnusable if a drainer
    does not end, or OSError; the database is then as it was."""
    path = Path(paths.database(home))
    if path.exists() and backup.samefile(path):
        raise BadInput(f"{backup} is the database itself")
    with _without_drainer(home), _without_prune(home):
        copy = path.with_name("fleet.db.restoring")
        try:
            version, last_event, clamped = _copy(backup, copy)
            replaced = _move_aside(home, path)
            copy.replace(path)
        finally:
            for name in ("", *_LOG_FILES, "-journal"):
                Path(f"{copy}{name}").unlink(missing_ok=True)
        spool.sync_folder(home)
    with contextlib.suppress(OSError):  # the next hook starts a drainer
        wake.wake_drainer(home)  # for what came while the lock was held
    return Restored(version, last_event, clamped, replaced)


@contextlib.contextmanager
def _without_drainer(home: str) -> Iterator[None]:
    spool.make_folders(home)

    def trouble() -> str:
        holder = held.named(Path(paths.lock(home)))
        words = f" ({holder.trouble() or holder.in_words()})" if holder else ""
        return f"a drainer is running and does not end{words}"

    with _holding(paths.lock(home), lambda: wake.ring(home, wake.LEAVE), trouble):
        yield


@contextlib.contextmanager
def _without_prune(home: str) -> Iterator[None]:
    """What the daily prune writes into a file that has just been replaced would be lost."""
    trouble = "old history is being deleted; try again in some minutes"
    with _holding(paths.history_lock(home), lambda: None, lambda: trouble):
        yield


@contextlib.contextmanager
def _holding(
    path: str, on_wait: Callable[[], object], trouble: Callable[[], str]
) -> Iterator[None]:
    """With this lock. Raises DatabaseUnusable with what is in the way if another process keeps it."""
    deadline = time.monotonic() + LOCK_SECONDS
    with Path(path).open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                on_wait()
                if time.monotonic() > deadline:
                    raise DatabaseUnusable(trouble()) from None
                time.sleep(0.05)
        yield


def _copy(backup: Path, copy: Path) -> tuple[int, int, bool]:
    """Copy a checked backup, durably; (schema version, newest event, whether cursors were
    clamped)."""
    os.close(os.open(copy, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600))
    try:
        with (
            contextlib.closing(db.open_as_it_is(backup)) as source,
            contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as target,
        ):
            source.backup(target)
            version = migrate.require_known_version(target)
            target.execute("PRAGMA journal_mode = DELETE")
            is_current = version == migrate.latest_version()
            problems = verify.problems(target) if is_current else []
            if any(problem.startswith("integrity") for problem in problems):
                raise BadInput(f"{backup} is damaged: {problems[0]}")
            # An older schema is migrated when it is next opened; the drainer clamps its cursors.
            clamped = is_current and clamp_cursors(target)
            last = target.execute("SELECT ifnull(max(event_id), 0) FROM outbox_events").fetchone()
    except sqlite3.Error as error:
        raise BadInput(f"{backup} is no database of Fleet's: {error}") from None
    descriptor = os.open(copy, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return version, last[0], clamped


def _move_aside(home: str, path: Path) -> Path | None:
    """Keep the database before, with its log files, in `backups`; it stays where it is, too, until
    the copy takes its name. It is not opened: of a damaged one SQLite would delete the log."""
    if not path.exists():
        return None
    folder = Path(paths.backups(home))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    replaced = folder / f"replaced-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}.db"
    replaced.hardlink_to(path)
    for name in _LOG_FILES:
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{name}").rename(f"{replaced}{name}")
    return replaced
