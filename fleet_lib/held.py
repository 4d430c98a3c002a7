"""A lock file that names its holder: the gateway's and the drainer's. Python 3.9 and later, standard
library only, since the installer asks it too."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import time

from fleet_lib import wake
from fleet_lib.records import Record

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from pathlib import Path

# A drainer says something new more often, and its watchdog ends it before that if it can.
STUCK_SECONDS = 200.0
IDLE = "waiting for the next entry"  # what a drainer that lingers does: no trouble, however long
_LONGEST_TEXT = 300


class Holder(Record):
    """The process that holds a lock."""

    pid: int
    environment: str  # the folder of its Python environment: which installed version it runs
    since: float = 0.0  # Unix seconds
    doing: str = ""
    said_at: float = 0.0  # when it wrote that, in Unix seconds

    def in_words(self) -> str:
        since = f", for {max(0, round(time.time() - self.since))} s" if self.since else ""
        doing = f": {self.doing}" if self.doing else ""
        return f"process {self.pid}{since}{doing}"

    def trouble(self) -> str:
        """Why it does not go on, and what to do, in one line; "" if it is at work."""
        state = _state_of(self.pid)
        if state in ("T", "t"):
            return (
                f"process {self.pid} is stopped: `kill -CONT {self.pid}` lets it continue,"
                f" `kill -9 {self.pid}` ends it"
            )
        if self.doing == IDLE and state != "D":
            return ""  # a laptop may have slept meanwhile
        silent = time.time() - self.said_at
        if not self.said_at or silent < STUCK_SECONDS:
            return ""
        doing = f" ({self.doing})" if self.doing else ""
        advice = f"`kill -9 {self.pid}` ends it, and nothing is lost"
        if state == "D":
            advice += ", once the disk that it waits for answers"
        return f"process {self.pid} makes no progress for {silent:.0f} s{doing}: {advice}"

    @property
    def note(self) -> str:
        """One line that the holder added, such as its address."""
        return self.doing


def hold(path: Path, note: str = "") -> int | None:
    """Lock the file until the descriptor is closed or the process ends, and write into it who holds
    it. None if another process has it. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    name(descriptor, note)
    return descriptor


def name(descriptor: int, doing: str = "") -> None:
    """Write into a lock file that this process holds it since now, and what it does. A disk that
    is full stops nothing."""
    doing = "".join(char if char.isprintable() else "?" for char in doing[:_LONGEST_TEXT])
    process = (os.getpid(), os.path.realpath(sys.prefix), _started(os.getpid()), time.time())
    _write(descriptor, (*process, doing, wake.view()))


def say(descriptor: int, doing: str) -> None:
    """Write into a lock file that `name` wrote what its holder does now."""
    lines = os.pread(descriptor, 8192, 0).decode("utf-8", "replace").split("\n")
    if len(lines) > 3:
        doing = "".join(char if char.isprintable() else "?" for char in doing[:_LONGEST_TEXT])
        _write(descriptor, (*lines[:4], doing, *lines[5:6]))


def release(descriptor: int) -> None:
    """Take the name out and unlock the file."""
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
    fcntl.flock(descriptor, fcntl.LOCK_UN)


def holder(path: Path) -> Holder | None:
    """Who holds a lock that `hold` made; None if no process does. The file says it, but only the lock
    proves that it still is so."""
    try:
        with path.open("r+", encoding="utf-8", errors="replace") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _read(path)
    except OSError:
        pass
    return None


def named(path: Path) -> Holder | None:
    """The living process that a lock file names as its holder. The lock is not touched: another
    process that wants it at this moment would find it held."""
    found = _read(path)
    if found is None:
        return _listed(path)
    try:
        started = path.read_text("utf-8", "replace").split("\n")[2]
    except (OSError, IndexError):
        return None
    return found if _started(found.pid) == started and _is_there(found.pid) else _listed(path)


def _read(path: Path) -> Holder | None:
    try:
        lines = path.read_text("utf-8", "replace").split("\n")
        said_at = path.stat().st_mtime
    except OSError:
        return None
    if not lines[0].isdecimal():
        return None
    lines += [""] * 5
    try:
        since = float(lines[3] or 0)
    except ValueError:
        since = 0.0
    return Holder(int(lines[0]), lines[1].strip(), since, lines[4], said_at)


def _listed(path: Path) -> Holder | None:
    """The holder as Linux lists it, where the file does not name it."""
    try:
        facts = path.stat()
        with open("/proc/locks", encoding="ascii", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    device = f"{os.major(facts.st_dev):02x}:{os.minor(facts.st_dev):02x}:{facts.st_ino}"
    for line in lines:
        fields = line.split()
        if "FLOCK" in fields and "->" not in fields and device in fields:
            pid = int(fields[fields.index(device) - 1])
            return Holder(pid, "") if pid > 0 else None
    return None


def _write(descriptor: int, lines: tuple[object, ...]) -> None:
    data = "\n".join(str(line) for line in lines).encode("utf-8", "replace") + b"\n"
    with contextlib.suppress(OSError):
        os.pwrite(descriptor, data, 0)
        os.ftruncate(descriptor, len(data))


def _fields(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat after the program's name; [] where there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read().rpartition(b")")[2]
    except OSError:
        return []
    return text.decode("ascii", "replace").split()


def _started(pid: int) -> str:
    """When a process started, as the system counts; "" where it does not say."""
    fields = _fields(pid)
    return fields[19] if len(fields) > 19 else ""


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _state_of(pid: int) -> str:
    """The letter of a process's state: T is stopped, D waits for a disk and cannot be ended."""
    if fields := _fields(pid):
        return fields[0]
    import subprocess  # here, since only a system without /proc needs it

    try:
        command = ["ps", "-o", "state=", "-p", str(pid)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()[:1]
