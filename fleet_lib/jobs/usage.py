"""The tokens that a job used. No hook runs in a job, so its transcript is read when the job has
ended."""

import contextlib
import os
import re
import sqlite3
from pathlib import Path

from fleet_lib import log
from fleet_lib.drain.usage import TranscriptUsage
from fleet_lib.errors import FleetError


def count_usage(connection: sqlite3.Connection, home: str, session_id: str | None) -> None:
    """Count what is new in the transcript of a job's session. A job that keeps none has only the
    client's own total. Trouble is logged: the job has ended all the same."""
    if not session_id or not re.fullmatch(r"[\w-]{1,200}", session_id):
        return
    claude = Path(os.environ.get("CLAUDE_CONFIG_DIR") or "~/.claude").expanduser()
    usage = TranscriptUsage()
    try:
        for transcript in claude.glob(f"projects/*/{session_id}.jsonl"):
            usage.add(str(transcript), session_id)
        usage.finish(connection)
    except (FleetError, sqlite3.Error, OSError) as error:
        with contextlib.suppress(OSError):
            log.write(home, "jobs", f"usage was not counted: {type(error).__name__}: {error}")
