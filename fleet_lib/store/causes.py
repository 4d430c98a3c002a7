"""Why the database cannot be used, where SQLite's own words lead to the wrong advice."""

import contextlib
import errno
import fcntl
import os

from fleet_lib import paths
from fleet_lib.sqlite import sqlite3
from fleet_lib.store import db

_LARGEST_ID = 2**63 - 1


def cause_of(error: Exception, home: str) -> str:
    """The error in one line that says what is the matter; "" if its own words do."""
    if not isinstance(error, sqlite3.Error) or not db.is_unusable(error):
        return ""
    if pids := holders_of_deleted_log(home):
        return deleted_log_words(home, pids)
    if reason := no_locks(home):
        return no_locks_words(home, reason)
    if db.primary_code(error) == sqlite3.SQLITE_FULL:
        return _no_number_left(home)
    return ""


def no_locks(home: str) -> str:
    """Why files of this folder cannot be locked, as SQLite and the drainer need it; "" if they
    can."""
    import tempfile  # only where something is wrong: it costs as much as an ordinary turn's parsing

    try:
        with tempfile.TemporaryFile(dir=home) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(file, fcntl.LOCK_UN)
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        has_room = error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        return str(error.strerror) if has_room else ""
    return ""


def no_locks_words(home: str, reason: str) -> str:
    return (
        f"the file system of {home} has no working locks ({reason}), so the database cannot be"
        " written safely: move the folder to a local disk and install with --fleet-home"
    )


def holders_of_deleted_log(home: str) -> list[int]:
    """The processes that still use a log of the database which was deleted. Only Linux says it."""
    names = [f"{os.path.realpath(paths.database(home))}{end} (deleted)" for end in ("-wal", "-shm")]
    found = set()
    from pathlib import Path  # here, as all that only trouble needs

    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended, or belongs to another user
            for link in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(link.readlink()) in names:
                        found.add(int(process.name))
    return sorted(found - {os.getpid()})


def deleted_log_words(home: str, pids: list[int]) -> str:
    numbers = " ".join(map(str, pids))
    return (
        f"{paths.database(home)}-wal or -shm was deleted while process {numbers} used it:"
        f" `kill {numbers}`, then `fleet drain`. The database is good: do not replace it"
    )


def _no_number_left(home: str) -> str:
    with (
        contextlib.suppress(sqlite3.Error, OSError),
        contextlib.closing(sqlite3.connect(paths.uri(paths.database(home), "ro"), uri=True)) as it,
    ):
        row = it.execute(
            "SELECT name FROM sqlite_sequence WHERE seq = ?", (_LARGEST_ID,)
        ).fetchone()
        if row:
            return (
                f"another program gave a row of {row[0]} the largest number that there is, so no"
                " row can be added: delete it, or give it a smaller number"
            )
    return ""
