"""Machines that exchange news while they and their server are killed and the server loses its disk."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from fleet_lib import paths
from fleet_lib.relay import membership, server
from fleet_lib.store import db
from fleet_lib.store.outbox import OutboxRepo
from fleet_lib.store.projects import ProjectRepo
from torture.ground import PYTHON, ROOT, Broken, Ground

_MACHINES = ("one", "two", "three")
_LONGEST_SECONDS = 1.2  # after which something is killed; an exchange takes about half of it
_REMOTE = "https://github.com/acme/web.git"


class _Server:
    def __init__(self, folder: Path) -> None:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        names = list(_MACHINES)
        server.init(folder, listen="127.0.0.1", port=self.port, hosts=[], tls=False, machines=names)

    def start(self) -> None:
        program = server.program()
        if program is None:
            raise Broken("nats-server is not installed: the extra relay-server")
        self.process = subprocess.Popen(
            [program, "-c", str(self.folder / server.CONFIG)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port)),
            ):
                return
            time.sleep(0.02)
        raise Broken("the server did not start")

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()


class _Home:
    """A machine, and what it was given to send."""

    def __init__(self, home: Path, name: str) -> None:
        self.home, self.name = home, name
        self.lines: list[str] = []
        home.mkdir(parents=True, mode=0o700)
        (home / "config.toml").write_text("[relay]\nauto = false\n")
        self._database = paths.database(str(home))
        with contextlib.closing(db.connect(self._database)) as made, db.transaction(made):
            projects = ProjectRepo(made)
            self._project = projects.ensure_project(
                repo_name="web", repo_root=str(home / "web"), git_remote=_REMOTE
            )
            project = projects.get(self._project)
            assert project
            membership.share(made, project)

    def add(self, number: int) -> None:
        with contextlib.closing(db.connect(self._database)) as made, db.transaction(made):
            for _ in range(number):
                line = f"{self.name} {len(self.lines)}"
                payload = {"briefing": {"summary": line}, "sessionId": "s"}
                OutboxRepo(made).add(
                    type="briefing_added", payload=payload, project_id=self._project
                )
                self.lines.append(line)

    def exchange(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [PYTHON, "-m", "commander.cli", "relay", "once"],
            env=os.environ | {"FLEET_HOME": str(self.home)},
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def received(self, machine: str) -> list[str]:
        sql = (
            "SELECT json_extract(e.payload_json, '$.line') FROM outbox_events e JOIN relay_events r"
            " ON r.local_event_id = e.event_id WHERE r.machine = ? ORDER BY e.event_id"
        )
        with contextlib.closing(db.connect(self._database)) as made:
            return [row[0] for row in made.execute(sql, (machine,))]


def relay(ground: Ground, size: int) -> str:
    """`size` rounds: every machine has news and exchanges them, and an exchange or the server is
    killed at a random moment, or the server loses its disk. At the end every machine has the news of
    every other one, once and in order."""
    kills = disks = 0
    made = _Server(ground.folder / "relay server")
    homes = [_Home(ground.folder / f"home {name} ✓", name) for name in _MACHINES]
    made.start()
    try:
        for home in homes:
            seed = made.folder / server.SEEDS / f"{home.name}.seed"
            url = f"nats://127.0.0.1:{made.port}"
            membership.join(str(home.home), url, seed_file=seed, ca=None, name=home.name)
        for _ in range(size):
            for home in homes:
                home.add(ground.random.randint(1, 60))
            running = [home.exchange() for home in homes]
            time.sleep(ground.random.uniform(0.2, _LONGEST_SECONDS))
            if ground.random.random() < 0.5:
                victim = ground.random.choice(running)
                with contextlib.suppress(ProcessLookupError):
                    victim.send_signal(signal.SIGKILL)
            else:
                made.kill()
                if ground.random.random() < 0.4:
                    shutil.rmtree(made.folder / "jetstream", ignore_errors=True)
                    disks += 1
                made.start()
            kills += 1
            for process in running:
                process.wait()
        for _ in range(2):
            for home in homes:
                if home.exchange().wait():
                    raise Broken(f"the last exchange of {home.name} failed")
    finally:
        made.kill()
    for home in homes:
        for other in homes:
            if other is not home and home.received(other.name) != other.lines:
                raise Broken(f"{home.name} does not have the news of {other.name} as it sent them")
    total = sum(len(home.lines) for home in homes)
    return f"{kills} kills, {disks} lost disks, {total} events of {len(homes)} machines"
