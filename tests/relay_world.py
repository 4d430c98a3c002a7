"""A relay for tests: a real nats-server on loopback with TLS, keys and permissions, and homes that
are machines of it."""

import asyncio
import contextlib
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from support import ROOT, Fleet, reserved_port

from fleet_lib import clock, paths
from fleet_lib.ingest.turn_events import TurnEvents
from fleet_lib.relay import connection, exchange, membership, server
from fleet_lib.store import db
from fleet_lib.store.briefings import BriefingRepo, Turn
from fleet_lib.store.projects import ProjectRepo
from fleet_lib.store.relay import RelayRepo
from fleet_lib.store.sessions import Session, SessionRepo

REMOTE = "https://github.com/acme/{}.git"
_STATES = {"completed": "completed", "blocked": "blocked", "waiting_for_input": "waiting_for_input"}


class Server:
    """One nats-server and its folder."""

    def __init__(self, folder: Path, machines: tuple[str, ...], *, tls: bool = True) -> None:
        program = server.program()
        assert program, "the relay's tests need nats-server: the extra relay-server"
        self.program, self.folder, self.port = program, folder, reserved_port()
        self.process: subprocess.Popen[bytes] | None = None
        server.init(
            folder, listen="127.0.0.1", port=self.port, hosts=[], tls=tls, machines=list(machines)
        )
        self.url = f"{'tls' if tls else 'nats'}://127.0.0.1:{self.port}"
        self.ca = folder / "ca.pem" if tls else None

    def start(self) -> None:
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            [self.program, "-c", str(self.folder / server.CONFIG)], stderr=log, stdout=log
        )
        log.close()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            time.sleep(0.02)
        raise AssertionError((self.folder / "log").read_text()[-2000:])

    def stop(self, how: int = signal.SIGTERM) -> None:
        if self.process:
            self.process.send_signal(how)
            self.process.wait(60)
            self.process = None

    def lose_disk(self) -> None:
        """The server's disk is gone; its configuration is not."""
        self.stop(signal.SIGKILL)
        shutil.rmtree(self.folder / "jetstream")
        self.start()

    def reloaded(self) -> None:
        """Wait until the server has read its configuration again."""
        written = (self.folder / server.CONFIG).stat().st_mtime

        def is_read() -> bool:
            log = (self.folder / "log").read_text(errors="replace")
            times = re.findall(r"(\d{4}/\S+ \S+) \[INF\] Reloaded server configuration", log)
            return any(
                datetime.strptime(one, "%Y/%m/%d %H:%M:%S.%f").timestamp() >= written
                for one in times[-1:]
            )

        wait_for(is_read)

    def seed(self, name: str) -> Path:
        return self.folder / server.SEEDS / f"{name}.seed"


class Machine(Fleet):
    """A home that is a machine of the relay. Its turns are written as ingest writes them."""

    @property
    def database(self) -> str:
        return paths.database(str(self.home))

    @contextlib.contextmanager
    def writing(self) -> Iterator[Any]:
        with contextlib.closing(db.connect(self.database)) as made, db.transaction(made):
            yield made

    def join(self, relay: Server, name: str) -> None:
        membership.join(
            str(self.home), relay.url, seed_file=relay.seed(name), ca=relay.ca, name=name
        )

    def project(self, name: str, remote: str | None = REMOTE) -> str:
        """A project with a folder of this machine's own."""
        with self.writing() as made:
            return ProjectRepo(made).ensure_project(
                repo_name=name,
                repo_root=str(self.folder / name),
                git_remote=remote.format(name) if remote else None,
            )

    def share(self, project_id: str) -> None:
        with self.writing() as made:
            project = ProjectRepo(made).get(project_id)
            assert project
            membership.share(made, project)

    def turn(
        self,
        project_id: str,
        number: int,
        *,
        status: str = "completed",
        session: str = "s1",
        text: str = "",
        revision: int = 1,
        **fields: Any,
    ) -> None:
        with self.writing() as made:
            add_turn(made, project_id, number, status, session, text, revision, fields)

    def turns(self, project_id: str, first: int, last: int, session: str = "s1") -> None:
        """Many turns, in one transaction."""
        with self.writing() as made:
            for number in range(first, last + 1):
                add_turn(made, project_id, number, "completed", session, "", 1, {})

    def once(self) -> exchange.Outcome:
        return exchange.once(str(self.home))

    def heard(self, machine: str | None = None) -> list[str]:
        """The lines of the events that came from a machine, or from any other one, in order."""
        rows = self.rows(
            "SELECT json_extract(e.payload_json, '$.line') FROM outbox_events e"
            " JOIN relay_events r ON r.local_event_id = e.event_id"
            " WHERE ?1 IS NULL OR r.machine = ?1 ORDER BY e.event_id",
            machine,
        )
        return [row[0] for row in rows]

    def json(self, *arguments: str) -> Any:
        return json.loads(self.console(*arguments, "--json").stdout)

    def running(self) -> "subprocess.Popen[bytes]":
        """`fleet relay run` in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "commander.cli", "relay", "run"],
            env=self.env(),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def exchange_that_dies(self, method: str) -> None:
        """An exchange in a process that is killed where it calls a method of RelayRepo."""
        script = (
            "import os, sys\n"
            "from fleet_lib.relay import exchange\n"
            "from fleet_lib.store.relay import RelayRepo\n"
            f"RelayRepo.{method} = lambda *_, **__: os.kill(os.getpid(), 9)\n"
            "exchange.once(sys.argv[1])\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, str(self.home)],
            env=self.env(),
            cwd=ROOT,
            capture_output=True,
            check=False,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr

    def member(self) -> Any:
        with self.writing() as made:
            return RelayRepo(made).member()


def add_turn(
    made: Any,
    project_id: str,
    number: int,
    status: str,
    session: str,
    text: str,
    revision: int,
    fields: dict[str, Any],
) -> None:
    """A turn's rows, its events and its session's state, as ingest writes them."""
    now, summary = clock.now(), text or f"turn {number}"
    briefings, key = BriefingRepo(made), f"p{number}"
    values: dict[str, Any] = {
        "project_id": project_id,
        "session_id": session,
        "task_id": key,
        "status": status,
        "ended_at": now,
        "impact_level": "minor",
        "broadcast_level": "mention",
        "raw_markdown": f"{summary}\n",
        **fields,
    }
    before = briefings.get_turn(session, key)
    if before:
        briefing_id = before.briefing_id
        briefings.update(briefing_id, **values)
    else:
        briefing_id = briefings.insert(**values)
    briefings.save_turn(
        Turn(
            session, key, briefing_id, revision, summary, "x", "message", False, (), stopped_at=now
        )
    )
    events = TurnEvents(
        _outbox(made), project_id=project_id, briefing_id=briefing_id, session_id=session, ts=now
    )
    full = {"impact_level": None, "doc_drift_risk": None} | values
    event_id = events.briefing(revision, summary, full, None)
    if status == "blocked":
        event_id = events.blocked(summary, {"blockers": [summary]})
    SessionRepo(made).save(
        Session(
            *(session, project_id, "/nowhere", status, now, summary, briefing_id, event_id, now),  # type: ignore[arg-type]
            *(None, None, None, None, None, None),
        )
    )


def _outbox(made: Any) -> Any:
    from fleet_lib.store.outbox import OutboxRepo

    return OutboxRepo(made)


def machine(folder: Path, name: str) -> Machine:
    """A new home, with a database, that has joined nothing yet."""
    place = folder / name
    made = Machine(place / "fleet home", place)
    made.home.mkdir(parents=True, mode=0o700)
    db.connect(made.database).close()
    # Exchanges happen when the test asks for them.
    (made.home / "config.toml").write_text("[relay]\nauto = false\n")
    return made


def joined(folder: Path, relay: Server, name: str) -> Machine:
    """A new home that has joined."""
    made = machine(folder, name)
    made.join(relay, name)
    return made


def as_peer(relay: Server, name: str, work: Any) -> Any:
    """Run a coroutine function with a connection that has the machine's key."""

    async def run() -> Any:
        async with connection.connected_with(relay.url, relay.seed(name), relay.ca, name) as link:
            return await work(link)

    return asyncio.run(run())


def wait_for(condition: Any, seconds: float = 60.0) -> float:
    """How many seconds it took until the condition held."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        if condition():
            return time.monotonic() - began
        time.sleep(0.005)
    raise AssertionError("it did not come about in time")
