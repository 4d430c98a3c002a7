"""Numbered SQL migrations under PRAGMA user_version. A released migration file is never edited."""

import contextlib
import os
import re
import sqlite3
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from pathlib import Path

from fleet_lib.errors import NewerSchema

BACKUPS_KEPT = 10


@cache
def scripts() -> tuple[tuple[int, str], ...]:
    """(version, SQL) of every migration, in order."""
    found = []
    for file in resources.files("fleet_lib").joinpath("migrations").iterdir():
        if match := re.fullmatch(r"(\d{4})_\w+\.sql", file.name):
            found.append((int(match[1]), file.read_text("utf-8")))
    return tuple(sorted(found))


def latest_version() -> int:
    return scripts()[-1][0]


def version_of(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def require_known_version(connection: sqlite3.Connection) -> int:
    """The file's schema version. Raises NewerSchema for a later Fleet's."""
    version = version_of(connection)
    if version > latest_version():
        raise NewerSchema(version, latest_version())
    return version


def migrate(connection: sqlite3.Connection, path: Path) -> list[int]:
    """Bring the file to the latest version and return the versions applied, in one transaction.

    The version is read again under the write lock, or two processes would both migrate. A file
    that holds anything is backed up first, under the same lock.
    """
    if require_known_version(connection) == latest_version():
        return []
    connection.execute("BEGIN IMMEDIATE")
    try:
        current = require_known_version(connection)
        todo = [(version, sql) for version, sql in scripts() if version > current]
        if todo and connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
            backup(path, path.parent / "backups", label=f"before-v{latest_version()}")
        for version, sql in todo:
            for statement in statements(sql):
                connection.execute(statement)
            if version == 1:
                _adopt(connection, sql)
            connection.execute(f"PRAGMA user_version = {version}")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    return [version for version, _ in todo]


def statements(script: str) -> list[str]:
    """A script's statements. `executescript` would commit, `split(";")` would cut triggers."""
    found, current = [], ""
    for line in script.splitlines(keepends=True):
        current += line
        if sqlite3.complete_statement(current):
            found.append(current.strip())
            current = ""
    if current.strip() and not all(
        not line.strip() or line.lstrip().startswith("--") for line in current.splitlines()
    ):
        raise ValueError("the script ends in the middle of a statement")
    return found


def backup(path: Path, folder: Path, label: str = "manual") -> Path:
    """A consistent copy of the database as last committed, mode 0600; old ones are rotated out."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    target = folder / f"fleet-{stamp}-{label}.db"
    temporary = target.with_suffix(".tmp")
    os.close(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with (
            contextlib.closing(sqlite3.connect(path)) as source,
            contextlib.closing(sqlite3.connect(temporary)) as copy,
        ):
            source.backup(copy)
            # A copy of a WAL file says WAL too; one file alone is easier to carry and to restore.
            copy.execute("PRAGMA journal_mode = DELETE")
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    for old in sorted(folder.glob("fleet-*.db"))[:-BACKUPS_KEPT]:
        old.unlink(missing_ok=True)
    return target


def schema_of(connection: sqlite3.Connection) -> str:
    """The whole schema as text, in creation order: what `schema.sql` holds."""
    rows = connection.execute(
        "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"
        " AND name NOT LIKE 'sqlite!_%' ESCAPE '!' AND name NOT LIKE 'briefings!_fts!_%' ESCAPE '!'"
        " OR type = 'trigger' ORDER BY rowid"
    )
    return "".join(f"{row[0]};\n\n" for row in rows)


def _adopt(connection: sqlite3.Connection, reference_sql: str) -> None:
    """Add the columns that an original database lacks (its own DDL forgot one)."""
    with contextlib.closing(sqlite3.connect(":memory:")) as reference:
        reference.executescript(reference_sql)
        tables = reference.execute("SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE TABLE%'")
        for (table,) in tables.fetchall():
            if table.startswith("sqlite_"):
                continue
            there = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
            for _, column, kind, _, default, _ in reference.execute(f"PRAGMA table_info({table})"):
                if column not in there:
                    value = "" if default is None else f" DEFAULT {default}"
                    connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}{value}")
