"""The click application: command groups that import a command's module on demand, one line for
every error, and the options that several commands share."""

import contextlib
import importlib
import io
import keyword
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from commander.cli._display import Cell, Line, safe
from fleet_lib import paths
from fleet_lib.errors import DatabaseUnusable, FleetError
from fleet_lib.text import clean

F = TypeVar("F", bound=Callable[..., Any])

# click before 8.2 has no such error and exits with 0.
_NO_ARGUMENTS = getattr(click.exceptions, "NoArgsIsHelpError", ())

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def limit_option(default: int) -> Callable[[F], F]:
    return click.option(
        "--limit",
        "-n",
        type=click.IntRange(1, 100_000),
        default=default,
        show_default=True,
        help="Maximum number of rows.",
    )


def left_out(shown: int, number: int, order: str, least: str = "") -> list[Line]:
    """The last line of a list that is shown in part; `order` says which rows are shown."""
    if number <= shown:
        return []
    words = (
        f"These are {order}; {least}{number - shown:,} more are left out (--limit N shows more)."
    )
    return [Line((Cell(words, "dim"),))]


class ListGroup(click.Group):
    """A group that lists when no command is named: `fleet jobs -n 3` is `fleet jobs list -n 3`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        is_bare = not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names)
        # TAB asks for what may follow the bare group.
        if is_bare and not ctx.resilient_parsing:
            args = ["list", *args]
        return super().parse_args(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_paragraph()
        formatter.write_text(f"`{ctx.command_path}` alone is `{ctx.command_path} list`.")


class Console(click.Group):
    """Imports a command's module only when that command is used. An error becomes one line on
    stderr with exit code 1, or 2 for wrong usage; --debug shows the traceback instead."""

    def __init__(
        self, *args: Any, groups: Mapping[str, Mapping[str, tuple[str, str]]], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._groups = groups
        self._modules = {name: row for group in groups.values() for name, row in group.items()}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Without a command it is the first of the table: `fleet --json` is `fleet status --json`."""
        own = {name for param in self.get_params(ctx) for name in param.opts}
        # TAB asks for what may follow a bare `fleet`.
        is_bare = not ctx.resilient_parsing and all(arg.startswith("-") for arg in args)
        if is_bare and not own.intersection(args).difference(("--debug", "--no-pager")):
            first = next(iter(self._modules))
            args = [*(arg for arg in args if arg in own), first, *(a for a in args if a not in own)]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self._modules, *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._modules:
            return super().get_command(ctx, cmd_name)
        module = importlib.import_module(f"commander.cli.{self._modules[cmd_name][0]}")
        attribute = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name
        command: click.Command = getattr(module, attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """From the table, since importing all commands takes a while, and with whole sentences."""
        longest = max(map(len, self._modules))
        for title, group in self._groups.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(name.ljust(longest), text) for name, (_, text) in group.items()]
                )

    def main(self, *args: Any, **kwargs: Any) -> Any:
        for name in ("stdout", "stderr"):
            if getattr(sys, name) is None:  # closed by whatever started this
                setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # what the locale cannot show
        return super().main(*args, **kwargs)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _usage_error_in_one_line():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _usage_error_in_one_line():
                result = super().invoke(ctx)
            sys.stdout.flush()  # a full disk is an error like any other
            return result
        except (FleetError, sqlite3.Error, OSError) as error:
            if ctx.params.get("debug"):
                raise
            if isinstance(error, BrokenPipeError):  # `fleet events list | head`
                _discard_stdout()
                sys.exit(0)
            try:
                sys.stdout.flush()
            except OSError:
                _discard_stdout()
            raise click.ClickException(_message(error)) from None


class _WrongUsage(click.ClickException):
    exit_code = 2


def _message(error: Exception) -> str:
    """The error in one line that ends with what to do next."""
    where = f"{paths.database(paths.home())}: " if isinstance(error, sqlite3.Error) else ""
    message = clean(f"{where}{error}", 500)
    if "`" in message or not isinstance(error, sqlite3.Error | OSError | DatabaseUnusable):
        return message
    return f"{message}{' Run' if message.endswith('?') else '; run'} `fleet doctor` for details"


def _discard_stdout() -> None:
    """The reader is gone: the interpreter's flush at exit must not complain about it."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def _usage_error_in_one_line() -> Iterator[None]:
    """click prints a usage error in three lines. A group without a command prints its help and is
    no error."""
    try:
        yield
    except click.UsageError as error:
        message = error.format_message()
        if isinstance(error, _NO_ARGUMENTS):
            click.echo(message, color=None)
            raise click.exceptions.Exit(0) from None
        if error.ctx is not None:
            command = error.ctx.command
            if isinstance(command, click.Group) and "No such command" in message:
                message = _unknown_command(error.ctx, command, message)
            if "`" not in message:
                message = f"{message.rstrip('.')}; try `{error.ctx.command_path} --help`"
        raise _WrongUsage(" ".join(safe(message).split())) from None


def _unknown_command(ctx: click.Context, group: click.Group, message: str) -> str:
    from difflib import get_close_matches  # only a mistake needs it

    name = message.partition("'")[2].partition("'")[0]
    commands = {child: group.get_command(ctx, child) for child in group.list_commands(ctx)}
    below = [
        f"{child} {name}"
        for child, command in commands.items()
        if isinstance(command, click.Group) and name in command.list_commands(ctx)
    ]
    near = below or get_close_matches(name, commands, 1, 0.5)
    meant = " or ".join(f"`{ctx.command_path} {command}`" for command in near)
    return f"No such command {name!r}{f': did you mean {meant}?' if meant else ''}"
