"""`fleet export`: write briefings and events to files."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import click

from commander.cli._database import reading
from commander.cli._display import count, safe, say
from commander.cli._json import as_json
from commander.cli._params import project_option, since_option
from fleet_lib.errors import BadInput
from fleet_lib.files import write_whole
from fleet_lib.store.projects import ProjectRepo
from fleet_lib.views.export import export_records, project_as_markdown
from fleet_lib.views.projects import find_project


@click.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "markdown"]),
    default="jsonl",
    show_default=True,
    help="jsonl: one JSON object a line. markdown: one file per project.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    help="The file (jsonl; default: stdout) or the folder (markdown) to write.",
)
@project_option
@since_option("briefings and events")
@click.option("--force", is_flag=True, help="Overwrite existing files.")
def export(
    form: str, output: Path | None, project: str | None, since: str | None, force: bool
) -> None:
    """Export briefings and events.

    They are exported as they are stored: secrets are masked, everything else is complete. In JSON
    lines, `kind` says what a line is: project, briefing or event.

    \b
    Examples:
      fleet export --output fleet.jsonl
      fleet export --project shop-api --since 30d | jq -r 'select(.kind == "briefing") | .status'
      fleet export --format markdown --output ~/notes/fleet
    """
    if form == "markdown" and output is None:
        raise click.UsageError("markdown is written as one file per project; add --output FOLDER")
    with reading() as connection:
        if form == "markdown":
            assert output is not None
            _export_markdown(connection, output, project, since, force)
        else:
            _export_json(connection, output, project, since, force)


def _export_json(
    connection: sqlite3.Connection,
    output: Path | None,
    project: str | None,
    since: str | None,
    force: bool,
) -> None:
    chosen = find_project(connection, project) if project else None
    lines = (as_json(record) for record in export_records(connection, chosen, since))
    if output is None:
        for line in lines:
            say(line)
        return
    _require_absent(output, force)
    number = _write(output, (f"{line}\n" for line in lines))
    say(f"{output}: {count(number, 'line')}", err=True)


def _export_markdown(
    connection: sqlite3.Connection,
    output: Path,
    project: str | None,
    since: str | None,
    force: bool,
) -> None:
    projects = [find_project(connection, project)] if project else ProjectRepo(connection).get_all()
    try:
        output.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"cannot create {output}: {error.strerror}") from None
    targets = [output / f"{_file_name(one.project_id)}.md" for one in projects]
    for target in targets:
        _require_absent(target, force)
    for one, target in zip(projects, targets, strict=True):
        parts = project_as_markdown(connection, one, since)
        number = _write(target, (safe(part) for part in parts)) - 1  # without the head
        if number:
            say(f"{target}: {count(number, 'briefing')}", err=True)
        else:
            target.unlink()


def _file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", text).lstrip(".") or "project"


def _require_absent(path: Path, force: bool) -> None:
    if path.exists() and not force:
        raise BadInput(f"{path} already exists; choose another name, or overwrite it with --force")


def _write(path: Path, parts: Iterator[str]) -> int:
    """Write the whole file or nothing, readable only by its owner. Returns the number of parts."""
    number = 0

    def counted() -> Iterator[str]:
        nonlocal number
        for part in parts:
            number += 1
            yield part

    try:
        write_whole(path, counted())
    except OSError as error:
        folder = path.absolute().parent
        raise BadInput(f"cannot write {path}: {folder}: {error.strerror}") from None
    return number
