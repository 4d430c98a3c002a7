"""The events on their way to the clients. One tailer reads the outbox; every client goes on from a cursor of its
own, out of what was read lately or, where it is further behind, out of the database. Nothing is queued
for a client, so a slow one costs nothing but itself.
"""

import asyncio
import bisect
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass

from commander.gateway.messages import wire_form
from fleet_lib import db, log, paths
from fleet_lib.errors import FleetError
from fleet_lib.outbox import OutboxEvent, OutboxRepo
from fleet_lib.tailer import PAGE, Tailer

_KEPT = 5000  # events that clients are served from memory
_AT_ONCE = 200
_MARK_SECONDS = 0.25
_RETRY_SECONDS, _RETRY_SECONDS_MOST = 1.0, 60.0


@dataclass(frozen=True, slots=True)
class Frame:
    """One event as it goes over the wire."""

    event_id: int
    text: str
    delivered: bool  # when it was read


class Hub:
    def __init__(self, home: str) -> None:
        self._home = home
        self._database = paths.database(home)
        self._tailer = Tailer(self._database)
        self._ids: list[int] = []
        self._frames: list[Frame] = []
        self._start = 0  # everything after this is in memory
        self._end = 0
        self._news = asyncio.Event()
        self._taken: set[int] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow the outbox, and put down what was delivered, for as long as this is open."""
        with self.reading() as connection:
            self._start = self._end = OutboxRepo(connection).latest_id()
        loop = asyncio.get_running_loop()
        thread = threading.Thread(target=self._follow, args=(loop,), daemon=True)
        thread.start()
        marking = asyncio.create_task(self._mark())
        try:
            yield
        finally:
            self._tailer.stop()
            marking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await marking
            await asyncio.to_thread(self._mark_now)
            await asyncio.to_thread(thread.join, 5.0)

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(db.connect_read_only(self._database)) as connection:
            yield connection

    def first_cursor(self) -> int:
        """Where a client begins that names no cursor: before what nobody was ever sent."""
        with self.reading() as connection:
            waiting = OutboxRepo(connection).get_undelivered(limit=1)
            return waiting[0].event_id - 1 if waiting else OutboxRepo(connection).latest_id()

    async def after(self, cursor: int) -> list[Frame]:
        """The next events after a cursor; [] when there is none yet."""
        if cursor >= self._start:
            at = bisect.bisect_right(self._ids, cursor)
            return self._frames[at : at + _AT_ONCE]
        return await self.read(cursor)

    async def read(self, cursor: int) -> list[Frame]:
        """The next events after a cursor out of the database."""
        return await asyncio.to_thread(self._read, cursor)

    async def wait(self, cursor: int) -> None:
        """Until there is an event after the cursor."""
        while self._end <= cursor:
            await self._news.wait()

    def took(self, frames: Iterable[Frame]) -> None:
        """A client has really been sent these."""
        self._taken.update(frame.event_id for frame in frames if not frame.delivered)

    def _read(self, cursor: int) -> list[Frame]:
        with self.reading() as connection:
            return [_frame(event) for event in OutboxRepo(connection).get_after(cursor, PAGE)]

    def _follow(self, loop: asyncio.AbstractEventLoop) -> None:
        """In its thread. A database that cannot be read now is tried again."""
        after, pause = self._end, _RETRY_SECONDS
        while not self._tailer.is_stopped:
            try:
                for page in self._tailer.follow(after):
                    after, pause = page[-1].event_id, _RETRY_SECONDS
                    loop.call_soon_threadsafe(self._take, [_frame(event) for event in page])
            except RuntimeError:
                return  # the loop has ended
            except (FleetError, sqlite3.Error, OSError) as error:
                log.write(self._home, "gateway", f"the outbox cannot be followed now: {error}")
                self._tailer.pause(pause)
                pause = min(2 * pause, _RETRY_SECONDS_MOST)

    def _take(self, frames: list[Frame]) -> None:
        self._frames += frames
        self._ids += [frame.event_id for frame in frames]
        self._end = self._ids[-1]
        if len(self._ids) > 2 * _KEPT:
            self._start = self._ids[-_KEPT - 1]
            self._ids, self._frames = self._ids[-_KEPT:], self._frames[-_KEPT:]
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def _mark(self) -> None:
        while True:
            await asyncio.sleep(_MARK_SECONDS)
            await asyncio.to_thread(self._mark_now)

    def _mark_now(self) -> None:
        if not self._taken:
            return
        taken, self._taken = self._taken, set()
        try:
            with (
                contextlib.closing(db.connect(self._database)) as connection,
                db.transaction(connection),
            ):
                OutboxRepo(connection).mark_all_delivered(taken)
        except sqlite3.Error as error:
            self._taken |= taken  # sent again is better than marked and not sent
            log.write(self._home, "gateway", f"what was delivered is not put down yet: {error}")


def _frame(event: OutboxEvent) -> Frame:
    _, text = wire_form(event)
    return Frame(event.event_id, text, event.delivered)
