"""The next migration, begun from the difference between schema.sql, as a developer has edited it,
and what the migrations make. SQLite can add a column and make or drop an index; what it cannot do
is left as a TODO that does not run."""

import contextlib
import re
import sqlite3

from fleet_lib.store import migrate

UNFINISHED = "SELECT this_migration_is_not_finished();"


def next_migration(wanted_schema: str) -> tuple[str, list[str]]:
    """(SQL, what is left to do by hand). The SQL is "" where there is no difference. Raises
    sqlite3.Error for a schema that is no SQL."""
    with (
        contextlib.closing(_database()) as now,
        contextlib.closing(sqlite3.connect(":memory:")) as wanted,
    ):
        migrate.migrate(now, None)
        wanted.executescript(wanted_schema)
        there, wished = _objects(now), _objects(wanted)
        statements: list[str] = []
        todo: list[str] = []
        for key in there:
            if key not in wished or (
                _plain(there[key]) != _plain(wished[key]) and key[0] != "table"
            ):
                if key[0] == "table":
                    todo.append(f"the table {key[1]} is gone from the schema")
                else:
                    statements.append(f"DROP {key[0].upper()} {key[1]};")
        for key, sql in wished.items():
            if key not in there or (_plain(there[key]) != _plain(sql) and key[0] != "table"):
                statements.append(f"{sql};")
            elif _plain(there[key]) != _plain(sql):
                added, left = _column_changes(now, wanted, key[1])
                statements += added
                todo += left
    if todo:
        statements += [f"-- TODO: {line}" for line in todo] + [UNFINISHED]
    return "\n\n".join(statements) + "\n" if statements else "", todo


def _column_changes(
    now: sqlite3.Connection, wanted: sqlite3.Connection, table: str
) -> tuple[list[str], list[str]]:
    """(ALTER statements, what they cannot say) for one table whose text differs."""
    there, wished = _columns(now, table), _columns(wanted, table)
    added = []
    for name, (kind, not_null, default, key, _) in wished.items():
        if name not in there:
            value = "" if default is None else f" DEFAULT {default}"
            must = " NOT NULL" if not_null else ""
            added.append(f"ALTER TABLE {table} ADD COLUMN {name} {kind}{must}{value};")
            if key or (not_null and default is None):
                # An empty table would take it; a user's is not.
                return [], [f"{table}: {name} is a key, or NOT NULL without a default"]
    with contextlib.closing(_database()) as trial:
        now.backup(trial)
        try:
            for statement in added:
                trial.execute(statement)
        except sqlite3.OperationalError as error:
            return [], [f"{table}: {error}"]
        if added and _shape(trial, table) == _shape(wanted, table):
            return added, []
    return [], [f"{table} changes in a way that ALTER TABLE cannot express"]


def _objects(connection: sqlite3.Connection) -> dict[tuple[str, str], str]:
    """{(type, name): SQL} of a schema, in the order of its statements."""
    shadows = "search!_fts!_%"
    rows = connection.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite!_%'"
        " ESCAPE '!' AND (type = 'trigger' OR name NOT LIKE ? ESCAPE '!') ORDER BY rowid",
        (shadows,),
    )
    return {(row[0], row[1]): row[2] for row in rows}


def _columns(connection: sqlite3.Connection, table: str) -> dict[str, tuple[object, ...]]:
    rows = connection.execute(f"PRAGMA table_xinfo({table})")
    return {row[1]: row[2:] for row in rows}


def _shape(connection: sqlite3.Connection, table: str) -> object:
    """All that a table's text says, but for checks, which PRAGMA does not tell."""
    keys = connection.execute(f"PRAGMA foreign_key_list({table})").fetchall()
    sql = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]
    checks = sorted(
        re.findall(r"\bCHECK\b|\bUNIQUE\b|\bWITHOUT\b|\bSTRICT\b|\bCOLLATE \w+", sql, re.I)
    )
    return _columns(connection, table), keys, checks


def _plain(sql: str) -> str:
    """Without comments, and spaces as one."""
    return " ".join(re.sub(r"--[^\n]*", "", sql).split())


def _database() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", isolation_level=None)
