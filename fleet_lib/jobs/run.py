"""The job runner's process: `python -I run.py FLEET_HOME [DELAY_SECONDS]`, started detached by
wake.start_job_runner.

Standard library only until the lock is held, like drain.py: most starts find a runner at work and
end here. One runner works per home and ends when nothing is left to do; at most one more waits for
its time.
"""

import fcntl
import math
import os
import sys
import time
from pathlib import Path

_POLL_SECONDS = 0.1


def main(home: str, delay_seconds: float) -> int:
    os.chdir("/")
    if delay_seconds > 0:
        waiting = _open(home, "jobs.waiting")
        if not take(waiting):
            return 0  # another runner is waiting and will see what there is to do
        time.sleep(delay_seconds)
        os.close(waiting)
    lock = open_lock(home)
    while take(lock):
        root = str(Path(__file__).resolve().parents[2])
        if root not in sys.path:
            sys.path.insert(0, root)
        try:
            from fleet_lib import wake
            from fleet_lib.jobs import runner

            seconds = runner.run(home, "background")
        except Exception as error:
            from fleet_lib import log
            from fleet_lib.redact import redact

            reason = redact(f"{type(error).__name__}: {error}")
            log.write(home, "jobs", f"the job runner failed: {reason}")
            return 1
        fcntl.flock(lock, fcntl.LOCK_UN)
        # 0.0: a job came after the last look, and the runner started for it found the lock held.
        if seconds > 0:
            if seconds < math.inf:
                wake.start_job_runner(home, seconds)
            break
    return 0


def open_lock(home: str) -> int:
    return _open(home, "jobs.lock")


def take(lock: int, seconds: float = 0.0) -> bool:
    """Lock an open descriptor, waiting up to `seconds`. False if another process has it."""
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
