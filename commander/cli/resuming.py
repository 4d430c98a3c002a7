"""`fleet resume`: from a session that waits to its terminal, or to a new one in its folder."""

import os
import shlex
import sqlite3
import subprocess
import sys
from pathlib import Path

import click

from commander.cli._database import reading
from commander.cli._display import is_interactive, say, show
from commander.cli._listing import Listing
from commander.cli._params import complete_open
from commander.cli._screen import session_row
from fleet_lib import paths
from fleet_lib.errors import BadInput, FleetError, NotFound
from fleet_lib.jobs.program import claude_program
from fleet_lib.machines import apart
from fleet_lib.store.sessions import Session, SessionRepo
from fleet_lib.text import clean
from fleet_lib.views.ids import Meant, sessions_meant, short_ids, shortest_id
from fleet_lib.views.projects import project_names
from fleet_lib.views.sessions import SessionsNow, open_record
from fleet_lib.views.whereabouts import (
    Client,
    Pane,
    configuration_folder,
    is_transcript_gone,
    living_client,
    resume_line,
    usual_configuration,
)

_OFFERED = 9  # sessions to choose from with one key


@click.command()
@click.option("--print", "prints", is_flag=True, help="Print the command line and run nothing.")
@click.option("--here", is_flag=True, help="Open it here, even if it is open in another terminal.")
@click.argument("id", required=False, shell_complete=complete_open)
def resume(id: str | None, prints: bool, here: bool) -> None:
    """Go to a session: where it is open, or open it again.

    A session that is open in tmux is shown there; of one in another terminal, its place is
    printed. One that has ended is opened again in its folder, with `claude --resume`.

    ID is the beginning of a session's id, as in `fleet status`, a briefing (12), an event (e40), a
    job (job3), or a project: then it is the project's session that needs you, else its newest.
    Without ID it is the session that needs you; if several do, you choose one with a key.

    \b
    Examples:
      fleet resume
      fleet resume 5e0b
      fleet resume api-svc
      fleet resume 12 --print
    """
    with reading() as connection:
        session = _named(connection, id) if id else _waiting(connection)
        own_id, machine = apart(session.session_id)
        if machine:
            raise BadInput(
                f"this session is on {machine}; run `claude --resume {own_id}` there, in its folder"
            )
        if not prints:
            say(go(connection, session, here=here))
            return
        say(resume_line(session, configuration_folder(connection, session.session_id)))
        if not Path(session.folder).is_dir():
            say("This folder is gone.", err=True)
        if client := living_client(connection, session.session_id):
            say(f"This session is open {client.in_words()}.", err=True)


def go(
    connection: sqlite3.Connection,
    session: Session,
    *,
    here: bool = False,
    comes_back: bool = False,
) -> str:
    """Show the session's pane, say where it is open, or become its Claude Code; with `comes_back`,
    wait for its end. Returns what there is to say. Raises FleetError."""
    client = living_client(connection, session.session_id)
    short = shortest_id(connection, session.session_id)
    if client is None or here:
        _open_again(connection, session, short, comes_back)
        return ""
    if client.pane:
        return _show_pane(client.pane)
    name = clean(project_names(connection).get(session.project_id, session.project_id), 80)
    return _place(name, short, client)


def _place(name: str, short: str, client: Client) -> str:
    if client.is_headless:
        return f"{name} runs {client.in_words()} as `claude -p`; it ends by itself."
    return (
        f"{name} is open {client.in_words()}. Go there, or open it here too with"
        f" `fleet resume {short} --here`."
    )


def _show_pane(pane: Pane) -> str:
    """Show the pane: in this client of tmux, or in a new one in this terminal."""
    where = f"It is open in tmux pane {pane.name}."
    if not pane.is_of_this_server() and (os.environ.get("TMUX") or not is_interactive()):
        command = pane.command("attach-session", "-t", pane.name.partition(":")[0])
        return f"{where} Run `{shlex.join(command)}` in a terminal outside of tmux."
    for arguments in (("select-window", "-t", pane.id), ("select-pane", "-t", pane.id)):
        subprocess.run(pane.command(*arguments), check=False, capture_output=True)
    if pane.is_of_this_server():
        command = pane.command("switch-client", "-t", pane.session)
        subprocess.run(command, check=False, capture_output=True)
    else:
        subprocess.run(pane.command("attach-session", "-t", pane.session), check=False)
    return where


def _open_again(
    connection: sqlite3.Connection, session: Session, short: str, comes_back: bool
) -> None:
    if not Path(session.folder).is_dir():
        raise NotFound(
            f"the session's folder {session.folder} is gone; make it again, or run"
            f" `fleet dismiss {short}` if the work is done"
        )
    if is_transcript_gone(connection, session.session_id):
        shown = f"fleet show {session.briefing_id or short}"
        raise NotFound(
            f"the transcript of session {short} is gone, so Claude Code cannot resume it;"
            f" `{shown}` prints what is known of it"
        )
    program = claude_program(paths.home())
    environment = dict(os.environ)
    configuration = configuration_folder(connection, session.session_id)
    if configuration and configuration != usual_configuration():
        environment["CLAUDE_CONFIG_DIR"] = str(configuration)
    command = [program, "--resume", session.session_id]
    try:
        if comes_back:
            subprocess.run(command, cwd=session.folder, env=environment, check=False)
            return
        os.chdir(session.folder)
        os.execve(program, command, environment)  # noqa: S606
    except OSError as error:
        raise FleetError(
            f"{program} cannot be run: {error.strerror}; set another one with"
            " `fleet config set claude.program PATH`"
        ) from None


def _named(connection: sqlite3.Connection, id: str) -> Session:
    meant = sessions_meant(connection, id)
    return _of_project(connection, meant) if meant.project else meant.sessions[0]


def _of_project(connection: sqlite3.Connection, meant: Meant) -> Session:
    """The project's session that needs you, else one that is left open, else the newest."""
    assert meant.project
    project_id, name = meant.project.project_id, meant.project.repo_name
    now = SessionsNow(connection)
    waiting = [
        session
        for session in (*now.needing_you(), *now.left_open())
        if session.project_id == project_id
    ]
    if waiting:
        if others := waiting[1:]:
            say(f"Others of {name} wait, too: {short_ids(others)}.", err=True)
        return waiting[0]
    repo = SessionRepo(connection)
    newest = repo.living(project_id=project_id, limit=1) + repo.ended(
        project_id=project_id, limit=1
    )
    if not newest:
        raise NotFound(
            f"no session of {name} is known; start one with `cd {meant.project.repo_root} && claude`"
        )
    return max(newest, key=lambda session: session.last_seen_at)


def _waiting(connection: sqlite3.Connection) -> Session:
    """The session that needs you, or that is left open; of several the one that you choose."""
    now = SessionsNow(connection)
    waiting = now.needing_you() or now.left_open()
    if not waiting:
        raise NotFound("nothing waits for you; name a session, as `fleet sessions list` shows them")
    if len(waiting) == 1:
        return waiting[0]
    names = project_names(connection)
    offered = waiting[:_OFFERED]
    if not is_interactive() or not sys.stdin.isatty():
        some = ", ".join(
            f"{shortest_id(connection, one.session_id)} ({names.get(one.project_id, 'no project')})"
            for one in offered
        )
        more = ", …" if len(waiting) > len(offered) else ""
        raise BadInput(f"several sessions wait for you: {some}{more}; name one of them")
    rows = [
        session_row(connection, open_record(session, names), f"{number} ")
        for number, session in enumerate(offered, start=1)
    ]
    show(Listing(rows))
    say(f"Press 1 to {len(offered)} to go there, or another key to stay here. ", nl=False)
    key = click.getchar()
    say()
    if key not in [str(number + 1) for number in range(len(offered))]:
        raise click.exceptions.Exit(0)
    return offered[int(key) - 1]
