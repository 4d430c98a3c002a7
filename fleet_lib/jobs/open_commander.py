"""Whether a person has the Commander open, by the session files that Claude Code keeps of its
living processes. They are undocumented: a missing or odd file says nothing."""

import os
from pathlib import Path

from fleet_lib import paths
from fleet_lib.json_text import json_object
from fleet_lib.processes import TICKS_PER_SECOND, ProcessName, is_alive, name_of

_FILE_LIMIT = 64 * 1024  # bytes


def commander_is_open(home: str) -> bool:
    """Whether a Claude Code process that is no `claude -p` lives in the Commander's folder."""
    folder = os.environ.get("CLAUDE_CONFIG_DIR") or "~/.claude"
    return any(_is_open(file, home) for file in Path(folder).expanduser().glob("sessions/*.json"))


def _is_open(file: Path, home: str) -> bool:
    try:
        with file.open("rb") as opened:
            said = json_object(opened.read(_FILE_LIMIT))
    except OSError:
        return False  # the process has ended
    pid, started, folder = said.get("pid"), said.get("procStart"), said.get("cwd")
    if said.get("entrypoint") == "sdk-cli" or not isinstance(folder, str):
        return False
    if not isinstance(pid, int) or pid <= 0 or not paths.is_commander(folder, home):
        return False
    if isinstance(started, str) and started.isdecimal():
        return is_alive(ProcessName(pid, int(started) / TICKS_PER_SECOND))
    return name_of(pid) is not None
