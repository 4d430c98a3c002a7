"""The runner's entry: the standard library alone, until it has the lock. One runner a home is at work.

python -I start.py FLEET_HOME     works until nothing is left to do, in the background
"""

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

_POLL_SECONDS = 0.1


def main(home: str) -> int:
    os.chdir("/")
    root = str(Path(__file__).resolve().parents[1])
    lock = open_lock(home)
    while take(lock):
        if root not in sys.path:
            sys.path.insert(0, root)
        try:
            from commander.jobs import runner

            left = runner.run(home, "background")
        except Exception as error:
            from fleet_lib import log

            log.write(home, "jobs", f"the runner ended: {type(error).__name__}: {error}")
            return 1
        fcntl.flock(lock, fcntl.LOCK_UN)
        # A job that came after the last look: its own runner found the lock held and ended.
        if not left:
            break
    return 0


def start(home: str) -> None:
    """Start a runner that outlives this process; one that is not needed ends at once."""
    subprocess.Popen(
        [sys.executable, "-I", str(Path(__file__).resolve()), home],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )


def open_lock(home: str) -> int:
    return os.open(Path(home) / "jobs.lock", os.O_RDWR | os.O_CREAT, 0o600)


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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
