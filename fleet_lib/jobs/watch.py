"""A job's `claude`, and what ends it if its runner is killed: `python -I watch.py LIFELINE COMMAND…`.

The runner holds the other end of the pipe LIFELINE and writes nothing to it. When the runner dies,
however that happens, the pipe ends, and this process ends `claude` with all that it started, since
nothing else would keep the job's time limit. Everything else (stdin, output, exit code) is as if the
command had been started directly.
"""

import os
import signal
import sys
import threading
from pathlib import Path

_GRACE_SECONDS = 5.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main(lifeline: int, command: list[str]) -> int:
    # Signals for the job are sent to its whole group: `claude` decides what they mean.
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    closed = [(os.POSIX_SPAWN_CLOSE, lifeline)]
    try:
        child = os.posix_spawn(
            command[0], command, os.environ, file_actions=closed, setsigdef=_SIGNALS
        )
    except OSError as error:
        print(f"{command[0]} cannot be started: {error.strerror}", file=sys.stderr)
        return 127
    for stream in (0, 1):  # they are the command's: its end must be seen
        os.close(stream)
    is_ending = threading.Event()
    arguments = (lifeline, child, is_ending)
    watching = threading.Thread(target=_end_with_runner, args=arguments, daemon=True)
    watching.start()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if is_ending.is_set():
        watching.join()  # what the command has started may outlive it
    return code if code >= 0 else 128 - code  # as a shell says which signal ended it


def _end_with_runner(lifeline: int, child: int, is_ending: threading.Event) -> None:
    os.read(lifeline, 1)
    is_ending.set()
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from fleet_lib import processes

    name = processes.name_of(child)
    if name:
        processes.end(name, _GRACE_SECONDS)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
