"""The indexes that the database must have. Lists name those that they are read along, so without one
they fail; another program, or a copy made by hand, may have left it out."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

from fleet_lib.store import migrate

_SCHEMA = Path(__file__).with_name("schema.sql")
_INDEX = re.compile(r"CREATE (?:UNIQUE )?INDEX (\w+)")


def missing(connection: sqlite3.Connection) -> dict[str, str]:
    """{the name of each that is missing: the statement that makes it}."""
    there = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    found = {
        match[1]: statement
        for statement in migrate.statements(_SCHEMA.read_text("utf-8"))
        if (match := _INDEX.match(statement))
    }
    return {name: sql for name, sql in found.items() if name not in there}


def problems(connection: sqlite3.Connection) -> list[str]:
    """A line for each that is missing."""
    return [f"index: {name} is missing" for name in missing(connection)]


def restore(connection: sqlite3.Connection) -> None:
    """Make those that are missing, in the caller's transaction."""
    for statement in missing(connection).values():
        connection.execute(statement)
