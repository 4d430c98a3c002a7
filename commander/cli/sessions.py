"""`fleet sessions`: every session that is known, and one session from its first turn to its last."""

from collections.abc import Iterator
from typing import Any

import click

from commander.cli._app import ListGroup, json_option, limit_option
from commander.cli._database import reading
from commander.cli._display import (
    STYLES,
    Cell,
    Line,
    Part,
    Table,
    count,
    folder,
    none_yet,
    print_json,
    project,
    say,
    show,
    when,
)
from commander.cli._facts import Facts
from commander.cli._params import Words, complete_open, machine_option, project_option, since_option
from commander.cli.usage import look_up_prices
from fleet_lib import clock
from fleet_lib.lines import listed, state_words
from fleet_lib.store.relay import RelayRepo
from fleet_lib.text import clean
from fleet_lib.views.ids import shortest_id
from fleet_lib.views.projects import NamesOnDemand, project_id_of
from fleet_lib.views.session_list import session_list
from fleet_lib.views.session_page import find_session, session_page
from fleet_lib.views.usage import in_words, session_in_words

_SHORT_ID = 8  # characters of a session's id
_FILES_SHOWN = 4  # of one turn
_FILES_OF_SESSION = 12
# {what a person types: the filter}
_STATES = {
    "live": "live",
    "ended": "ended",
    "needs-you": "needs_you",
    "left-open": "left_open",
    "working": "working",
    "needs-permission": "waiting_for_permission",
    "asks-you": "waiting_for_input",
    "blocked": "blocked",
    "failed": "failed",
    "done": "completed",
}
_HEADINGS = ("id", "live", "active", "project", "state", "turns", "title")


@click.group(cls=ListGroup)
def sessions() -> None:
    """List sessions, and show one with all its turns.

    \b
    Examples:
      fleet sessions list --project api-svc
      fleet sessions list --state left-open
      fleet sessions show 5e0bfb64
    """


@sessions.command("list")
@project_option
@click.option("--state", type=Words(_STATES), help="Only sessions in this state.")
@since_option("sessions that were active")
@machine_option
@limit_option(20)
@json_option
def list_(
    project: str | None,
    state: str | None,
    since: str | None,
    machine: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List sessions: first those that live, then those that ended.

    Both are listed newest first. A session lives until its Claude Code ends. One without a turn is
    listed, too; the Commander's own are not.

    \b
    Examples:
      fleet sessions list
      fleet sessions list --project api-svc --since monday
      fleet sessions list --state failed --json | jq -r '.[].session_id'
    """
    with reading() as connection:
        names = NamesOnDemand(connection)
        wanted = RelayRepo(connection).machine_filter(machine)
        records = session_list(
            connection,
            names,
            project_id=project_id_of(connection, project),
            state=state,
            since=since,
            machine=wanted,
            limit=limit,
        )
    if as_json:
        print_json(records)
        return
    if not records:
        is_filtered = project or state or since or machine
        say("No sessions match." if is_filtered else none_yet("sessions"))
    else:
        rows = [_row(record) for record in records]
        show(Table(_HEADINGS, rows, optional=("turns", "active", "live"), least=16))


@sessions.command("show")
@click.argument("id", shell_complete=complete_open)
@click.option(
    "--limit",
    "-n",
    type=click.IntRange(1, 100_000),
    default=200,
    show_default=True,
    help="Maximum number of turns, the newest.",
)
@json_option
def show_(id: str, limit: int, as_json: bool) -> None:
    """Show a session: its state, turns, files and usage.

    ID is the beginning of a session's id, a briefing (12), an event (e40), a job (job3), or the
    name of a project in which one session waits for you.

    \b
    Examples:
      fleet sessions show 5e0bfb64
      fleet sessions show 12
      fleet sessions show 12 --json | jq '.turns[].title'
    """
    with reading() as connection:
        names = NamesOnDemand(connection)
        session_id = find_session(connection, id)
        page = session_page(connection, names, session_id, limit=limit)
        if look_up_prices(connection, page["usage"]):
            page = session_page(connection, names, session_id, limit=limit)
        name = shortest_id(connection, session_id)
    if as_json:
        print_json(page)
    else:
        show(*_page(page, name))


def _row(record: dict[str, Any]) -> tuple[object, ...]:
    names = {record["project_id"]: record["project"]}
    text = record["text"] if record["attention"] else ""
    words = ": ".join(part for part in (record["title"], text) if part) or "-"
    return (
        Cell(record["session_id"][:_SHORT_ID], "", record["session_id"], whole=True),
        Cell("live", "green") if record["is_live"] else Cell("", piped="-"),
        when(record["last_at"]),
        project(names, record["project_id"], record.get("machine")),
        record["state"],
        str(record["turns"]),
        words,
    )


def _page(page: dict[str, Any], name: str) -> Iterator[Part]:
    """`name` is what a person may type for the session."""
    yield Line(
        (
            Cell(
                f"Session {page['session_id'][:_SHORT_ID]}: {page['title'] or 'without a title'}",
                "bold",
            ),
        ),
        wraps=True,
    )
    yield Facts(list(_facts(page, name)))
    yield Line(())
    if not page["turns"]:
        yield Line(("No turn of it has ended yet." if page["is_live"] else "It had no turns.",))
    if earlier := page["earlier_turns"]:
        more = f"{count(earlier, 'earlier turn')}; add --limit {page['turns_in_all']} to see all."
        yield Line((Cell(more, "dim"),))
    for turn in page["turns"]:
        yield from _turn(turn)


def _facts(page: dict[str, Any], name: str) -> Iterator[tuple[str, Cell]]:
    words = state_words(page["state"])
    if page["attention"]:
        words = f"left open, {words}" if page["attention"] == "left_open" else words
        words = f"{words}: {page['text']}" if page["text"] else words
    yield "state", Cell(words, STYLES.get(page["state"], ""))
    yield "project", Cell(page["project"])
    if page["folder"]:
        yield "folder", folder(page["folder"])
    if page["branch"]:
        yield "branch", Cell(page["branch"])
    first, last = clock.local(page["first_at"]), page["last_at"]
    if page["is_live"]:
        yield "open", Cell(f"since {first}, active {clock.age(last)}")
    else:
        yield "ended", Cell(f"{clock.local(last)} ({clock.age(last)}), begun {first}")
    yield "turns", Cell(str(page["turns_in_all"]))
    if page["files"]:
        names = listed(page["files"], _FILES_OF_SESSION)
        yield "files", Cell(f"{len(page['files'])}: {names}")
    if page["usage"]:
        yield "usage", Cell(session_in_words(page["usage"]))
    yield "session", Cell(page["session_id"])
    if page["folder"]:
        yield "open it", Cell(f"fleet resume {name}")


def _turn(turn: dict[str, Any]) -> Iterator[Line]:
    state = "working" if turn["is_provisional"] else turn["status"]
    yield Line(
        (
            Cell(f"#{turn['briefing_id']}", "bold"),
            Cell(f"  {clock.local(turn['ended_at'])}  ", "dim"),
            Cell(state_words(state), STYLES.get(state, "")),
            f"  {turn['title']}" if turn["title"] else "",
        )
    )
    if words := turn["question"] or turn["summary"]:
        yield Line((f"    {words}",), wraps=True)
    facts = []
    if turn["files_touched"]:
        facts.append(listed(turn["files_touched"], _FILES_SHOWN))
    if turn["usage"]:
        facts.append(in_words(turn["usage"]).partition(" (prices of ")[0])
    if turn["imported"]:
        facts.append("imported")
    if facts:
        yield Line((Cell(f"    {clean(' · '.join(facts), 500)}", "dim"),), wraps=True)
