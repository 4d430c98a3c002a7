"""What every command shares: the error boundary, the database, and (from _look) how things are printed."""

import contextlib
import difflib
import importlib
import os
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from commander.cli._display import print_json as print_json
from commander.cli._display import print_table as print_table
from commander.cli._display import safe as safe
from fleet_lib import paths
from fleet_lib.errors import BadInput, DatabaseUnusable, FleetError, NewerSchema, NotFound
from fleet_lib.store import db, migrate
from fleet_lib.store.projects import Project, ProjectRepo
from fleet_lib.text import clean

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")

_HELP_ASKED = getattr(click.exceptions, "NoArgsIsHelpError", ())  # click before 8.2 exits 0 itself


class Console(click.Group):
    """Imports a command's module when the command is asked for. Causes are printed in one line on
    stderr, exit code 1, or 2 for wrong usage; --debug lets the traceback through."""

    def __init__(self, *args: Any, modules: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self._modules, *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._modules:
            return super().get_command(ctx, cmd_name)
        module = importlib.import_module(f"commander.cli.{self._modules[cmd_name]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _usage_in_one_line():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _usage_in_one_line():
                return super().invoke(ctx)
        except (FleetError, sqlite3.Error, OSError) as error:
            if ctx.params.get("debug"):
                raise
            if isinstance(error, BrokenPipeError):
                _forget_stdout()
                sys.exit(0)  # `fleet events list | head`
            raise click.ClickException(_told(error)) from None


class _WrongUsage(click.ClickException):
    exit_code = 2


def _told(error: Exception) -> str:
    where = f"{paths.database(paths.home())}: " if isinstance(error, sqlite3.Error) else ""
    told = clean(f"{where}{error}", 500)
    if "`" in told or not isinstance(error, sqlite3.Error | OSError | DatabaseUnusable):
        return told
    return f"{told}{' Run' if told.endswith('?') else '; run'} `fleet doctor` for details"


def _forget_stdout() -> None:
    """Nobody reads it any more: the interpreter's own flush at exit must not complain."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def _usage_in_one_line() -> Iterator[None]:
    """click's usage errors as one line that names the command's --help; a group alone is a question
    for help, and no error."""
    try:
        yield
    except click.UsageError as error:
        if isinstance(error, _HELP_ASKED):
            click.echo(error.format_message(), color=None)
            raise click.exceptions.Exit(0) from None
        told = error.format_message()
        if error.ctx is not None:
            asked = error.ctx.command
            if isinstance(asked, click.Group) and "No such command" in told:
                told = _unknown_command(error.ctx, asked, told)
            if "`" not in told:
                joint = "" if told.endswith("?") else ";"
                told = f"{told.rstrip('.')}{joint} `{error.ctx.command_path} --help` shows what there is"
        raise _WrongUsage(" ".join(safe(told).split())) from None


def _unknown_command(ctx: click.Context, group: click.Group, told: str) -> str:
    name = told.partition("'")[2].partition("'")[0]
    near = difflib.get_close_matches(name, group.list_commands(ctx), 1, 0.5)
    meant = f": did you mean `{ctx.command_path} {near[0]}`?" if near else ""
    return f"No such command {name!r}{meant}"


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
    is not possible the command still answers from what is there. Before the first capture that is
    nothing: a person is told so, a program gets an empty answer."""
    home = paths.home()
    require_usable(home)
    undrained = drain_waiting(home)
    path = Path(paths.database(home))
    try:
        connection = db.connect_read_only(path)
    except NewerSchema:
        raise
    except DatabaseUnusable:
        if path.exists():
            # An older file, the original system's perhaps: backed up, migrated.
            db.connect(path).close()
            connection = db.connect_read_only(path)
        elif not undrained and click.get_current_context().params.get("as_json"):
            connection = empty_database()
        else:
            raise
    if undrained:
        click.echo(f"fleet: not drained: {undrained}; run `fleet doctor` for details", err=True)
    try:
        yield connection
    finally:
        connection.close()


def empty_database() -> sqlite3.Connection:
    """A database in memory that holds nothing."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.row_factory = sqlite3.Row
    migrate.migrate(connection, None)
    return connection


def drain_waiting(home: str, timeout: float = 10.0) -> str:
    """Apply what waits in the spool; "" or why that was not possible."""
    from fleet_lib.drain.foreground import (
        drain,  # the lock's library takes longer to import than a query
    )

    try:
        drain(home, timeout=timeout)
    except (DatabaseUnusable, OSError) as error:
        return clean(str(error), 300)
    return ""


def require_usable(home: str) -> None:
    """Raises DatabaseUnusable where $FLEET_HOME is there and can be no home."""
    folder, file = Path(home), Path(paths.database(home))
    if os.path.lexists(folder) and not folder.is_dir():
        raise DatabaseUnusable(f"{folder} is not a folder: is FLEET_HOME right?")
    if os.path.lexists(file) and not file.is_file():
        raise DatabaseUnusable(f"{file} is not a file")
    if folder.is_dir() and not os.access(home, os.R_OK | os.X_OK):
        raise DatabaseUnusable(f"{home} cannot be read by you")


def existing_database() -> Path:
    """Where the database is. Raises NotFound if there is none yet."""
    path = Path(paths.database(paths.home()))
    if not path.exists():
        raise NotFound(f"there is no database at {path} yet: `fleet db migrate` makes one")
    return path


@contextlib.contextmanager
def writing() -> Iterator[sqlite3.Connection]:
    connection = db.connect(paths.database(paths.home()))
    try:
        with db.transaction(connection):
            yield connection
    finally:
        connection.close()


def project_names(connection: sqlite3.Connection) -> dict[str, str]:
    """{project_id: its repository's name, or its id where several have that name}."""
    every = ProjectRepo(connection).get_all()
    times = Counter(project.repo_name for project in every)
    return {
        project.project_id: project.repo_name
        if times[project.repo_name] == 1
        else project.project_id
        for project in every
    }


def find_project(connection: sqlite3.Connection, name: str) -> Project:
    """The one project that a person means. Raises NotFound, or BadInput if it may be several."""
    found = ProjectRepo(connection).find(name)
    if not found:
        every = [project.repo_name for project in ProjectRepo(connection).get_all()]
        near = difflib.get_close_matches(name, every, 1, 0.5)
        meant = f" (did you mean {near[0]!r}?)" if near else ""
        raise NotFound(
            f"there is no project {name!r}{meant}: `fleet projects list --all` shows all"
        )
    if len(found) > 1:
        ids = ", ".join(project.project_id for project in found)
        raise BadInput(f"{name!r} may be any of {ids}: name one by its id")
    return found[0]
