"""Puts the gateway together and serves it."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from commander.gateway import connections
from commander.gateway.access import Guard
from commander.gateway.address import Address
from commander.gateway.api import no_such_page, routes
from commander.gateway.context import Context
from commander.gateway.hub import Hub
from commander.gateway.jobs import JobQueue
from commander.gateway.live_watch import LiveWatch
from commander.gateway.logins import Logins
from commander.gateway.notifying import Notifying
from commander.gateway.relay import exchanging
from commander.gateway.socket import Client
from commander.mcp import http
from fleet_lib.drain.foreground import FORGOTTEN_SECONDS, drain_forgotten

STATIC = Path(__file__).resolve().parent / "static"
MESSAGE_LIMIT = 2_000_000  # bytes of one WebSocket message
CLIENTS = 500
# The first part of the addresses that the page shows something for (static/shell.js): alone, and with
# the id of one thing after it.
LISTS = frozenset(("", "timeline", "search", "sessions", "jobs", "usage", "commander", "prelude"))
SINGLE = frozenset(("session", "project", "briefing", "event", "jobs"))
# {a loopback address, or all addresses of one family: the other family's loopback address}
_COMPANIONS = {"127.0.0.1": "::1", "localhost": "::1", "0.0.0.0": "::1", "::1": "127.0.0.1"}  # noqa: S104
_ATTEMPTS = 20  # to find a port that is free on both


def make(home: str, address: Address, logins: Logins) -> ASGIApp:
    """The application behind its guard."""
    files = connections.raise_file_limit()
    hub = Hub(home)
    queue = JobQueue(home)
    clients: set[Client] = set()
    live_watch = LiveWatch(home, lambda: bool(clients))

    async def serve(socket: WebSocket) -> None:
        if len(clients) >= min(CLIENTS, files // 4):
            await socket.close(1013, "too many clients")
            return
        client = Client(socket, hub, queue, live_watch)
        clients.add(client)
        try:
            await client.serve()
        finally:
            clients.discard(client)

    async def page(request: Request) -> Response:
        # The address holds what the page shows, so all of these are the same page.
        view, _, which = request.path_params["rest"].partition("/")
        is_known = view in (SINGLE if which else LISTS)
        return FileResponse(STATIC / "index.html", status_code=200 if is_known else 404)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, connections.Strangers]]:
        async with hub.running(), live_watch.running(), mcp.running(), exchanging(home):
            draining = asyncio.create_task(_drain_forgotten(home))
            try:
                with Notifying(home).running():
                    yield {"strangers": connections.Strangers(files)}
            finally:
                draining.cancel()

    context = Context(
        home, queue, address, logins, clients=lambda: len(clients), changed=live_watch.touch
    )
    mcp = http.Endpoint(home)
    app = Starlette(
        routes=[
            Mount("/api/v1", routes=routes(context)),
            WebSocketRoute("/ws", serve),
            Route(http.PATH, mcp),
            Mount("/static", StaticFiles(directory=STATIC)),
            Mount("/api", routes=[]),
            Route("/{rest:path}", page),
        ],
        exception_handlers={HTTPException: no_such_page},
        lifespan=lifespan,
    )
    return Guard(app, address, logins)


async def _drain_forgotten(home: str) -> None:
    while True:
        await asyncio.sleep(FORGOTTEN_SECONDS)
        with contextlib.suppress(OSError):
            await asyncio.to_thread(drain_forgotten, home)


def bind(host: str, port: int) -> list[socket.socket]:
    """The listening sockets, all on one port; port 0 means any free one. Raises OSError.

    A browser may look for the page's name under either loopback address, so both are taken: on the
    other one another program would get what is meant for the gateway."""
    companion = _COMPANIONS.get(host)
    for attempt in range(_ATTEMPTS):
        first = _listen(host, port)
        if companion is None:
            return [first]
        try:
            return [first, _listen(companion, first.getsockname()[1])]
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return [first]  # this machine does not have that address
            first.close()
            if port or attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and host != "::":
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind((host, port))
        listening.listen()
    except OSError:
        listening.close()
        raise
    return listening


async def serve(app: ASGIApp, listening: list[socket.socket]) -> None:
    """Serve until SIGINT or SIGTERM."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="on",
        http=connections.HttpConnection,
        ws=connections.SocketConnection,
        backlog=connections.backlog(connections.raise_file_limit()),
        ws_max_size=MESSAGE_LIMIT,
        ws_per_message_deflate=False,  # on loopback compression costs more than it saves
        ws_ping_interval=20,
        ws_ping_timeout=20,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=3,
    )
    server = uvicorn.Server(config)
    await server.serve(sockets=listening)


def run(app: ASGIApp, listening: list[socket.socket]) -> None:
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn has already shut down
        asyncio.run(serve(app, listening))
