"""`fleet events`: the outbox, listed or followed."""

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path

import click

from commander.cli._app import ListGroup, json_option, limit_option
from commander.cli._database import reading
from commander.cli._display import (
    STYLES,
    Cell,
    Table,
    none_yet,
    print_json,
    print_table,
    say,
    show,
    when,
)
from commander.cli._display import project as project_cell
from commander.cli._json import as_json as json_text
from commander.cli._params import EventId, machine_option, project_option, since_option
from fleet_lib import clock, paths
from fleet_lib.lines import event_status, line_of, state_words
from fleet_lib.store import db
from fleet_lib.store.event_search import Wanted
from fleet_lib.store.outbox import OutboxEvent, OutboxRepo
from fleet_lib.store.relay import RelayRepo
from fleet_lib.views.events import (
    event_record,
    events_after,
    job_number,
    latest_events,
    revision_of,
)
from fleet_lib.views.projects import project_id_of, project_names
from fleet_lib.views.tailer import Tailer

# {type: (words, style)} of the types that have no status.
_KINDS = {
    "doc_drift_warning": ("docs may be stale", "yellow"),
    "file_overlap": ("file overlap", "yellow"),
    "session_started": ("session started", "dim"),
    "skill_updated": ("skill changed", ""),
}
# Columns of fixed width: lines that arrive one by one would not be aligned otherwise.
_TAIL_WIDTHS = (6, 8, 14, 22)


@click.group(cls=ListGroup)
def events() -> None:
    """List or follow events.

    There is an event for each briefing, each session that gets stuck, each error, each turn that
    left documents behind, and each turn that touched a file of another living session. The
    Commander, the gateway and other programs follow them. `fleet show e40` prints what event e40 is
    about.

    \b
    Examples:
      fleet events list
      fleet events list --after e120 --json
      fleet events tail
    """


@events.command("list")
@click.option("--after", type=EventId(), help="Only events after this one, oldest first.")
@project_option
@since_option("events")
@machine_option
@limit_option(20)
@json_option
def list_(
    after: int | None,
    project: str | None,
    since: str | None,
    machine: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List the latest events, or the events after an id. The newest comes last.

    \b
    Examples:
      fleet events list -n 50
      fleet events list --project api-svc --since today
      fleet events list --after e120
      fleet events list --json | jq -r '.[].type'
    """
    with reading() as connection:
        of_machine = RelayRepo(connection).machine_filter(machine)
        wanted = Wanted(project_id_of(connection, project), of_machine, since)
        if after is None:
            found = latest_events(connection, limit, wanted)
        else:
            found = events_after(connection, after, limit, wanted)
        names = project_names(connection, {one.project_id for one in found if one.project_id})
    if as_json:
        print_json([event_record(event) for event in found])
        return
    rows = [
        (
            f"e{event.event_id}",
            when(event.ts),
            project_cell(names, event.project_id, event.machine),
            *event_cells(event),
        )
        for event in found
    ]
    is_filtered = after is not None or project or since or machine
    empty = "No events match." if is_filtered else none_yet("events")
    print_table(("id", "when", "project", "event", "text"), rows, empty)


@events.command()
@click.option("--after", type=EventId(), help="Start after this event (default: now).")
@project_option
@machine_option
@json_option
def tail(after: int | None, project: str | None, machine: str | None, as_json: bool) -> None:
    """Follow events as they arrive.

    Each is one line; with --json, one JSON object. Stop with Ctrl-C.

    \b
    Examples:
      fleet events tail
      fleet events tail --project api-svc
      fleet events tail --after e120 --json
    """
    with reading() as connection:
        cursor = OutboxRepo(connection).latest_id() if after is None else after
        of_machine = RelayRepo(connection).machine_filter(machine)
        of_project = project_id_of(connection, project)
    path = paths.database(paths.home())
    names: dict[str, str] = {}
    with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as stack:
        while not Path(path).exists():  # before the first capture
            time.sleep(0.5)
        connection = stack.enter_context(contextlib.closing(db.connect_read_only(path)))
        for page in Tailer(path).follow(cursor):
            for event in page:
                if of_machine is not None and (event.machine or "") != of_machine:
                    continue
                if of_project is not None and event.project_id != of_project:
                    continue
                if as_json:
                    say(json_text(event_record(event)))
                    continue
                if event.project_id and event.project_id not in names:
                    names = project_names(connection)
                _print_line(event, names)


def _print_line(event: OutboxEvent, names: Mapping[str, str]) -> None:
    moment = Cell(_time_of_day(event.ts), "dim", event.ts)
    place = project_cell(names, event.project_id, event.machine)
    row = (f"e{event.event_id}", moment, place, *event_cells(event))
    show(Table((), [row], widths=_TAIL_WIDTHS))


def event_cells(event: OutboxEvent) -> tuple[Cell, Cell]:
    """(what happened in a word or two, one line that says more)."""
    payload = event.payload
    if payload is None:
        unreadable = Cell("(The payload is not readable.)", "dim")
        return Cell(state_words(event.type), "", event.type), unreadable
    status = event_status(payload)
    what, style = state_words(event.type), STYLES.get(status or event.type, "")
    if event.type in _KINDS:
        what, style = _KINDS[event.type]
    elif event.type == "job_completed":
        what = f"job {job_number(payload) or ''} {state_words(status or 'completed')}"
    elif event.type in ("briefing_added", "session_blocked", "colleague_news") and status:
        is_again = event.type != "session_blocked" and revision_of(payload) > 1
        what = state_words(status) + (" (again)" if is_again else "")
    line = line_of(event.type, payload)
    # "a session started" says nothing more.
    shown = "" if event.type == "session_started" else line
    return Cell(what, style, event.type, whole=True), Cell(shown, piped=line)


def _time_of_day(moment: str) -> str:
    """Local time: a relative one would be wrong a minute after it was printed."""
    try:
        return f"{clock.parse(moment).astimezone():%H:%M:%S}"
    except (ValueError, OverflowError):
        return "--:--:--"
