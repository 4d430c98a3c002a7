"""Idle, slow and half connections do not keep a client out that behaves."""

import contextlib
import resource
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from gateway_world import Gateway, receive, send

from commander.gateway import connections

IDLE = 2000
TIME_LIMIT = 60.0  # seconds for a client that behaves, on a machine that does other work too


@pytest.fixture
def many_files() -> Iterator[None]:
    """This process opens more sockets than the system allows by default."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = IDLE + 500
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"the system allows {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def is_served(gateway: Gateway) -> None:
    began = time.monotonic()
    assert gateway.get("/api/v1/health").status_code == 200
    with gateway.client() as client:
        send(client, type="ping", id=1)
        assert receive(client) == {"type": "pong", "id": 1}
    assert time.monotonic() - began < TIME_LIMIT


HEAD = b"GET /api/v1/health HTTP/1.1\r\nHost: 127.0.0.1\r\n"
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@pytest.mark.parametrize(
    "beginning",
    [
        pytest.param(b"", marks=pytest.mark.slow),
        pytest.param(HEAD, marks=pytest.mark.slow),
        pytest.param(UPGRADE, marks=pytest.mark.slow),
        UPGRADE + b"\r\n",
    ],
    ids=["silent", "half a head", "half a handshake", "not logged in"],
)
@pytest.mark.usefixtures("many_files")
def test_two_thousand_idle_connections_keep_no_other_out(
    gateway: Gateway, beginning: bytes
) -> None:
    with contextlib.ExitStack() as held, gateway.client() as earlier:

        def open_them() -> None:
            for _ in range(IDLE):
                with contextlib.suppress(OSError):  # the gateway has ended it already
                    raw = socket.create_connection(("127.0.0.1", gateway.port), timeout=10)
                    held.enter_context(raw)
                    raw.sendall(beginning)

        opening = threading.Thread(target=open_them)
        opening.start()
        while opening.is_alive():
            is_served(gateway)
        opening.join()
        is_served(gateway)
        send(earlier, type="ping", id=2)
        assert receive(earlier) == {"type": "pong", "id": 2}, "who was let in stays"


def seconds_until_closed(raw: socket.socket, drip: bytes) -> float:
    """How long the gateway reads a request that grows by a byte each half second."""
    began = time.monotonic()
    raw.settimeout(0.5)
    for byte in drip:
        try:
            raw.sendall(bytes([byte]))
            if raw.recv(1000) == b"":
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - began


DRIP = b"X-Slow: " + b"y" * 150


@pytest.mark.parametrize(
    "kind",
    [
        "body",
        *(
            pytest.param(kind, marks=pytest.mark.slow)
            for kind in ("first head", "kept alive", "body of a refused request")
        ),
    ],
)
def test_request_that_never_becomes_whole_is_ended(gateway: Gateway, kind: str) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as raw:
        bearer = b"Authorization: Bearer " + gateway.token.encode() + b"\r\n"
        post = b"POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n"
        if kind == "kept alive":
            raw.sendall(HEAD + b"\r\n")
            assert raw.recv(5000).startswith(b"HTTP/1.1 401")
        if kind == "body of a refused request":
            raw.sendall(post + b"\r\n")
        elif kind == "body":
            raw.sendall(post + bearer + b"\r\n")
        else:
            raw.sendall(HEAD)
        limit = connections.REQUEST_SECONDS
        assert limit - 2 < seconds_until_closed(raw, DRIP) < limit + 40
    is_served(gateway)


@pytest.mark.slow
def test_silent_connection_is_ended_soon(gateway: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port)) as raw:
        raw.settimeout(connections.REQUEST_SECONDS + 50)
        began = time.monotonic()
        with contextlib.suppress(ConnectionResetError):
            assert raw.recv(10) == b""
        assert time.monotonic() - began > connections.REQUEST_SECONDS - 2


@pytest.mark.parametrize(
    ("limits", "allowed"), [((256, 256), 256), ((256, 20_000), 4096), ((9000, 9000), 4096)]
)
def test_limits_follow_what_the_system_allows(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], allowed: int
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: asked.append(wanted))
    assert connections.raise_file_limit() == allowed
    assert asked == ([(4096, 20_000)] if limits[0] < allowed else [])
    assert connections.backlog(allowed) <= allowed // 16


def test_of_too_many_strangers_the_oldest_is_ended_and_who_was_let_in_stays() -> None:
    class Stranger:
        is_ended = False

        def end(self) -> None:
            self.is_ended = True

    strangers = connections.Strangers(files=16)
    found = [Stranger() for _ in range(7)]
    for number, one in enumerate(found):
        strangers.enter(one)
        if number == 0:
            strangers.leave(one)
    assert [one.is_ended for one in found] == [False, True, True, False, False, False, False]
