"""Limits on connections, so that idle or slow ones cannot keep others out: of strangers, which have
shown no right credential, there are only so many, and no connection waits for ever.

uvicorn makes one of these protocols for each connection. The application finds it in its scope's
state and says when a client has been let in."""

import asyncio
import resource
from typing import Any, Protocol

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

REQUEST_SECONDS = 10.0  # until a request is whole, from the connection's opening or the last answer
ANSWER_SECONDS = 60.0  # until an answer is sent, which a client that does not read can delay
STRANGER_SECONDS = 10.0  # of a WebSocket until it is logged in
_STRANGERS = 512
_BACKLOG = 128
_FILES = 4096  # file descriptors, which many systems limit to 256 or 1,024 unless a program asks


class _Connection(Protocol):
    def end(self) -> None: ...


class Strangers:
    """The connections that were not let in yet, oldest first."""

    def __init__(self, files: int) -> None:
        """`files` is the number of file descriptors that the process may have."""
        self._limit = min(_STRANGERS, files // 4)
        self._found: dict[_Connection, None] = {}

    def enter(self, connection: _Connection) -> None:
        """Of too many the oldest is ended: one that behaves has sent its request long ago."""
        self._found[connection] = None
        if len(self._found) > self._limit:
            oldest = next(iter(self._found))
            self.leave(oldest)
            oldest.end()

    def leave(self, connection: _Connection) -> None:
        self._found.pop(connection, None)


class HttpConnection(H11Protocol):
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._strangers: Strangers = self.app_state["strangers"]
        self.app_state = {**self.app_state, "connection": self}
        self._deadline: asyncio.TimerHandle | None = None
        self._is_whole = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._set_deadline(REQUEST_SECONDS)
        self._strangers.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # A request that grows slowly keeps its deadline.
        if self._deadline and self._is_request_whole() != self._is_whole:
            self._begin_phase()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._deadline:
            self._begin_phase()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._leave()
        super().handle_websocket_upgrade(event)

    def admit(self) -> None:
        self._strangers.leave(self)

    def end(self) -> None:
        self.transport.abort()

    def _is_request_whole(self) -> bool:
        return self.conn.their_state not in (h11.IDLE, h11.SEND_BODY)

    def _begin_phase(self) -> None:
        self._is_whole = self._is_request_whole()
        self._set_deadline(ANSWER_SECONDS if self._is_whole else REQUEST_SECONDS)

    def _set_deadline(self, seconds: float) -> None:
        if self._deadline:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds, self.end)

    def _leave(self) -> None:
        self._strangers.leave(self)
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None


class SocketConnection(WebSocketsSansIOProtocol):
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._strangers: Strangers = self.app_state["strangers"]
        self.app_state = {**self.app_state, "connection": self}
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._deadline = self.loop.call_later(STRANGER_SECONDS, self.end)
        self._strangers.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.admit()
        super().connection_lost(exc)

    def admit(self) -> None:
        self._strangers.leave(self)
        if self._deadline:
            self._deadline.cancel()

    def end(self) -> None:
        self.transport.abort()


def backlog(files: int) -> int:
    """How many connections the system may hand over at once. Far fewer than strangers are allowed: a
    request that came with its connection is read before that connection can be the oldest one."""
    return min(_BACKLOG, files // 16)


def raise_file_limit() -> int:
    """Ask the system for enough file descriptors; how many there may be now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft == resource.RLIM_INFINITY:
        return _FILES
    if soft >= wanted:
        return min(soft, _FILES)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        return soft
    return wanted
