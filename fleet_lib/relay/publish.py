"""Sending what this machine has. Where the stream ends is asked of the stream itself: a cursor kept
here alone would lose everything when the server loses its disk, and one kept there alone would send
a copied home's rows as another home's."""

import contextlib
import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from fleet_lib import clock
from fleet_lib.records import Record, replace
from fleet_lib.relay import names, states, wire
from fleet_lib.relay.consumer import Message
from fleet_lib.relay.link import Link, Parcel
from fleet_lib.relay.outgoing import Composer, Row, count_after, digest_here, rows_after
from fleet_lib.relay.sharing import shared_projects
from fleet_lib.relay.trouble import NoBatches, Refused, RelayTrouble, WrongSequence
from fleet_lib.store import db
from fleet_lib.store.projects import Project
from fleet_lib.store.relay import Member, RelayRepo, Share

HEARTBEAT_SECONDS = 30.0
_REFRESH_SECONDS = 600.0  # a composer's folders are read again
_PAGE_BYTES = 1024 * 1024  # of messages that are stored together
_LEAST_TOGETHER = 8  # fewer are sent one by one: storing together costs a few syncs of its own


class Sent(Record):
    """The last message that the stream has of one of this machine's subjects."""

    sequence: int
    event_id: int
    digest: str


class _Place(Record):
    """How far a project was sent in this epoch."""

    sequence: int
    sent_through: int
    scanned_through: int


class Publisher:
    """Sends over one connection. `begin` comes first."""

    def __init__(
        self,
        home: str,
        connection: sqlite3.Connection,
        link: Link,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._home = home
        self._connection = connection
        self._link = link
        self._progress = progress  # takes how many events were sent so far
        self._relay = RelayRepo(connection)
        member = self._relay.member()
        assert member
        self.member: Member = member
        self._last: dict[tuple[str, str], Sent] = {}
        self._places: dict[str, _Place] = {}
        self._composers: dict[str, tuple[float, Composer]] = {}
        self._digests: dict[str, str] = {}
        self._refused: dict[str, str] = {}
        self._beat_at = -HEARTBEAT_SECONDS
        self._takes_batches = True
        self._newest: dict[str, tuple[int, str]] = {}  # {project: the newest event that was sent}
        self._announced: dict[str, tuple[int, str]] = {}

    async def begin(self) -> None:
        """Learn what the stream has of this machine, and whether this home is still the one that
        sent it. Raises RelayTrouble."""
        self._last = await self._read_last()
        self._places.clear()
        self._settle_epoch()
        if not shared_projects(self._connection, self._home):
            return
        for filter in (
            names.sent_states(self.member.machine),
            names.sent_own(self.member.machine, self.member.person),
        ):
            for message in await self._last_of(filter):
                self._digests[message.subject] = message.headers.get(wire.DIGEST_HEADER, "")

    def waiting(self) -> int:
        """About how many events will be sent."""
        number = 0
        for project_id in shared_projects(self._connection, self._home):
            place = self._places.get(project_id) or self._first_place(project_id)
            number += count_after(self._connection, project_id, place.scanned_through)
        return number

    async def send(self) -> int:
        """Send all that is not sent yet; how many events. Before a project is shared, nothing is.
        Raises RelayTrouble."""
        projects = shared_projects(self._connection, self._home)
        if not projects:
            return 0
        await self._send_heartbeats(projects, is_first=True)
        number = 0
        for project in projects.values():
            number += await self._send_events(project, number)
        await self._send_states(projects)
        await self._send_heartbeats(projects, is_first=False)
        return number

    # --- events ---

    async def _send_events(self, project: Project, before: int) -> int:
        project_id = project.project_id
        place = self._places.get(project_id) or self._first_place(project_id)
        number = 0
        while True:
            self._places[project_id] = place
            rows, through = rows_after(self._connection, project_id, place.scanned_through)
            if not rows and through == place.scanned_through:
                return number
            reached = place
            try:
                for page in self._pages(project, rows):
                    reached = await self._send_page(project_id, page, reached)
                    number += len(page)
                    self._progress(before + number)
                reached = replace(reached, scanned_through=through)
                self._refused.pop(project_id, None)
            except Refused:
                self._refused[project_id] = "the server does not let this machine publish it"
                return number
            finally:
                self._note(project_id, reached)
            place = reached

    def _pages(self, project: Project, rows: list[Row]) -> Iterator[list[tuple[Row, bytes]]]:
        """The rows and their messages, as many at once as may be stored together."""
        composer = self._composer(project)
        page: list[tuple[Row, bytes]] = []
        size = 0
        for row in rows:
            try:
                body = wire.encode(composer.event(row))
            except ValueError:  # another program's row that no message can hold
                continue
            if page and size + len(body) > _PAGE_BYTES:
                yield page
                page, size = [], 0
            page.append((row, body))
            size += len(body)
        if page:
            yield page

    async def _send_page(
        self, project_id: str, page: list[tuple[Row, bytes]], place: _Place
    ) -> _Place:
        subject = names.event_subject(self.member.machine, self.member.epoch, project_id)
        parcels = [
            Parcel(body, {wire.EVENT_HEADER: wire.event_header(row.event_id, row.digest)})
            for row, body in page
        ]
        sequence = place.sequence
        try:
            if len(page) >= _LEAST_TOGETHER and self._takes_batches:
                try:
                    parcels[0] = _after(parcels[0], sequence)
                    sequence = await self._link.publish_together(subject, parcels)
                    parcels = []
                except NoBatches:
                    self._takes_batches = False
            for parcel in parcels:
                one = _after(parcel, sequence)
                sequence = await self._link.publish(subject, one.body, one.headers)
        except WrongSequence:
            # Another home with this key, or an answer that was lost: the stream says which.
            await self.begin()
            raise RelayTrouble(
                "the stream has other messages of this machine; trying again"
            ) from None
        last = page[-1][0]
        self._newest[project_id] = (last.event_id, last.ts[:24])
        return _Place(sequence, last.event_id, last.event_id)

    def _note(self, project_id: str, place: _Place) -> None:
        with db.transaction(self._connection):
            self._relay.note_sent(
                project_id,
                place.sent_through,
                place.scanned_through,
                self._refused.get(project_id, ""),
            )
        self._places[project_id] = place

    def _first_place(self, project_id: str) -> _Place:
        """Where to go on after what the stream has."""
        share = self._relay.shares().get(project_id) or Share(project_id, True)
        last = self._last.get((self.member.epoch, project_id))
        if last:
            is_known = share.sent_through == last.event_id
            scanned = share.scanned_through if is_known else last.event_id
            return _Place(last.sequence, last.event_id, max(scanned, last.event_id))
        others = [
            one
            for (epoch, project), one in self._last.items()
            if project == project_id and epoch != self.member.epoch
        ]
        after = max([one.event_id for one in others if self._is_ours(one)], default=0)
        if any(one.event_id >= share.sent_through for one in others):
            after = max(after, share.sent_through)
        return _Place(0, after, after)

    # --- epochs ---

    def _settle_epoch(self) -> None:
        """A new epoch if the home was copied, or its database set back: the stream then has rows of
        this machine that this home has not."""
        is_moved = self.member.home != home_digest(self._home)
        strange = [
            one
            for (epoch, _), one in self._last.items()
            if epoch == self.member.epoch and not self._is_ours(one)
        ]
        if not is_moved and not strange:
            return
        changes = {"epoch": new_epoch(), "home": home_digest(self._home)}
        self.member = replace(self.member, **changes, joined_at=clock.now())
        self._digests.clear()
        with db.transaction(self._connection):
            self._relay.save_member(self.member)
        self._composers.clear()

    def _is_ours(self, sent: Sent) -> bool:
        """Whether this home has the row that was sent, or had it before it was pruned."""
        digest = digest_here(self._connection, sent.event_id)
        if digest is not None:
            return digest == sent.digest
        newest = self._connection.execute(
            "SELECT seq FROM sqlite_sequence WHERE name = 'outbox_events'"
        ).fetchone()
        return newest is not None and sent.event_id <= newest[0]

    async def _read_last(self) -> dict[tuple[str, str], Sent]:
        found = {}
        for message in await self._last_of(names.sent_events(self.member.machine)):
            sender = names.sender_of(message.subject)
            event_id, digest = wire.read_event_header(message.headers.get(wire.EVENT_HEADER))
            if sender:
                key = (sender.epoch, sender.project_id)
                found[key] = Sent(message.sequence, event_id, digest)
        return found

    async def _last_of(self, filter: names.Filter) -> list[Message]:
        consumer = await self._link.consumer(filter, only_last=True)
        found: list[Message] = []
        try:
            while len(found) < consumer.pending and (batch := await consumer.fetch()):
                found += batch
        finally:
            await consumer.close()
        return found

    # --- states ---

    async def _send_states(self, projects: dict[str, Project]) -> None:
        composers = {
            project_id: self._composer(project)
            for project_id, project in projects.items()
            if project_id not in self._refused
        }
        for state in states.states(self._connection, self.member, composers):
            if self._digests.get(state.subject) == state.digest:
                continue
            with contextlib.suppress(Refused):  # of a project that it may not publish
                await self._link.publish(
                    state.subject, state.body, {wire.DIGEST_HEADER: state.digest}
                )
            self._digests[state.subject] = state.digest

    async def _send_heartbeats(self, projects: dict[str, Project], *, is_first: bool) -> None:
        """First that this machine is the person's own, so that what follows is taken so; then how
        far it has sent."""
        is_due = time.monotonic() - self._beat_at >= HEARTBEAT_SECONDS
        if is_first:
            if is_due:
                await self._link.publish(self._own_heartbeat(), states.heartbeat(0, ""), {})
            return
        for project_id in projects:
            newest = self._newest.get(project_id, (0, ""))
            is_news = self._announced.get(project_id, (0, "")) != newest
            if project_id in self._refused or not (is_due or is_news):
                continue
            subject = names.state_subject(
                self.member.machine, self.member.epoch, project_id, names.HEARTBEAT
            )
            await self._link.publish(subject, states.heartbeat(*newest), {})
            self._announced[project_id] = newest
        if is_due:
            self._beat_at = time.monotonic()

    def _own_heartbeat(self) -> str:
        member = self.member
        return names.own_subject(
            *(member.person, member.machine, member.epoch, names.NO_PROJECT, names.HEARTBEAT)
        )

    def _composer(self, project: Project) -> Composer:
        made_at, composer = self._composers.get(project.project_id, (0.0, None))
        if composer is None or time.monotonic() - made_at > _REFRESH_SECONDS:
            made_at = time.monotonic()
            composer = Composer(
                self._connection, self._home, project, self.member.machine, self.member.epoch
            )
            self._composers[project.project_id] = (made_at, composer)
        return composer


def _after(parcel: Parcel, sequence: int) -> Parcel:
    """The parcel for a subject whose last message has that sequence, and no other one."""
    expected = {"Nats-Expected-Last-Subject-Sequence": str(sequence)}
    return replace(parcel, headers=parcel.headers | expected)


def new_epoch() -> str:
    return os.urandom(8).hex()


def home_digest(home: str) -> str:
    """Where the home lies. A copy lies elsewhere, or is another folder in the same place."""
    real = Path(home).resolve()
    return hashlib.sha256(f"{real}\0{real.stat().st_ino}".encode()).hexdigest()[:32]
