"""The job runner's entry: `python -I run_jobs.py FLEET_HOME [SECONDS]`, started detached by whoever has work
for it, now or in so many seconds.

Standard library only until the lock is held, as in drain.py. One runner a home is at work, and it ends
when nothing is left to do; one more at most waits for its time. What a runner does is commander's.
"""

import fcntl
import math
import os
import subprocess
import sys
import time
from pathlib import Path

_POLL_SECONDS = 0.1


def main(home: str, after: float) -> int:
    os.chdir("/")
    if after > 0:
        waiting = _open(home, "jobs.waiting")
        if not take(waiting):
            return 0  # somebody waits already, and sees what there is then
        time.sleep(after)
        os.close(waiting)
    lock = open_lock(home)
    while take(lock):
        root = str(Path(__file__).resolve().parents[2])
        if root not in sys.path:
            sys.path.insert(0, root)
        try:
            from fleet_lib.jobs import runner

            seconds = runner.run(home, "background")
        except Exception as error:
            from fleet_lib import log

            log.write(home, "jobs", f"the runner ended: {type(error).__name__}: {error}")
            return 1
        fcntl.flock(lock, fcntl.LOCK_UN)
        # A job that came after the last look: its own runner found the lock held and ended.
        if seconds > 0:
            if seconds < math.inf:
                start(home, seconds)
            break
    return 0


def start(home: str, after: float = 0.0) -> None:
    """Start a runner that outlives this process, now or in so many seconds; one that is not needed ends at
    once."""
    subprocess.Popen(
        [sys.executable, "-I", str(Path(__file__).resolve()), home, f"{after:.1f}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )


def open_lock(home: str) -> int:
    return _open(home, "jobs.lock")


def take(lock: int, seconds: float = 0.0) -> bool:
    """Take the lock of an open descriptor, waiting for it so long."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_SECONDS)


def _open(home: str, name: str) -> int:
    return os.open(Path(home) / name, os.O_RDWR | os.O_CREAT, 0o600)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 0.0))
