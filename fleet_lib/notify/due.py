"""Whether an alert waits to be sent, and starting the one-shot process that sends it (run.py). The
drainer asks after its commit, so this is quick and imports no Apprise."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time

from fleet_lib import clock, log, paths, wake

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    import sqlite3


def start_if_due(connection: sqlite3.Connection | None, home: str) -> None:
    """Start the sender if an alert waits that may be sent now or after its grace. Whatever goes
    wrong is only logged: it is no trouble of what was captured."""
    try:
        # Most homes have no targets: then nothing of this package is imported.
        if connection is None or not os.path.exists(paths.notify_targets(home)):  # noqa: PTH110
            return
        seconds = seconds_to_next(connection, home)
        if seconds is not None and not is_running(home):
            wake.start_notifier(home, max(seconds, 0.0))
    except Exception as error:
        log.write_once(home, "notify", f"not looked for alerts: {type(error).__name__}: {error}")


def seconds_to_next(connection: sqlite3.Connection, home: str) -> float | None:
    """Seconds until the first alert is due, by the stored state; None if none waits, or in quiet
    hours."""
    from fleet_lib.notify import settings, targets
    from fleet_lib.store.notifications import NotificationRepo

    wanted = settings.read(home)
    if wanted.is_quiet(time.time()):
        return None
    repo = NotificationRepo(connection)
    waiting = [one for target in targets.read(home) for one in repo.waiting(target.id)]
    if not waiting:
        return None
    return min(seconds_left(one.at, wanted.grace_seconds) for one in waiting)


def seconds_left(since: str, grace_seconds: int) -> float:
    """Seconds until an alert of this time is due, negative if it is already. One of the future,
    from a clock that was set back since, is due: how long it has waited is unknown."""
    return 0.0 if clock.is_ahead(since) else grace_seconds - clock.seconds_since(since)


def is_running(home: str) -> bool:
    """Whether a process sends: it looks for new alerts before it ends, after it has let go of the
    lock."""
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(paths.notify_lock(home), os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
    return False
