"""Puts the gateway together and serves it."""

import asyncio
import contextlib
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

from commander.gateway.access import Guard
from commander.gateway.api import Api, no_such_page
from commander.gateway.hub import Hub
from commander.gateway.jobs import JobQueue
from commander.gateway.live_watch import LiveWatch
from commander.gateway.socket import Client
from fleet_lib.drain.foreground import FORGOTTEN_SECONDS, drain_forgotten

STATIC = Path(__file__).resolve().parent / "static"
MESSAGE_LIMIT = 2_000_000  # bytes of one WebSocket message
CLIENTS = 500


def make(home: str, token: str, port: int, host: str, once: str = "") -> ASGIApp:
    """The application behind its guard. `port` is the one that clients connect to."""
    hub = Hub(home)
    queue = JobQueue(home)
    clients: set[Client] = set()
    live_watch = LiveWatch(home, lambda: bool(clients))

    async def serve(socket: WebSocket) -> None:
        if len(clients) >= CLIENTS:
            await socket.close(1013, "too many clients")
            return
        client = Client(socket, hub, queue, live_watch)
        clients.add(client)
        try:
            await client.serve()
        finally:
            clients.discard(client)

    async def page(request: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with hub.running(), live_watch.running():
            draining = asyncio.create_task(_drain_forgotten(home))
            try:
                yield
            finally:
                draining.cancel()

    app = Starlette(
        routes=[
            Mount("/api/v1", routes=Api(home, queue, lambda: len(clients)).routes()),
            WebSocketRoute("/ws", serve),
            Mount("/static", StaticFiles(directory=STATIC)),
            # The address holds what the page shows, so all of these are the same page.
            Route("/", page),
            Route("/{view:str}", page),
            Route("/{view:str}/{which:str}", page),
        ],
        exception_handlers={HTTPException: no_such_page},
        lifespan=lifespan,
    )
    return Guard(app, token, port, host, once)


async def _drain_forgotten(home: str) -> None:
    while True:
        await asyncio.sleep(FORGOTTEN_SECONDS)
        with contextlib.suppress(OSError):
            await asyncio.to_thread(drain_forgotten, home)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 means any free one. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(128)
    except OSError:
        listening.close()
        raise
    return listening


async def serve(app: ASGIApp, listening: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="on",
        ws="websockets-sansio",
        ws_max_size=MESSAGE_LIMIT,
        ws_per_message_deflate=False,  # on loopback compression costs more than it saves
        ws_ping_interval=20,
        ws_ping_timeout=20,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=3,
    )
    server = uvicorn.Server(config)
    await server.serve(sockets=[listening])


def run(app: ASGIApp, listening: socket.socket) -> None:
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn has already shut down
        asyncio.run(serve(app, listening))
