"""The events on their way to the clients. One tailer reads the outbox; every client goes on from a cursor of its
own, out of what was read lately or, where it is further behind, out of the database. Nothing is queued
for a client, so a slow one costs nothing but itself.
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
from fleet_lib.store import db
from fleet_lib.store.outbox import OutboxEvent, OutboxRepo
from fleet_lib.views.tailer import PAGE, Tailer, identity

_KEPT = 5000  # events that clients are served from memory
_KEPT_BYTES = 32_000_000  # and no more than this, however large they are
_AT_ONCE = 200
_MARK_SECONDS = 0.25
_UNMARKED = 100_000  # ids that wait to be marked; of more, the newest
_RETRY_SECONDS = 1.0  # to open a database costs little, and every client waits for it


@dataclass(frozen=True, slots=True)
class Frame:
    """One event as it goes over the wire."""

    event_id: int
    text: str
    delivered: bool  # when it was read


class Hub:
    def __init__(self, home: str) -> None:
        self.home = home
        self._database = paths.database(home)
        self._tailer = Tailer(self._database)
        self._ids: list[int] = []
        self._frames: list[Frame] = []
        self._bytes = 0
        self._start = 0  # everything after this is in memory
        self._end = 0
        self._news = asyncio.Event()
        self._taken: deque[int] = deque(maxlen=_UNMARKED)
        self._is_over = threading.Event()
        self.resets = 0  # how often the database became another one

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow the outbox, and put down what was delivered, for as long as this is open."""
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
        """Where a client begins that names no cursor: before what nobody was ever sent."""
        with self.reading() as connection:
            waiting = OutboxRepo(connection).get_undelivered(limit=1)
            return waiting[0].event_id - 1 if waiting else OutboxRepo(connection).latest_id()

    async def after(self, cursor: int) -> list[Frame]:
        """The next events after a cursor; [] when there is none yet."""
        if cursor >= self._start:
            at = bisect.bisect_right(self._ids, cursor)
            return self._frames[at : at + _AT_ONCE]
        return (await self.read(cursor))[0]

    async def read(self, cursor: int) -> tuple[list[Frame], int]:
        """The next events after a cursor out of the database, and the newest event that there is."""
        return await asyncio.to_thread(self._read, cursor)

    async def wait(self, cursor: int, resets: int) -> None:
        """Until there is an event after the cursor, or a reset after that many."""
        while self._end <= cursor and self.resets == resets:
            await self._news.wait()

    def took(self, frames: Iterable[Frame]) -> None:
        """A client has really been sent these."""
        self._taken.extend([frame.event_id for frame in frames if not frame.delivered])

    def _read(self, cursor: int) -> tuple[list[Frame], int]:
        with self.reading() as connection:
            outbox = OutboxRepo(connection)
            frames = [_frame(event) for event in outbox.get_after(cursor, PAGE)]
            return frames, frames[-1].event_id if frames else outbox.latest_id()

    def _follow(self, loop: asyncio.AbstractEventLoop) -> None:
        """In its thread. Whatever goes wrong is tried again: without this, nobody hears anything."""
        after, last_said = self._end, ""
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
                    last_said = ""
            except Exception as error:
                if loop.is_closed():
                    return
                said = f"{type(error).__name__}: {error}"
                if said != last_said:
                    log.write(self.home, "gateway", f"the outbox cannot be followed now: {said}")
                last_said = said
                self._tailer.pause(_RETRY_SECONDS)

    def _take(self, frames: list[Frame]) -> None:
        self._frames += frames
        self._ids += [frame.event_id for frame in frames]
        self._end = frames[-1].event_id
        self._bytes += sum(sys.getsizeof(frame.text) for frame in frames)
        if len(self._frames) > 2 * _KEPT or self._bytes > _KEPT_BYTES:
            self._forget()
        self._wake()

    def _forget(self) -> None:
        """Keep the newest, half of what may be kept: so this is seldom done."""
        at, self._bytes = len(self._frames), 0
        while len(self._frames) - at < _KEPT:
            size = sys.getsizeof(self._frames[at - 1].text)
            if self._bytes + size > _KEPT_BYTES // 2:
                break
            at, self._bytes = at - 1, self._bytes + size
        self._start = self._ids[at - 1]
        self._ids, self._frames = self._ids[at:], self._frames[at:]

    def _reset(self, cursor: int) -> None:
        """The database is another one now: what was read of the old one is no news of this."""
        self._ids, self._frames, self._bytes = [], [], 0
        self._start = self._end = cursor
        self._taken.clear()
        self.resets += 1
        self._wake()

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _mark(self) -> None:
        """In its thread. What cannot be put down now is tried again; sent twice is better than marked and not
        sent."""
        waiting: set[int] = set()
        connection, opened, resets, pause = None, None, 0, _MARK_SECONDS
        last_said = ""
        is_last = False
        while not is_last:
            is_last = self._is_over.wait(pause)
            if resets != self.resets:
                waiting.clear()  # these were the old database's
            while self._taken:
                waiting.add(self._taken.popleft())
            if not waiting:
                continue
            try:
                if connection and identity(self._database) != opened:
                    if resets == self.resets:
                        continue  # whose these are is known once the tailer has seen it too
                    connection.close()
                    connection = None
                resets = self.resets
                if connection is None:
                    opened = identity(self._database)
                    connection = db.connect(self._database)
                with db.transaction(connection):
                    OutboxRepo(connection).mark_all_delivered(waiting)
                waiting.clear()
                pause, last_said = _MARK_SECONDS, ""
            except (FleetError, sqlite3.Error, OSError) as error:
                if str(error) != last_said:
                    told = f"what was delivered is not put down yet: {error}"
                    log.write(self.home, "gateway", told)
                last_said = str(error)
                if connection:
                    connection.close()
                    connection = None
                waiting = set(sorted(waiting)[-_UNMARKED:])
                pause = _RETRY_SECONDS
        if connection:
            connection.close()


def _frame(event: OutboxEvent) -> Frame:
    _, text = wire_form(event)
    return Frame(event.event_id, text, event.delivered)
