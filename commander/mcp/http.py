"""MCP over HTTP, as one address of the gateway. The SDK takes most of a second to import, so that
waits for the first request."""

import asyncio
import contextlib
import importlib.util
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from fleet_lib.extras import how_to_add

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

PATH = "/mcp"


class Endpoint:
    """The ASGI application at PATH. The gateway's guard has checked Host, Origin and token."""

    def __init__(self, home: str) -> None:
        self._home = home
        self._is_wanted = asyncio.Event()
        self._app: asyncio.Future[ASGIApp] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if importlib.util.find_spec("mcp") is None:
            message = f"The packages of MCP are not installed; {how_to_add('mcp')}."
            error = {"code": "not_installed", "message": message}
            await JSONResponse({"error": error}, 501)(scope, receive, send)
            return
        assert self._app is not None
        self._is_wanted.set()
        app = await asyncio.shield(self._app)
        await app(scope, receive, send)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self._app = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(self._serve(self._app))
        try:
            yield
        finally:
            serving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await serving

    async def _serve(self, ready: "asyncio.Future[ASGIApp]") -> None:
        """The SDK's sessions are tasks of this one."""
        await self._is_wanted.wait()
        try:
            app, session_manager = await asyncio.to_thread(_make, self._home)
        except Exception as error:
            ready.set_exception(error)
            return
        async with session_manager.run():
            ready.set_result(app)
            await asyncio.Event().wait()


def _make(home: str) -> "tuple[ASGIApp, StreamableHTTPSessionManager]":
    from mcp.server.transport_security import TransportSecuritySettings

    from commander.mcp import server

    made = server.make(home)
    # The gateway's own check of Host and Origin knows the page's name and gateway.hosts too.
    checked = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    app = made.streamable_http_app(streamable_http_path=PATH, transport_security=checked)
    return app, made.session_manager
