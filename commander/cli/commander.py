"""`fleet commander`: open Claude Code in the Commander's folder."""

import contextlib
import os
from pathlib import Path

import click

from commander.cli._app import drain_waiting, writing
from fleet_lib import paths
from fleet_lib.errors import BadInput, DatabaseUnusable, NotFound
from fleet_lib.jobs.command import claude_program, last_conversation
from fleet_lib.store import db
from fleet_lib.store.conversations import ConversationRepo
from fleet_lib.store.jobs import JobRepo


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--new", is_flag=True, help="Begin a fresh conversation; what was told stays told.")
@click.option(
    "--reset",
    is_flag=True,
    help="Only forget the conversation: the next one begins fresh, here and in `fleet ask`.",
)
@click.argument("claude_options", nargs=-1, type=click.UNPROCESSED)
def commander(new: bool, reset: bool, claude_options: tuple[str, ...]) -> None:
    """Open the Commander: Claude Code in $FLEET_HOME, going on with its last conversation.

    CLAUDE_OPTIONS are handed on to `claude`.

    \b
    Examples:
      fleet commander
      fleet commander --new
      fleet commander --reset
      fleet commander --model opus
    """
    home = Path(paths.home())
    if not (home / "CLAUDE.md").exists():
        raise NotFound(f"{home} is no Commander's folder yet: run ./install.sh")
    if reset:
        _reset(home)
        return
    program = claude_program(str(home))
    session = None if new else _last_conversation(home)
    arguments = [program, *(["--resume", session] if session else []), *claude_options]
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
    """Forget the session, and nothing else."""
    drain_waiting(str(home))  # a turn that waits there would be its last again
    with writing() as connection:
        asked = [
            job
            for job in JobRepo(connection).query(status="running")
            if job.type == "commander_turn"
        ]
        if asked:
            raise BadInput(
                f"the Commander is answering a question (job {asked[0].job_id}), which would go on in this"
                f" conversation: wait for it, or `fleet jobs cancel {asked[0].job_id}`"
            )
        conversations = ConversationRepo(connection)
        conversation = conversations.get_or_create_commander(str(home))
        conversations.goes_on_in(conversation, None)
    seen = conversation.last_outbox_event_id_seen
    click.echo(
        "The next `fleet commander` or `fleet ask` begins a fresh conversation."
        f" What was told stays told (through event e{seen}); open alerts are told again."
    )
