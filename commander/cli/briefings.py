"""`fleet briefings`: what each finished turn did."""

import json
import re
import sqlite3
from dataclasses import asdict
from typing import Any, get_args

import click

from commander.cli import _display as _look
from commander.cli._app import (
    find_project,
    json_option,
    limit_option,
    print_json,
    print_table,
    project_names,
    reading,
    safe,
)
from commander.cli._display import Cell, Line, Table, project, state, when
from commander.cli._params import Moment
from commander.cli.completion import complete_briefing, complete_project
from fleet_lib.errors import BadInput, NotFound
from fleet_lib.levels import BroadcastLevel, ImpactLevel, Status
from fleet_lib.lines import summary_of
from fleet_lib.store.briefings import BriefingRecord, BriefingRepo
from fleet_lib.store.outbox import OutboxEvent, OutboxRepo
from fleet_lib.text import clean

_UNIT_SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

_project_option = click.option(
    "--project",
    "project_name",
    metavar="PROJECT",
    shell_complete=complete_project,
    help="Of one project: its repository's name or its id.",
)


@click.group()
def briefings() -> None:
    """What each finished turn did.

    \b
    Examples:
      fleet briefings list --project api-svc --status blocked
      fleet briefings show 12
      fleet briefings search credentials
    """


@briefings.command("list")
@_project_option
@click.option("--session", help="Of one session: its id.")
@click.option("--status", type=click.Choice(get_args(Status)), help="How the turn ended.")
@click.option("--impact", type=click.Choice(get_args(ImpactLevel)), help="How much it changed.")
@click.option(
    "--level", type=click.Choice(get_args(BroadcastLevel)), help="How loudly the Commander is told."
)
@click.option(
    "--since",
    type=Moment(),
    metavar="WHEN",
    help="Only briefings newer than this: 30m, 2h, 3d, 1w, or an ISO date or time.",
)
@limit_option(20)
@json_option
def list_(
    project_name: str | None,
    session: str | None,
    status: str | None,
    impact: str | None,
    level: str | None,
    since: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List briefings, newest first.

    \b
    Examples:
      fleet briefings list --since 2d
      fleet briefings list --project api-svc --status blocked
      fleet briefings list --json -n 500 | jq -r '.[].summary'
    """
    with reading() as connection:
        found = BriefingRepo(connection).query(
            project_id=find_project(connection, project_name).project_id if project_name else None,
            session_id=session,
            status=status,
            impact_level=impact,
            broadcast_level=level,
            since=since,
            limit=limit,
        )
        told = [_as_dict(connection, record) for record in found]
        names = project_names(connection)
    if as_json:
        print_json(told)
        return
    rows = [
        (
            f"#{t['briefing_id']}",
            when(_ended(t)),
            project(names, t["project_id"]),
            t["status"],
            t["impact_level"] or "-",
            t["summary"],
        )
        for t in told
    ]
    headings = ("id", "ended", "project", "status", "impact", "summary")
    print_table(headings, rows, "no briefings match", optional="impact")


@briefings.command()
@click.argument("id", shell_complete=complete_briefing)
@json_option
def show(id: str, as_json: bool) -> None:
    """Print one briefing whole.

    ID is a briefing's number (12, #12), or an event's (e40) as the prelude and `fleet events list` give
    it: then the briefing that the event is about, or the event itself.

    \b
    Examples:
      fleet briefings show 12
      fleet briefings show e40
      fleet briefings show 12 --json | jq .files_touched
    """
    match = re.fullmatch(r"#?(e?)(\d{1,18})", id)
    if not match:
        raise BadInput(
            f"{id!r} is not an id: 12 or #12 for a briefing, e40 for an event, as `fleet briefings list`"
            " and `fleet events list` show them"
        )
    number = int(match[2])
    with reading() as connection:
        names = project_names(connection)
        if match[1]:
            event = OutboxRepo(connection).get(number)
            if event is None:
                raise NotFound(f"there is no event {number}: `fleet events list` shows the latest")
            record = BriefingRepo(connection).get(event.briefing_id) if event.briefing_id else None
        else:
            event, record = None, BriefingRepo(connection).get(number)
            if record is None:
                raise NotFound(
                    f"there is no briefing {number}: `fleet briefings list` shows the latest"
                )
        told = _as_dict(connection, record) if record else None
    if told is None:
        assert event is not None
        _print_event(event, names, as_json)
    elif as_json:
        print_json(told)
    else:
        _print_whole(told, names)


@briefings.command()
@click.argument("words", nargs=-1, required=True)
@_project_option
@limit_option(20)
@json_option
def search(words: tuple[str, ...], project_name: str | None, limit: int, as_json: bool) -> None:
    """Find briefings that hold all WORDS, best match first. The last word may be unfinished.

    \b
    Examples:
      fleet briefings search refund
      fleet briefings search staging cred --project shop-api
    """
    with reading() as connection:
        project_id = find_project(connection, project_name).project_id if project_name else None
        found = BriefingRepo(connection).search(" ".join(words), project_id=project_id, limit=limit)
        told = [_as_dict(connection, record) | {"excerpt": excerpt} for record, excerpt in found]
        names = project_names(connection)
    parts = [re.escape(word) for text in words for word in re.findall(r"\w+", text)]
    marked = rf"\b(?:{'|'.join(parts)})"
    for row in told:
        row["excerpt"] = _excerpt(row, marked)
    if as_json:
        print_json(told)
        return
    if told and _look.a_person_looks():
        _show_found(told, names, marked)
        return
    rows = [
        (
            f"#{t['briefing_id']}",
            when(_ended(t)),
            t["project_id"],
            t["status"],
            t["summary"],
            t["excerpt"],
        )
        for t in told
    ]
    nothing = f"nothing found for {clean(' '.join(words), 60)}"
    print_table(("id", "ended", "project", "status", "summary", "found"), rows, nothing)


def _show_found(told: list[dict[str, Any]], names: dict[str, str], marked: str) -> None:
    """Two lines each: the briefing, and under it where the words stand."""
    lines: list[Line] = []
    for row in told:
        place, status, ended = (
            project(names, row["project_id"]),
            state(row["status"]),
            when(_ended(row)),
        )
        place = Cell(clean(place.text, 24))
        label = Cell(f"#{row['briefing_id']}", "bold")
        summary = Cell(row["summary"], marked=marked)
        lines.append(Line((label, "  ", place, "  ", status, "  ", ended, "  ", summary)))
        if clean(row["excerpt"], 500).strip("…") not in clean(row["summary"], 500):
            lines.append(Line(("    ", Cell(row["excerpt"], marked=marked))))
    _look.show(*lines)


def _as_dict(connection: sqlite3.Connection, record: BriefingRecord) -> dict[str, Any]:
    turn = BriefingRepo(connection).turn_of(record.briefing_id)
    return asdict(record) | {
        "summary": summary_of(turn.summary if turn else None, record.raw_markdown),
        "revision": turn.revision if turn else 1,
        "source": turn.source if turn else None,
        "facts_partial": turn.facts_partial if turn else None,
        "warnings": list(turn.warnings) if turn else [],
    }


def _ended(told: dict[str, Any]) -> str:
    return str(told["ended_at"] or told["created_at"])


_FACTS = (
    *("project_id", "session_id", "task_id", "status", "impact_level", "broadcast_level"),
    *("doc_drift_risk", "branch", "base_commit", "head_commit", "started_at", "ended_at"),
)
_LISTS = ("blockers", "next_steps", "files_touched", "docs_touched", "warnings")


def _print_whole(told: dict[str, Any], names: dict[str, str]) -> None:
    if _look.a_person_looks():
        console = _look.terminal()
        facts = [part.rich(console.width) for part in _facts_for_a_person(told, names)]
        _look.show_rendered(console, *facts, _look.markdown(_readable(told)))
        return
    click.echo(f"Briefing #{told['briefing_id']}: {safe(told['summary'])}")
    for name in _FACTS:
        if told[name]:
            click.echo(f"{name.replace('_', ' ')}: {safe(told[name])}")
    for name in _LISTS:
        if told[name]:
            click.echo(f"{name.replace('_', ' ')}:")
            for item in told[name]:
                click.echo(f"  - {safe(item)}")
    if told["facts_partial"]:
        click.echo(_PARTIAL)
    click.echo()
    click.echo(safe(told["raw_markdown"]))


_PARTIAL = "(the transcript was not complete: files may be missing)"


def _parted(told: dict[str, Any]) -> tuple[str, str]:
    """(front matter as it was written, body); a message has none without its dashes."""
    from fleet_lib.turn.briefing_parser import (
        split_front_matter,  # slow to import, and a list needs none
    )

    text = told["raw_markdown"]
    front, body = split_front_matter(text, bare=told["source"] != "message")
    return (text[: len(text) - len(body)], body) if front is not None else ("", text)


def _readable(told: dict[str, Any]) -> str:
    """The briefing as markdown; its front matter, which markdown would take for a heading, as code."""
    front, body = _parted(told)
    if not front:
        return body
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", front)), default=0))
    return f"{fence}yaml\n{front.strip()}\n{fence}\n\n{body}"


def _excerpt(told: dict[str, Any], marked: str) -> str:
    """Where the words stand: in the body, or in a field rather than in the front matter around it."""
    for text in (
        _parted(told)[1],
        told["summary"],
        *(one for name in _LISTS for one in told[name]),
    ):
        if found := re.search(f"(?i){marked}", text):
            start, end = max(0, found.start() - 60), min(len(text), found.end() + 80)
            if start:
                start = text.find(" ", start, found.start()) + 1 or start
            if end < len(text):
                end = max(text.rfind(" ", found.end(), end), found.end())
            return f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}"
    return str(told["excerpt"])


def _facts_for_a_person(told: dict[str, Any], names: dict[str, str]) -> list[Line | Table]:
    """What is known beside the words: the summary, one line of facts, and the lists."""
    title = Cell(f"Briefing #{told['briefing_id']}: {told['summary']}", "bold")
    ended = _ended(told)
    facts = [
        ("project", Cell(names.get(told["project_id"], told["project_id"]))),
        ("status", state(told["status"])),
        ("ended", Cell(f"{_look.ago(ended)}, {ended}")),
        ("impact", Cell(told["impact_level"])),
        ("doc drift risk", Cell(told["doc_drift_risk"])),
        ("branch", Cell(told["branch"])),
        ("commit", Cell((told["head_commit"] or "")[:12])),
        ("session", Cell(told["session_id"])),
    ]
    rows = [(Cell(name, "dim"), cell) for name, cell in facts if cell.text]
    parts: list[Line | Table] = [Line((title,), wraps=True), Table((), rows)]
    for name in _LISTS:
        style = {"blockers": "red", "warnings": "yellow"}.get(name, "")
        if told[name]:
            parts.append(Line((Cell(name.replace("_", " "), "bold"),)))
            parts += [Line(("  - ", Cell(item, style)), wraps=True) for item in told[name]]
    if told["facts_partial"]:
        parts.append(Line((Cell(_PARTIAL, "dim"),)))
    return [*parts, Line(())]


def _print_event(event: OutboxEvent, names: dict[str, str], as_json: bool) -> None:
    if as_json:
        print_json(asdict(event))
        return
    click.secho(f"Event e{event.event_id}: {safe(event.type)}", bold=True)
    click.echo(f"at: {safe(event.ts)}")
    click.echo(f"project: {safe(names.get(event.project_id or '', event.project_id or '-'))}")
    payload = event.payload
    told = (
        event.payload_json if payload is None else json.dumps(payload, ensure_ascii=False, indent=2)
    )
    click.echo(safe(told))
