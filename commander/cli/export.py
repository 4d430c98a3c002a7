"""`fleet export`: briefings and events into files of one's own."""

import json
import os
import re
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import click

from commander.cli._app import find_project, reading, safe
from commander.cli._display import as_json
from commander.cli._params import Moment
from fleet_lib.errors import BadInput
from fleet_lib.store.briefings import BriefingRecord, BriefingRepo
from fleet_lib.store.outbox import OutboxRepo
from fleet_lib.store.projects import Project, ProjectRepo

_PAGE = 500


@click.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "markdown"]),
    default="jsonl",
    show_default=True,
    help="One JSON object a line, or one markdown file a project.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    help="A file (jsonl; else stdout), or a folder (markdown).",
)
@click.option("--project", help="Only this project: its id or repository name.")
@click.option("--since", type=Moment(), metavar="WHEN", help="Only later ones: 30d, 2w, or a date.")
@click.option("--force", is_flag=True, help="Write over files that are there.")
def export(
    form: str, output: Path | None, project: str | None, since: str | None, force: bool
) -> None:
    """Write briefings and events out, as they are stored: secrets masked, everything else whole.

    Of JSON lines, `kind` says what each is: project, briefing or event.

    \b
    Examples:
      fleet export --output fleet.jsonl
      fleet export --project shop-api --since 30d | jq -r 'select(.kind == "briefing") | .status'
      fleet export --format markdown --output ~/notes/fleet
    """
    if form == "markdown" and output is None:
        raise click.UsageError("markdown is one file a project: name a folder with --output")
    with reading() as connection:
        chosen = find_project(connection, project) if project else None
        if form == "jsonl":
            lines = _json_lines(connection, chosen, since)
            if output is None:
                for line in lines:
                    click.echo(line)
                return
            _refuse(output, force)
            count = _write(output, (f"{line}\n" for line in lines))
            click.echo(f"{output}: {count} lines", err=True)
            return
        assert output is not None
        every = [chosen] if chosen else ProjectRepo(connection).get_all()
        try:
            output.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(f"{output} cannot be made: {error.strerror}") from None
        targets = {one.project_id: output / f"{_file_name(one.project_id)}.md" for one in every}
        for target in targets.values():
            _refuse(target, force)
        for one in every:
            count = _write(targets[one.project_id], _markdown(connection, one, since))
            if count < 2:
                targets[one.project_id].unlink()  # nothing but its head
                continue
            click.echo(f"{targets[one.project_id]}: {count - 1} briefings", err=True)


def _json_lines(
    connection: sqlite3.Connection, project: Project | None, since: str | None
) -> Iterator[str]:
    for one in [project] if project else ProjectRepo(connection).get_all():
        yield _line("project", asdict(one))
    for record in _briefings(connection, project, since):
        turn = BriefingRepo(connection).turn_of(record.briefing_id)
        more = {"summary": turn.summary, "revision": turn.revision} if turn else {}
        yield _line("briefing", asdict(record) | more)
    events, after = OutboxRepo(connection), 0
    while page := events.get_after(after, _PAGE):
        after = page[-1].event_id
        for event in page:
            wanted = project is None or event.project_id == project.project_id
            if wanted and (since is None or event.ts >= since):
                told = asdict(event)
                if event.payload is not None:
                    told["payload"] = event.payload
                    del told["payload_json"]
                yield _line("event", told)


def _briefings(
    connection: sqlite3.Connection, project: Project | None, since: str | None
) -> Iterator[BriefingRecord]:
    """Oldest first, a page at a time."""
    repo, after = BriefingRepo(connection), 0
    while True:
        ids = [
            row[0]
            for row in connection.execute(
                "SELECT briefing_id FROM briefings WHERE briefing_id > ? AND (?2 IS NULL OR"
                " project_id = ?2) AND (?3 IS NULL OR ifnull(ended_at, created_at) >= ?3)"
                " ORDER BY briefing_id LIMIT ?4",
                (after, project.project_id if project else None, since, _PAGE),
            )
        ]
        if not ids:
            return
        for number in ids:
            if record := repo.get(number):
                yield record
        after = ids[-1]


def _markdown(connection: sqlite3.Connection, project: Project, since: str | None) -> Iterator[str]:
    """A project's file in parts: its head, then a part a briefing, newest first."""
    head = {
        "project": project.project_id,
        "repository": project.repo_name,
        "root": project.repo_root,
    }
    yield (
        "---\n"
        + "".join(f"{name}: {json.dumps(value)}\n" for name, value in head.items())
        + (f"---\n\n# {safe(project.repo_name)}\n")
    )
    numbers = [
        row[0]
        for row in connection.execute(
            "SELECT briefing_id FROM briefings WHERE project_id = ? AND (?2 IS NULL OR"
            " ifnull(ended_at, created_at) >= ?2) ORDER BY briefing_id DESC",
            (project.project_id, since),
        )
    ]
    repo = BriefingRepo(connection)
    for number in numbers:
        if record := repo.get(number):
            yield _briefing_as_markdown(record)


def _briefing_as_markdown(record: BriefingRecord) -> str:
    facts = [
        f"status: {record.status}",
        *(f"impact: {record.impact_level}" for _ in [1] if record.impact_level),
        *(f"branch: {record.branch}" for _ in [1] if record.branch),
        *(f"commit: {record.head_commit}" for _ in [1] if record.head_commit),
        f"session: {record.session_id}",
    ]
    lines = [f"\n## #{record.briefing_id} · {(record.ended_at or record.created_at)[:16]}Z", ""]
    lines += [f"- {safe(fact)}" for fact in facts]
    for title, items in (("Blockers", record.blockers), ("Files", record.files_touched)):
        if items:
            lines += ["", f"{title}:", ""] + [
                f"- {safe(item)}".replace("\n", " ") for item in items
            ]
    body = safe(record.raw_markdown)
    # Longer than any fence in it: one briefing must not swallow the next.
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", body)), default=0))
    return "\n".join([*lines, "", f"{fence}markdown", body, fence, ""])


def _line(kind: str, value: dict[str, Any]) -> str:
    return as_json({"kind": kind, **value})


def _file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", text).lstrip(".") or "project"


def _refuse(path: Path, force: bool) -> None:
    if path.exists() and not force:
        raise BadInput(f"{path} is there already: name another one, or write over it with --force")


def _write(path: Path, parts: Iterator[str]) -> int:
    """Write a file whole or not at all, readable by its owner alone; how many parts it has."""
    folder = path.absolute().parent
    try:
        descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=".fleet-export.")
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {folder}: {error.strerror}") from None
    count = 0
    try:
        file: TextIO
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            for part in parts:
                file.write(part)
                count += 1
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return count
