"""Draining in the foreground: run the drainer, or wait for the one that is running."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from fleet_lib import paths, spool
from fleet_lib.drain.drain import BUSY, DONE, UNUSABLE
from fleet_lib.errors import DatabaseUnusable

FORGOTTEN_SECONDS = 10.0
_DEATHS = 5  # more than an entry's attempts


def drain_now(
    home: str, *, timeout: float = 660.0, on_wait: Callable[[int], None] | None = None
) -> int:
    """Return once every entry that is in the spool now has been applied or quarantined, by this
    drainer or by another one; their number. `on_wait(left)` is called while another one is running.

    Raises DatabaseUnusable if the database cannot be used, or not within `timeout` seconds; the
    entries are then still in the spool, and a drainer that is running goes on.
    """
    with contextlib.suppress(OSError):
        spool.recover(home)
    entries = set(spool.pending(home))
    deadline = time.monotonic() + timeout
    deaths = 0
    while left := entries.intersection(spool.pending(home)):
        # A process of its own: an entry that hangs ends that process and not the console.
        drainer = subprocess.Popen(
            [sys.executable, "-I", paths.DRAINER, home],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            code = drainer.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            code = None
        if code == BUSY:
            if on_wait:
                on_wait(len(left))
            _wait_for_other(home)
        elif code == UNUSABLE:
            raise DatabaseUnusable(_last_reason(home))
        elif code not in (None, DONE):
            # Killed, perhaps by an entry: after a few deaths that entry is in quarantine.
            deaths += 1
            if deaths > _DEATHS:
                raise DatabaseUnusable(f"the drainer died {deaths} times before it was done")
        if time.monotonic() > deadline:
            raise DatabaseUnusable(f"{len(left)} entries are still waiting after {timeout:.0f} s")
    return len(entries)


def drain_forgotten(home: str) -> None:
    """Apply entries that have waited for ten seconds: their drainer was killed, and perhaps no hook
    follows. For long-running programs, in a thread; a drainer that is at work goes on."""
    waiting = spool.pending(home)
    received_ns = spool.name_parts(waiting[0])[0] if waiting else ""
    if received_ns and time.time_ns() - int(received_ns) < FORGOTTEN_SECONDS * 1_000_000_000:
        return
    if waiting:
        subprocess.run(
            [sys.executable, "-I", paths.DRAINER, home],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )


def _wait_for_other(home: str) -> None:
    """Wait a moment for the other drainer; the caller's own drainer then takes the lock."""
    # Rarely needed, and its import takes as long as the rest of a `fleet status`.
    from filelock import FileLock, Timeout

    try:
        with FileLock(paths.lock(home), timeout=1.0, poll_interval=0.02, mode=0o600):
            pass
    except Timeout:
        pass


def _last_reason(home: str) -> str:
    """Why the database cannot be used, from the drainer's newest log line."""
    try:
        lines = Path(paths.log_file(home)).read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    written = [line for line in lines if " drain " in line]
    return written[-1].partition(" drain ")[2] if written else "the database cannot be used now"
