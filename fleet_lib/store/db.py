"""Opening the database and beginning a transaction. No SQL about any table lives here."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fleet_lib import compiled, paths
from fleet_lib.errors import DatabaseUnusable
from fleet_lib.sqlite import sqlite3
from fleet_lib.store import migrate

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Literal

BUSY_TIMEOUT_SECONDS = 5.0

# The file itself is the trouble, not what is being written to it: keep the entries and try later.
_UNUSABLE_CODES = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_NOMEM,
    }
)


def primary_code(error: sqlite3.Error) -> int | None:
    """SQLite's primary result code of an error, None where Python itself raised it."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF


def is_unusable(error: sqlite3.Error) -> bool:
    return primary_code(error) in _UNUSABLE_CODES


def is_of_other_shape(error: sqlite3.Error) -> bool:
    """Whether a table or column of Fleet is missing: the file is at fault, not the entry."""
    return str(error).startswith(("no such table", "no such column", "table ", "no such module"))


def is_busy(error: sqlite3.Error) -> bool:
    return primary_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def connect(
    path: str | Path,
    *,
    busy_timeout: float = BUSY_TIMEOUT_SECONDS,
    progress: Callable[[int, int], None] | None = None,
) -> sqlite3.Connection:
    """Open for reading and writing, creating and migrating as needed. `progress` is shown how far a
    migration is.

    Raises DatabaseUnusable (NewerSchema for a later Fleet's file), or sqlite3.Error with a code
    that `is_unusable` knows.
    """
    path = str(path)
    _require_target(path)
    try:
        os.makedirs(os.path.dirname(path) or ".", mode=0o700, exist_ok=True)
        _make_private(path)
    except OSError as error:
        raise DatabaseUnusable(f"{path}: {error.strerror}") from None
    connection = _open(paths.uri(path, "rw"), busy_timeout)
    try:
        migrate.require_known_version(connection)
        _set_file_modes(connection, busy_timeout)
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        migrate.migrate(connection, path, progress)
    except BaseException:
        connection.close()
        raise
    return connection


def keep_savepoints_in_memory(connection: sqlite3.Connection) -> None:
    """For a connection that makes a savepoint for each of many entries. SQLite copies each page that
    is changed in it: for one turn forty, which it would write into a file that nothing ever reads.
    Sorting is done in memory, too, so this is not for one that rebuilds tables."""
    connection.execute("PRAGMA temp_store = MEMORY")


def connect_read_only(path: str | Path) -> sqlite3.Connection:
    """Open an existing, migrated database for reading. Raises DatabaseUnusable if it is neither."""
    connection = open_as_it_is(path)
    try:
        version = migrate.require_known_version(connection)
        if version < migrate.latest_version():
            raise DatabaseUnusable(
                f"the database has schema version {version}, this Fleet needs "
                f"{migrate.latest_version()}: run `fleet db migrate`"
            )
    except BaseException:
        connection.close()
        raise
    return connection


def open_as_it_is(path: str | Path) -> sqlite3.Connection:
    """Open an existing file for reading, whatever its schema. Raises DatabaseUnusable if it is
    none."""
    path = str(path)
    _require_target(path)
    if not os.path.exists(path):
        raise DatabaseUnusable(
            f"nothing was captured yet (no {path}): finish a turn in any Claude Code session"
        )
    return _open(paths.uri(path, "ro"), BUSY_TIMEOUT_SECONDS)


@contextmanager
def transaction(
    connection: sqlite3.Connection, mode: Literal["IMMEDIATE", "DEFERRED"] = "IMMEDIATE"
) -> Iterator[sqlite3.Connection]:
    """Commit on success, roll back on any exception. Writers take IMMEDIATE: a deferred one that
    reads first fails at once, without waiting, when another writer got in between."""
    connection.execute(f"BEGIN {mode}")
    compiled.hold(True)
    try:
        try:
            yield connection
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
    finally:
        compiled.hold(False)


def _open(uri: str, busy_timeout: float) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, timeout=busy_timeout, isolation_level=None)
    connection.row_factory = sqlite3.Row
    # Another program may have stored bytes that are not UTF-8; a reader must not fail on them.
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return connection


def _require_target(path: str) -> None:
    """Raises DatabaseUnusable for a link that leads nowhere: SQLite only says that it cannot open
    it."""
    if os.path.islink(path) and not os.path.exists(path):
        raise DatabaseUnusable(
            f"{path} is a link to {os.readlink(path)}, which does not exist: mount or restore what it"
            " names, or remove the link to begin anew"
        )


def _make_private(path: str) -> None:
    """SQLite would create it with the umask's mode; the -wal and -shm that it makes take the
    file's. The original system's file may be readable by others.

    An existing file is opened by SQLite alone: closing it by other means would drop the locks that
    this process holds through its other connections, and the last connection to close elsewhere
    would then delete the log that they still use.
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    for file in (path, f"{path}-wal", f"{path}-shm"):
        with contextlib.suppress(FileNotFoundError):
            if os.stat(file).st_mode & 0o077:
                os.chmod(file, 0o600)


def _set_file_modes(connection: sqlite3.Connection, busy_timeout: float) -> None:
    """WAL and incremental auto-vacuum. The switch to WAL needs the file alone and, unlike a
    statement, fails at once when it is not: two first openings would meet here."""
    deadline = time.monotonic() + busy_timeout
    while True:
        try:
            if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                # Order matters: once the first page is written in WAL mode, this stays off.
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
                connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
