"""Opening a connection to the relay's server, which takes three seconds at most: nats-py alone would
wait for a dead server without end."""

import asyncio
import contextlib
import logging
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from fleet_lib import paths
from fleet_lib.extras import how_to_add
from fleet_lib.relay import names
from fleet_lib.relay.link import Link
from fleet_lib.relay.trouble import CONNECT_SECONDS, IN_THE_CLEAR, RelayTrouble, unreachable
from fleet_lib.store.relay import Member
from fleet_lib.text import clean

if TYPE_CHECKING:
    from nats.aio.client import Client

_SHORT_SECONDS = 30.0  # of work that asks a thing or two
_END_SECONDS = 2.0
_Result = TypeVar("_Result")


class Deadline:
    """When work that makes no progress is broken off."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.extend()

    def extend(self) -> None:
        """There was progress."""
        self._at = time.monotonic() + self._seconds

    @property
    def left(self) -> float:
        return self._at - time.monotonic()


def run(work: Coroutine[Any, Any, _Result], deadline: Deadline | None = None) -> _Result:
    """`asyncio.run` that always ends. A cancellation, and so the end of a time limit, can get lost
    in the client: its `_flush_pending` swallows it, and so does `wait_for` of Python 3.11 if what it
    waits for is done at that moment; a lost one lets `nats.connect` try again and again. So nothing
    here waits for a task without a limit. Raises TimeoutError at the deadline."""
    loop = asyncio.new_event_loop()
    deadline = deadline or Deadline(_SHORT_SECONDS)
    try:
        task = loop.create_task(work)
        loop.run_until_complete(_until_done(task, deadline))
        if not task.done() or task.cancelled():
            raise TimeoutError
        return task.result()
    finally:
        if left := asyncio.all_tasks(loop):
            for one in left:
                one.cancel()
            loop.run_until_complete(asyncio.wait(left, timeout=_END_SECONDS))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def _until_done(task: "asyncio.Task[Any]", deadline: Deadline) -> None:
    while not task.done() and deadline.left > 0:
        await asyncio.wait([task], timeout=deadline.left)
    if not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_END_SECONDS)


@contextlib.asynccontextmanager
async def connected(home: str, member: Member) -> AsyncIterator[Link]:
    """Connect with the home's own key. Raises RelayTrouble."""
    async with connected_with(
        member.url, Path(paths.relay(home, "seed")), _ca_of(home), member.machine
    ) as link:
        yield link


@contextlib.asynccontextmanager
async def connected_with(
    url: str, seed: Path, ca: Path | None, machine: str
) -> AsyncIterator[Link]:
    """Connect to any server. Raises RelayTrouble."""
    try:
        import nats  # noqa: F401
        import nkeys  # noqa: F401  (nats-py signs with it)
    except ImportError:
        raise RelayTrouble(
            f"the relay's packages are not installed; {how_to_add('relay')}"
        ) from None
    # It warns of what a closed TLS connection does not do.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    said: list[str] = []
    links: list[Link] = []
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def note(error: Exception) -> None:
        said.append(clean(error, 200) or type(error).__name__)
        if isinstance(error, OSError) and not failed.done():
            failed.set_exception(error)  # the client would try again and again
        for link in links:
            link.note_error(error)

    async def note_closed() -> None:
        for link in links:
            link.note_closed()

    options: dict[str, Any] = {}
    if ca or url.startswith("tls://"):
        options["tls"] = _tls_context(ca)
    client = _client(is_encrypted="tls" in options)
    try:
        await _look_up(url)
        connecting = client.connect(
            url,
            nkeys_seed=str(seed),
            inbox_prefix=names.inbox(machine).encode(),
            error_cb=note,
            closed_cb=note_closed,
            allow_reconnect=False,
            connect_timeout=int(CONNECT_SECONDS),
            ping_interval=5,
            max_outstanding_pings=2,
            **options,
        )
        await _first(asyncio.ensure_future(connecting), failed)
    except Exception as error:
        raise RelayTrouble(unreachable(url, error, said)) from None
    link = Link(client, machine)
    links.append(link)
    try:
        yield link
    finally:
        await link.close()


async def _first(connecting: "asyncio.Future[None]", failed: "asyncio.Future[None]") -> None:
    """Wait until it is connected. Raises what went wrong, or TimeoutError."""
    both = (connecting, failed)
    await asyncio.wait(both, timeout=CONNECT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    try:
        for one in both:
            if one.done():
                one.result()
        if not connecting.done():
            raise TimeoutError
    finally:
        connecting.cancel()
        failed.cancel()


async def _look_up(url: str) -> None:
    """Raises OSError if the host is unknown, TimeoutError if that is not known in time. asyncio
    would look it up in a thread for whose end the process waits, as long as the resolver likes."""
    host, loop = urlsplit(url).hostname, asyncio.get_running_loop()
    found: asyncio.Future[None] = loop.create_future()

    def note(error: OSError | None) -> None:
        if found.done():
            return
        if error:
            found.set_exception(error)
        else:
            found.set_result(None)

    def look_up() -> None:
        error = None
        try:
            socket.getaddrinfo(host, None)
        except OSError as trouble:
            error = trouble
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(note, error)

    threading.Thread(target=look_up, daemon=True).start()
    async with asyncio.timeout(CONNECT_SECONDS):
        await found


def _client(*, is_encrypted: bool) -> "Client":
    from nats.aio.client import Client
    from nats.errors import Error

    class Encrypted(Client):
        """nats-py encrypts if the server asks for it. One who sits between could leave that out, and
        would be sent everything: so this one says nothing over a connection that is in the clear."""

        def _connect_command(self) -> bytes:
            writer = getattr(self._transport, "_io_writer", None)
            if writer is None or writer.get_extra_info("ssl_object") is None:
                raise Error(IN_THE_CLEAR)
            return super()._connect_command()

    return Encrypted() if is_encrypted else Client()


def _tls_context(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(ca) if ca else None)
    except (OSError, ssl.SSLError) as error:
        raise RelayTrouble(f"{ca} is no certificate: {clean(error, 200)}") from None


def _ca_of(home: str) -> Path | None:
    ca = Path(paths.relay(home, "ca.pem"))
    return ca if ca.exists() else None
