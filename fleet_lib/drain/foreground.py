"""Draining in the foreground: run the drainer, or wait for the one that is at work."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from fleet_lib import paths, spool
from fleet_lib.drain import drain as drainer_entry
from fleet_lib.errors import DatabaseUnusable

_DEATHS = 5  # more than an entry's attempts


def drain(
    home: str, *, timeout: float = 660.0, on_wait: Callable[[int], None] | None = None
) -> int:
    """Return when everything that is in the spool now has been applied or quarantined, and how much
    that was, also when another drainer did it. `on_wait(left)` is called while that one is at work.

    Raises DatabaseUnusable when the database cannot be used, or not within `timeout` seconds; the entries
    are still there then, and a drainer that is at work goes on.
    """
    with contextlib.suppress(OSError):
        spool.recover(home)
    there = set(spool.pending(home))
    deadline = time.monotonic() + timeout
    deaths = 0
    while left := there.intersection(spool.pending(home)):
        script = Path(drainer_entry.__file__)
        # A process of its own: an entry that hangs is ended with it, and not with the console.
        drainer = subprocess.Popen(
            [sys.executable, "-I", str(script), home],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            code = drainer.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            code = None
        if code == drainer_entry.BUSY:
            if on_wait:
                on_wait(len(left))
            _wait_for_other(home)
        elif code == drainer_entry.UNUSABLE:
            raise DatabaseUnusable(_last_reason(home))
        elif code not in (None, drainer_entry.DONE):
            # An entry ended it, or somebody did: after a few times the entry is in quarantine.
            deaths += 1
            if deaths > _DEATHS:
                raise DatabaseUnusable(f"the drainer ended {deaths} times before it was done")
        if time.monotonic() > deadline:
            raise DatabaseUnusable(f"{len(left)} entries still wait after {timeout:.0f} s")
    return len(there)


def _wait_for_other(home: str) -> None:
    """Wait a moment for the other drainer. Nobody drains while this holds the lock, so it lets go at
    once, and the caller's own drainer looks at the spool next."""
    # Rarely needed, and it takes as long to import as the rest of a `fleet status`.
    from filelock import FileLock, Timeout

    try:
        with FileLock(paths.lock(home), timeout=1.0, poll_interval=0.02, mode=0o600):
            pass
    except Timeout:
        pass


def _last_reason(home: str) -> str:
    """The drainer's own words about why the database cannot be used."""
    try:
        lines = Path(paths.log_file(home)).read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    mine = [line for line in lines if " drain " in line]
    return mine[-1].partition(" drain ")[2] if mine else "the database cannot be used now"
