"""What every command shares: the error boundary, the database, and how things are printed."""

import contextlib
import json
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from commander.draining import drain
from fleet_lib import db, paths
from fleet_lib import prelude as text
from fleet_lib.errors import BadInput, DatabaseUnusable, FleetError, NewerSchema, NotFound
from fleet_lib.projects import Project, ProjectRepo

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


class Console(click.Group):
    """Causes are printed in one line on stderr, exit code 1; --debug lets the traceback through."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (FleetError, sqlite3.Error, OSError) as error:
            if ctx.params.get("debug"):
                raise
            if isinstance(error, BrokenPipeError):
                sys.exit(0)  # `fleet events list | head`
            where = f"{paths.database(paths.home())}: " if isinstance(error, sqlite3.Error) else ""
            raise click.ClickException(text.clean(f"{where}{error}", 500)) from None


def limit_option(default: int) -> Callable[[F], F]:
    return click.option(
        "--limit",
        "-n",
        type=click.IntRange(1, 100_000),
        default=default,
        show_default=True,
        help="How many at most.",
    )


@contextlib.contextmanager
def reading() -> Iterator[sqlite3.Connection]:
    """The database for a reading command: what waits in the spool is drained first, and where that
    is not possible the command still answers from what is there."""
    home = paths.home()
    try:
        drain(home, timeout=30)
    except (DatabaseUnusable, OSError) as error:
        click.echo(f"fleet: not drained: {text.clean(str(error), 300)}", err=True)
    path = Path(paths.database(home))
    try:
        connection = db.connect_read_only(path)
    except NewerSchema:
        raise
    except DatabaseUnusable:
        if not path.exists():
            raise
        db.connect(
            path
        ).close()  # an older file, the original system's perhaps: backed up, migrated
        connection = db.connect_read_only(path)
    try:
        yield connection
    finally:
        connection.close()


@contextlib.contextmanager
def writing() -> Iterator[sqlite3.Connection]:
    connection = db.connect(paths.database(paths.home()))
    try:
        with db.transaction(connection):
            yield connection
    finally:
        connection.close()


def find_project(connection: sqlite3.Connection, name: str) -> Project:
    """The one project that a person means. Raises NotFound, or BadInput if it may be several."""
    found = ProjectRepo(connection).find(name)
    if not found:
        raise NotFound(f"there is no project {name!r}: `fleet projects list` shows all")
    if len(found) > 1:
        ids = ", ".join(project.project_id for project in found)
        raise BadInput(f"{name!r} may be any of {ids}: name one by its id")
    return found[0]


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def print_table(headings: Sequence[str], rows: Sequence[Sequence[object]], empty: str) -> None:
    """Aligned columns, the last one as long as it is; cells are cleaned of whatever is not text."""
    if not rows:
        click.echo(empty)
        return
    table = [list(headings), *([text.clean(cell, 200) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(headings) - 1)]
    for row in table:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        click.echo("  ".join([*cells, row[-1]]).rstrip())


def safe(value: object) -> str:
    """A text of several lines without terminal escapes or other control characters."""
    return "\n".join(
        "".join(char if char.isprintable() or char == "\t" else "�" for char in line)
        for line in str(value).split("\n")
    )
