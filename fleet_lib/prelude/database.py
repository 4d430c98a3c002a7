"""The database as a hook reads it: read-only, in one read transaction, and only in the schema that
this program knows. Also the choice of the quickest `sqlite3`, which the rest of the room uses."""

import sys

from fleet_lib import paths
from fleet_lib.small_os import os

TYPE_CHECKING = False  # mypy knows the name; typing itself would cost more than the whole hook
if TYPE_CHECKING:
    import sqlite3 as sqlite3  # others take it from here
    from collections.abc import Callable
    from typing import Any, TypeVar

    T = TypeVar("T")

else:

    def _without_functools():
        """SQLite's C half, which has all of sqlite3 but datetime's adapters (3 ms). It imports
        functools (2.4 ms) only for lru_cache, which is written in C too. That would be a quarter of
        a bare interpreter, and would put the Commander's prompt over its limit of two."""
        if "functools" in sys.modules:
            import _sqlite3

            return _sqlite3
        from _functools import _lru_cache_wrapper

        class Functools:
            def lru_cache(size):
                return lambda function: _lru_cache_wrapper(function, size, False, tuple)

        sys.modules["functools"] = Functools
        try:
            import _sqlite3
        finally:
            del sys.modules["functools"]
        return _sqlite3

    try:
        sqlite3 = _without_functools()
    except (ImportError, AttributeError):  # another Python has other private names
        import sqlite3

SCHEMA_VERSION = 23  # the newest migration's number; another version gives no prelude
_BUSY_SECONDS = 0.2


class Unavailable(Exception):
    """The database is missing, migrating, newer or damaged: no prelude this time."""


def open_database(home: str) -> sqlite3.Connection:
    """A read-only connection in one read transaction. Raises Unavailable."""
    path = paths.database(home)
    if not os.path.exists(path):
        raise Unavailable("no database yet")
    try:
        connection = sqlite3.connect(
            paths.uri(path, "ro"), uri=True, timeout=_BUSY_SECONDS, isolation_level=None
        )
    except sqlite3.Error as error:
        raise Unavailable(str(error)) from None
    try:
        connection.text_factory = decode
        connection.execute("BEGIN")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version != SCHEMA_VERSION:
            raise Unavailable(f"schema version {version}")
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.Error):
            raise Unavailable(str(error)) from None
        raise
    return connection


def conversation_cursor(connection: sqlite3.Connection) -> int:
    """The furthest event that the Commander's conversation has seen; 0 if there is none."""
    row = read_conversation(connection)
    return int(row[0]) if row else 0


def read_conversation(connection: sqlite3.Connection) -> "Any":
    """(the furthest event seen,) of the Commander's conversation; None if there is none. A cursor
    past the newest event, in an older database that was put back, counts as the newest event."""
    return connection.execute(
        "SELECT min(ifnull(last_outbox_event_id_seen, 0),"
        " (SELECT ifnull(max(event_id), 0) FROM outbox_events))"
        " FROM conversations WHERE kind = 'commander'"
        " ORDER BY created_at, conversation_id LIMIT 1"
    ).fetchone()


def quick_texts(connection: sqlite3.Connection, read: "Callable[[], T]") -> "T":
    """What `read` returns. It reads texts without a call for each, which is quicker; again with
    `decode` where one is not UTF-8."""
    try:
        connection.text_factory = str
        return read()
    except sqlite3.OperationalError:
        connection.text_factory = decode
        return read()
    finally:
        connection.text_factory = decode


def decode(raw: bytes) -> str:
    """Text of any program: what is not UTF-8 must not stop a hook."""
    return raw.decode("utf-8", "replace")
