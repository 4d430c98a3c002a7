"""A running gateway and its clients. Real processes, real sockets."""

import contextlib
import json
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from support import ROOT, Fleet, payload, reserved_port
from websockets.sync.client import ClientConnection, connect


class Gateway:
    """`fleet gateway` for one home, on its own port."""

    def __init__(self, fleet: Fleet, **environment: str) -> None:
        self.fleet = fleet
        self._environment = environment
        self.port = 0
        self.process: subprocess.Popen[str] | None = None

    def start(self, *arguments: str) -> None:
        """Start it, on its earlier port if it had one, and wait until it serves."""
        if not self.port and "--plain-address" not in arguments:
            self.port = reserved_port()
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "commander.cli", "gateway", "--no-browser"),
                *("--port", str(self.port), *arguments),
            ],
            cwd=ROOT,
            env=self.fleet.env(**self._environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        found = re.search(r"(http://(\S+):(\d+))/#code=(\S+)", self.line)
        assert found, (self.line, self.process.stderr and self.process.stderr.read())
        self.page, self.name, self.port, self.code = found[1], found[2], int(found[3]), found[4]
        self.link = found[0]
        self.base = f"http://127.0.0.1:{self.port}"  # where programs find it
        self.token = (self.fleet.home / "gateway.token").read_text().strip()
        for _ in range(1000):
            with contextlib.suppress(httpx.TransportError):
                httpx.get(self.base)
                return
            time.sleep(0.05)
        raise TimeoutError("the gateway does not answer")

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.communicate(timeout=60)
            self.process = None

    def get(self, path: str, **headers: str) -> httpx.Response:
        all_headers = {"Authorization": f"Bearer {self.token}"} | headers
        return httpx.get(self.base + path, headers=all_headers, timeout=60)

    def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        all_headers = {"Authorization": f"Bearer {self.token}"} | headers
        return httpx.post(self.base + path, headers=all_headers, json=body, timeout=60)

    def exchange(self, code: str, host: str = "") -> httpx.Response:
        """Log in as the page does, under its host name."""
        headers = {"Host": host or f"{self.name}:{self.port}"}
        address = self.base + "/api/v1/session"
        return httpx.post(address, json={"code": code}, headers=headers, timeout=60)

    def new_link(self) -> str:
        return self.fleet.console("gateway", "link").stdout.strip()

    @contextlib.contextmanager
    def client(self, **headers: str) -> Iterator[ClientConnection]:
        all_headers = headers or {"Authorization": f"Bearer {self.token}"}
        with connect(
            f"ws://127.0.0.1:{self.port}/ws",
            additional_headers=all_headers,
            compression=None,
            open_timeout=60,
            close_timeout=1,
        ) as client:
            yield client


def send(client: ClientConnection, **message: Any) -> None:
    client.send(json.dumps(message))


def receive(client: ClientConnection, timeout: float = 60) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(client.recv(timeout=timeout))
    return message


def until_live(client: ClientConnection) -> list[int]:
    """The ids of the replayed events, up to the live mark."""
    found = []
    while (message := receive(client))["type"] != "fleet.live":
        found.append(message["event_id"])
    assert message["cursor"] == (found[-1] if found else message["cursor"])
    return found


def stop_turn(fleet: Fleet, project: Path, number: int, message: str, session: str = "s-1") -> None:
    """A worker's turn ends: the real Stop hook, and the drainer that it starts."""
    stop = payload("Stop") | {
        "prompt_id": f"p-{number}",
        "session_id": session,
        "cwd": str(project),
        "last_assistant_message": message,
    }
    done = fleet.hook("stop", stop, project, background=True)
    assert done.returncode == 0


def insert_events(fleet: Fleet, count: int, text: str = "x") -> None:
    """Events as another program inserts them, in one transaction."""
    values = [(json.dumps({"summary": f"{text} {number}"}),) for number in range(count)]
    connection = sqlite3.connect(fleet.home / "fleet.db", timeout=30)
    with contextlib.closing(connection), connection:
        connection.executemany(
            "INSERT INTO outbox_events (ts, type, payload_json)"
            " VALUES ('2026-11-24T08:00:00.000Z', 'briefing_added', ?)",
            values,
        )
