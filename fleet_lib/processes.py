"""Processes named so that a number given out again is not taken for them, and ending one for good."""

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

_TOLERANCE_SECONDS = 0.05  # of what is counted in hundredths
_POLL_SECONDS = 0.02
_KILL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ProcessName:
    """A process for as long as it lives: its number, and when it started (seconds since the boot, which do not
    move when somebody sets the clock)."""

    pid: int
    started: float


def name_of(pid: int) -> ProcessName | None:
    """None if there is no such process, or only what is left of one."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        boot = psutil.boot_time()  # first: some versions count the other from what this found
        return ProcessName(pid, process.create_time() - boot)
    except psutil.Error:
        return None


def is_alive(process: ProcessName) -> bool:
    found = name_of(process.pid)
    return found is not None and abs(found.started - process.started) < _TOLERANCE_SECONDS


def end(process: ProcessName, grace_seconds: float) -> None:
    """SIGTERM to its group; whatever of it and of its descendants is left after the grace, in whatever
    group, gets SIGKILL. Returns when nothing is left. A stranger with the same number is left alone."""
    if not is_alive(process):
        return
    family = {process, *_descendants(process)}
    _signal(process, signal.SIGTERM)
    _wait([process], grace_seconds)
    family.update(_descendants(process))
    # Claude Code starts its Bash tool in a session of its own, which the group's signal does not reach.
    for member in family:
        if is_alive(member):
            _signal(member, signal.SIGKILL)
    _wait(family, _KILL_SECONDS)


def end_group(leader: int) -> None:
    """SIGKILL to what a process that has ended left behind in its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def _descendants(process: ProcessName) -> list[ProcessName]:
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
    # Not with waitpid: the exit status belongs to whoever started it.
    deadline = time.monotonic() + seconds
    while any(is_alive(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
