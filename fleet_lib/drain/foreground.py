"""Draining in the foreground: run the drainer, or wait for the one that is running."""

import contextlib
import sys
import time
from collections.abc import Callable
from pathlib import Path

from fleet_lib import held, paths, spool, wake
from fleet_lib.drain import put_off
from fleet_lib.drain.drain import BUSY, DONE, UNUSABLE
from fleet_lib.errors import DatabaseUnusable, NoAnswer

FORGOTTEN_SECONDS = 10.0
_DEATHS = 5  # more than an entry's attempts


def drain_now(
    home: str,
    *,
    timeout: float = 660.0,
    on_wait: Callable[[int], None] | None = None,
    is_forced: bool = False,
) -> int:
    """Return once every entry that is in the spool now has been applied or quarantined, by this
    drainer or by another one; their number. `on_wait(left)` is called while another one is running.
    What is put off is tried before its time with `is_forced`.

    Raises DatabaseUnusable if the database cannot be used, or not within `timeout` seconds; the
    entries are then still in the spool, and a drainer that is running goes on. Raises NoAnswer if
    only entries are left that are put off.
    """
    with contextlib.suppress(OSError):
        spool.recover(home)
    entries = set(spool.pending(home))
    deadline = time.monotonic() + timeout
    deaths = 0
    while left := entries.intersection(spool.pending(home)):
        if not is_forced:
            left = left.intersection(put_off.waiting(home))
            if not left:
                raise NoAnswer("", put_off_words(home))
        # One that lingers applies them at once, but not what is put off: then it makes way.
        if wake.ring(home, wake.LEAVE if is_forced else wake.WAKE) and not is_forced:
            code: int | None = BUSY
        else:
            code = _run_drainer(home, is_forced, deadline)
        if code == BUSY and not _wait_for_other(home, left, 0.2):
            if trouble := lock_trouble(home):
                raise DatabaseUnusable(trouble)
            if on_wait:
                on_wait(len(left))
            _wait_for_other(home, left, 1.0)
        elif code == UNUSABLE:
            raise DatabaseUnusable(_last_reason(home))
        elif code == DONE:
            is_forced = False
        elif code is not None:
            # Killed, perhaps by an entry: after a few deaths that entry is in quarantine.
            deaths += 1
            if deaths > _DEATHS:
                raise DatabaseUnusable(f"the drainer died {deaths} times before it was done")
        if time.monotonic() > deadline:
            raise DatabaseUnusable(
                f"{len(left)} entries are still waiting after {timeout:.0f} s{holder_words(home)}"
            )
    return len(entries)


def _run_drainer(home: str, is_forced: bool, deadline: float) -> int | None:
    """The exit code of a drainer, None if it is still at work at the deadline. It is a process of
    its own: an entry that hangs ends that process and not the console."""
    import subprocess  # `fleet status` only asks who holds the lock

    drainer = subprocess.Popen(
        [sys.executable, "-I", paths.DRAINER, home, "--once", *(["--now"] if is_forced else [])],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        return drainer.wait(max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return None


def drain_forgotten(home: str) -> None:
    """Apply entries that have waited for ten seconds: their drainer was killed, and perhaps no hook
    follows. For long-running programs, in a thread; a drainer that is at work goes on."""
    waiting = put_off.waiting(home)
    received_ns = spool.name_parts(waiting[0])[0] if waiting else ""
    if received_ns and time.time_ns() - int(received_ns) < FORGOTTEN_SECONDS * 1_000_000_000:
        return
    if waiting:
        import subprocess

        subprocess.run(
            [sys.executable, "-I", paths.DRAINER, home, "--once"],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )


def lock_trouble(home: str) -> str:
    """What keeps the drainer that holds the lock from going on, and what to do; "" if nothing does."""
    holder = held.named(Path(paths.lock(home)))
    trouble = holder.trouble() if holder else ""
    return f"the drainer does not go on: {trouble}" if trouble else ""


def holder_words(home: str) -> str:
    """Who holds the drainer's lock, in parentheses; "" if nothing says it."""
    holder = held.named(Path(paths.lock(home)))
    return f" ({holder.in_words()})" if holder else ""


def put_off_words(home: str) -> str:
    now = time.time()
    places = [place for place in put_off.read(home) if place.entries]
    number = sum(len(place.entries) for place in places)
    said = "; ".join(put_off.in_words(place, now) for place in places[:3])
    more = f"; and {len(places) - 3} more" if len(places) > 3 else ""
    return f"{number} {'entry waits' if number == 1 else 'entries wait'}: {said}{more}"


def _wait_for_other(home: str, entries: set[str], seconds: float) -> bool:
    """Wait until the other drainer has applied these entries, or has ended, so that one of the
    caller's own can take the lock. False if neither happens in time."""
    deadline = time.monotonic() + seconds
    while entries.intersection(spool.pending(home)) and held.holder(Path(paths.lock(home))):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def _last_reason(home: str) -> str:
    """Why the database cannot be used, from the drainer's newest log line."""
    try:
        lines = Path(paths.log_file(home)).read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    written = [line for line in lines if " drain " in line]
    return written[-1].partition(" drain ")[2] if written else "the database cannot be used now"
