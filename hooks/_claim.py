"""Which of two registered copies of a printing hook prints. Settings and a plugin may both have
registered it; then both copies run at once for the same call. Hot path.

The copies agree on a file of the spool's `tmp/`: the first one there writes the time and the call
into it, the other finds its own call in it."""

import time

from fleet_lib import paths, spool
from fleet_lib.small_os import os

_COPY_WINDOW_NS = 1_000_000_000


def claim(home: str, event: str, session_id: str, prompt_id: str, source: str) -> bool:
    """Whether this copy is the one that prints."""
    import fcntl

    # A prompt's id names the call. Without one the copies run within the same second. Their parent
    # says nothing: it may be a shell of their own.
    call = " ".join((prompt_id, source)).encode("utf-8", "replace")
    try:
        descriptor = _open(home, _file(home, event, session_id))
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        when, _, last = os.read(descriptor, 4096).partition(b" ")
        is_recent = when.isdigit() and 0 <= time.time_ns() - int(when) < _COPY_WINDOW_NS
        # A prompt is answered once, however late its copy runs. A session may start again within a
        # prompt, each time it is compacted.
        if last == call and (is_recent or (prompt_id and event == "UserPromptSubmit")):
            return False
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(time.time_ns()).encode() + b" " + call, 0)
    except OSError:
        pass  # better shown twice than never
    return True


def _open(home: str, path: str) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:  # the spool's first use
        spool.make_folders(home)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def release_start(home: str, session_id: str) -> None:
    """Let a session that ended start again within the same second and be shown its prelude."""
    try:
        os.unlink(_file(home, "SessionStart", session_id))
    except OSError:
        pass


def _file(home: str, event: str, session_id: str) -> str:
    session = spool.safe_session_id(session_id) or "-"
    return os.path.join(paths.spool(home, "tmp"), f"printed.{event}.{session}")
