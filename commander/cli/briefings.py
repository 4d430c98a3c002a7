"""`fleet briefings`: what each finished turn did."""

import json
import re
import sqlite3
from dataclasses import asdict
from typing import Any, get_args

import click

from commander.cli._shared import (
    find_project,
    json_option,
    limit_option,
    print_json,
    print_table,
    reading,
    safe,
)
from fleet_lib.briefing_parser import BroadcastLevel, ImpactLevel, Status
from fleet_lib.briefings import BriefingRecord, BriefingRepo
from fleet_lib.errors import BadInput, NotFound
from fleet_lib.outbox import OutboxEvent, OutboxRepo


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
@click.option("--project", help="A project's id or repository name.")
@click.option("--session", help="A session's id.")
@click.option("--status", type=click.Choice(get_args(Status)))
@click.option("--impact", type=click.Choice(get_args(ImpactLevel)))
@click.option("--level", type=click.Choice(get_args(BroadcastLevel)), help="Broadcast level.")
@limit_option(20)
@json_option
def list_(
    project: str | None,
    session: str | None,
    status: str | None,
    impact: str | None,
    level: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List briefings, newest first."""
    with reading() as connection:
        found = BriefingRepo(connection).query(
            project_id=find_project(connection, project).project_id if project else None,
            session_id=session,
            status=status,
            impact_level=impact,
            broadcast_level=level,
            limit=limit,
        )
        told = [_as_dict(connection, record) for record in found]
    if as_json:
        print_json(told)
        return
    _print_rows(told, "no briefings match")


@briefings.command()
@click.argument("id")
@json_option
def show(id: str, as_json: bool) -> None:
    """Print one briefing whole. ID is a briefing's number (12, #12), or an event's (e40) as the
    prelude gives it: then the briefing that the event is about, or the event itself."""
    match = re.fullmatch(r"#?(e?)(\d{1,18})", id)
    if not match:
        raise BadInput(f"{id!r} is no id: 12 or #12 for a briefing, e40 for an event")
    number = int(match[2])
    with reading() as connection:
        if match[1]:
            event = OutboxRepo(connection).get(number)
            if event is None:
                raise NotFound(f"there is no event {number}: `fleet events list` shows the latest")
            record = BriefingRepo(connection).get(event.briefing_id) if event.briefing_id else None
            if record is None:
                _print_event(event, as_json)
                return
        else:
            record = BriefingRepo(connection).get(number)
            if record is None:
                raise NotFound(
                    f"there is no briefing {number}: `fleet briefings list` shows the latest"
                )
        told = _as_dict(connection, record)
    if as_json:
        print_json(told)
    else:
        _print_whole(told)


@briefings.command()
@click.argument("words", nargs=-1, required=True)
@click.option("--project", help="A project's id or repository name.")
@limit_option(20)
@json_option
def search(words: tuple[str, ...], project: str | None, limit: int, as_json: bool) -> None:
    """Find briefings that hold all WORDS, best match first. The last word may be unfinished."""
    with reading() as connection:
        project_id = find_project(connection, project).project_id if project else None
        found = BriefingRepo(connection).search(" ".join(words), project_id=project_id, limit=limit)
        told = [_as_dict(connection, record) | {"excerpt": excerpt} for record, excerpt in found]
    if as_json:
        print_json(told)
        return
    rows = [(f"#{t['briefing_id']}", t["project_id"], t["status"], t["excerpt"]) for t in told]
    print_table(("id", "project", "status", "found"), rows, "nothing found")


def _as_dict(connection: sqlite3.Connection, record: BriefingRecord) -> dict[str, Any]:
    turn = BriefingRepo(connection).turn_of(record.briefing_id)
    return asdict(record) | {
        "summary": turn.summary if turn else record.raw_markdown[:200],
        "revision": turn.revision if turn else 1,
        "source": turn.source if turn else None,
        "facts_partial": turn.facts_partial if turn else None,
        "warnings": list(turn.warnings) if turn else [],
    }


def _print_rows(told: list[dict[str, Any]], empty: str) -> None:
    rows = [
        (
            f"#{t['briefing_id']}",
            (t["ended_at"] or t["created_at"])[:16].replace("T", " "),
            t["project_id"],
            t["status"],
            t["impact_level"] or "-",
            t["summary"],
        )
        for t in told
    ]
    print_table(("id", "ended (UTC)", "project", "status", "impact", "summary"), rows, empty)


def _print_whole(told: dict[str, Any]) -> None:
    click.secho(f"Briefing #{told['briefing_id']}: {safe(told['summary'])}", bold=True)
    for name in (
        "project_id",
        "session_id",
        "task_id",
        "status",
        "impact_level",
        "broadcast_level",
        "doc_drift_risk",
        "branch",
        "base_commit",
        "head_commit",
        "started_at",
        "ended_at",
    ):
        if told[name]:
            click.echo(f"{name.replace('_', ' ')}: {safe(told[name])}")
    for name in ("blockers", "next_steps", "files_touched", "docs_touched", "warnings"):
        if told[name]:
            click.echo(f"{name.replace('_', ' ')}:")
            for item in told[name]:
                click.echo(f"  - {safe(item)}")
    if told["facts_partial"]:
        click.echo("(the transcript was not complete: files may be missing)")
    click.echo()
    click.echo(safe(told["raw_markdown"]))


def _print_event(event: OutboxEvent, as_json: bool) -> None:
    if as_json:
        print_json(asdict(event))
        return
    click.secho(f"Event {event.event_id}: {safe(event.type)}", bold=True)
    click.echo(f"ts: {safe(event.ts)}")
    click.echo(f"project id: {safe(event.project_id or '-')}")
    payload = event.payload
    click.echo(safe(event.payload_json if payload is None else json.dumps(payload, indent=2)))
