"""Runs processes and measures them, with everything that they leave behind.

Commands run interleaved (A B C A B C …), so that a machine that slows down slows all of them alike.
This process adopts what a hook starts and leaves, so that a drainer's CPU is counted to the last
child that it waited for. Only Linux lets a process do that.
"""

import contextlib
import ctypes
import json
import os
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from fleet_lib import paths, spool

ROOT = Path(__file__).resolve().parent.parent
BARE = "python3 -I -c pass"
SITE_LIMIT_MS = 5.0  # DESIGN section 11: an interpreter whose site does more is no yardstick

_PR_SET_CHILD_SUBREAPER = 36
_QUIET_SECONDS = 0.4  # at most, for the disk
_IDLE_SECONDS = 0.15  # without a moment of CPU: a drainer waits for the next turn


class Cost(NamedTuple):
    wall: float  # seconds
    cpu: float  # seconds, user and system, with all children


@dataclass
class Command:
    """One row of a table, and what its runs cost."""

    name: str
    arguments: Sequence[str]
    payload: Callable[[], dict[str, Any]] | None = None  # on stdin
    environment: dict[str, str] = field(default_factory=dict)
    limit: float | None = None  # DESIGN section 11, as a ratio
    code: int = 0  # what it exits with
    costs: list[Cost] = field(default_factory=list)

    def run(self) -> Cost:
        given = json.dumps(self.payload()).encode() if self.payload else b""
        return run(self.arguments, self.environment, given, code=self.code)


def adopt_orphans() -> None:
    """From now on a process whose parent ends becomes a child of this one."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the benchmarks need Linux: they adopt the drainers")


def interleaved(commands: Sequence[Command], rounds: int, homes: Sequence[Path]) -> None:
    """Run each command once a round, and once before that does not count. What it leaves behind is
    ended, and the spools of the homes are emptied, before the next one."""
    for number in range(rounds + 1):
        for command in commands:
            cost = command.run()
            end_orphans()
            for home in homes:
                empty_spool(home)
            if homes:
                wait_for_quiet(homes[0])
            if number:
                command.costs.append(cost)


def run(
    arguments: Sequence[str], environment: dict[str, str], given: bytes = b"", *, code: int = 0
) -> Cost:
    began = time.perf_counter()
    process = subprocess.Popen(
        arguments,
        stdin=subprocess.PIPE if given else subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    if process.stdin:
        process.stdin.write(given)
        process.stdin.close()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != code:
        raise subprocess.CalledProcessError(process.returncode, arguments)
    return Cost(wall, usage.ru_utime + usage.ru_stime)


# --- what a hook leaves behind ---


def orphans() -> list[int]:
    """The adopted processes that run as drainers of a measured home."""
    return [pid for pid in children_of(os.getpid()) if _is_drainer(pid)]


def end_orphans() -> None:
    while found := orphans():  # the end of one leaves its own children
        for pid in found:
            reap(pid, signal.SIGKILL)


def cpu_of_orphans(home: Path) -> float:
    """Wait until the drainers of the home have ended, or have nothing to do; then end them. The CPU
    seconds of all of them."""
    total = 0.0
    while waiting := orphans():
        for pid in waiting:
            until_idle(pid, home)
            total += reap(pid, signal.SIGTERM)
    return total


def until_idle(
    pid: int,
    home: Path,
    seconds: float = 600.0,
    watch: Callable[[int], None] = lambda _: None,
) -> float:
    """Wait until a drainer has ended, or waits with an empty spool; the moment (of the monotonic
    clock) at which it last did something. `watch(pid)` is called from time to time."""
    deadline = time.monotonic() + seconds
    last, busy = time.monotonic(), _busy_nanoseconds(pid)
    while time.monotonic() < deadline:
        time.sleep(0.01)
        watch(pid)
        before, busy = busy, _busy_nanoseconds(pid)
        if not busy:
            return last
        if busy != before or "D" in _state(pid) or spool.pending(str(home)):
            last = time.monotonic()
        elif time.monotonic() - last > _IDLE_SECONDS:
            return last
    raise TimeoutError(f"the drainer of {home} is still busy")


def reap(pid: int, number: int = 0) -> float:
    """End an adopted process with a signal, if one is given, and wait for it; its CPU seconds."""
    if number:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    with contextlib.suppress(ChildProcessError):
        usage = os.wait4(pid, 0)[2]
        return float(usage.ru_utime + usage.ru_stime)
    return 0.0


def children_of(pid: int) -> list[int]:
    """[] once it has ended."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def _is_drainer(pid: int) -> bool:
    """Whether it is a drainer, or has no command line: it is just being started, or has ended."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return not command or paths.DRAINER.encode() in command


def _state(pid: int) -> str:
    """The state letter of the process; "" where it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


def _busy_nanoseconds(pid: int) -> list[int]:
    """The time that the process and its children have run; [] once it has ended."""
    times: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            if _state(pid) in ("Z", ""):
                return []
            times.append(int((task / "schedstat").read_text().split()[0]))
        for child in children_of(pid):
            times += _busy_nanoseconds(child)
    return times


def empty_spool(home: Path) -> None:
    for place in ("new", "tmp"):
        for path in Path(paths.spool(str(home), place)).iterdir():
            path.unlink(missing_ok=True)


def wait_for_quiet(folder: Path) -> None:
    """Wait until the disk is done with what was written before: a drain's fsyncs would slow the next
    hook by a third."""
    deadline = time.monotonic() + _QUIET_SECONDS
    least = None
    while time.monotonic() < deadline:
        taken = _fsync_seconds(folder)
        if least is not None and taken < 1.5 * least:
            return
        least = min(taken, least or taken)
        time.sleep(0.01)


def _fsync_seconds(folder: Path) -> float:
    path = folder / "quiet"
    began = time.perf_counter()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.write(descriptor, b"x" * 1000)
    os.fsync(descriptor)
    os.close(descriptor)
    taken = time.perf_counter() - began
    path.unlink()
    return taken


# --- figures ---


def median(command: Command, what: str) -> float:
    """Seconds, of `wall` or `cpu`."""
    return statistics.median(getattr(cost, what) for cost in command.costs)


def ratios(command: Command, base: Command, what: str) -> tuple[float, float, float]:
    """(ratio of the medians, first and third quartile of the rounds' own ratios)."""
    own = [
        getattr(cost, what) / getattr(bare, what)
        for cost, bare in zip(command.costs, base.costs, strict=True)
    ]
    low, _, high = statistics.quantiles(own, n=4) if len(own) > 1 else (own[0],) * 3
    return median(command, what) / median(base, what), low, high


def bare(python: str) -> Command:
    return Command(BARE, [python, "-I", "-c", "pass"])


def without_site(python: str) -> Command:
    return Command("python3 -I -S -c pass", [python, "-I", "-S", "-c", "pass"])


def yardstick_warning(base: Command, without: Command) -> str:
    """Why ratios to this interpreter say little; "" if they are sound."""
    site = 1000 * (median(base, "cpu") - median(without, "cpu"))
    if site <= SITE_LIMIT_MS:
        return ""
    return (
        f"The site of this interpreter does {site:.0f} ms of work at each start (a `.pth` file that"
        " imports something?), so it is no yardstick: the ratios below are too good."
    )
