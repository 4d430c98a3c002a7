"""Where Claude Code is on this machine."""

import os
import shutil
import sqlite3
from pathlib import Path

from fleet_lib import config
from fleet_lib.errors import BadInput, NotFound
from fleet_lib.store.conversations import ConversationRepo


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


def last_conversation(connection: sqlite3.Connection) -> str | None:
    """The session that the Commander last finished a turn in, if its transcript is still there."""
    conversation = ConversationRepo(connection).get_commander()
    session = conversation.claude_session_id if conversation else None
    claude = Path(os.environ.get("CLAUDE_CONFIG_DIR") or "~/.claude").expanduser()
    there = session and any(claude.glob(f"projects/*/{session}.jsonl"))
    return session if there else None
