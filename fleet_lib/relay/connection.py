"""Opening a connection to the relay's server, which takes three seconds at most: nats-py alone would
wait for a dead server without end."""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from fleet_lib import paths
from fleet_lib.extras import how_to_add
from fleet_lib.relay import names
from fleet_lib.relay.link import Link, RelayTrouble
from fleet_lib.store.relay import Member
from fleet_lib.text import clean

CONNECT_SECONDS = 3.0
_END_SECONDS = 2.0
_Result = TypeVar("_Result")


def run(work: Coroutine[Any, Any, _Result]) -> _Result:
    """`asyncio.run`, which would wait without end for a task of the client that does not end when
    it is cancelled."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        if left := asyncio.all_tasks(loop):
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.wait(left, timeout=_END_SECONDS))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


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
        import nats
        import nkeys  # noqa: F401  (nats-py signs with it)
    except ImportError:
        raise RelayTrouble(
            f"the relay's packages are not installed; {how_to_add('relay')}"
        ) from None
    # It warns of what a closed TLS connection does not do.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    said: list[str] = []
    links: list[Link] = []

    async def note(error: Exception) -> None:
        said.append(clean(error, 200) or type(error).__name__)
        for link in links:
            link.note_error(error)

    options: dict[str, Any] = {}
    if ca or url.startswith("tls://"):
        options["tls"] = _tls_context(ca)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            client = await nats.connect(
                url,
                nkeys_seed=str(seed),
                inbox_prefix=names.inbox(machine).encode(),
                error_cb=note,
                allow_reconnect=False,
                connect_timeout=CONNECT_SECONDS,
                ping_interval=5,
                max_outstanding_pings=2,
                **options,
            )
    except TimeoutError:
        reason = said[-1] if said else f"no answer within {CONNECT_SECONDS:.0f} s"
        raise RelayTrouble(f"{_shown(url)} cannot be reached: {reason}") from None
    except Exception as error:
        raise RelayTrouble(f"{_shown(url)} cannot be reached: {_why(error, said)}") from None
    link = Link(client, machine)
    links.append(link)
    try:
        yield link
    finally:
        await link.close()


def _tls_context(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(ca) if ca else None)
    except (OSError, ssl.SSLError) as error:
        raise RelayTrouble(f"{ca} is no certificate: {clean(error, 200)}") from None


def _why(error: Exception, said: list[str]) -> str:
    words = " ".join([*said, str(error)]).lower()
    if "authorization" in words:
        return "the server does not know this key; its owner adds it with `add-machine`"
    if "seed" in type(error).__name__.lower() or "seed" in words:
        return "the key is no seed of `fleet relay server`"
    if "certificate" in words:
        return f"its certificate is not the one of --ca ({clean(error, 150)})"
    return clean(error, 200) or (said[-1] if said else type(error).__name__)


def _shown(url: str) -> str:
    return clean(url, 200)


def _ca_of(home: str) -> Path | None:
    ca = Path(paths.relay(home, "ca.pem"))
    return ca if ca.exists() else None
