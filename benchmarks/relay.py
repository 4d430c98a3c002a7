"""What the relay costs, with real processes and a real server on loopback with TLS and keys: the
delay from a commit on one machine to the commit on the other, events a second both ways, an exchange
with nothing to do, memory, and a machine that joins late.

The delay ends when the other machine's database can be read, which is asked about every millisecond.
"""

import contextlib
import os
import resource
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from benchmarks.report import Section, table
from fleet_lib import clock, paths
from fleet_lib.ingest.turn_events import TurnEvents
from fleet_lib.relay import membership, server
from fleet_lib.store import db
from fleet_lib.store.briefings import BriefingRepo, Turn
from fleet_lib.store.outbox import OutboxRepo
from fleet_lib.store.projects import ProjectRepo

ROOT = Path(__file__).resolve().parent.parent
DELAYS, EVENTS, LATE_EVENTS = 200, 5_000, 100_000
MEMORY_LIMIT_MB, RECEIVED_LIMIT = 60, 400  # RELAY.md: the client's memory, events a second
_TEXT = "The login works again, and the test that failed is green. " * 20


def measure(
    folder: Path, late_events: int = LATE_EVENTS, events: int = EVENTS, delays_of: int = DELAYS
) -> list[Section]:
    with _relay(folder, ("laptop", "box", "late")) as make:
        laptop, box = make("laptop"), make("box")
        project = _share(laptop)
        idle = [_exchange(laptop) for _ in range(5)][1:]
        delays, memory = _delays(laptop, box, project, delays_of)
        _add(laptop, project, events)
        sent = _exchange(laptop)
        received = _exchange(box)
        _add(laptop, project, late_events - events)
        _exchange(laptop)
        late = make("late")
        joined = _exchange(late)
        there = _count(late)
    delays.sort()
    rows = [
        ("commit to commit, median", f"{statistics.median(delays) * 1000:.0f} ms"),
        ("commit to commit, 99th percentile", f"{delays[len(delays) * 99 // 100] * 1000:.0f} ms"),
        ("sent, events a second", f"{events / sent.seconds:,.0f}"),
        (
            "received, events a second",
            f"{events / received.seconds:,.0f} (at least {RECEIVED_LIMIT})",
        ),
        (
            "an exchange with nothing to do",
            f"{statistics.median(one.seconds for one in idle):.2f} s,"
            f" {statistics.median(one.cpu for one in idle):.2f} s of CPU",
        ),
        ("memory of `fleet relay run`", f"{memory:.0f} MB (at most {MEMORY_LIMIT_MB})"),
        (
            f"a machine that joins late, with {there:,} events",
            f"{joined.seconds:.0f} s, {joined.memory:.0f} MB",
        ),
    ]
    says = (
        "Two machines exchange news over a nats-server with TLS, keys and permissions, which syncs"
        " every message to the disk before it acknowledges it."
    )
    command = f"{sys.executable.rpartition('/')[2]} -m benchmarks relay"
    return [Section("The relay", command, says, [table(("figure", "measured"), rows)])]


class _Cost:
    def __init__(self, seconds: float, cpu: float, memory: float) -> None:
        self.seconds, self.cpu, self.memory = seconds, cpu, memory  # memory in MB


@contextlib.contextmanager
def _relay(folder: Path, machines: tuple[str, ...]) -> Iterator[Callable[[str], Path]]:
    """Yields what makes the home of a machine that has joined."""
    program = server.program()
    assert program, "the extra relay-server"
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    place = folder / "server"
    server.init(place, listen="127.0.0.1", port=port, hosts=[], tls=True, machines=list(machines))
    running = subprocess.Popen(
        [program, "-c", str(place / server.CONFIG)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def make(name: str) -> Path:
        home = folder / name
        db.connect(paths.database(str(home))).close()
        membership.join(
            str(home),
            f"tls://127.0.0.1:{port}",
            seed_file=place / server.SEEDS / f"{name}.seed",
            ca=place / "ca.pem",
            name=name,
        )
        return home

    try:
        _wait(lambda: _listens(port))
        yield make
    finally:
        running.terminate()
        running.wait()
        shutil.rmtree(place, ignore_errors=True)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def _share(home: Path) -> str:
    connection = db.connect(paths.database(str(home)))
    with contextlib.closing(connection), db.transaction(connection):
        projects = ProjectRepo(connection)
        project_id = projects.ensure_project(
            repo_name="web", repo_root="/nowhere/web", git_remote="https://github.com/acme/web"
        )
        project = projects.get(project_id)
        assert project
        membership.share(connection, project)
    return project_id


def _add(home: Path, project_id: str, number: int) -> None:
    """Turns with a briefing of a kilobyte, in one transaction."""
    connection = db.connect(paths.database(str(home)))
    with contextlib.closing(connection), db.transaction(connection):
        briefings, outbox = BriefingRepo(connection), OutboxRepo(connection)
        first = outbox.latest_id()
        for turn in range(first, first + number):
            now, session, key = clock.now(), _id(turn // 100), _id(turn, 1)
            briefing_id = briefings.insert(
                project_id=project_id,
                session_id=session,
                task_id=key,
                status="completed",
                ended_at=now,
                impact_level="minor",
                broadcast_level="mention",
                raw_markdown=_TEXT,
            )
            briefings.save_turn(
                Turn(session, key, briefing_id, 1, f"Turn {turn}.", "x", "message", False, ())
            )
            events = TurnEvents(
                outbox, project_id=project_id, briefing_id=briefing_id, session_id=session, ts=now
            )
            fields = {"status": "completed", "impact_level": "minor", "broadcast_level": "mention"}
            events.briefing(1, f"Turn {turn}.", fields, None)


def _id(number: int, kind: int = 0) -> str:
    """An id as the client makes them."""
    return str(uuid.UUID(int=(kind << 64) + number, version=4))


def _exchange(home: Path) -> _Cost:
    """`fleet relay once`; again if the server was too busy to answer in time."""
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    memory = 0.0
    for _ in range(5):
        process = subprocess.Popen(
            [sys.executable, "-m", "commander.cli", "relay", "once"],
            env=os.environ | {"FLEET_HOME": str(home)},
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while process.poll() is None:
            with contextlib.suppress(psutil.Error):
                memory = max(memory, psutil.Process(process.pid).memory_info().rss / 1e6)
            time.sleep(0.01)
        if process.returncode == 0:
            break
    assert process.returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return _Cost(time.monotonic() - began, cpu, memory)


def _delays(
    sender: Path, receiver: Path, project_id: str, number_of: int
) -> tuple[list[float], float]:
    """(seconds from commit to commit, the receiver's memory in MB)."""
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "commander.cli", "relay", "run"],
            env=os.environ | {"FLEET_HOME": str(home)},
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for home in (sender, receiver)
    ]
    try:
        uri = paths.uri(paths.database(str(receiver)), "ro")
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as watching:
            _add(sender, project_id, 1)
            _wait(lambda: _rows(watching) == 1)
            delays = []
            for number in range(2, number_of + 2):
                _add(sender, project_id, 1)
                began = time.monotonic()
                _wait(lambda number=number: _rows(watching) == number)  # type: ignore[misc]
                delays.append(time.monotonic() - began)
                time.sleep(0.02)
        memory = psutil.Process(running[1].pid).memory_info().rss / 1e6
    finally:
        for process in running:
            process.send_signal(signal.SIGTERM)
            process.wait()
    return delays, memory


def _rows(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM relay_events").fetchone()[0])


def _count(home: Path) -> int:
    with contextlib.closing(db.connect_read_only(paths.database(str(home)))) as connection:
        return _rows(connection)


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)
