"""Reading what other machines sent. Each fetch is one transaction with its position in it, so a
process that is killed reads it again or not at all."""

import sqlite3

from fleet_lib import clock
from fleet_lib.records import Record
from fleet_lib.relay import names
from fleet_lib.relay.apply import Applier, Early
from fleet_lib.relay.consumer import Consumer, Message
from fleet_lib.relay.incoming import received
from fleet_lib.relay.link import Link
from fleet_lib.relay.names import Filter
from fleet_lib.relay.prompts import hide_prompts
from fleet_lib.store import db
from fleet_lib.store.relay import Member, Position, RelayRepo

# A state replaces the one before, so that a position in their stream may be of a message that is
# gone: after this time they are read from the beginning, which is little.
_STATES_SECONDS = 3600.0


class Channel(Record):
    """A filter that is read, and its consumer."""

    filter: Filter
    consumer: Consumer


class Receiver:
    """Reads over one connection."""

    def __init__(
        self, connection: sqlite3.Connection, link: Link, member: Member, people: tuple[str, ...]
    ) -> None:
        self._connection = connection
        self._link = link
        self._member = member
        self._people = people
        self._relay = RelayRepo(connection)
        self._early: Early = {}
        self.number = 0  # messages of others that were applied

    def filters(self) -> list[Filter]:
        """What this machine may read, in the order in which it is read: whose machines they are,
        then events, then the states that speak of them."""
        machine = self._member.machine
        grants = [names.ALL] if self._member.reads_everything else list(self._member.grants)
        return [
            names.own_of(machine, self._member.person),
            *(names.events_of(machine, grant) for grant in grants),
            *(names.states_of(machine, grant) for grant in grants),
        ]

    async def open(self, filter: Filter) -> Channel:
        """A consumer from the last message on that was applied. If that is not where it was, it is
        another stream, or too old: then from the beginning. Raises RelayTrouble."""
        position = self._relay.position(filter.subjects)
        is_of_states = filter.stream == names.STATES
        if position and is_of_states:
            age = clock.seconds_since(position.started_at)
            position = position if 0 <= age < _STATES_SECONDS else None
        if position is None:
            return Channel(filter, await self._link.consumer(filter))
        start = position.sequence + (1 if is_of_states else 0)
        consumer = await self._link.consumer(filter, start=start)
        if is_of_states:
            return Channel(filter, consumer)
        first = await consumer.fetch() if consumer.pending else []
        here = (position.sequence, position.stored_ns)
        if not first or (first[0].sequence, first[0].stored_ns) != here:
            await consumer.close()
            self._forget_positions(filter)
            return Channel(filter, await self._link.consumer(filter))
        consumer.put_back(first[1:])
        return Channel(filter, consumer)

    async def read(self, channel: Channel, seconds: float = 0.0) -> int:
        """Apply one batch, waiting up to `seconds` for its first message; how many messages that
        were. Raises RelayTrouble, sqlite3.Error."""
        messages = await channel.consumer.fetch(seconds)
        self._apply(channel.filter, messages)
        if messages and channel.filter == self.filters()[0]:
            hide_prompts(self._connection)
        return len(messages)

    def _forget_positions(self, filter: Filter) -> None:
        """The server has another stream than before, and then it has other states, too."""
        states = [one for one in self.filters() if one.stream == names.STATES]
        with db.transaction(self._connection):
            self._relay.forget_positions([one.subjects for one in (filter, *states)])

    def _apply(self, filter: Filter, messages: list[Message]) -> None:
        if not messages:
            return
        # Reading and cleaning takes longer than writing: no transaction is open meanwhile.
        own = self._member.machine, self._member.epoch, self._link.ahead_ns
        read = [one for message in messages if (one := received(message, *own))]
        last = messages[-1]
        with db.transaction(self._connection):
            applier = Applier(self._connection, self._member, self._people, self._early)
            for message in read:
                applier.apply(message)
            applier.finish()
            self.number += len(read)
            before = self._relay.position(filter.subjects)
            started_at = before.started_at if before else clock.now()
            self._relay.save_position(
                filter.subjects, Position(last.sequence, last.stored_ns, started_at)
            )
