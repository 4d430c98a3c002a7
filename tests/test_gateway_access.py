"""Who gets into the gateway: Host, Origin, tokens, codes and sessions. Raw sockets, since a client
library would not send most of this."""

import json
import re
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from gateway_world import Gateway, receive, send
from support import ROOT, Fleet
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from commander.gateway import address, logins
from fleet_lib import setting_checks
from fleet_lib.errors import BadInput
from fleet_lib.store import db

STATIC = ROOT / "commander" / "gateway" / "static"
TAILNET = "box.tailnet-1.ts.net"


@pytest.fixture
def gateway(fleet: Fleet) -> Iterator[Gateway]:
    db.connect(fleet.home / "fleet.db").close()
    started = Gateway(fleet)
    yield started
    started.stop()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One gateway for all tests that only read. It is also reached by a name of a tailnet."""
    folder = tmp_path_factory.mktemp("shared")
    fleet = Fleet(folder / "user" / "fleet home", folder)
    fleet.home.mkdir(parents=True)
    db.connect(fleet.home / "fleet.db").close()
    (fleet.home / "config.toml").write_text(f'[gateway]\nhosts = ["other", "https://{TAILNET}/"]\n')
    started = Gateway(fleet)
    started.start()
    yield started
    started.stop()


def ask(gateway: Gateway, path: str, *headers: str, method: str = "GET", body: str = "") -> int:
    """The status of one request with exactly these headers."""
    lines = [f"{method} {path} HTTP/1.1", *headers, "Connection: close"]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as raw:
        raw.sendall(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
        answer = raw.recv(100)
    return int(answer.split()[1])


def session_of(gateway: Gateway) -> str:
    answer = gateway.exchange(gateway.new_link().partition("#code=")[2])
    assert answer.status_code == 200, answer.text
    return str(answer.json()["bearer"])


# --- Host and Origin -----------------------------------------------------------------------------

# {Host: the Origins of its own page}; {p} is the port, {name} the page's random name
OWN = {
    "127.0.0.1:{p}": ["http://127.0.0.1:{p}"],
    "localhost:{p}": ["http://localhost:{p}"],
    "LOCALHOST:{p}": ["http://localhost:{p}"],
    "[::1]:{p}": ["http://[::1]:{p}"],
    "localhost:9000": ["http://localhost:9000"],  # through a tunnel
    "127.0.0.1": ["http://127.0.0.1", "http://127.0.0.1:80"],
    "{name}:{p}": ["http://{name}:{p}"],
    "{name}:9000": ["http://{name}:9000"],
    TAILNET: [f"https://{TAILNET}", f"http://{TAILNET}", f"https://{TAILNET}:443"],
    TAILNET + ":8443": [f"https://{TAILNET}:8443"],
    "other:{p}": ["http://other:{p}"],
}
FOREIGN_HOSTS = [
    "evil.example",
    "evil.example:{p}",
    "127.0.0.1.evil.example:{p}",
    "localhost.evil.example:{p}",
    "localhost.:{p}",
    "fleet-0123456789abcdef.localhost:{p}",
    "x.{name}:{p}",
    "{name}.evil.example:{p}",
    "192.168.1.5:{p}",
    "127.0.0.2:{p}",
    "0.0.0.0:{p}",
    "[::]:{p}",
    "127.0.0.1:{p}, evil.example",
    "user@127.0.0.1:{p}",
    "evil.example#127.0.0.1:{p}",
    "2130706433:{p}",
    "x" + TAILNET,
    "",
]
FOREIGN_ORIGINS = [
    "null",
    "",
    "http://evil.example",
    "http://evil.example:{p}",
    "http://127.0.0.1:1",
    "http://127.0.0.1",
    "http://localhost:3000",
    "http://localhost:{p}",
    "https://127.0.0.1:{p}",
    "http://[::1]:{p}",
    "http://{name}:{p}",
    "http://127.0.0.1:{p}.evil.example",
    "http://127.0.0.1:{p}@evil.example",
    "file://",
    "chrome-extension://abcdefghijklmnop",
]
PATHS = ("/", "/timeline", "/static/app.js", "/api/v1/health", "/api/v1/openapi.json", "/no/such")


def filled(text: str, gateway: Gateway) -> str:
    return text.replace("{p}", str(gateway.port)).replace("{name}", gateway.name)


@pytest.mark.parametrize("host", OWN)
def test_token_is_good_under_each_own_name_with_any_port(shared: Gateway, host: str) -> None:
    token, name = f"Authorization: Bearer {shared.token}", f"Host: {filled(host, shared)}"
    assert ask(shared, "/api/v1/health", name, token) == 200
    for origin in OWN[host]:
        own = f"Origin: {filled(origin, shared)}"
        assert ask(shared, "/api/v1/health", name, token, own) == 200, origin
        assert handshake(shared, name, own, token) == 101


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_foreign_host_is_refused_whatever_it_sends(shared: Gateway, host: str) -> None:
    name, token = f"Host: {filled(host, shared)}", f"Authorization: Bearer {shared.token}"
    for path in PATHS:
        assert ask(shared, path, name, token) in (400, 403), path
        own = f"Origin: http://{filled(host, shared)}"
        assert ask(shared, path, name, token, own) in (400, 403), path
    assert handshake(shared, name, token) in (400, 403)
    code = json.dumps({"code": logins_code(shared)})
    assert ask(shared, "/api/v1/session", name, method="POST", body=code) in (400, 403)


def test_two_hosts_or_none_are_refused(shared: Gateway) -> None:
    token, own = f"Authorization: Bearer {shared.token}", f"Host: 127.0.0.1:{shared.port}"
    assert ask(shared, "/api/v1/health", own, "Host: evil.example", token) in (400, 403)
    assert ask(shared, "/api/v1/health", token) in (400, 403)


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
def test_another_pages_origin_is_refused_even_with_the_token(shared: Gateway, origin: str) -> None:
    host, token = f"Host: 127.0.0.1:{shared.port}", f"Authorization: Bearer {shared.token}"
    foreign = f"Origin: {filled(origin, shared)}"
    for path in PATHS:
        assert ask(shared, path, host, token, foreign) == 403, path
    assert ask(shared, "/api/v1/jobs", host, token, foreign, method="POST", body="{}") == 403
    assert handshake(shared, host, token, foreign) == 403
    assert handshake(shared, host, foreign) == 403
    both = f"Origin: http://127.0.0.1:{shared.port}"
    assert ask(shared, "/api/v1/health", host, token, both, foreign) == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_browser_that_says_another_site_asks_is_refused(shared: Gateway, site: str) -> None:
    host, token = f"Host: 127.0.0.1:{shared.port}", f"Authorization: Bearer {shared.token}"
    fetch = f"Sec-Fetch-Site: {site}"
    assert ask(shared, "/api/v1/health", host, token, fetch) == 403
    assert handshake(shared, host, token, fetch) == 403
    assert ask(shared, "/", host, fetch) == 200, "a link in another page may lead to the frame"


def handshake(gateway: Gateway, *headers: str) -> int:
    upgrade = ("Upgrade: websocket", "Sec-WebSocket-Version: 13")
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    lines = ["GET /ws HTTP/1.1", *headers, "Connection: Upgrade", *upgrade, key]
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as raw:
        raw.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        return int(raw.recv(100).split()[1])


# --- credentials ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "credential",
    [
        "",
        "Authorization: Bearer " + "x" * 43,
        "Authorization: Bearer",
        "Authorization: Basic {token}",
        "Authorization: {token}",
        "Cookie: fleet_gateway_{p}={token}",
        "Cookie: bearer={session}",
    ],
)
def test_api_without_a_right_bearer_is_refused(shared: Gateway, credential: str) -> None:
    given = credential.replace("{token}", shared.token).replace("{session}", session_of(shared))
    headers = [filled(given, shared)] if given else []
    for host in (f"127.0.0.1:{shared.port}", f"{shared.name}:{shared.port}", TAILNET):
        for path in ("/api/v1/health", "/api/v1/openapi.json", "/api/v1/no-such", "/api", "/ws"):
            assert ask(shared, path, f"Host: {host}", *headers) == 401, path
            query = f"{path}?token={shared.token}&once={shared.token}"
            assert ask(shared, query, f"Host: {host}", *headers) == 401, path
        hide = [f"/api/v1/sessions/s-1/{act}" for act in ("dismiss", "snooze", "show")]
        for path in ("/api/v1/jobs", "/api/v1/links", "/api/v1/jobs/1/cancel", *hide):
            status = ask(shared, path, f"Host: {host}", *headers, method="POST", body="{}")
            assert status == 401, path


def test_page_is_public_holds_no_data_and_sets_no_cookie(shared: Gateway) -> None:
    for path in ("/", "/timeline", "/jobs/3", *(f"/static/{one.name}" for one in _files())):
        answer = httpx.get(shared.base + path, timeout=60)
        assert answer.status_code == 200, path
        assert shared.token not in answer.text and "set-cookie" not in answer.headers
        assert "access-control-allow-origin" not in answer.headers
        policy = answer.headers["content-security-policy"]
        for part in ("default-src 'none'", "script-src 'self'", "worker-src 'none'"):
            assert part in policy
        assert "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert "set-cookie" not in shared.get("/api/v1/health").headers


def test_page_has_no_link_into_the_api_no_event_source_and_no_service_worker() -> None:
    for path in STATIC.rglob("*.*"):
        text = path.read_text()
        for forbidden in ("EventSource", "serviceWorker", "document.cookie", "credentials:"):
            assert forbidden not in text, path
        assert "fetch(" not in text or path.name == "login.js", f"{path} sends no login"
        assert not re.search(r"""(href|src)\s*[=:]\s*["'`{]*/(api|ws)\b""", text), path


def _files() -> list[Path]:
    return [path for path in STATIC.iterdir() if path.is_file() and path.suffix != ".html"]


def test_code_of_the_link_is_good_once_under_the_page_name_only(gateway: Gateway) -> None:
    gateway.start()
    assert re.fullmatch(r"fleet-[0-9a-f]{16}\.localhost", gateway.name)
    assert gateway.exchange(gateway.code, f"127.0.0.1:{gateway.port}").status_code == 403
    assert gateway.exchange(gateway.code, f"localhost:{gateway.port}").status_code == 403
    assert gateway.exchange("x" * 32).status_code == 400
    answer = gateway.exchange(gateway.code)
    session = answer.json()["bearer"]
    assert "set-cookie" not in answer.headers
    again = gateway.exchange(gateway.code)
    assert again.status_code == 400 and "used already" in again.json()["error"]["message"]
    bearer = f"Authorization: Bearer {session}"
    assert ask(gateway, "/api/v1/health", f"Host: {gateway.name}:{gateway.port}", bearer) == 200
    # A fixed name would let the next program on this port read the page's storage.
    assert ask(gateway, "/api/v1/health", f"Host: 127.0.0.1:{gateway.port}", bearer) == 401
    token = gateway.fleet.home / "gateway.token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600


def test_code_is_good_for_a_limited_time(monkeypatch: pytest.MonkeyPatch) -> None:
    users, now = logins.Logins("token"), time.monotonic()
    early, late = users.new_code(), users.new_code()
    monkeypatch.setattr(time, "monotonic", lambda: now + logins.CODE_SECONDS - 1)
    assert users.exchange(early)
    monkeypatch.setattr(time, "monotonic", lambda: now + logins.CODE_SECONDS + 1)
    assert users.exchange(late) is None and users.exchange("") is None


def test_name_code_and_session_end_with_the_gateway(gateway: Gateway) -> None:
    gateway.start()
    session, name, code = session_of(gateway), gateway.name, logins_code(gateway)
    gateway.stop()
    gateway.start()
    bearer = f"Authorization: Bearer {session}"
    assert gateway.name != name
    assert ask(gateway, "/api/v1/health", f"Host: {gateway.name}:{gateway.port}", bearer) == 401
    assert ask(gateway, "/", f"Host: {name}:{gateway.port}") == 403
    assert "fleet gateway link" in httpx.get(gateway.base, headers={"Host": name}, timeout=60).text
    assert gateway.exchange(code).status_code == 400


def logins_code(gateway: Gateway) -> str:
    return gateway.new_link().partition("#code=")[2]


@pytest.mark.slow
def test_kept_address_is_secret_and_changed_with_the_token(gateway: Gateway) -> None:
    gateway.fleet.console("config", "set", "gateway.keep_address", "true")
    gateway.start()
    name, session, file = gateway.name, session_of(gateway), gateway.fleet.home / "gateway.name"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert re.fullmatch(r"fleet-[0-9a-f]{32}\.localhost", name)
    gateway.stop()
    gateway.start()
    assert gateway.name == name
    host = f"Host: {name}:{gateway.port}"
    assert ask(gateway, "/api/v1/health", host, f"Authorization: Bearer {session}") == 401
    gateway.stop()
    gateway.start("--new-token")
    assert gateway.name != name and ask(gateway, "/", host) == 403
    gateway.stop()
    name = gateway.name
    file.write_text("Not-A-Name\n")
    gateway.start()
    assert gateway.name not in (name, "fleet-not-a-name.localhost")


def test_new_token_revokes_the_old_one(gateway: Gateway) -> None:
    gateway.start()
    old = gateway.token
    gateway.stop()
    gateway.start()
    assert gateway.token == old, "programs must still get in after a restart"
    gateway.stop()
    gateway.start("--new-token")
    assert gateway.token != old
    assert gateway.get("/api/v1/health", Authorization=f"Bearer {old}").status_code == 401
    with pytest.raises(InvalidStatus), gateway.client(Authorization=f"Bearer {old}"):
        pass


# --- the WebSocket -------------------------------------------------------------------------------


def plain_client(gateway: Gateway, **headers: str) -> ClientConnection:
    """A connection that sends no Authorization header, as a browser's."""
    return connect(
        f"ws://127.0.0.1:{gateway.port}/ws",
        additional_headers=headers,
        compression=None,
        open_timeout=60,
        close_timeout=1,
    )


def test_first_message_logs_a_websocket_in(shared: Gateway) -> None:
    with plain_client(shared, Origin=shared.base) as client:
        send(client, type="login", bearer=shared.token)
        send(client, type="fleet.subscribe", from_event_id=0)
        assert receive(client) == {"type": "fleet.live", "cursor": 0}
    with shared.client() as client:  # a client that also sends the header
        send(client, type="login", bearer=shared.token)
        send(client, type="ping", id=1)
        assert receive(client) == {"type": "pong", "id": 1}


@pytest.mark.parametrize(
    "first",
    [
        '{"type": "login", "bearer": "wrong"}',
        '{"type": "login", "bearer": "{session}"}',  # good under the page's name only
        '{"type": "login", "bearer": ""}',
        '{"type": "login", "bearer": "\\ud800"}',
        '{"type": "login"}',
        '{"type": "fleet.subscribe", "from_event_id": 0}',
        '{"type": "ping"}',
        "{token}",
        "",
        "[" * 10_000,
    ],
)
def test_websocket_that_begins_with_anything_else_is_closed(shared: Gateway, first: str) -> None:
    text = first.replace("{token}", shared.token).replace("{session}", session_of(shared))
    with plain_client(shared) as client, pytest.raises(ConnectionClosed) as closed:
        client.send(text)
        send(client, type="login", bearer=shared.token)
        receive(client)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1008


def test_silent_websocket_is_closed_after_five_seconds(shared: Gateway) -> None:
    began = time.monotonic()
    with plain_client(shared) as client, pytest.raises(ConnectionClosed) as closed:
        receive(client)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1008
    assert 4 < time.monotonic() - began < 50


# --- other addresses -----------------------------------------------------------------------------


def test_link_for_another_device_uses_a_name_of_the_setting(shared: Gateway) -> None:
    link = shared.fleet.console("gateway", "link", "--at", f"https://{TAILNET}").stdout.strip()
    assert link.startswith(f"https://{TAILNET}/#code=")
    answer = shared.exchange(link.partition("#code=")[2], TAILNET)
    bearer = f"Authorization: Bearer {answer.json()['bearer']}"
    own = f"Origin: https://{TAILNET}"
    assert ask(shared, "/api/v1/health", f"Host: {TAILNET}", bearer, own) == 200
    for at in ("https://evil.example", "http://127.0.0.1", f"ftp://{TAILNET}", "https://", "x y"):
        done = shared.fleet.console("gateway", "link", "--at", at, check=False)
        assert done.returncode == 1 and done.stderr.count("\n") == 1
        assert "gateway.hosts" in done.stderr and done.stdout == ""


def test_session_cannot_make_links(shared: Gateway) -> None:
    bearer = f"Authorization: Bearer {session_of(shared)}"
    host = f"Host: {shared.name}:{shared.port}"
    assert ask(shared, "/api/v1/links", host, bearer, method="POST", body="{}") == 403


def test_link_without_a_running_gateway_says_so(gateway: Gateway) -> None:
    def says() -> str:
        done = gateway.fleet.console("gateway", "link", check=False)
        assert done.returncode == 1 and done.stdout == ""
        return done.stderr

    assert "no gateway is running; start one with `fleet gateway`" in says()
    gateway.start()
    gateway.stop()
    assert "no gateway is running" in says()


def test_plain_address_has_a_random_port_and_takes_no_other(gateway: Gateway) -> None:
    done = gateway.fleet.console("gateway", "--plain-address", "--port", "8737", check=False)
    assert done.returncode == 2 and "leave out --port" in done.stderr
    ports = set()
    for _ in range(2):
        gateway.port = 0
        gateway.start("--plain-address")
        assert gateway.name == "127.0.0.1" and gateway.port not in (0, 8737)
        ports.add(gateway.port)
        assert gateway.exchange(gateway.code, "127.0.0.1:9000").status_code == 403
        session = gateway.exchange(gateway.code).json()["bearer"]
        assert gateway.get("/api/v1/health", Authorization=f"Bearer {session}").status_code == 200
        gateway.stop()
    assert len(ports) == 2


def test_names_of_the_setting_are_read_in_any_form() -> None:
    text = "box.ts.net https://fleet.example/ http://[FD7A::1]:80 192.168.1.5:8737 ??"
    assert address.names(text.split()) == [
        "box.ts.net",
        "fleet.example",
        "[fd7a::1]",
        "192.168.1.5",
    ]
    for written in (["a.ts.net", "b"], "a.ts.net b", "a.ts.net, b"):
        config = setting_checks.checked({"gateway": {"hosts": written}})
        assert config.gateway.hosts == ("a.ts.net", "b")
    remote = address.make("192.168.1.5", 8737, [], is_plain=False)
    assert remote.link("c") == "http://192.168.1.5:8737/#code=c"
    assert remote.has_page("192.168.1.5:8737") and not remote.serves("192.168.1.6:8737")
    with pytest.raises(BadInput, match=r"gateway\.hosts"):
        remote.link("c", "https://box.ts.net")


def test_both_loopback_addresses_are_taken(shared: Gateway) -> None:
    """A browser may look for the page's name at ::1 first, where another program could wait."""
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    try:
        raw = socket.create_connection(("::1", shared.port), timeout=60)
    except OSError as error:
        pytest.skip(f"this machine has no ::1: {error}")
    with raw:
        raw.sendall(b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 401")


def test_browser_is_opened_with_a_code_of_its_own(fleet: Fleet, tmp_path: Path) -> None:
    """`ps` shows a browser's command line to every user."""
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$@" > {opened}.new && mv {opened}.new {opened}\n')
    browser.chmod(0o755)
    gateway = subprocess.Popen(
        [sys.executable, "-m", "commander", "gateway", "--port", "0"],
        env=fleet.env(BROWSER=str(browser)),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert gateway.stdout is not None
        page, _, code = gateway.stdout.readline().split()[-1].partition("#code=")
        deadline = time.monotonic() + 60
        while not opened.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        link = opened.read_text().strip()
        assert link.startswith(page) and code not in link
        host = page.split("/")[2]
        for one in (link.partition("#code=")[2], code):
            answer = httpx.post(
                f"http://127.0.0.1:{host.rpartition(':')[2]}/api/v1/session",
                headers={"Host": host},
                json={"code": one},
                timeout=60,
            )
            assert answer.status_code == 200
    finally:
        gateway.terminate()
        gateway.wait()
