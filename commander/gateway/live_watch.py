"""Noticing that a session's live state has changed: Claude Code's session files are watched, and
looked at once a second while a client is connected, because a killed process changes no file."""

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from fleet_lib import live, paths
from fleet_lib.errors import FleetError
from fleet_lib.prelude.live_sessions import live_sessions
from fleet_lib.store import db
from fleet_lib.store.sessions import SessionRepo
from fleet_lib.views.tailer import identity, watching

_POLL_SECONDS = 1.0
_SETTLE_SECONDS = 0.05  # a client writes a file in several steps
_PLACES_SECONDS = 60.0  # between two looks at which folders there are


class LiveWatch:
    """Counts the changes of live state. `has_clients` says whether it is worth looking."""

    def __init__(self, home: str, has_clients: Callable[[], bool]) -> None:
        self._database = paths.database(home)
        self._has_clients = has_clients
        self._touched = threading.Event()
        self._is_over = threading.Event()
        self._news = asyncio.Event()
        self.changes = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watch as long as this context is open."""
        loop = asyncio.get_running_loop()
        thread = threading.Thread(target=self._follow, args=(loop,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._is_over.set()
            self._touched.set()
            await asyncio.to_thread(thread.join, 5.0)

    def touch(self) -> None:
        """Look now: what a session shows may have changed. From any thread."""
        self._touched.set()

    async def wait(self, changes: int) -> int:
        """Wait until there were more changes than that; how many there were."""
        while self.changes == changes:
            await self._news.wait()
        return self.changes

    def _follow(self, loop: asyncio.AbstractEventLoop) -> None:
        """The body of a thread. Trouble with the database is the hub's to report."""
        known: list[tuple[str, ...]] = []
        while not self._is_over.is_set():
            with contextlib.suppress(FleetError, sqlite3.Error, OSError):
                opened = identity(self._database)
                with contextlib.closing(db.connect_read_only(self._database)) as connection:
                    for found in self._looks(connection, opened):
                        if found != known:
                            known = found
                            loop.call_soon_threadsafe(self._wake)
            self._is_over.wait(_SETTLE_SECONDS)

    def _looks(
        self, connection: sqlite3.Connection, opened: tuple[int, int] | None
    ) -> Iterator[list[tuple[str, ...]]]:
        """The states, each time they may have changed; until there is another database, or it is
        time to ask for the folders again. A database is not opened for each look: that could come
        between the steps of its replacement."""
        until = time.monotonic() + _PLACES_SECONDS
        with contextlib.ExitStack() as stack:
            # Not the folders on other devices: watching one on a mount that is gone would hang.
            for place in live.near_session_folders(connection):
                stack.enter_context(watching(Path(place), _is_session_file, self._touched.set))
            while not self._is_over.is_set() and time.monotonic() < until:
                if self._touched.wait(_POLL_SECONDS):
                    self._touched.clear()
                    self._is_over.wait(_SETTLE_SECONDS)
                if identity(self._database) != opened:
                    return
                if self._has_clients():
                    yield _states(connection)

    def _wake(self) -> None:
        self.changes += 1
        news, self._news = self._news, asyncio.Event()
        news.set()


def _states(connection: sqlite3.Connection) -> list[tuple[str, ...]]:
    """What a session shows without an event: its client's file says it, or it was hidden,
    here or at the console, or the time of that has come."""
    living = live_sessions(connection, is_thorough=True).values()
    hidden = SessionRepo(connection).hidden()
    return [
        *sorted((one.session_id, one.state, one.since, one.text) for one in living),
        *sorted((one.session_id, str(one.hidden_until)) for one in hidden),
    ]


def _is_session_file(path: str) -> bool:
    return path.endswith(".json")
