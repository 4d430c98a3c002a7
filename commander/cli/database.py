"""`fleet db`: the database file itself."""

import contextlib
import sqlite3
import time
from pathlib import Path
from typing import Any

import click

from commander.cli._app import json_option
from commander.cli._database import existing_database, fill_search_index, migrate_database
from commander.cli._display import human_size, print_json, say
from commander.cli._progress import progress_bar
from commander.cli.generate import generate
from commander.cli.pruning import prune
from commander.cli.restoring import restore
from commander.cli.studio import studio
from fleet_lib import paths
from fleet_lib.errors import DatabaseUnusable
from fleet_lib.store import db as database
from fleet_lib.store import indexes, migrate, usage_rollups, verify

_CHECKS = ("tables and indexes", "usage", "search index")
_TABLES = ("projects", "briefings", "outbox_events", "jobs", "conversations", "sessions")


@click.group()
def db() -> None:
    """Migrate, check, back up, restore and prune the database.

    \b
    Examples:
      fleet db status
      fleet db check
      fleet db backup
      fleet db prune --older-than 90d --dry-run
    """


@db.command("migrate")
@json_option
def migrate_(as_json: bool) -> None:
    """Migrate the database to this version's schema.

    A database with data is backed up first.

    \b
    Examples:
      fleet db migrate
    """
    path = Path(paths.database(paths.home()))
    before = _version(path)
    migrate_database(path)
    after = migrate.latest_version()
    if as_json:
        print_json({"path": str(path), "from_version": before, "to_version": after})
    elif before == after:
        say(f"{path} is at schema version {after}.")
    else:
        say(f"Migrated {path} from schema version {before} to {after}.")


@db.command("status")
@json_option
def status_(as_json: bool) -> None:
    """Print schema version, size and row counts.

    \b
    Examples:
      fleet db status --json | jq .rows
    """
    path = existing_database()
    with contextlib.closing(database.connect_read_only(path)) as connection:
        report: dict[str, Any] = {
            "path": str(path),
            "schema_version": migrate.version_of(connection),
            "latest_version": migrate.latest_version(),
            "bytes": path.stat().st_size,
            "journal_mode": connection.execute("PRAGMA journal_mode").fetchone()[0],
            "rows": {
                table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                for table in _TABLES
            },
        }
    if as_json:
        print_json(report)
        return
    say(f"Database: {path}")
    say(f"Schema version: {report['schema_version']} (latest: {report['latest_version']})")
    say(f"Size: {human_size(report['bytes'])}")
    say("Rows:")
    for table, number in report["rows"].items():
        say(f"  {table}: {number:,}")


@db.command("check")
@click.option(
    "--fix",
    is_flag=True,
    help="Make what is derived anew if it is missing or damaged: indexes, the search index, sums of"
    " usage.",
)
@json_option
def check(fix: bool, as_json: bool) -> None:
    """Check integrity, foreign keys, search index and usage.

    The exit code is 1 if there is a problem.

    \b
    Examples:
      fleet db check
      fleet db check --fix
    """
    path = existing_database()
    began = time.monotonic()

    def words(done: int, total: int) -> str:
        return f"{_CHECKS[min(done, total - 1)]}, {time.monotonic() - began:.0f} s"

    with progress_bar("Checking", words) as bar:

        def show(done: int) -> None:
            if bar:
                bar(done, len(_CHECKS))

        with contextlib.closing(database.connect_read_only(path)) as connection:
            problems = verify.problems(connection, lambda: show(0))
            of_indexes = indexes.problems(connection)
            show(1)
            of_usage = usage_rollups.problems(connection)
        show(2)
        of_search = verify.search_index_problems(path)
    if fix:
        fill_search_index(path, is_damaged=bool(of_search))
        of_search = verify.search_index_problems(path)
        if of_indexes or of_usage:
            with contextlib.closing(database.connect(path)) as connection:
                with database.transaction(connection):
                    indexes.restore(connection)
                    if of_usage:
                        usage_rollups.rebuild(connection)
                of_indexes = indexes.problems(connection)
                of_usage = usage_rollups.problems(connection)
    derived = of_indexes + of_search + of_usage
    if as_json:
        found = problems + derived
        print_json({"path": str(path), "ok": not found, "problems": found})
    else:
        for problem in problems + derived:
            say(problem)
        if problems:
            say("Run `fleet db restore FILE` with a backup; the damaged file is kept.")
        if derived:
            say("Run `fleet db check --fix` to rebuild what is derived.")
        if not problems and not derived:
            say(f"{path}: ok")
    if problems or derived:
        raise click.exceptions.Exit(1)


@db.command("backup")
@click.argument("target", required=False, type=click.Path(path_type=Path))
@json_option
def backup(target: Path | None, as_json: bool) -> None:
    """Back up the database.

    TARGET is a folder (default: $FLEET_HOME/backups). The copy is consistent even if the database
    is being written to.

    \b
    Examples:
      fleet db backup
      fleet db backup /mnt/backups
    """
    path = existing_database()
    copy = migrate.backup(path, target or Path(paths.backups(paths.home())))
    if as_json:
        print_json({"path": str(copy), "bytes": copy.stat().st_size})
    else:
        say(copy)


def _version(path: Path) -> int:
    if not path.exists():
        return 0
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            return migrate.version_of(connection)
    except sqlite3.DatabaseError as error:
        raise DatabaseUnusable(f"{path}: {error}") from None


for command in (prune, restore, studio, generate):
    db.add_command(command)
