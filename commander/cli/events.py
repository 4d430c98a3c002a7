"""`fleet events`: the outbox, listed or followed."""

import contextlib
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import click

from commander.cli import _display as _look
from commander.cli._app import (
    json_option,
    limit_option,
    print_json,
    print_table,
    project_names,
    reading,
)
from commander.cli._display import Cell, Table, project, when
from fleet_lib import clock, lines, paths
from fleet_lib.store import db
from fleet_lib.store.outbox import OutboxEvent, OutboxRepo
from fleet_lib.views.tailer import Tailer

_KINDS = {
    "doc_drift_warning": ("docs may be stale", "yellow"),
    "session_started": ("session started", "dim"),
    "skill_updated": ("skill changed", ""),
}


class EventId(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4 only
    """`40`, or `e40` and `#e40` as they are shown."""

    name = "event"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(r"#?e?(\d{1,18})", str(value))
        return (
            int(match[1])
            if match
            else self.fail(f"{value!r} is not an event: 40 or e40", param, ctx)
        )


@click.group()
def events() -> None:
    """The events that the Commander, the gateway and other programs follow.

    Each briefing, each session that gets stuck, each document that may be stale and each error is one.
    `fleet briefings show e40` prints what event e40 is about.

    \b
    Examples:
      fleet events list
      fleet events list --after e120 --json
      fleet events tail
    """


@events.command("list")
@click.option("--after", type=EventId(), help="Only events after this one, oldest first.")
@limit_option(20)
@json_option
def list_(after: int | None, limit: int, as_json: bool) -> None:
    """List events: the newest, or those after an id; the newest stands last.

    \b
    Examples:
      fleet events list -n 50
      fleet events list --after e120
      fleet events list --json | jq -r '.[].type'
    """
    with reading() as connection:
        repo = OutboxRepo(connection)
        found = repo.get_latest(limit) if after is None else repo.get_after(after, limit)
        names = project_names(connection)
    if as_json:
        print_json([_as_dict(event) for event in found])
        return
    rows = [
        (f"e{event.event_id}", when(event.ts), project(names, event.project_id), *_meaning(event))
        for event in found
    ]
    print_table(("id", "when", "project", "what", "text"), rows, "no events")


@events.command()
@click.option("--after", type=EventId(), help="Start after this event (default: now).")
@json_option
def tail(after: int | None, as_json: bool) -> None:
    """Follow events as they come, one line each (--json: one JSON object a line). Ctrl-C ends it.

    \b
    Examples:
      fleet events tail
      fleet events tail --after e120 --json
    """
    with reading() as connection:
        cursor = OutboxRepo(connection).latest_id() if after is None else after
    path = paths.database(paths.home())
    names: dict[str, str] = {}
    with (
        contextlib.closing(db.connect_read_only(path)) as connection,
        contextlib.suppress(KeyboardInterrupt),
    ):
        for page in Tailer(path).follow(cursor):
            for event in page:
                if as_json:
                    click.echo(_look.as_json(_as_dict(event)))
                    continue
                if event.project_id and event.project_id not in names:
                    names = project_names(connection)
                _print_line(event, names)


def _print_line(event: OutboxEvent, names: Mapping[str, str]) -> None:
    what, words = _meaning(event)
    place = project(names, event.project_id)
    moment = Cell(_clock_time(event.ts), "dim", event.ts)
    # Lines that come one by one are columns only where the widths are fixed.
    row = (f"e{event.event_id}", moment, place, what, words)
    _look.show(Table((), [row], widths=(6, 8, 14, 22)))


def _meaning(event: OutboxEvent) -> tuple[Cell, Cell]:
    """(what happened in a word or two, one line that says more)."""
    payload = event.payload
    if payload is None:
        return Cell(event.type.replace("_", " "), "", event.type), Cell(
            "(its payload is unreadable)", "dim"
        )
    status = _status(payload)
    what, style = event.type.replace("_", " "), _look.STYLES.get(status or event.type, "")
    if event.type in _KINDS:
        what, style = _KINDS[event.type]
    elif event.type == "job_completed":
        job = payload.get("job")
        number = job.get("jobId") if isinstance(job, dict) else None
        what = f"job {number or ''} {status or 'completed'}"
    elif event.type in ("briefing_added", "session_blocked") and status:
        again = " (again)" if event.type == "briefing_added" and _revision(payload) > 1 else ""
        what = status.replace("_", " ") + again
    return Cell(what, style, event.type, whole=True), Cell(lines.line_of(event.type, payload))


def _status(payload: dict[str, Any]) -> str:
    for name in ("briefing", "session", "job"):
        part = payload.get(name)
        if isinstance(part, dict) and isinstance(part.get("status"), str) and part["status"]:
            return str(part["status"])
    return ""


def _revision(payload: dict[str, Any]) -> int:
    briefing = payload.get("briefing")
    revision = briefing.get("revision") if isinstance(briefing, dict) else None
    return revision if isinstance(revision, int) else 1


def _clock_time(moment: str) -> str:
    """The local time of day: a relative one would be wrong a minute after it was printed."""
    try:
        return f"{clock.parse(moment).astimezone():%H:%M:%S}"
    except (ValueError, OverflowError):
        return "--:--:--"


def _as_dict(event: OutboxEvent) -> dict[str, Any]:
    told = asdict(event)
    payload = event.payload
    if payload is not None:
        told["payload"] = payload
        del told["payload_json"]
    return told
