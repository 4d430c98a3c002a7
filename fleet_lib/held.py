"""A lock file that names its holder, for programs that run for long. Python 3.9 and later, standard
library only, since the installer asks it too."""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path

from fleet_lib.records import Record


class Holder(Record):
    """The process that holds a lock."""

    pid: int
    environment: str  # the folder of its Python environment: which installed version it runs
    note: str = ""  # one line that the holder added, such as its address


def hold(path: Path, note: str = "") -> int | None:
    """Lock the file until the descriptor is closed or the process ends, and write into it who holds
    it. None if another process has it. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n{os.path.realpath(sys.prefix)}\n{note}\n".encode(), 0)
    return descriptor


def holder(path: Path) -> Holder | None:
    """Who holds a lock that `hold` made; None if no process does. The file says it, but only the lock
    proves that it still is so."""
    try:
        with path.open("r+", encoding="utf-8", errors="replace") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                pid, environment, note = (*file.read(8192).split("\n"), "", "")[:3]
                return Holder(int(pid), environment.strip(), note) if pid.isdecimal() else None
    except OSError:
        pass
    return None
