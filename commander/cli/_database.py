"""The database as a command needs it: drained and open for reading, open for one write, or only its
path."""

import contextlib
import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from commander.cli._display import say
from fleet_lib import paths
from fleet_lib.errors import DatabaseUnusable, NewerSchema, NoAnswer, NotFound
from fleet_lib.store import db, migrate, search_index
from fleet_lib.text import clean


@contextlib.contextmanager
def reading() -> Iterator[sqlite3.Connection]:
    """The database for a reading command. The spool is drained first; if that fails, the command
    still answers from what is stored. Before the first capture it is an empty database."""
    home = paths.home()
    require_usable(home)
    undrained = drain_spool(home)
    path = Path(paths.database(home))
    try:
        connection = db.connect_read_only(path)
    except NewerSchema:
        raise
    except DatabaseUnusable:
        if path.exists():
            # An older schema, perhaps the original system's: connect() backs it up and migrates it.
            migrate_database(path)
            connection = db.connect_read_only(path)
        elif undrained:
            raise DatabaseUnusable(f"new captures could not be applied: {undrained}") from None
        else:
            connection = _empty_database()
    if undrained:
        say(
            f"fleet: new captures could not be applied: {undrained};"
            " run `fleet doctor` for details",
            err=True,
        )
    try:
        yield connection
    finally:
        connection.close()


@contextlib.contextmanager
def writing() -> Iterator[sqlite3.Connection]:
    """One write transaction."""
    path = paths.database(paths.home())
    with contextlib.closing(db.connect(path)) as connection, db.transaction(connection):
        yield connection


def migrate_database(path: Path) -> None:
    """Migrate as needed, with a bar on a terminal if it takes long: a million turns take ten
    seconds."""
    from commander.cli._progress import progress_bar

    def words(done: int, total: int) -> str:
        return f"step {done + 1} of {total}"

    with progress_bar("Migrating the database", words) as bar:
        db.connect(path, progress=bar).close()


def drain_spool(home: str, timeout: float = 10.0) -> str:
    """Apply what hooks captured. Returns why that failed, or ""."""
    from fleet_lib.drain.foreground import drain_now

    try:
        drain_now(home, timeout=timeout)
    except (DatabaseUnusable, NoAnswer, OSError) as error:
        return clean(str(error), 400)
    return ""


def fill_search_index(path: Path, *, is_damaged: bool = False) -> None:
    """Index every briefing that is not in the search index; in a damaged one, all. A terminal is
    shown how far that is."""
    with contextlib.closing(db.connect(path)) as connection:
        if is_damaged:
            with db.transaction(connection):
                search_index.rebuild(connection)
        if search_index.is_whole(connection) and search_index.is_complete(connection):
            return
        with click.progressbar(length=1000, label="Indexing", file=sys.stderr) as bar:

            def show(progress: search_index.Progress) -> None:
                done = 1000 * (progress.total - progress.waiting) // max(1, progress.total)
                bar.update(max(0, done - bar.pos))

            search_index.catch_up(connection, progress=show)


def require_usable(home: str) -> None:
    """Raises DatabaseUnusable if FLEET_HOME exists but cannot be used."""
    folder, file = Path(home), Path(paths.database(home))
    if os.path.lexists(folder) and not folder.is_dir():
        raise DatabaseUnusable(f"{folder} is not a folder: is FLEET_HOME right?")
    if file.is_symlink() and not file.exists():
        raise DatabaseUnusable(f"{file} is a link to {file.readlink()}, which does not exist")
    if os.path.lexists(file) and not file.is_file():
        raise DatabaseUnusable(f"{file} is not a file")
    if folder.is_dir() and not os.access(home, os.R_OK | os.X_OK):
        raise DatabaseUnusable(f"you have no permission to read {home}")


def existing_database() -> Path:
    """The database's path. Raises NotFound if there is no database yet."""
    path = Path(paths.database(paths.home()))
    if not path.exists():
        raise NotFound(f"there is no database at {path} yet; run `fleet db migrate` to create it")
    return path


def _empty_database() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.row_factory = sqlite3.Row
    migrate.migrate(connection, None)
    return connection
