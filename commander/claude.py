"""Where Claude Code is on this machine."""

import shutil
from pathlib import Path

from fleet_lib import config
from fleet_lib.errors import BadInput, NotFound


def claude_program(home: str) -> str:
    """Claude Code's program: the setting claude.program, else PATH. Raises NotFound or BadInput."""
    named = config.load(home).claude.program
    found = shutil.which(str(Path(named).expanduser()) if named else "claude")
    if found:
        return found
    if named:
        raise BadInput(
            f"claude.program names {named}, which cannot be run: fleet config set mends it"
        )
    raise NotFound(
        "claude is not on PATH: install Claude Code, or `fleet config set claude.program PATH`"
    )
