"""The requests that Fleet makes over a connection to the relay's server. Every wait has a limit. A
refused request gets no answer, only a line to the error callback, so that is where its reason comes
from."""

import asyncio
import contextlib
import json
import re
from typing import TYPE_CHECKING, Any

from fleet_lib import clock
from fleet_lib.records import Record
from fleet_lib.relay import names
from fleet_lib.relay.consumer import REQUEST_SECONDS, Consumer
from fleet_lib.relay.names import Filter
from fleet_lib.relay.trouble import (
    LOST,
    NoBatches,
    NoStream,
    Refused,
    RelayTrouble,
    WrongSequence,
    reason,
)
from fleet_lib.text import clean

if TYPE_CHECKING:
    from nats.aio.client import Client

_TOGETHER_SECONDS = 30.0  # a slow disk may take so long for many messages
_CLOSE_SECONDS = 1.0
_FORGOTTEN_SECONDS = 3600  # in which an exchange uses each of its consumers, or the server drops it
_SECOND_NS = 10**9
_VIOLATION = re.compile(r'permissions violation for \w+ to "([^"]+)"', re.IGNORECASE)
_FULL = re.compile(r"(?i)insufficient|exceed|no space|resources")
# JetStream's error codes
_WRONG_SEQUENCE, _NO_SUCH_STREAM, _OTHER_CONFIGURATION, _NO_BATCHES = 10071, 10059, 10058, 10174


class Parcel(Record):
    """A message that is to be published."""

    body: bytes
    headers: dict[str, str]


class Rights(Record):
    """Who the server says that this connection is, and which projects it may read and publish."""

    machine: str
    person: str
    grants: tuple[str, ...]
    is_owner: bool  # it may create the streams


class Link:
    """An open connection."""

    def __init__(self, client: "Client", machine: str) -> None:
        self._client = client
        self.machine = machine
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._consumers: list[Consumer] = []
        self.ahead_ns = 0  # nanoseconds of this machine's clock before the server's

    async def rights(self) -> Rights:
        """Raises RelayTrouble."""
        answer = await self._ask("$SYS.REQ.USER.INFO", b"")
        publish = ((answer.get("data") or {}).get("permissions") or {}).get("publish") or {}
        allowed = [str(one) for one in publish.get("allow") or []]
        machine, person, grants = names.rights_in(allowed)
        if not machine:
            raise RelayTrouble(
                "the server gives this key no permissions of a Fleet machine: make its"
                " configuration with `fleet relay server init`"
            )
        is_owner = names.create_stream_subject(names.EVENTS) in allowed
        return Rights(machine, person, tuple(grants), is_owner)

    async def create_streams(self) -> None:
        """Make the streams; that they are there already is no trouble. Raises RelayTrouble."""
        for stream in (names.EVENTS, names.STATES):
            config = json.dumps(names.stream_config(stream)).encode()
            answer = await self._ask(names.create_stream_subject(stream), config)
            error = answer.get("error") or {}
            # A stream that an earlier Fleet has made stays as it is.
            if error and error.get("err_code") != _OTHER_CONFIGURATION:
                raise RelayTrouble(f"the stream {stream} cannot be used: {_words(error)}")

    async def publish(
        self,
        subject: str,
        body: bytes,
        headers: dict[str, str],
        seconds: float = REQUEST_SECONDS,
    ) -> int:
        """The message's sequence once the server has stored it. Raises Refused, WrongSequence,
        NoStream, RelayTrouble."""
        headers = headers | {names.SENT_HEADER: clock.now()}
        answer = await self._ask(subject, body, headers, seconds)
        if error := answer.get("error"):
            if error.get("err_code") == _WRONG_SEQUENCE:
                raise WrongSequence(_words(error))
            if error.get("err_code") == _NO_BATCHES:
                raise NoBatches(_words(error))
            if _FULL.search(_words(error)):
                raise RelayTrouble(
                    f"the server is full ({_words(error)}): free disk space or raise its limits,"
                    " and restart it"
                )
            raise RelayTrouble(f"the server did not store a message: {_words(error)}")
        return int(answer["seq"])

    async def publish_together(self, subject: str, parcels: list[Parcel]) -> int:
        """The last message's sequence once the server has stored all of them, or none: it syncs
        them to its disk together. Raises NoBatches, and as `publish` does."""
        name = self._client._nuid.next().decode()
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                for number, parcel in enumerate(parcels[:-1], start=1):
                    headers = parcel.headers | _of_batch(name, number)
                    headers[names.SENT_HEADER] = clock.now()
                    await self._client.publish(subject, parcel.body, headers=headers)
        except Exception as error:
            raise RelayTrouble(f"the connection failed: {reason(error)}") from None
        last = parcels[-1]
        headers = last.headers | _of_batch(name, len(parcels)) | {"Nats-Batch-Commit": "1"}
        return await self.publish(subject, last.body, headers, _TOGETHER_SECONDS)

    async def consumer(
        self, filter: Filter, *, start: int = 0, only_last: bool = False
    ) -> "Consumer":
        """A reader of these subjects, from a sequence on; with `only_last` the headers of each
        subject's last message. One of the same name, which this machine left behind, goes first.
        Raises Refused, NoStream, RelayTrouble."""
        policy: dict[str, Any] = {"deliver_policy": "all"}
        if start:
            policy = {"deliver_policy": "by_start_sequence", "opt_start_seq": start}
        if only_last:
            policy = {"deliver_policy": "last_per_subject", "headers_only": True}
        config = {
            "name": filter.consumer,
            "filter_subject": filter.subjects,
            "ack_policy": "none",
            "replay_policy": "instant",
            "mem_storage": True,
            "inactive_threshold": _FORGOTTEN_SECONDS * _SECOND_NS,
            **policy,
        }
        wish = {"stream_name": filter.stream, "config": config, "action": "create"}
        await self._delete(filter)
        answer = await self._ask(filter.create_subject, json.dumps(wish).encode())
        if error := answer.get("error"):
            if error.get("err_code") == _NO_SUCH_STREAM:
                raise NoStream
            raise RelayTrouble(f"the server does not let {filter.consumer} read: {_words(error)}")
        self._note_time(answer.get("ts"))
        pending = int(answer.get("num_pending") or 0)
        made = Consumer(self._client, self.machine, filter, pending, self._delete)
        await made.listen()
        self._consumers.append(made)
        return made

    async def close(self) -> None:
        closing = asyncio.ensure_future(self._client.close())
        await asyncio.wait([closing], timeout=_CLOSE_SECONDS)
        closing.cancel()
        with contextlib.suppress(BaseException):
            closing.exception() if closing.done() else None

    @property
    def is_closed(self) -> bool:
        return bool(self._client.is_closed)

    def note_error(self, error: Exception) -> None:
        """What the server says apart from its answers."""
        if "violation for subscription" in str(error).lower():
            for asked in self._waiting.values():
                if not asked.done():
                    asked.set_exception(
                        Refused(
                            f"this is not the key of {self.machine}; give the machine's name as the"
                            " server has it with --name"
                        )
                    )
        elif found := _VIOLATION.search(str(error)):
            waiting = self._waiting.get(found[1].lower())
            if waiting and not waiting.done():
                waiting.set_exception(
                    Refused(f"the server refuses {clean(found[1], 200)} to {self.machine}")
                )

    def note_closed(self) -> None:
        """The connection is closed: no answer comes any more."""
        for asked in self._waiting.values():
            if not asked.done():
                asked.set_exception(RelayTrouble(LOST))
        for consumer in self._consumers:
            consumer.end()

    async def _delete(self, filter: Filter) -> None:
        answer = await self._ask(filter.delete_subject, b"")
        error = answer.get("error") or {}
        if error.get("err_code") == _NO_SUCH_STREAM:
            raise NoStream

    def _note_time(self, server_time: object) -> None:
        """How far this machine's clock is ahead of the server's."""
        try:
            ahead = clock.nanoseconds(clock.now()) - clock.nanoseconds(str(server_time))
        except (ValueError, OverflowError):
            return
        self.ahead_ns = 0 if abs(ahead) < clock.SKEW_NANOSECONDS else ahead

    async def _ask(
        self,
        subject: str,
        body: bytes,
        headers: dict[str, str] | None = None,
        seconds: float = REQUEST_SECONDS,
    ) -> dict[str, Any]:
        from nats.errors import Error, NoRespondersError

        refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[subject.lower()] = refused  # nats-py lowers the error
        asking = asyncio.ensure_future(
            self._client.request(subject, body, timeout=seconds, headers=headers)
        )
        try:
            await asyncio.wait(
                (asking, refused),
                timeout=seconds + 1,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if refused.done():
                refused.result()
            if not asking.done():
                raise TimeoutError
            answer = json.loads(asking.result().data)
        except NoRespondersError:
            raise NoStream from None
        except TimeoutError:
            words = f"the server gave no answer within {seconds:.0f} s"
            if seconds == _TOGETHER_SECONDS:  # a full one gives none to many messages
                words += "; it is very slow, or its disk is full"
            raise RelayTrouble(words) from None
        except (Error, OSError, ValueError) as error:
            raise RelayTrouble(f"the connection failed: {reason(error)}") from None
        finally:
            asking.cancel()
            refused.cancel()
            with contextlib.suppress(BaseException):
                asking.exception() if asking.done() else None
            self._waiting.pop(subject.lower(), None)
        return answer if isinstance(answer, dict) else {}


def _of_batch(name: str, number: int) -> dict[str, str]:
    return {"Nats-Batch-Id": name, "Nats-Batch-Sequence": str(number)}


def _words(error: dict[str, Any]) -> str:
    return clean(error.get("description") or error, 200)
