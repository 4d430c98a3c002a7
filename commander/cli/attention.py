"""`fleet resume`, `fleet dismiss`, `fleet snooze`: what a person does about a session that waits."""

import os
import shlex
import sqlite3
from pathlib import Path

import click

from commander.cli._app import json_option
from commander.cli._database import reading, writing
from commander.cli._display import count, print_json, say
from commander.cli._params import Later, complete_open
from fleet_lib import clock, paths, wake
from fleet_lib.errors import BadInput, NotFound
from fleet_lib.jobs.command import claude_program
from fleet_lib.lines import state_words
from fleet_lib.machines import apart, at
from fleet_lib.rules import DISMISSED, OPEN_ALERT_SECONDS
from fleet_lib.store.sessions import Session, SessionRepo
from fleet_lib.text import clean
from fleet_lib.views.ids import Meant, sessions_meant, short_ids
from fleet_lib.views.projects import project_names
from fleet_lib.views.sessions import open_record

_id_argument = click.argument("id", shell_complete=complete_open)


@click.command()
@click.option("--print", "prints", is_flag=True, help="Print the command line and run nothing.")
@_id_argument
def resume(id: str, prints: bool) -> None:
    """Open the session of ID again, in its folder.

    ID is a briefing (12), an event (e40), a job (job3), the beginning of a session's id, or the
    name of a project in which one session waits for you.

    \b
    Examples:
      fleet resume 12
      fleet resume api-svc
      fleet resume 12 --print
    """
    with reading() as connection:
        session = _one(sessions_meant(connection, id))
    own_id, machine = apart(session.session_id)
    if machine:
        raise BadInput(
            f"this session is on {machine}; run `claude --resume {own_id}` there, in its folder"
        )
    if prints:
        folder, session_id = shlex.quote(session.folder), shlex.quote(session.session_id)
        say(f"cd {folder} && claude --resume {session_id}")
        return
    if not Path(session.folder).is_dir():
        raise NotFound(
            f"the session's folder {session.folder} is gone; make it again, or run"
            f" `fleet dismiss {id}` if the work is done"
        )
    program = claude_program(paths.home())
    if session.ended_at is None:
        say("This session has not ended: it may still be open in another terminal.", err=True)
    os.chdir(session.folder)
    os.execv(program, [program, "--resume", session.session_id])  # noqa: S606


@click.command()
@_id_argument
@json_option
def dismiss(id: str, as_json: bool) -> None:
    """Hide a session that waits for you until its next event.

    ID is a briefing (12), an event (e40), a job (job3), the beginning of a session's id, or a
    project's name, which hides all sessions of the project that wait for you. Nothing is deleted,
    and the session is shown again when it is resumed, finishes a turn or needs permission.

    \b
    Examples:
      fleet dismiss 12
      fleet dismiss api-svc
    """
    _hide(id, DISMISSED, as_json)


@click.command()
@_id_argument
@click.argument("time", type=Later(longest_seconds=OPEN_ALERT_SECONDS))
@json_option
def snooze(id: str, time: str, as_json: bool) -> None:
    """Hide a session that waits for you for some time.

    ID is what `fleet dismiss` takes. TIME is 30m, 2h, 3d or an ISO date or time, at most seven days
    ahead. The session is shown again after that time, or at its next event if that comes first.

    \b
    Examples:
      fleet snooze 12 2h
      fleet snooze api-svc 1d
    """
    _hide(id, time, as_json)


def _hide(id: str, until: str, as_json: bool) -> None:
    with reading() as connection:
        meant = sessions_meant(connection, id)
        names = project_names(connection)
        _require_open(connection, meant, until)
    with writing() as connection:
        repo = SessionRepo(connection)
        hidden = [session for session in meant.sessions if repo.hide(session, until)]
    if not hidden:
        raise BadInput("the session has gone on just now; run `fleet status` to see where it is")
    wake.start_relay(paths.home())
    if as_json:
        records = [open_record(session, names) | {"hidden_until": until} for session in hidden]
        print_json(records)
        return
    verb = "Dismissed" if until == DISMISSED else "Snoozed"
    if meant.project:
        name = clean(names[meant.project.project_id], 80)
        say(f"{verb} all of {name}: {count(len(hidden), 'session')}.")
    for session in hidden:
        say(f"{'  ' if meant.project else f'{verb} '}{_line(session, names)}")
    event = "at the next event of the session"
    local = clock.local(until)
    again = event if until == DISMISSED else f"at {local}, or {event}"
    say(f"Shown again {again}.")


def _require_open(connection: sqlite3.Connection, meant: Meant, until: str) -> None:
    """Raises NotFound if nothing waits, BadInput if it would be too old when it is shown again."""
    repo = SessionRepo(connection)
    if meant.project and not meant.sessions:
        name = meant.project.repo_name
        raise NotFound(f"no session of {name} waits for you; run `fleet status` to see which do")
    for session in meant.sessions:
        if not meant.project and not repo.is_open(session.session_id):
            raise NotFound(
                f"session {short_ids([session])} does not wait for you; run `fleet status` to see"
                " which sessions do"
            )
    last = max(clock.nanoseconds(session.state_at) for session in meant.sessions)
    end = clock.iso(last + OPEN_ALERT_SECONDS * 1_000_000_000)
    if end <= until < DISMISSED:
        raise BadInput(
            f"what is older than seven days is not shown, which it will be at {end}; use a shorter"
            " time, or `fleet dismiss`"
        )


def _one(meant: Meant) -> Session:
    """The one session to open."""
    if len(meant.sessions) == 1:
        return meant.sessions[0]
    assert meant.project
    name = meant.project.repo_name
    if not meant.sessions:
        raise NotFound(
            f"no session of {name} waits for you; name one by its briefing, as in"
            f" `fleet briefings list --project {name}`"
        )
    raise BadInput(
        f"several sessions of {name} wait for you: {short_ids(meant.sessions)}; name one of them, as"
        " in `fleet status --json`"
    )


def _line(session: Session, names: dict[str, str]) -> str:
    name = names.get(session.project_id, session.project_id)
    project = clean(at(name, apart(session.session_id)[1]), 80)
    label = f"#{session.briefing_id}" if session.briefing_id else short_ids([session])
    return f"{label} {project} · {state_words(session.state)}: {clean(session.detail, 200)}"
