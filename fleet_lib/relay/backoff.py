"""When the next exchange may begin that no one asked for: the time of the file `not-before`. And the
locks: one exchange at a time, at most one more that waits, and a runner that makes both needless.
Standard library only, since most starts end here."""

import fcntl
import os
import time

from fleet_lib import paths
from fleet_lib.wake import RELAY_SECONDS

NOTE_SECONDS = 15.0  # how often a runner notes that it is connected
_LONGEST_SECONDS = 600.0
_POLL_SECONDS = 0.05


def set_next(home: str, failures: int) -> None:
    """The next exchange may begin in ten seconds; after failures in a row later."""
    pause = min(RELAY_SECONDS * 2 ** min(failures, 10), _LONGEST_SECONDS)
    path = paths.relay(home, "not-before")
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        at = time.time() + pause
        os.utime(path, (at, at))
    except OSError:
        pass  # the home has left the relay


def seconds_left(home: str) -> float:
    try:
        left = os.stat(paths.relay(home, "not-before")).st_mtime - time.time()
    except OSError:
        return 0.0
    return max(left, 0.0) if left <= _LONGEST_SECONDS else 0.0  # the clock was set back


class Lock:
    """One of the locks `exchange`, `waiting` and `running`; released with the process."""

    def __init__(self, home: str, name: str) -> None:
        path = paths.relay(home, f"{name}.lock")
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def take(self, seconds: float = 0.0) -> bool:
        """False if another process has it all the time."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return False
                time.sleep(_POLL_SECONDS)

    def release(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._descriptor)


def is_running(home: str) -> bool:
    """Whether a process exchanges all the time."""
    try:
        lock = Lock(home, "running")
    except OSError:
        return False
    try:
        return not lock.take()
    finally:
        lock.close()
