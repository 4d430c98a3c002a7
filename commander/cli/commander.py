"""`fleet commander`: open Claude Code in the Commander's folder."""

import contextlib
import os
from pathlib import Path

import click

from commander.cli._database import drain_spool, writing
from commander.cli._display import say
from fleet_lib import paths, wake
from fleet_lib.errors import BadInput, DatabaseUnusable, NotFound
from fleet_lib.jobs.open_commander import commander_is_open
from fleet_lib.jobs.program import claude_program, last_conversation
from fleet_lib.store import db
from fleet_lib.store.conversations import ConversationRepo
from fleet_lib.store.jobs import JobRepo


@click.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "--new",
    is_flag=True,
    help="Start a new conversation. Events that it has seen are not repeated.",
)
@click.option(
    "--reset",
    is_flag=True,
    help="Do not open it; the next `fleet commander` or `fleet ask` starts a new conversation.",
)
@click.argument("claude_options", nargs=-1, type=click.UNPROCESSED)
def commander(new: bool, reset: bool, claude_options: tuple[str, ...]) -> None:
    """Open the Commander in its last conversation.

    The Commander is Claude Code in the folder $FLEET_HOME. CLAUDE_OPTIONS are passed to `claude`.
    If it is open already, a second one continues in a fork of the conversation.

    \b
    Examples:
      fleet commander
      fleet commander --new
      fleet commander --reset
      fleet commander --model opus
    """
    home = Path(paths.home())
    if not (home / "CLAUDE.md").exists():
        raise NotFound(f"the Commander is not installed in {home}; run ./install.sh")
    if reset:
        _reset(home)
        return
    wake.start_relay(str(home))
    program = claude_program(str(home))
    session = None if new else _last_conversation(home)
    arguments = [program, *(["--resume", session] if session else [])]
    if session and commander_is_open(str(home)):
        # Two processes that continue one session do not see each other's turns.
        arguments.append("--fork-session")
        say("The Commander is already open; this one continues in a fork.", err=True)
    arguments += claude_options
    os.environ["PATH"] = f"{home / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    os.chdir(home)
    os.execv(program, arguments)  # noqa: S606


def _last_conversation(home: Path) -> str | None:
    with contextlib.suppress(DatabaseUnusable):
        connection = db.connect_read_only(paths.database(str(home)))
        with contextlib.closing(connection):
            return last_conversation(connection)
    return None


def _reset(home: Path) -> None:
    """Forget the conversation's session and nothing else."""
    drain_spool(
        str(home)
    )  # a turn of the Commander in the spool would make its session the last again
    with writing() as connection:
        answering = next(
            (
                job
                for job in JobRepo(connection).query(status="running")
                if job.type == "commander_turn"
            ),
            None,
        )
        if answering:
            raise BadInput(
                "the Commander is answering a question in this conversation"
                f" (job {answering.job_id}); wait for it, or run `fleet jobs cancel {answering.job_id}`"
            )
        conversations = ConversationRepo(connection)
        conversation = conversations.get_or_create_commander(str(home))
        conversations.reset(conversation)
    seen = conversation.last_outbox_event_id_seen
    say(
        "The next `fleet commander` or `fleet ask` starts a new conversation."
        f" Events up to e{seen} are not repeated; sessions that wait for you are."
    )
