"""`fleet briefings diff`: what a turn changed, as git shows it."""

import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commander.cli._app import json_option
from commander.cli._database import reading
from commander.cli._display import is_interactive, print_json, say, show_git_output, terminal
from commander.cli._params import complete_briefing
from fleet_lib.errors import NotFound
from fleet_lib.store.briefings import BriefingRecord, BriefingRepo
from fleet_lib.store.outbox import OutboxRepo
from fleet_lib.text import clean
from fleet_lib.views.ids import Found, meaning
from fleet_lib.views.session_page import find_session

if TYPE_CHECKING:
    from fleet_lib.views.briefing_diff import Difference


@click.command()
@click.argument("id", shell_complete=complete_briefing)
@click.option("--stat", is_flag=True, help="Only the files, with the number of changed lines.")
@click.option(
    "--all", "with_all", is_flag=True, help="Also files that the turn did not touch itself."
)
@json_option
def diff(id: str, stat: bool, with_all: bool, as_json: bool) -> None:
    """Show what a turn changed, as git shows it.

    ID is a briefing (12) or an event (e40). A job (job3), the beginning of a session's id and a
    project stand for their newest turn.

    Compared are the commit at which the turn began and the one at which it ended. Shown are the
    files that the turn itself touched: other sessions and pulls may have committed in between, and
    --all shows that, too. Where another session changed the same file, its lines are shown with
    the turn's. What was not committed when the turn ended is in neither commit.

    The commits are looked for in the session's folder, in the project's others, and in the one that
    you are in. In a pipe the output is git's own, for `git apply`; notes are on stderr.

    \b
    Examples:
      fleet briefings diff 12
      fleet briefings diff 12 --stat --all
      fleet briefings diff 12 | git apply -R
      fleet briefings diff 12 --json | jq .changed_files
    """
    from fleet_lib.views.briefing_diff import difference  # the other commands run no git

    with reading() as connection:
        briefing = _briefing(connection, id)
        console = terminal() if is_interactive() else None
        has_color = bool(console and console.color_system and not console.no_color and not as_json)
        found = difference(
            connection,
            briefing,
            str(Path.cwd()),
            with_all=with_all,
            stat=stat,
            color=has_color,
            width=console.width if console else 80,
        )
    if as_json:
        print_json(_record(briefing, found))
        return
    for note in found.notes:
        say(note, err=True)
    if found.patch is None:
        return
    if console:
        show_git_output(console, found.patch.text)
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(found.patch.text)


def _record(briefing: BriefingRecord, found: "Difference") -> dict[str, Any]:
    """The difference as programs get it; without a range where the turn committed nothing."""
    span, patch = found.range, found.patch
    return {
        "briefing_id": briefing.briefing_id,
        "folder": span.folder if span else None,
        "base": span.base if span else briefing.base_commit,
        "head": span.head if span else briefing.head_commit,
        "changed_files": list(span.files) if span else [],
        "notes": list(found.notes),
        "patch": patch.text.decode("utf-8", "replace") if patch else "",
    }


def _briefing(connection: sqlite3.Connection, text: str) -> BriefingRecord:
    """Raises NotFound, or BadInput if the ID could mean several things."""
    repo = BriefingRepo(connection)
    try:
        found = meaning(connection, text)
    except NotFound:
        found = Found("session", id=find_session(connection, text))
    if found.kind == "event":
        event = OutboxRepo(connection).get(found.number)
        number = event.briefing_id if event else None
    else:
        number = found.number if found.kind == "briefing" else None
    if number:
        briefing = repo.get(number)
    elif found.kind == "project":
        briefing = next(iter(repo.get_by_project(found.id, limit=1)), None)
    elif found.kind == "event":
        briefing = None
    else:
        session_id = find_session(connection, text)
        briefing = next(iter(repo.query(session_id=session_id, limit=1)), None)
    if briefing is None:
        what = f"the {found.kind} {found.label()} belongs to no turn"
        if found.kind in ("project", "session"):
            what = f"no turn of the {found.kind} {clean(text, 60)} has ended yet"
        raise NotFound(f"{what}; run `fleet briefings list` to see the latest")
    return briefing
