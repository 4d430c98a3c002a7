"""Where transcripts are, and which sessions still live. Nothing here reads a transcript."""

import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from fleet_lib.errors import BadInput
from fleet_lib.files import read_regular_file
from fleet_lib.records import Record

YOUNG_SECONDS = 600  # a transcript that was written to since may be in the middle of a turn
_LIVE_FILE_LIMIT = 64 * 1024  # bytes


class Transcript(Record):
    """One transcript's file."""

    path: str
    session_id: str  # by its name; its lines may name another
    written_ns: int
    size: int
    is_a_copy: (
        bool  # it lies in another folder than Claude Code's, and when it was written says little
    )

    def may_go_on(self, ended_ns: int) -> bool:
        """Whether its session may still be at work, if its newest turn ended at `ended_ns`."""
        since = time.time_ns() - YOUNG_SECONDS * 1_000_000_000
        return self.written_ns > since and (ended_ns > since or not self.is_a_copy)


def claude_folder() -> Path:
    """Claude Code's folder."""
    return Path(os.environ.get("CLAUDE_CONFIG_DIR") or Path("~/.claude").expanduser())


def find(paths: Iterable[Path], since_ns: int) -> list[Transcript]:
    """The transcripts in these files and folders, without those that were last written to before
    `since_ns`; oldest first, so that a conversation comes before its forks, which repeat it.
    Without paths, those of Claude Code's folder. Raises BadInput for a path that is not there."""
    given, own = list(paths), claude_folder().absolute() / "projects"
    files: Iterable[Path]
    files = (file for path in given for file in _files(path)) if given else own.glob("*/*.jsonl")
    found: dict[str, Transcript] = {}
    for file in files:
        try:
            facts = file.stat()
        except OSError:
            continue
        if facts.st_mtime_ns >= since_ns and facts.st_size:
            file = file.absolute()
            is_a_copy = not file.is_relative_to(own)
            found[str(file)] = Transcript(
                str(file), file.stem, facts.st_mtime_ns, facts.st_size, is_a_copy
            )
    return sorted(found.values(), key=lambda one: (one.written_ns, one.path))


def living_sessions() -> frozenset[str]:
    """The sessions that a running client has open, as far as its own files say."""
    found = set()
    for file in (claude_folder() / "sessions").glob("*.json"):
        try:
            value = json.loads(read_regular_file(str(file), _LIVE_FILE_LIMIT) or b"")
            if isinstance(value["sessionId"], str) and _is_running(value["pid"]):
                found.add(value["sessionId"])
        except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
            continue
    return frozenset(found)


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        # The transcripts of subagents belong to their session's.
        yield from (file for file in path.rglob("*.jsonl") if file.parent.name != "subagents")
    elif path.exists():
        yield path
    else:
        raise BadInput(f"{path} does not exist")


def _is_running(pid: int) -> bool:
    """In doubt a session lives: its last turn is only imported later."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
