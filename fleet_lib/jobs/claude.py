"""Where Claude Code is on this machine, and what it can do."""

import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

from fleet_lib import config
from fleet_lib.errors import BadInput, NotFound
from fleet_lib.store.conversations import ConversationRepo

HELP_SECONDS = 10.0  # that a program may take to print its help


def claude_program(home: str) -> str:
    """Claude Code's program: the setting claude.program, else PATH. Raises NotFound or BadInput."""
    named = config.load(home).claude.program
    found = shutil.which(str(Path(named).expanduser()) if named else "claude")
    if found:
        return found
    if named:
        raise BadInput(
            f"claude.program names {named}, which cannot be run: fix it with"
            " `fleet config set claude.program PATH`"
        )
    raise NotFound(
        "claude is not on PATH: install Claude Code, or `fleet config set claude.program PATH`"
    )


def knows_option(program: str, option: str) -> bool:
    """Whether this Claude Code has a command line option, which its help says in 0.2 s.

    It is asked every time: what the path leads to may be replaced by an update at any moment. False if it
    does not answer.
    """
    try:
        done = subprocess.run(
            [program, "--help"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=HELP_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return option.encode() in done.stdout.split()


def last_conversation(connection: sqlite3.Connection) -> str | None:
    """The session that the Commander last finished a turn in, if its transcript is still there."""
    conversation = ConversationRepo(connection).get_commander()
    session = conversation.claude_session_id if conversation else None
    claude = Path(os.environ.get("CLAUDE_CONFIG_DIR") or "~/.claude").expanduser()
    there = session and any(claude.glob(f"projects/*/{session}.jsonl"))
    return session if there else None
