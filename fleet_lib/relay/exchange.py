"""An exchange with the other machines: once, or for as long as the process runs."""

import asyncio
import contextlib
import os
import random
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from fleet_lib import clock, hot_settings, log, paths
from fleet_lib.errors import FleetError
from fleet_lib.records import Record, replace
from fleet_lib.redact import redact
from fleet_lib.relay import backoff
from fleet_lib.relay.connection import Deadline, connected, run
from fleet_lib.relay.link import Link
from fleet_lib.relay.names import EVENTS
from fleet_lib.relay.publish import Publisher
from fleet_lib.relay.receive import Channel, Receiver
from fleet_lib.relay.trouble import LOST, RelayTrouble
from fleet_lib.store import db, search_index
from fleet_lib.store.relay import Member, RelayRepo
from fleet_lib.store.relay_rows import RelayRowRepo
from fleet_lib.store.relay_sessions import RelaySessionRepo
from fleet_lib.views.tailer import (
    SHORT_PAUSE_SECONDS,
    identity,
    pauses_after_change,
    watching,
)

STUCK_SECONDS = 60.0  # without progress, after which an exchange is broken off
_WAIT_SECONDS = 20.0  # of one request for messages that have not come yet
_LOOK_SECONDS = 2.0  # live states change without the database
_RIGHTS_SECONDS = 5.0
_POLL_SECONDS = 0.2  # where nothing can watch the database
_INDEX_SECONDS = 1.0
_CACHE_KB = 512
_END_SECONDS = 2.0  # for what still runs when the connection is lost
_FIRST_PAUSE_SECONDS, _LAST_PAUSE_SECONDS = 1.0, 10.0


Progress = Callable[[str, int, int], None]


class Outcome(Record):
    """What one exchange did."""

    sent: int
    received: int


class NotJoined(FleetError):
    """This home has joined no relay."""

    def __init__(self) -> None:
        super().__init__("this machine has joined no relay; run `fleet relay join` first")


def once(home: str, progress: Progress | None = None) -> Outcome:
    """Send and receive everything that waits. `progress` takes what is done ("sent", "received"),
    how much of it, and of how much. Raises NotJoined, RelayTrouble, which is noted, and
    DatabaseUnusable or sqlite3.Error."""
    deadline = Deadline(STUCK_SECONDS)
    with _opened(home) as connection:
        if RelayRepo(connection).member() is None:
            raise NotJoined
        try:
            done = run(_once(home, connection, deadline, progress), deadline)
        except (RelayTrouble, TimeoutError) as error:
            trouble = str(error) or f"nothing moved for {STUCK_SECONDS:.0f} s"
            _note_failure(home, connection, trouble)
            raise RelayTrouble(trouble) from None
        _index(home, connection)
        return done


async def _once(
    home: str, connection: sqlite3.Connection, deadline: Deadline, progress: Progress | None
) -> Outcome:
    waiting = 0

    def moved(what: str, number: int, of: int) -> None:
        deadline.extend()
        if progress:
            progress(what, number, max(number, of))

    def sent_some(number: int) -> None:
        moved("sent", number, waiting)

    async with _begun(home, connection, sent_some) as (_, publisher, receiver, channels):
        waiting = publisher.waiting() if progress else 0
        sent = await publisher.send()
        expected, read = sum(channel.consumer.pending for channel in channels), 0
        for channel in channels:
            # What comes meanwhile is the next exchange's: a peer could send without end.
            left = channel.consumer.pending
            while left > 0 and (number := await receiver.read(channel)):
                left -= number
                read += number
                moved("received", read, expected)
        for channel in channels:
            await channel.consumer.close()
        _note_success(home, connection)
        return Outcome(sent, receiver.number)


@contextlib.asynccontextmanager
async def _begun(
    home: str, connection: sqlite3.Connection, sent: Callable[[int], None] = lambda _: None
) -> AsyncIterator[tuple[Link, Publisher, Receiver, list[Channel]]]:
    """A connection over which both sides know how far they are."""
    member = RelayRepo(connection).member()
    if member is None:
        raise NotJoined
    async with connected(home, member) as link:
        member = await _introduced(connection, link, member)
        publisher = Publisher(home, connection, link, sent)
        await publisher.begin()
        people = tuple(hot_settings.texts(home, "relay", "people"))
        receiver = Receiver(connection, link, publisher.member, people)
        filters = receiver.filters()
        # Events first: they show whether the server still has the streams that were read.
        ordered = sorted(filters, key=lambda filter: filter.stream != EVENTS)
        opened = {filter.subjects: await receiver.open(filter) for filter in ordered}
        yield link, publisher, receiver, [opened[filter.subjects] for filter in filters]


async def _introduced(connection: sqlite3.Connection, link: Link, member: Member) -> Member:
    """What the server says that this machine may do now."""
    rights = await link.rights()
    if rights.machine != member.machine:
        raise RelayTrouble(f"the key belongs to the machine {rights.machine}: join again with it")
    if rights.is_owner:
        await link.create_streams()
    if (rights.person, rights.grants) != (member.person, member.grants):
        member = replace(member, person=rights.person, grants=rights.grants)
        with db.transaction(connection):
            RelayRepo(connection).save_member(member)
    return member


class Runner:
    """Exchanges until it is stopped: sends what is committed at once, and takes what comes."""

    def __init__(self, home: str, say: Callable[[str], None] = lambda _: None) -> None:
        self._home = home
        self._say = say
        self._stopped = threading.Event()
        self._was_connected = False
        self._deadline = Deadline(STUCK_SECONDS)
        self._began_with: tuple[object, ...] = ()

    def stop(self, at_once_after: float) -> None:
        """End soon; and after so many seconds whatever it is doing, which loses nothing."""
        self._stopped.set()
        timer = threading.Timer(at_once_after, os._exit, (0,))
        timer.daemon = True
        timer.start()

    def run(self) -> None:
        """Raises NotJoined, DatabaseUnusable."""
        pause, said = _FIRST_PAUSE_SECONDS, ""
        while not self._stopped.is_set():
            self._was_connected, is_failure = False, False
            self._began_with = self._state()
            with _opened(self._home) as connection:
                if RelayRepo(connection).member() is None:
                    raise NotJoined
                self._deadline.extend()
                try:
                    run(self._connected(connection), self._deadline)
                except (RelayTrouble, sqlite3.Error, OSError, TimeoutError) as error:
                    stuck = f"nothing moved for {STUCK_SECONDS:.0f} s"
                    words, is_failure = redact(str(error) or stuck), True
                    _note_failure(self._home, connection, words)
                    if words != said:
                        self._say(words)
                        said = words
            if self._was_connected:
                pause, said = _FIRST_PAUSE_SECONDS, ""
            if is_failure:
                # Two homes with one key take each other's consumers: they must not do so in step.
                self._stopped.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311
                pause = min(pause * 2, _LAST_PAUSE_SECONDS)

    async def _connected(self, connection: sqlite3.Connection) -> None:
        changed = asyncio.Event()
        loop = asyncio.get_running_loop()
        database = Path(paths.database(self._home)).resolve()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(changed.set)

        wal = f"{database}-wal"
        with watching(database.parent, wal.__eq__, wake) as is_watched:
            async with _begun(self._home, connection, lambda _: self._deadline.extend()) as (
                link,
                publisher,
                receiver,
                channels,
            ):
                await publisher.send()
                for channel in channels:
                    left = channel.consumer.pending
                    while left > 0 and (number := await receiver.read(channel)):
                        left -= number
                        self._deadline.extend()
                _note_success(self._home, connection)
                _index(self._home, connection)
                self._was_connected = True
                self._say("connected")
                tasks = [
                    asyncio.create_task(self._send(connection, publisher, changed, is_watched)),
                    asyncio.create_task(self._stop_when_asked(link)),
                    asyncio.create_task(self._watch_rights(link, publisher.member)),
                    *(asyncio.create_task(self._read(receiver, one)) for one in channels),
                ]
                try:
                    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        task.result()
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.wait(tasks, timeout=_END_SECONDS)

    async def _send(
        self,
        connection: sqlite3.Connection,
        publisher: Publisher,
        changed: asyncio.Event,
        is_watched: bool,
    ) -> None:
        noted, sent_at, version = time.monotonic(), 0.0, 0
        pauses: Iterator[float] = iter(())
        while True:
            self._deadline.extend()
            # Other connections' commits only: what this one writes is not sent.
            now = connection.execute("PRAGMA data_version").fetchone()[0]
            if now != version or time.monotonic() - sent_at >= _LOOK_SECONDS:
                version, sent_at = now, time.monotonic()
                await publisher.send()
            pause = next(pauses, _LOOK_SECONDS if is_watched else _POLL_SECONDS)
            if pause <= SHORT_PAUSE_SECONDS:
                await asyncio.sleep(pause)
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await changed.wait()
                if changed.is_set():
                    changed.clear()
                    pauses = pauses_after_change()
            if time.monotonic() - noted > backoff.NOTE_SECONDS:
                noted = time.monotonic()
                _note_success(self._home, connection)
                _index(self._home, connection)

    async def _read(self, receiver: Receiver, channel: Channel) -> None:
        while True:
            await receiver.read(channel, _WAIT_SECONDS)

    async def _watch_rights(self, link: Link, member: Member) -> None:
        """Ends, and so begins anew, when the server's owner has granted or revoked something."""
        while True:
            await asyncio.sleep(_RIGHTS_SECONDS)
            rights = await link.rights()
            if (rights.person, rights.grants) != (member.person, member.grants):
                return

    async def _stop_when_asked(self, link: Link) -> None:
        began = time.time() - time.monotonic()
        while not self._stopped.is_set():
            if link.is_closed:
                raise RelayTrouble(LOST)
            if self._state() != self._began_with:
                return  # begin anew: with another database, or as another machine
            if abs(time.time() - time.monotonic() - began) * 1e9 > clock.SKEW_NANOSECONDS:
                return  # the clock was set, or the machine slept
            await asyncio.sleep(_POLL_SECONDS)

    def _state(self) -> tuple[object, ...]:
        """What a connection goes on with: the database's file and the key."""
        database, seed = paths.database(self._home), paths.relay(self._home, "seed")
        return identity(database), identity(seed)


@contextlib.contextmanager
def _opened(home: str) -> Iterator[sqlite3.Connection]:
    """The database, of which little is kept in memory: the system's cache has it too."""
    with contextlib.closing(db.connect(paths.database(home))) as connection:
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KB}")
        yield connection


def _note_success(home: str, connection: sqlite3.Connection) -> None:
    with db.transaction(connection):
        if RelayRepo(connection).note_success():
            RelayRowRepo(connection).forget_old()
            RelaySessionRepo(connection).forget_old()
    backoff.set_next(home, 0)


def _note_failure(home: str, connection: sqlite3.Connection, trouble: str) -> None:
    trouble = redact(trouble)[:300]
    with contextlib.suppress(sqlite3.Error):
        with db.transaction(connection):
            failures = RelayRepo(connection).note_failure(trouble)
        backoff.set_next(home, failures)
    log.write_once(home, "relay", trouble)


def _index(home: str, connection: sqlite3.Connection) -> None:
    """Let a search find what came. The drainer does the rest."""
    try:
        search_index.catch_up(connection, _INDEX_SECONDS)
    except Exception as error:
        log.write(home, "relay", redact(f"not indexed: {type(error).__name__}: {error}"))
