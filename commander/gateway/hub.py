"""The events on their way to the clients. One tailer reads the outbox into memory. Each client has
a cursor of its own and reads from memory or, if it is further behind, from the database. Nothing is
queued for a client, so a slow one delays no other.
"""

import asyncio
import bisect
import contextlib
import sqlite3
import sys
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass

from commander.gateway.messages import wire_form
from fleet_lib import log, paths
from fleet_lib.errors import FleetError
from fleet_lib.redact import redact
from fleet_lib.store import db
from fleet_lib.store.outbox import OutboxEvent, OutboxRepo
from fleet_lib.views.tailer import PAGE, Tailer, identity

_KEPT_EVENTS = 5000  # in memory
_KEPT_BYTES = 32_000_000  # in memory, however few events that is
_BATCH_EVENTS = 200  # that a client is sent at once
_MARK_SECONDS = 0.25
_UNMARKED_IDS = 100_000  # that wait to be marked as delivered; the newest ones, if there are more
_RETRY_SECONDS = 1.0  # short: opening a database is cheap, and every client waits for it


@dataclass(frozen=True, slots=True)
class Frame:
    """One event as it is sent."""

    event_id: int
    text: str
    delivered: bool  # already, when it was read


class Hub:
    def __init__(self, home: str) -> None:
        self.home = home
        self._database = paths.database(home)
        self._tailer = Tailer(self._database)
        self._ids: list[int] = []
        self._frames: list[Frame] = []
        self._bytes = 0
        self._start = 0  # every event after this one is in memory
        self._end = 0
        self._news = asyncio.Event()
        self._sent: deque[int] = deque(maxlen=_UNMARKED_IDS)
        self._is_over = threading.Event()
        self.resets = 0  # how often the database was replaced or set back

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow the outbox and mark what was delivered, as long as this context is open."""
        with self.reading() as connection:
            self._start = self._end = OutboxRepo(connection).latest_id()
        loop = asyncio.get_running_loop()
        threads = [
            threading.Thread(target=self._follow, args=(loop,), daemon=True),
            threading.Thread(target=self._mark, daemon=True),
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._tailer.stop()
            self._is_over.set()
            for thread in threads:
                await asyncio.to_thread(thread.join, 5.0)

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(db.connect_read_only(self._database)) as connection:
            yield connection

    def first_cursor(self) -> int:
        """The cursor of a client that names none: before the first undelivered event."""
        with self.reading() as connection:
            waiting = OutboxRepo(connection).get_undelivered(limit=1)
            return waiting[0].event_id - 1 if waiting else OutboxRepo(connection).latest_id()

    async def after(self, cursor: int) -> list[Frame]:
        """The next events after a cursor; [] if there are none yet."""
        if cursor >= self._start:
            at = bisect.bisect_right(self._ids, cursor)
            return self._frames[at : at + _BATCH_EVENTS]
        return (await self.read(cursor))[0]

    async def read(self, cursor: int) -> tuple[list[Frame], int]:
        """The next events after a cursor, read from the database, and the newest event there."""
        return await asyncio.to_thread(self._read, cursor)

    async def wait(self, cursor: int, resets: int) -> None:
        """Wait for an event after the cursor, or for another reset."""
        while self._end <= cursor and self.resets == resets:
            await self._news.wait()

    def mark_sent(self, frames: Iterable[Frame]) -> None:
        """Note that a client was sent these events, to mark them as delivered."""
        self._sent.extend([frame.event_id for frame in frames if not frame.delivered])

    def _read(self, cursor: int) -> tuple[list[Frame], int]:
        with self.reading() as connection:
            outbox = OutboxRepo(connection)
            frames = [_frame(event) for event in outbox.get_after(cursor, PAGE)]
            return frames, frames[-1].event_id if frames else outbox.latest_id()

    def _follow(self, loop: asyncio.AbstractEventLoop) -> None:
        """The body of a thread. It survives every error: without it no client gets anything."""
        after, last_reason = self._end, ""
        while not self._tailer.is_stopped:
            try:
                for page in self._tailer.follow(after):
                    frames = [_frame(event) for event in page]
                    if frames:
                        loop.call_soon_threadsafe(self._take, frames)
                        after = frames[-1].event_id
                    else:
                        after = min(after, self._read(after)[1])
                        loop.call_soon_threadsafe(self._reset, after)
                    last_reason = ""
            except Exception as error:
                if loop.is_closed():
                    return
                reason = f"{type(error).__name__}: {error}"
                if reason != last_reason:
                    log.write(
                        self.home, "gateway", redact(f"cannot follow the outbox now: {reason}")
                    )
                last_reason = reason
                self._tailer.pause(_RETRY_SECONDS)

    def _take(self, frames: list[Frame]) -> None:
        self._frames += frames
        self._ids += [frame.event_id for frame in frames]
        self._end = frames[-1].event_id
        self._bytes += sum(sys.getsizeof(frame.text) for frame in frames)
        if len(self._frames) > 2 * _KEPT_EVENTS or self._bytes > _KEPT_BYTES:
            self._forget()
        self._wake()

    def _forget(self) -> None:
        """Keep the newest events, half of what is allowed, so that this seldom happens."""
        at, self._bytes = len(self._frames), 0
        while len(self._frames) - at < _KEPT_EVENTS:
            size = sys.getsizeof(self._frames[at - 1].text)
            if self._bytes + size > _KEPT_BYTES // 2:
                break
            at, self._bytes = at - 1, self._bytes + size
        self._start = self._ids[at - 1]
        self._ids, self._frames = self._ids[at:], self._frames[at:]

    def _reset(self, cursor: int) -> None:
        """The database was replaced or set back: forget what was read from it before."""
        self._ids, self._frames, self._bytes = [], [], 0
        self._start = self._end = cursor
        self._sent.clear()
        self.resets += 1
        self._wake()

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _mark(self) -> None:
        """The body of a thread. It marks sent events as delivered, and tries again what failed: an
        event that is sent twice is better than one that is marked and was not sent."""
        waiting: set[int] = set()
        connection, opened, resets, pause = None, None, 0, _MARK_SECONDS
        last_reason = ""
        is_last = False
        while not is_last:
            is_last = self._is_over.wait(pause)
            if resets != self.resets:
                waiting.clear()  # these ids are the old database's
            while self._sent:
                waiting.add(self._sent.popleft())
            if not waiting:
                continue
            try:
                if connection and identity(self._database) != opened:
                    if resets == self.resets:
                        continue  # the tailer will tell which database these ids are of
                    connection.close()
                    connection = None
                resets = self.resets
                if connection is None:
                    opened = identity(self._database)
                    connection = db.connect(self._database)
                with db.transaction(connection):
                    OutboxRepo(connection).mark_all_delivered(waiting)
                waiting.clear()
                pause, last_reason = _MARK_SECONDS, ""
            except (FleetError, sqlite3.Error, OSError) as error:
                if str(error) != last_reason:
                    reason = f"cannot mark events as delivered yet: {error}"
                    log.write(self.home, "gateway", redact(reason))
                last_reason = str(error)
                if connection:
                    connection.close()
                    connection = None
                waiting = set(sorted(waiting)[-_UNMARKED_IDS:])
                pause = _RETRY_SECONDS
        if connection:
            connection.close()


def _frame(event: OutboxEvent) -> Frame:
    _, text = wire_form(event)
    return Frame(event.event_id, text, event.delivered)
