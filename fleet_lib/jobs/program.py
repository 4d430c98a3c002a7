"""The program Claude Code: where it is, what it can do, and which of its conversations continues."""

import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

from fleet_lib import config
from fleet_lib.errors import BadInput, NotFound
from fleet_lib.store.conversations import ConversationRepo

_USUAL_PLACES = ("~/.local/bin", "~/.claude/local")
HELP_SECONDS = 10.0  # that a program may take to print its help


def claude_program(home: str) -> str:
    """The setting claude.program, else `claude` from PATH or from where Claude Code installs itself.
    Raises NotFound or BadInput."""
    named = config.load(home).claude.program
    if named:
        found = shutil.which(str(Path(named).expanduser()))
    else:
        usual = os.pathsep.join(os.path.expanduser(place) for place in _USUAL_PLACES)  # noqa: PTH111  there may be no home folder
        found = shutil.which("claude") or shutil.which("claude", path=usual)
    if found:
        return found
    if named:
        raise BadInput(
            f"claude.program names {named}, which cannot be run; set it with"
            " `fleet config set claude.program PATH`"
        )
    raise NotFound(
        "claude is not on PATH; install Claude Code, or set its path with"
        " `fleet config set claude.program PATH`"
    )


def knows_option(program: str, option: str) -> bool:
    """Whether this Claude Code has a command line option, which its help says in 0.2 s; False if it
    does not answer. It is asked every time: an update may replace the program at any moment."""
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
    """The session in which the Commander last finished a turn, if its transcript still exists."""
    conversation = ConversationRepo(connection).get_commander()
    session = conversation.claude_session_id if conversation else None
    claude = Path(os.environ.get("CLAUDE_CONFIG_DIR") or "~/.claude").expanduser()
    exists = session and any(claude.glob(f"projects/*/{session}.jsonl"))
    return session if exists else None
