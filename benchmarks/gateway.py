"""What the gateway costs: from the commit of an event to each of 100 WebSocket clients, and 10,000 events to all.

    python benchmarks/gateway.py [--clients 100] [--events 500] [--burst 10000]

Writer, gateway and clients are processes of their own on one machine. The delay is taken from the moment at which
the writer's commit returned, by the system's monotonic clock. In the same run and in turn with it, as a
measure of the machine: one loopback round trip of the same size between two bare processes.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from websockets.asyncio.client import connect

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fleet_lib import db  # noqa: E402

_WRITER = """
import json, sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], timeout=60)
for number in range(int(sys.argv[2])):
    with connection:
        connection.execute("INSERT INTO outbox_events (ts, type, payload_json) VALUES ('t', 'briefing_added', '{}')")
    print(time.monotonic(), flush=True)
    time.sleep(0.02)
"""
_BURST = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=60)
for batch in range(int(sys.argv[2]) // 20):
    with connection:
        connection.executemany("INSERT INTO outbox_events (ts, type, payload_json)"
            " VALUES ('t', 'briefing_added', '{}')", [()] * 20)
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--clients", type=int, default=100)
    options.add_argument("--events", type=int, default=500)
    options.add_argument("--burst", type=int, default=10_000)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        db.connect(home / "fleet.db").close()
        env = os.environ | {"FLEET_HOME": str(home)}
        gateway = subprocess.Popen(
            [sys.executable, "-m", "commander", "gateway", "--port", "0", "--no-browser"],
            env=env,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert gateway.stdout is not None
            found = re.search(r"http://(\S+)/\?token=(\S+)", gateway.stdout.readline())
            assert found
            address, headers = f"ws://{found[1]}/ws", {"Authorization": f"Bearer {found[2]}"}
            database = str(home / "fleet.db")
            delays = asyncio.run(_delays(address, headers, database, given.clients, given.events))
            began = time.monotonic()
            asyncio.run(
                _burst(address, headers, database, given.clients, given.events, given.burst)
            )
            seconds = time.monotonic() - began
        finally:
            gateway.terminate()
            gateway.wait()
    trip = _round_trip()
    ranked = sorted(delays)
    at_99 = ranked[int(len(ranked) * 0.99)]
    middle = statistics.median(ranked)
    print(f"{given.clients} clients, {given.events} events one by one, every 20 ms\n")
    print("| commit to client | ms | times a loopback round trip | limit |\n|---|---|---|---|")
    for name, value, limit in (("median", middle, 20), ("99th percentile", at_99, 100)):
        print(f"| {name} | {1000 * value:.1f} | {value / trip:.0f} | {limit} ms |")
    total = given.clients * given.burst
    print(
        f"\n{given.burst:,} events written at once, to {given.clients} clients: {seconds:.1f} s,"
        f" {total / seconds:,.0f} messages a second; a loopback round trip {1e6 * trip:.0f} µs"
    )


async def _follow(
    address: str, headers: dict[str, str], start: int, last: int, live: asyncio.Semaphore
) -> list[float]:
    """When each event after `start`, through `last`, came in."""
    arrived: list[float] = []
    async with connect(address, additional_headers=headers, compression=None) as client:
        await client.send(json.dumps({"type": "fleet.subscribe", "from_event_id": start}))
        while len(arrived) < last - start:
            message = str(await client.recv())
            if message.startswith('{"type":"fleet.event"'):
                arrived.append(time.monotonic())
            else:
                live.release()
    return arrived


async def _delays(
    address: str, headers: dict[str, str], database: str, clients: int, events: int
) -> list[float]:
    live = asyncio.Semaphore(0)
    following = [
        asyncio.create_task(_follow(address, headers, 0, events, live)) for _ in range(clients)
    ]
    for _ in range(clients):
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
    address: str, headers: dict[str, str], database: str, clients: int, start: int, events: int
) -> None:
    live = asyncio.Semaphore(0)
    following = [
        asyncio.create_task(_follow(address, headers, start, start + events, live))
        for _ in range(clients)
    ]
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _BURST, database, str(events)
    )
    await asyncio.gather(*following)
    await writer.wait()


def _round_trip() -> float:
    """Seconds, median, of 300 bytes to another process and back."""
    echo = "import socket,sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\nwhile d := s.recv(4096): s.sendall(d)"
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
        other = subprocess.Popen([sys.executable, "-c", echo, str(server.getsockname()[1])])
        with server.accept()[0] as pipe:
            times = []
            for _ in range(2000):
                began = time.perf_counter()
                pipe.sendall(b"x" * 300)
                pipe.recv(4096)
                times.append(time.perf_counter() - began)
        other.wait()
    return statistics.median(times)


if __name__ == "__main__":
    main()
