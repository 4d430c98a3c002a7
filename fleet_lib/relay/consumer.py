"""The readers of the server's streams, batch by batch."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from fleet_lib.records import Record
from fleet_lib.relay import names
from fleet_lib.relay.names import Filter
from fleet_lib.relay.trouble import LOST, RelayTrouble, reason

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

BATCH = 256  # messages of one fetch
REQUEST_SECONDS = 5.0  # in which the server answers
_CLOSE_SECONDS = 1.0
_BATCH_BYTES = 1280 * 1024  # of one fetch, or of one message, which the server holds to 1 MB
_IDLE_SECONDS = 0.01  # after a message, when no other follows at once
_BUSY_SECONDS = 10.0  # in which a server says that a request for messages has ended
_SECOND_NS = 10**9
_SHARED_KEY = (
    "another home reads with this machine's key: give each its own with `fleet relay server"
    " add-machine`"
)

Delete = Callable[[Filter], Awaitable[None]]


class Message(Record):
    subject: str
    sequence: int
    stored_ns: int
    pending: int  # messages that come after it
    headers: dict[str, str]
    data: bytes


class Consumer:
    """Reads the messages of a filter, batch by batch."""

    def __init__(
        self, client: "Client", machine: str, filter: Filter, pending: int, delete: Delete
    ) -> None:
        self.filter = filter
        self.pending = pending  # when it was made
        self._client = client
        self._delete = delete  # at the server
        self._inbox = f"{names.inbox(machine)}.{self._client._nuid.next().decode()}"
        self._queue: asyncio.Queue[Msg | None] = asyncio.Queue()  # None: the connection is closed
        self._pulls, self._left, self._ends = 0, 0, 0.0
        self._ready: list[Message] = []
        self._delivered = 0

    def put_back(self, messages: list[Message]) -> None:
        """Let the next fetch return these."""
        self._ready = messages

    async def listen(self) -> None:
        async def take(message: "Msg") -> None:
            self._queue.put_nowait(message)

        self._subscription = await self._client.subscribe(f"{self._inbox}.*", cb=take)

    def end(self) -> None:
        self._queue.put_nowait(None)

    async def close(self) -> None:
        """Leave nothing behind on the server."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._subscription.unsubscribe()
        with contextlib.suppress(RelayTrouble):
            await self._delete(self.filter)

    async def fetch(self, seconds: float = 0.0) -> list[Message]:
        """The next messages, at most BATCH; waits up to `seconds` for the first. Raises
        RelayTrouble when the consumer or the connection is gone."""
        if ready := self._ready:
            self._ready = []
            return ready
        found: list[Message] = []
        while len(found) < BATCH:
            loop = asyncio.get_running_loop()
            if self._left <= 0 or loop.time() >= self._ends:
                if found:
                    break
                await self._pull(seconds)
            limit = max(self._ends - loop.time(), 0) + _BUSY_SECONDS
            limit = _IDLE_SECONDS if found else limit
            try:
                async with asyncio.timeout(limit):
                    message = await self._queue.get()
            except TimeoutError:
                if found:
                    break
                raise RelayTrouble("the server does not answer any more") from None
            if message is None:
                raise RelayTrouble(LOST)
            status = (message.headers or {}).get("Status")
            if status is None or message.reply:
                self._left -= 1
                found.append(self._taken(message))
            elif message.subject != self._reply:
                continue  # the end of an earlier request
            elif status in ("404", "408"):
                self._left = 0
                break
            elif status == "409":
                self._left = 0
                words = (message.headers or {}).get("Description", "").lower()
                if not found and "maxbytes" in words:
                    continue  # said late of a batch that was as large as may be: there is more
                if "deleted" in words:
                    raise RelayTrouble(_SHARED_KEY)
                break
        return found

    @property
    def _reply(self) -> str:
        """Where the answers to the newest request go."""
        return f"{self._inbox}.{self._pulls}"

    async def _pull(self, seconds: float) -> None:
        wish: dict[str, Any] = {"batch": BATCH, "max_bytes": _BATCH_BYTES}
        if seconds > 0:
            wish["expires"] = int(seconds * _SECOND_NS)
        else:
            wish["no_wait"] = True
        self._pulls += 1
        self._left = BATCH
        self._ends = asyncio.get_running_loop().time() + (seconds or REQUEST_SECONDS)
        try:
            await self._client.publish(
                self.filter.next_subject, json.dumps(wish).encode(), reply=self._reply
            )
        except Exception as error:
            raise RelayTrouble(f"the connection failed: {reason(error)}") from None

    def _taken(self, message: "Msg") -> Message:
        """Raises RelayTrouble if this is the consumer of another home that has the key, made after
        this one's: it began elsewhere, or has given the messages between to the other home, and
        this one would never see them."""
        taken, number = _message(message)
        self._delivered += 1
        if number != self._delivered or number + taken.pending < self.pending:
            raise RelayTrouble(_SHARED_KEY)
        return taken


def _message(message: "Msg") -> tuple[Message, int]:
    """The message, and which one of its consumer's it is, from 1."""
    # $JS.ACK.STREAM.CONSUMER.DELIVERED.SEQUENCE.CONSUMER_SEQUENCE.TIME.PENDING; newer servers may
    # put a domain and an account before the stream.
    parts = (message.reply or "").split(".")
    at = 2 if len(parts) == 9 else 4
    try:
        sequence, number, stored_ns, pending = map(int, parts[at + 3 : at + 7])
    except ValueError:
        raise RelayTrouble("the server sent a message without its place in the stream") from None
    headers = {str(name): str(value) for name, value in (message.headers or {}).items()}
    read = Message(message.subject, sequence, stored_ns, pending, headers, message.data)
    return read, number
