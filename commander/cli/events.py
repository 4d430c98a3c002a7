"""`fleet events`: the outbox, listed or followed."""

import json
import time
from dataclasses import asdict
from typing import Any

import click

from commander.cli._shared import (
    json_option,
    limit_option,
    print_json,
    print_table,
    reading,
    safe,
)
from fleet_lib import db, paths
from fleet_lib.outbox import OutboxEvent, OutboxRepo

POLL_SECONDS = 0.5


@click.group()
def events() -> None:
    """The events that the Commander, the gateway and other programs follow.

    \b
    Examples:
      fleet events list
      fleet events list --after 120 --json
      fleet events tail
    """


@events.command("list")
@click.option("--after", type=click.IntRange(0), help="Only events after this id, oldest first.")
@limit_option(20)
@json_option
def list_(after: int | None, limit: int, as_json: bool) -> None:
    """List events: the newest, or those after an id."""
    with reading() as connection:
        repo = OutboxRepo(connection)
        found = repo.get_latest(limit) if after is None else repo.get_after(after, limit)
    if as_json:
        print_json([_as_dict(event) for event in found])
        return
    rows = [
        (e.event_id, e.ts[:19].replace("T", " "), e.type, e.project_id or "-", e.payload_json)
        for e in found
    ]
    print_table(("id", "at (UTC)", "type", "project", "payload"), rows, "no events")


@events.command()
@click.option("--after", type=click.IntRange(0), help="Start after this id (default: now).")
@json_option
def tail(after: int | None, as_json: bool) -> None:
    """Follow events as they come, one line each (--json: one JSON object a line). Ctrl-C ends it."""
    with reading() as connection:
        cursor = OutboxRepo(connection).latest_id() if after is None else after
    connection = db.connect_read_only(paths.database(paths.home()))
    try:
        while True:
            for event in OutboxRepo(connection).get_after(cursor, 500):
                cursor = event.event_id
                _print_line(event, as_json)
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        return
    finally:
        connection.close()


def _print_line(event: OutboxEvent, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_as_dict(event), ensure_ascii=False))
    else:
        payload = safe(event.payload_json).replace("\n", " ")[:200]
        click.echo(f"{event.event_id}  {event.ts[:19]}  {safe(event.type)}  {payload}")


def _as_dict(event: OutboxEvent) -> dict[str, Any]:
    told = asdict(event)
    payload = event.payload
    if payload is not None:
        told["payload"] = payload
        del told["payload_json"]
    return told
