"""`fleet commander`: open Claude Code in the Commander's folder."""

import contextlib
import os
from pathlib import Path

import click

from commander.claude import claude_program
from fleet_lib import db, paths
from fleet_lib.conversations import ConversationRepo
from fleet_lib.errors import DatabaseUnusable, NotFound


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--new", is_flag=True, help="Begin a fresh conversation; what was told stays told.")
@click.argument("claude_options", nargs=-1, type=click.UNPROCESSED)
def commander(new: bool, claude_options: tuple[str, ...]) -> None:
    """Open the Commander: Claude Code in $FLEET_HOME, going on with its last conversation.

    CLAUDE_OPTIONS are handed on to `claude`.

    \b
    Examples:
      fleet commander
      fleet commander --new
      fleet commander --model opus
    """
    home = Path(paths.home())
    if not (home / "CLAUDE.md").exists():
        raise NotFound(f"{home} is no Commander's folder yet: run ./install.sh")
    program = claude_program(str(home))
    session = None if new else _last_conversation(home)
    arguments = [program, *(["--resume", session] if session else []), *claude_options]
    os.environ["PATH"] = f"{home / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    os.chdir(home)
    os.execv(program, arguments)  # noqa: S606


def _last_conversation(home: Path) -> str | None:
    """The session that the Commander last finished a turn in, if its transcript is still there."""
    session = None
    with contextlib.suppress(DatabaseUnusable):
        connection = db.connect_read_only(paths.database(str(home)))
        with contextlib.closing(connection):
            conversation = ConversationRepo(connection).get_commander()
            session = conversation.claude_session_id if conversation else None
    claude = Path(os.environ.get("CLAUDE_CONFIG_DIR") or "~/.claude").expanduser()
    there = session and any(claude.glob(f"projects/*/{session}.jsonl"))
    return session if there else None
