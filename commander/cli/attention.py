"""`fleet dismiss`, `fleet snooze`: hiding a session that waits, and showing it again."""

import contextlib
import sqlite3
from collections.abc import Sequence

import click

from commander.cli._app import json_option
from commander.cli._database import reading, writing
from commander.cli._display import print_json, say
from commander.cli._params import Later, complete_open
from fleet_lib import clock, paths, wake
from fleet_lib.errors import NotFound
from fleet_lib.lines import state_words
from fleet_lib.machines import apart, at
from fleet_lib.rules import DISMISSED, OPEN_ALERT_SECONDS
from fleet_lib.store.sessions import Session
from fleet_lib.text import clean
from fleet_lib.views.hiding import hide, waiting
from fleet_lib.views.ids import sessions_meant, shortest_id
from fleet_lib.views.projects import project_names
from fleet_lib.views.sessions import open_record


@click.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True, shell_complete=complete_open)
@click.option("--undo", is_flag=True, help="Show it again, also if it is snoozed.")
@json_option
def dismiss(ids: tuple[str, ...], undo: bool, as_json: bool) -> None:
    """Hide a session that waits for you until its next event.

    ID is the beginning of a session's id, as in `fleet status`, a briefing (12), an event (e40), a
    job (job3), or a project, which means all of its sessions that wait. Nothing is deleted,
    and the session is shown again when it is resumed, finishes a turn or needs permission.
    `fleet status --all` lists what is hidden.

    \b
    Examples:
      fleet dismiss 5e0b
      fleet dismiss 12 17 api-svc
      fleet dismiss --undo 5e0b
    """
    _hide(ids, None if undo else DISMISSED, as_json)


@click.command()
@click.argument("id", shell_complete=complete_open)
@click.argument("time", type=Later(longest_seconds=OPEN_ALERT_SECONDS))
@json_option
def snooze(id: str, time: str, as_json: bool) -> None:
    """Hide a session that waits for you for some time.

    ID is what `fleet dismiss` takes. TIME is 30m, 2h, 3d, tomorrow, monday, 14:00 or a date, at
    most seven days ahead; a day begins at nine in the morning. The session is shown again then, or
    at its next event if that comes first. `fleet dismiss --undo` shows it at once.

    \b
    Examples:
      fleet snooze 5e0b 2h
      fleet snooze api-svc tomorrow
    """
    _hide((id,), time, as_json)


def _hide(ids: Sequence[str], until: str | None, as_json: bool) -> None:
    """Hide the sessions until a time; None shows them again. All of them, or none with an error."""
    with reading() as connection:
        found: dict[str, Session] = {}
        for id in ids:
            found |= {one.session_id: one for one in _sessions(connection, id, until)}
        names = project_names(connection)
        shown = {one: shortest_id(connection, one) for one in found}
    with writing() as connection:
        changed = [hide(connection, session, until) for session in found.values()]
    wake.start_relay(paths.home())
    if as_json:
        records = [open_record(session, names) | {"hidden_until": until} for session in changed]
        print_json(records)
        return
    verb = "Shown again:" if until is None else "Dismissed" if until == DISMISSED else "Snoozed"
    for session in changed:
        say(f"{verb} {shown[session.session_id]} {_line(session, names)}")
    if until is not None:
        event = "at its next event" if len(changed) == 1 else "at the next event of each"
        again = event if until == DISMISSED else f"{clock.soon(until)}, or {event}"
        which = f" {shown[changed[0].session_id]}" if len(changed) == 1 else " ID"
        say(f"Shown again {again}. To undo: `fleet dismiss --undo{which}`.")
    if _stays_here(changed):
        say(
            "Other machines do not learn of this: nothing leaves this machine before it shares a"
            " project. `fleet relay share PROJECT`."
        )


def _stays_here(sessions: Sequence[Session]) -> bool:
    """Whether other machines do not learn of one of them."""
    from fleet_lib.relay.sharing import stays_here

    with reading() as connection:
        return stays_here(connection, paths.home(), [one.session_id for one in sessions])


def _sessions(connection: sqlite3.Connection, id: str, until: str | None) -> list[Session]:
    """The sessions that the ID means, each as it is now. Raises NotFound if none of them waits."""
    meant = sessions_meant(connection, id)
    name = meant.project.repo_name if meant.project else ""
    if until is None:
        now = clock.now()
        hidden = [one for one in meant.sessions if one.hidden_until and one.hidden_until > now]
        if not hidden:
            what = (
                f"no session of {name}" if name else f"session {_short(connection, meant.sessions)}"
            )
            is_not = "is" if name else "is not"
            raise NotFound(
                f"{what} {is_not} dismissed or snoozed; run `fleet status --all` to see what is"
            )
        return hidden
    found = []
    for session in meant.sessions:
        with contextlib.suppress(NotFound):
            found.append(waiting(connection, session.session_id))
    if not found:
        what = (
            f"no session of {name} waits"
            if name
            else (f"session {_short(connection, meant.sessions)} does not wait")
        )
        raise NotFound(f"{what} for you; run `fleet status` to see which sessions do")
    return found


def _short(connection: sqlite3.Connection, sessions: Sequence[Session]) -> str:
    return shortest_id(connection, sessions[0].session_id)


def _line(session: Session, names: dict[str, str]) -> str:
    name = names.get(session.project_id, session.project_id)
    project = clean(at(name, apart(session.session_id)[1]), 80)
    label = f"#{session.briefing_id} " if session.briefing_id else ""
    return f"{label}{project} · {state_words(session.state)}: {clean(session.detail, 200)}"
