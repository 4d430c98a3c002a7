"""Writes docs/commands/ from the console's help: `make docs`. tests/test_docs.py checks that the
pages are up to date, so nothing in them may depend on the machine or the terminal."""

import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click

from commander.cli import main

FOLDER = Path(__file__).resolve().parent / "commands"

INDEX = """\
# The `fleet` command

{description}

| command | what it does |
|---|---|
{commands}

## All commands

- Commands that read apply what waits in the spool first, so their output is up to date.
- A terminal gets tables that fit its width, relative times, and a pager for long output. A pipe
  gets plain aligned lines with whole ids. `--json` prints whole records with ISO 8601 times.
- The exit code is 0, 1 for a failure (with one line on stderr that says what to do next), or 2 for
  wrong usage.
- `NO_COLOR`, `TERM=dumb` and `PAGER` are respected.
- An ID is a briefing (`12`), an event (`e40`), a job (`job3`), the beginning of a session's id, or
  a project's name. [What needs you](../needs-you.md) describes them, and the times of `--since`.

{options}
*Written by `make docs` from `fleet --help`.*
"""


def pages() -> dict[str, str]:
    """{file name: text} of every page."""
    context = click.Context(main, info_name="fleet")
    commands = _subcommands(main, context)
    rows = [
        f"| [`fleet {name}`]({name}.md) | {_cell(command.get_short_help_str(200))} |"
        for name, command in commands.items()
    ]
    index = INDEX.format(
        description="\n".join(_body(main)).rstrip(),
        commands="\n".join(rows),
        options="\n".join(_options(main, context)),
    )
    made = {"README.md": index}
    for name, command in commands.items():
        lines = list(_section(command, name, context, 1))
        made[f"{name}.md"] = "\n".join([*lines, "[All commands](README.md)", ""])
    return made


def _section(command: click.Command, name: str, parent: click.Context, level: int) -> Iterator[str]:
    """A command's heading, usage, description, examples and options, and its subcommands'."""
    context = click.Context(command, info_name=name, parent=parent)
    yield f"{'#' * level} `{context.command_path}`"
    yield ""
    if not isinstance(command, click.Group):
        usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
        yield from ("```", usage, "```", "")
    yield from _body(command)
    yield from _options(command, context)
    if isinstance(command, click.Group):
        for sub_name, sub in _subcommands(command, context).items():
            yield from _section(sub, sub_name, context, level + 1)


def _subcommands(group: click.Group, context: click.Context) -> dict[str, click.Command]:
    """In the group's order, without hidden ones."""
    found = {name: group.get_command(context, name) for name in group.list_commands(context)}
    return {name: command for name, command in found.items() if command and not command.hidden}


def _body(command: click.Command) -> Iterator[str]:
    """The help text: paragraphs wrapped as prose, and what click does not rewrap (\\b) as a code
    block."""
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(command.help or "")):
        lines = paragraph.splitlines()
        if lines and lines[0].strip() == "\b":
            lines = lines[1:]
            if lines and lines[0].endswith(":"):
                yield from (f"**{lines[0].strip()}**", "")
                lines = lines[1:]
            yield from ("```", *inspect.cleandoc("\n" + "\n".join(lines)).splitlines(), "```", "")
        elif lines:
            yield from (_wrapped(lines), "")


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    """A table of the options. --help is left out; arguments are explained in the text."""
    records = [
        record
        for parameter in command.params
        if isinstance(parameter, click.Option)
        and (record := parameter.get_help_record(context)) is not None
    ]
    if records:
        yield from ("| option | what it does |", "|---|---|")
        for names, description in records:
            yield f"| `{_cell(names)}` | {_cell(description)} |"
        yield ""


def _wrapped(lines: list[str]) -> str:
    """The lines as one paragraph, without a line break in `code`."""
    joined = re.sub(r"`[^`]+`", lambda code: code[0].replace(" ", "\0"), " ".join(lines))
    filled = textwrap.fill(joined, 100, break_long_words=False, break_on_hyphens=False)
    return filled.replace("\0", " ")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def write() -> None:
    FOLDER.mkdir(exist_ok=True)
    made = pages()
    for stale in FOLDER.glob("*.md"):
        if stale.name not in made:
            stale.unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text)
    sys.stdout.write(f"{len(made)} pages in docs/commands\n")


if __name__ == "__main__":
    write()
