"""The process that sends messages: `python -I run.py FLEET_HOME DELAY_SECONDS`, started detached by
due.start_if_due. It waits out the grace of the first alert, sends what is due, and ends when nothing
waits. One works per home; while a gateway runs, that does the work instead.

Standard library only until the delay is over: what waits must be small.
"""

import contextlib
import fcntl
import math
import os
import sys
import time
from pathlib import Path

# How soon it notices that the home was removed. Uninstalling ends it by its process id.
_LOOK_SECONDS = 2.0
# Settings that are younger may not be those from which the delay was worked out.
_YOUNG_SECONDS = 60.0


def main(home: str, delay_seconds: float) -> int:
    with contextlib.suppress(PermissionError):  # it leads a session already
        os.setsid()
    os.chdir("/")
    os.umask(0o077)
    os.closerange(3, 4096)  # descriptors inherited from Claude Code must not stay open
    path = Path(home, "notify.lock")
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        return 0  # the home is gone
    if not _take(lock):
        return 0  # the process that holds it looks at all alerts before it ends
    before = _changed(path.parent)
    if not before or max(before) / 1e9 < time.time() - _YOUNG_SECONDS:
        _sleep(path, lock, delay_seconds, before)
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    try:
        from fleet_lib import log
        from fleet_lib.notify import deliver
        from fleet_lib.redact import redact
    except ImportError:
        return 0  # Fleet was uninstalled meanwhile

    try:
        while True:
            before = _changed(path.parent)  # what is written while it looks counts, too
            while (seconds := deliver.look(home)) < math.inf:
                _sleep(path, lock, seconds, before)
                before = _changed(path.parent)
            _release(lock)
            # An alert may have come after the last look, when the lock was still held.
            if not deliver.is_pending(home) or not _take(lock):
                return 0
    except Exception as error:
        if _is_there(path, lock):
            log.write_once(home, "notify", redact(f"{type(error).__name__}: {error}"))
        return 1


def _take(lock: int) -> bool:
    """Lock the file, and write into it who holds it, as held.py reads it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    with contextlib.suppress(OSError):
        os.pwrite(lock, f"{os.getpid()}\n{os.path.realpath(sys.prefix)}\n".encode(), 0)
    return True


def _release(lock: int) -> None:
    with contextlib.suppress(OSError):
        os.ftruncate(lock, 0)
    fcntl.flock(lock, fcntl.LOCK_UN)


def _sleep(path: Path, lock: int, seconds: float, before: list[int]) -> None:
    """Wait, but not any longer once settings or targets were written at other times than `before`.
    End the process if the home is removed meanwhile. The steady clock counts, whatever the wall's
    does."""
    deadline = time.monotonic() + seconds
    while True:
        if not _is_there(path, lock):
            sys.exit(0)
        left = deadline - time.monotonic()
        if left <= 0 or _changed(path.parent) != before:
            return
        time.sleep(min(left, _LOOK_SECONDS))


def _changed(home: Path) -> list[int]:
    """When settings and targets were written."""
    found = []
    for name in ("config.toml", "notify.json"):
        with contextlib.suppress(OSError):
            found.append((home / name).stat().st_mtime_ns)
    return found


def _is_there(path: Path, lock: int) -> bool:
    with contextlib.suppress(OSError):
        return path.stat().st_ino == os.fstat(lock).st_ino
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2])))
