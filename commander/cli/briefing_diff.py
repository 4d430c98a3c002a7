"""`fleet briefings diff`: what a turn changed, as git shows it."""

import re
import sqlite3
import sys
from pathlib import Path

import click

from commander.cli._database import reading
from commander.cli._display import is_interactive, say, show_git_output, terminal
from commander.cli._params import complete_briefing
from fleet_lib.errors import NotFound
from fleet_lib.store.briefings import BriefingRecord, BriefingRepo
from fleet_lib.store.outbox import OutboxRepo
from fleet_lib.views.briefing_diff import difference
from fleet_lib.views.session_page import find_session


@click.command()
@click.argument("id", shell_complete=complete_briefing)
@click.option("--stat", is_flag=True, help="Only the files, with the number of changed lines.")
@click.option(
    "--all", "with_all", is_flag=True, help="Also files that the turn did not touch itself."
)
def diff(id: str, stat: bool, with_all: bool) -> None:
    """Show what a turn changed, as git shows it.

    ID is a briefing (12), an event (e40), or the beginning of a session's id for its newest turn.

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
    """
    with reading() as connection:
        briefing = _briefing(connection, id)
        console = terminal() if is_interactive() else None
        has_color = bool(console and console.color_system and not console.no_color)
        found = difference(
            connection,
            briefing,
            str(Path.cwd()),
            with_all=with_all,
            stat=stat,
            color=has_color,
            width=console.width if console else 80,
        )
    for note in found.notes:
        say(note, err=True)
    if found.patch is None:
        return
    if console:
        show_git_output(console, found.patch.text)
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(found.patch.text)


def _briefing(connection: sqlite3.Connection, text: str) -> BriefingRecord:
    """Raises NotFound, or BadInput if several sessions are meant."""
    repo = BriefingRepo(connection)
    match = re.fullmatch(r"#?(e?)(\d{1,18})", text)
    if match and match[1]:
        event = OutboxRepo(connection).get(int(match[2]))
        found = repo.get(event.briefing_id) if event and event.briefing_id else None
    else:
        found = repo.get(int(match[2])) if match else None
    if found:
        return found
    if match and (match[1] or text.startswith("#")):
        raise NotFound(f"there is no briefing of {text}; `fleet briefings list` has the latest")
    newest = repo.query(session_id=find_session(connection, text), limit=1)
    if not newest:
        raise NotFound(f"the session of {text!r} has ended no turn yet")
    return newest[0]
