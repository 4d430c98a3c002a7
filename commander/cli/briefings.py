"""`fleet briefings`: what each finished turn did."""

import re
from typing import Any, get_args

import click

from commander.cli._app import ListGroup, json_option, limit_option
from commander.cli._cells import padded, width
from commander.cli._database import reading
from commander.cli._display import (
    Cell,
    Line,
    Part,
    is_interactive,
    markdown,
    none_yet,
    print_json,
    print_table,
    project,
    say,
    show,
    show_rendered,
    state,
    terminal,
    when,
)
from commander.cli._facts import Facts
from commander.cli._params import (
    TURN_STATUS,
    complete_briefing,
    machine_option,
    project_option,
    since_option,
)
from commander.cli.briefing_diff import diff
from fleet_lib import clock
from fleet_lib.errors import BadInput, NotFound
from fleet_lib.levels import BroadcastLevel, ImpactLevel
from fleet_lib.store.briefings import BriefingRepo
from fleet_lib.store.outbox import OutboxEvent, OutboxRepo
from fleet_lib.store.relay import RelayRepo
from fleet_lib.text import clean
from fleet_lib.views import search as search_view
from fleet_lib.views.briefings import (
    LISTS,
    body_of,
    briefing_record,
    ended_at,
)
from fleet_lib.views.events import event_record
from fleet_lib.views.ids import no_such
from fleet_lib.views.projects import project_id_of, project_names
from fleet_lib.views.session_page import find_session
from fleet_lib.views.usage import briefing_in_words, of_briefing

_FACTS = (
    *("project_id", "session_id", "task_id", "status", "impact_level", "broadcast_level"),
    *("doc_drift_risk", "branch", "base_commit", "head_commit", "started_at", "ended_at"),
)
_LIST_STYLES = {"blockers": "red", "warnings": "yellow"}
_IMPORTED = "(Imported from the transcript: no hook captured this turn.)"
_PARTIAL = "(The transcript was incomplete: the list of files may be, too.)"


@click.group(cls=ListGroup)
def briefings() -> None:
    """Show what each finished turn did.

    \b
    Examples:
      fleet briefings list --project api-svc --status blocked
      fleet briefings show 12
      fleet briefings search credentials
    """


briefings.add_command(diff)


@briefings.command("list")
@project_option
@click.option("--session", metavar="ID", help="Only this session: the beginning of its id.")
@click.option("--status", type=TURN_STATUS, help="How the turn ended.")
@click.option(
    "--impact",
    "impact_level",
    type=click.Choice(get_args(ImpactLevel)),
    help="How much it changed.",
)
@click.option(
    "--level",
    "broadcast_level",
    type=click.Choice(get_args(BroadcastLevel)),
    help="Broadcast level: silent, mention or highlight.",
)
@since_option("turns that ended")
@machine_option
@limit_option(20)
@json_option
def list_(
    project: str | None, session: str | None, machine: str | None, as_json: bool, **filters: Any
) -> None:
    """List briefings, newest first.

    \b
    Examples:
      fleet briefings list --since 2d
      fleet briefings list --project api-svc --status blocked
      fleet briefings list --json -n 500 | jq -r '.[].summary'
    """
    with reading() as connection:
        wanted = RelayRepo(connection).machine_filter(machine)
        filters["session_id"] = find_session(connection, session) if session else None
        found = BriefingRepo(connection).query(
            project_id=project_id_of(connection, project), machine=wanted, **filters
        )
        records = [briefing_record(connection, briefing) for briefing in found]
        names = project_names(connection, {record["project_id"] for record in records})
    if as_json:
        print_json(records)
        return
    rows = [
        (*_first_cells(record, names), record["impact_level"] or "-", record["summary"])
        for record in records
    ]
    headings: tuple[str, ...] = ("id", "ended", "project", "status", "impact", "summary")
    optional: tuple[str, ...] = ("impact",)
    if is_interactive():  # in a pipe the columns stay what they were
        titles = (record["title"] or "-" for record in records)
        rows = [(*row[:-1], title, row[-1]) for row, title in zip(rows, titles, strict=True)]
        headings, optional = (*headings[:-1], "title", "summary"), ("impact", "title")
    has_filter = bool(project or machine) or any(
        filters[name] for name in filters if name != "limit"
    )
    empty = "No briefings match." if has_filter else none_yet("briefings")
    print_table(headings, rows, empty, optional=optional)


@briefings.command("show")
@click.argument("id", shell_complete=complete_briefing)
@json_option
def show_(id: str, as_json: bool) -> None:
    """Print one whole briefing.

    ID is the number of a briefing (12, #12) or of an event (e40). For an event this prints the
    briefing that the event is about, or the event itself if there is none.

    \b
    Examples:
      fleet briefings show 12
      fleet briefings show e40
      fleet briefings show 12 --json | jq .files_touched
    """
    match = re.fullmatch(r"#?(e?)(\d{1,18})", id)
    if not match:
        raise BadInput(
            f"{id!r} is not an id; use 12 or #12 for a briefing and e40 for an event, as in"
            " `fleet briefings list` and `fleet events list`"
        )
    number = int(match[2])
    with reading() as connection:
        names = project_names(connection)
        if match[1]:
            event = OutboxRepo(connection).get(number)
            if event is None:
                raise NotFound(no_such("event", number))
            briefing = (
                BriefingRepo(connection).get(event.briefing_id) if event.briefing_id else None
            )
        else:
            event, briefing = None, BriefingRepo(connection).get(number)
            if briefing is None:
                raise NotFound(no_such("briefing", number))
        record = briefing_record(connection, briefing) if briefing else None
        if record is not None and briefing is not None:
            record["usage"] = of_briefing(connection, briefing)
    if record is None:
        assert event is not None
        _print_event(event, names, as_json)
    elif as_json:
        print_json(record)
    else:
        _print_briefing(record, names)


@briefings.command()
@click.argument("words", nargs=-1, required=True)
@project_option
@click.option("--status", type=TURN_STATUS, help="How the turn ended.")
@since_option("turns that ended")
@machine_option
@limit_option(20)
@json_option
def search(
    words: tuple[str, ...], project: str | None, machine: str | None, as_json: bool, **filters: Any
) -> None:
    """Find briefings that contain all WORDS, best match first.

    It looks in titles, summaries, texts, lists, file names and branches. Words are taken
    literally, without regard to case and accents. The last word may be incomplete. Words in
    quotation marks have to stand side by side.

    \b
    Examples:
      fleet briefings search refund
      fleet briefings search staging cred --project shop-api
      fleet briefings search '"token refresh"' --status blocked --since 30d
    """
    query = " ".join(words)
    with reading() as connection:
        wanted = RelayRepo(connection).machine_filter(machine)
        results = search_view.search(
            connection,
            query,
            project_id=project_id_of(connection, project),
            machine=wanted,
            **filters,
        )
        records = results.records
        names = project_names(connection, {record["project_id"] for record in records})
    if results.note:
        say(f"fleet: {results.note}", err=True)
    if as_json:
        print_json(records)
    elif records and is_interactive():
        _show_matches(records, names, results.pattern)
    else:
        rows = [
            (*_first_cells(record, names), record["summary"], record["excerpt"])
            for record in records
        ]
        empty = f"No briefings match {clean(query, 60)!r}."
        print_table(("id", "ended", "project", "status", "summary", "found"), rows, empty)


def _first_cells(record: dict[str, Any], names: dict[str, str]) -> tuple[object, ...]:
    """The cells that every list of briefings begins with."""
    return (
        f"#{record['briefing_id']}",
        when(ended_at(record)),
        project(names, record["project_id"], record.get("machine")),
        record["status"],
    )


def _show_matches(records: list[dict[str, Any]], names: dict[str, str], pattern: str) -> None:
    """Two lines each: the briefing, and below it the text around the match."""
    lines: list[Line] = []
    heads = [
        (
            Cell(f"#{record['briefing_id']}", "bold"),
            Cell(clean(project(names, record["project_id"], record.get("machine")).text, 24)),
            state(record["status"]),
            when(ended_at(record)),
        )
        for record in records
    ]
    widths = [max(width(str(cell.text)) for cell in column) for column in zip(*heads, strict=True)]
    for record, head in zip(records, heads, strict=True):
        aligned = [
            Cell(padded(str(cell.text), at + 2), cell.style)
            for cell, at in zip(head, widths, strict=True)
        ]
        lines.append(Line((*aligned, Cell(record["summary"], highlight=pattern))))
        if clean(record["excerpt"], 500).strip("…") not in clean(record["summary"], 500):
            lines.append(Line(("    ", Cell(record["excerpt"], highlight=pattern))))
    show(*lines)


def _print_briefing(record: dict[str, Any], names: dict[str, str]) -> None:
    if is_interactive():
        console = terminal()
        facts = [part.rich(console.width) for part in _facts(record, names)]
        show_rendered(console, *facts, markdown(body_of(record)))
        return
    say(f"Briefing #{record['briefing_id']}: {record['summary']}")
    if record["title"]:
        say(f"title: {record['title']}")
    for name in _FACTS:
        if record[name]:
            say(f"{name.replace('_', ' ')}: {record[name]}")
    if record.get("machine"):
        say(f"machine: {record['machine']}")
    for name, words in briefing_in_words(record["usage"]).items():
        say(f"{name}: {words}")
    for name in LISTS:
        if record[name]:
            say(f"{name.replace('_', ' ')}:")
            for item in record[name]:
                say(f"  - {item}".replace("\n", "\\n"))  # a file's name may have one
    for note in _notes(record):
        say(note)
    say()
    say(record["raw_markdown"])


def _facts(record: dict[str, Any], names: dict[str, str]) -> list[Part]:
    """What a terminal shows above the text: the summary, the facts, and the lists that the text does
    not have."""
    title = Cell(f"Briefing #{record['briefing_id']}: {record['summary']}", "bold")
    ended, number = ended_at(record), record["briefing_id"]
    used = briefing_in_words(record["usage"])
    if len(set(used.values())) < len(used):
        used.pop("session's usage")  # its only turn
    facts = [
        ("title", Cell(record["title"])),
        ("project", Cell(names.get(record["project_id"], record["project_id"]))),
        ("status", state(record["status"])),
        ("ended", Cell(f"{clock.local(ended)} ({clock.age(ended)})")),
        ("impact", Cell(record["impact_level"])),
        ("doc drift risk", Cell(record["doc_drift_risk"])),
        ("branch", Cell(record["branch"])),
        ("commit", Cell((record["head_commit"] or "")[:12])),
        ("session", Cell(record["session_id"])),
        ("machine", Cell(record.get("machine"))),
        *((name, Cell(words)) for name, words in used.items()),
        ("changes", Cell(f"fleet briefings diff {number}" if record["files_touched"] else "")),
        ("open it", Cell(f"fleet resume {number}" if record["session_id"] else "")),
    ]
    parts: list[Part] = [Line((title,), wraps=True), Facts(facts)]
    text = body_of(record)
    for name in LISTS:
        if not all(item in text for item in record[name]) or (record[name] and "touched" in name):
            parts.append(Line((Cell(name.replace("_", " "), "bold"),)))
            style = _LIST_STYLES.get(name, "")
            parts += [Line(("  - ", Cell(item, style)), wraps=True) for item in record[name]]
    parts += [Line((Cell(note, "dim"),)) for note in _notes(record)]
    return [*parts, Line(())]


def _notes(record: dict[str, Any]) -> list[str]:
    notes = {"facts_partial": _PARTIAL, "imported": _IMPORTED}
    return [note for name, note in notes.items() if record[name]]


def _print_event(event: OutboxEvent, names: dict[str, str], as_json: bool) -> None:
    if as_json:
        print_json(event_record(event))
        return
    from commander.cli.events import event_cells  # a list need not wait for it

    payload = event.payload
    what, line = event_cells(event)
    facts = [
        ("at", Cell(f"{clock.local(event.ts)} ({clock.age(event.ts)})", piped=event.ts)),
        ("project", project(names, event.project_id)),
        ("session", Cell((payload or {}).get("sessionId") or "")),
    ]
    parts: list[Part] = [
        Line((Cell(f"Event e{event.event_id}: ", "bold"), what)),
        Facts(facts),
        *([Line((line,), wraps=True)] if line.text else []),
    ]
    if payload is None:
        parts.append(Line((event.payload_json,), wraps=True))
    drift = (payload or {}).get("docDrift")
    for name in ("docs", "sources"):
        items = drift.get(name) if isinstance(drift, dict) else None
        if isinstance(items, list) and items:
            parts.append(Line((Cell(name, "bold"),)))
            parts += [Line(("  - ", Cell(item)), wraps=True) for item in items]
    show(*parts)
