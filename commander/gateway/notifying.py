"""Sending messages while the gateway runs: it does what fleet_lib/notify/run.py does otherwise, and
holds its lock, so that no such process is started."""

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from fleet_lib import held, log, paths
from fleet_lib.errors import FleetError
from fleet_lib.notify import targets
from fleet_lib.notify.deliver import look
from fleet_lib.notify.due import start_if_due
from fleet_lib.redact import redact
from fleet_lib.store import db

_POLL_SECONDS = 2.0
_LONGEST_SECONDS = 30.0  # between two looks: quiet hours end, and a failed target is tried again
_END_SECONDS = 5.0


class Notifying:
    """A thread that looks for alerts when the database has changed, or when one is due."""

    def __init__(self, home: str) -> None:
        self._home = home
        self._lock: int | None = None
        self._is_over = threading.Event()
        self._seen: tuple[tuple[int, int, int], ...] = ()
        self._look_at = 0.0  # monotonic

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Send messages as long as this context is open."""
        thread = threading.Thread(target=self._follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._is_over.set()
            thread.join(_END_SECONDS)  # what is being sent is noted, so it is not sent again
            if self._lock is not None:
                os.close(self._lock)
                self._hand_over()

    def _hand_over(self) -> None:
        """An alert that is not due yet is sent by a process of its own."""
        with contextlib.suppress(FleetError, sqlite3.Error, OSError):
            path = paths.database(self._home)
            with contextlib.closing(db.connect_read_only(path)) as connection:
                start_if_due(connection, self._home)

    def _follow(self) -> None:
        while not self._is_over.wait(_POLL_SECONDS):
            try:
                self._step()
            except (FleetError, sqlite3.Error, OSError) as error:
                log.write_once(self._home, "notify", redact(f"{type(error).__name__}: {error}"))
                self._look_at = time.monotonic() + _LONGEST_SECONDS

    def _step(self) -> None:
        if not targets.exist(self._home):
            return
        if self._lock is None:
            self._lock = held.hold(Path(paths.notify_lock(self._home)))
            if self._lock is None:
                return  # a process that was started before sends what waits, and then ends
        seen = _stamps(self._home)
        if seen == self._seen and time.monotonic() < self._look_at:
            return
        self._seen = seen
        self._look_at = time.monotonic() + min(look(self._home), _LONGEST_SECONDS)


def _stamps(home: str) -> tuple[tuple[int, int, int], ...]:
    """What changes when the database, the targets or the settings do."""
    database = paths.database(home)
    found = []
    settings = os.path.join(home, "config.toml")  # noqa: PTH118  all are texts
    for path in (database, f"{database}-wal", paths.notify_targets(home), settings):
        with contextlib.suppress(OSError):
            facts = os.stat(path)  # noqa: PTH116  a plain question, every two seconds
            found.append((facts.st_ino, facts.st_size, facts.st_mtime_ns))
    return tuple(found)
