"""What the gateway costs: the delay from an event's commit to each of 100 WebSocket clients, and
the time that 10,000 events take to reach all of them.

Writer, gateway and clients are separate processes on one machine. The delay begins when the
writer's commit returns, by the system's monotonic clock. As a measure of the machine, the same run
times a loopback round trip of the same size between two bare processes.
"""

import asyncio
import contextlib
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect

from benchmarks.report import Plot, Section, held, table
from benchmarks.running import ROOT
from fleet_lib.store import db

CLIENTS, EVENTS, BURST = 100, 500, 10_000
MEDIAN_LIMIT_MS, P99_LIMIT_MS = 20, 100  # DESIGN section 11

_WRITER = """
import json, sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], timeout=60)
for number in range(int(sys.argv[2])):
    with connection:
        connection.execute("INSERT INTO outbox_events (ts, type, payload_json)"
            " VALUES ('t', 'briefing_added', '{}')")
    print(time.monotonic(), flush=True)
    time.sleep(0.02)
"""
_INSERT_BURST = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=60)
for batch in range(int(sys.argv[2]) // 20):
    with connection:
        connection.executemany("INSERT INTO outbox_events (ts, type, payload_json)"
            " VALUES ('t', 'briefing_added', '{}')", [()] * 20)
"""
_ECHO = """
import socket, sys
client = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
while received := client.recv(4096):
    client.sendall(received)
"""


@contextlib.contextmanager
def running_gateway(home: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """(host and port, headers that let a client in) of a gateway of this home."""
    db.connect(home / "fleet.db").close()
    gateway = subprocess.Popen(
        [sys.executable, "-m", "commander", "gateway", "--port", "0", "--no-browser"],
        env=os.environ | {"FLEET_HOME": str(home)},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert gateway.stdout is not None
        found = re.search(r":(\d+)/#code=", gateway.stdout.readline())
        assert found
        token = (home / "gateway.token").read_text().strip()
        yield f"127.0.0.1:{found[1]}", {"Authorization": f"Bearer {token}"}
    finally:
        gateway.terminate()
        gateway.wait()


def measure(folder: Path, events: int = EVENTS, burst: int = BURST) -> list[Section]:
    home = folder / "gateway"
    with running_gateway(home) as (place, headers):
        address, database = f"ws://{place}/ws", str(home / "fleet.db")
        delays = sorted(asyncio.run(_delays(address, headers, database, events)))
        began = time.monotonic()
        asyncio.run(_burst(address, headers, database, events, burst))
        seconds = time.monotonic() - began
    trip = _round_trip()
    rows = [
        (
            name,
            f"{1000 * value:.1f}",
            f"{value / trip:.0f}",
            f"{limit} ms",
            held(1000 * value, limit),
        )
        for name, value, limit in (
            ("median", statistics.median(delays), MEDIAN_LIMIT_MS),
            ("99th percentile", delays[int(len(delays) * 0.99)], P99_LIMIT_MS),
        )
    ]

    def draw(axes: Any) -> None:
        shares = [100 * number / len(delays) for number in range(len(delays))]
        axes.step([1000 * delay for delay in delays][::50], shares[::50], where="post")
        axes.axvline(MEDIAN_LIMIT_MS, color="#c92a2a", linewidth=1, linestyle="--")
        axes.axvline(P99_LIMIT_MS, color="#c92a2a", linewidth=1, linestyle="--")
        axes.set(
            xlabel="ms from commit to client; red: limits of median and 99th percentile",
            ylabel="% received",
        )
        axes.set_xlim(left=0)

    return [
        Section(
            "What the gateway costs",
            "python -m benchmarks gateway",
            f"An event is committed every 20 ms, {events} times, and received by each of {CLIENTS}"
            f" clients, which share one process. Then {burst:,} events are written at once. The"
            " delay counts from the moment at which the commit returned.",
            [
                table(
                    ("commit to client", "ms", "times a loopback round trip", "limit", "holds"),
                    rows,
                )
            ],
            [Plot("gateway", "How long an event takes from its commit to a client", draw)],
            f"{burst:,} events written at once reach {CLIENTS} clients in {seconds:.1f} s:"
            f" {CLIENTS * burst / seconds:,.0f} messages per second. A loopback round trip takes"
            f" {1e6 * trip:.0f} µs.",
        )
    ]


async def _follow(
    address: str, headers: dict[str, str], start: int, last: int, live: asyncio.Semaphore
) -> list[float]:
    """When each of the events after `start` up to `last` came in."""
    arrived: list[float] = []
    # On a busy machine a handshake or a pong may wait behind a million messages.
    async with connect(
        address, additional_headers=headers, compression=None, open_timeout=90, ping_timeout=90
    ) as client:
        await client.send(json.dumps({"type": "fleet.subscribe", "from_event_id": start}))
        while len(arrived) < last - start:
            message = str(await client.recv())
            if message.startswith('{"type":"fleet.event"'):
                arrived.append(time.monotonic())
            else:
                live.release()
    return arrived


async def _delays(address: str, headers: dict[str, str], database: str, events: int) -> list[float]:
    live = asyncio.Semaphore(0)
    following = [
        asyncio.create_task(_follow(address, headers, 0, events, live)) for _ in range(CLIENTS)
    ]
    for _ in range(CLIENTS):
        await live.acquire()
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _WRITER, database, str(events), stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await writer.communicate()
    committed = [float(line) for line in printed.split()]
    return [
        max(0.0, came - commit)
        for arrived in await asyncio.gather(*following)
        for came, commit in zip(arrived, committed, strict=True)
    ]


async def _burst(
    address: str, headers: dict[str, str], database: str, events: int, burst: int
) -> None:
    live = asyncio.Semaphore(0)
    following = [
        asyncio.create_task(_follow(address, headers, events, events + burst, live))
        for _ in range(CLIENTS)
    ]
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _INSERT_BURST, database, str(burst)
    )
    await asyncio.gather(*following)
    await writer.wait()


def _round_trip() -> float:
    """Seconds (median) that 300 bytes take to another process and back."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
        other = subprocess.Popen([sys.executable, "-c", _ECHO, str(server.getsockname()[1])])
        with server.accept()[0] as pipe:
            times = []
            for _ in range(2000):
                began = time.perf_counter()
                pipe.sendall(b"x" * 300)
                pipe.recv(4096)
                times.append(time.perf_counter() - began)
        other.wait()
    return statistics.median(times)
