"""Identifies a process by pid and start time, so that a reused pid is not mistaken for it, and ends
one with its descendants."""

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from fleet_lib.records import Record

_HAS_PROC = Path("/proc/self/stat").exists()
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# No machine has been up for so many seconds, and no clock is before them.
_FIRST_UNIX_SECONDS = 1e9
_TOLERANCE_SECONDS = 0.02  # a runner's name has two decimals
_CLOCK_TOLERANCE_SECONDS = 2.0
_POLL_SECONDS = 0.02
_KILL_SECONDS = 5.0


class ProcessName(Record):
    """A process for as long as it lives: its pid, and when it started in seconds since the boot,
    which does not move when the clock is set. Without /proc, and in rows of earlier versions, Unix
    seconds."""

    pid: int
    started: float


def name_of(pid: int) -> ProcessName | None:
    """The process with this pid; None if there is none, or only a zombie."""
    started = _since_boot(pid) if _HAS_PROC else _by_the_clock(pid)
    return None if started is None else ProcessName(pid, started)


def is_alive(process: ProcessName) -> bool:
    if process.started < _FIRST_UNIX_SECONDS:
        started, tolerance = _since_boot(process.pid), _TOLERANCE_SECONDS
    else:
        started, tolerance = _by_the_clock(process.pid), _CLOCK_TOLERANCE_SECONDS
    return started is not None and abs(started - process.started) < tolerance


def _since_boot(pid: int) -> float | None:
    try:
        # The second field is the program's name, in parentheses, and may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19]) / TICKS_PER_SECOND


def _by_the_clock(pid: int) -> float | None:
    import psutil  # slow to import, and Linux needs it only to end a process

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def end(process: ProcessName, grace_seconds: float) -> None:
    """SIGTERM to its group; what is left of it and its descendants after the grace, in any group,
    gets SIGKILL. Returns when nothing is left. Another process that was given the same pid is left
    alone."""
    if not is_alive(process):
        return
    family = {process, *_descendants(process)}
    _signal(process, signal.SIGTERM)
    _wait([process], grace_seconds)
    family.update(_descendants(process))
    # Claude Code starts its Bash tool in a session of its own, which the group's signal does not
    # reach.
    for member in family:
        if is_alive(member):
            _signal(member, signal.SIGKILL)
    _wait(family, _KILL_SECONDS)


def end_group(leader: int) -> None:
    """SIGKILL to what a process that has ended left behind in its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def _descendants(process: ProcessName) -> list[ProcessName]:
    import psutil

    try:
        children = psutil.Process(process.pid).children(recursive=True)
    except psutil.Error:
        return []
    named = (name_of(child.pid) for child in children)
    return [name for name in named if name]


def _signal(process: ProcessName, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, number)
        else:
            os.kill(process.pid, number)


def _wait(processes: Iterable[ProcessName], seconds: float) -> None:
    # Not with waitpid: the exit status belongs to its parent.
    deadline = time.monotonic() + seconds
    while any(is_alive(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
