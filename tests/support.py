"""What tests are written with: the hooks as real subprocesses, the drainer, git repositories."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleet_lib import paths, spool
from fleet_lib.drain import drain
from fleet_lib.store import db

ROOT = Path(__file__).resolve().parent.parent
PAYLOADS = Path(__file__).resolve().parent / "payloads"


def by_version(version: str) -> list[int]:
    """A key that sorts 2.1.99 before 2.1.100."""
    return [int(number) for number in version.split(".")]


# The versions of Claude Code that Fleet is tested with, oldest first: those that payloads were captured from.
CLIENTS = sorted((path.name for path in PAYLOADS.iterdir() if path.is_dir()), key=by_version)

# Hooks know nothing of an outer Claude Code session, nor of an outer git.
for name in [
    n for n in os.environ if n.startswith(("CLAUDE", "FLEET_HOOKS", "FLEET_HOME", "GIT_"))
]:
    del os.environ[name]


def payload(name: str) -> dict[str, Any]:
    """A captured hook payload: "Stop" of the oldest client, or "2.1.332/Stop"."""
    path = name if "/" in name else f"{CLIENTS[0]}/{name}"
    value: dict[str, Any] = json.loads((PAYLOADS / f"{path}.json").read_text())
    return value


def captured_payloads(*events: str) -> list[str]:
    """The captured payloads of all clients, e.g. "2.1.332/Stop"; of these hook events if named."""
    names = (
        f"{client}/{path.stem}"
        for client in CLIENTS
        for path in sorted((PAYLOADS / client).glob("*.json"))
    )
    return [name for name in names if not events or event_of(name) in events]


def event_of(name: str) -> str:
    """The hook event of a captured payload, by its name."""
    return name.rpartition("/")[2].partition("-")[0]


@dataclass
class Fleet:
    """One FLEET_HOME, and what a user and Claude Code do with it."""

    home: Path
    folder: Path  # where the test may make projects
    python: str = sys.executable
    environment: dict[str, str] = field(default_factory=dict)

    def hook(
        self,
        event: str,
        given: dict[str, Any] | bytes,
        project: Path | str | None = None,
        *,
        python: str | None = None,
        background: bool = False,
        **environment: str,
    ) -> "subprocess.CompletedProcess[bytes]":
        """Run a hook as Claude Code does. The drainer that it starts is kept from running unless
        `background` asks for it, so that a test sees what the hook left."""
        data = given if isinstance(given, bytes) else json.dumps(given).encode()
        every = self.env(**environment)
        if project is not None:
            every["CLAUDE_PROJECT_DIR"] = str(project)
        lock = None
        if not background:
            lock = self.hold_lock()
        try:
            return subprocess.run(
                [python or self.python, "-I", "-S", str(ROOT / "hooks" / f"{event}.py")],
                input=data,
                capture_output=True,
                env=every,
                timeout=60,
                check=False,
                cwd=self.folder,
            )
        finally:
            if lock is not None:
                self.wait_for_drainers()
                os.close(lock)

    def env(self, **more: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        return {
            **kept,
            "HOME": str(self.home.parent),
            "FLEET_HOME": str(self.home),
            **self.environment,
            **more,
        }

    def hold_lock(self) -> int | None:
        import fcntl

        try:
            spool.make_folders(str(self.home))
            lock = os.open(paths.lock(str(self.home)), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            return None
        fcntl.flock(lock, fcntl.LOCK_EX)
        return lock

    def wait_for_drainers(self) -> None:
        """Until no drainer of this home is left; they end at once where the lock is held."""
        for _ in range(1000):
            found = subprocess.run(
                ["pgrep", "-f", f"drain.py {self.home}"], capture_output=True, check=False
            )
            if found.returncode:
                return
        raise AssertionError("a drainer does not end")

    def drain(self) -> None:
        """Apply what waits, in a process of its own."""
        while True:
            done = subprocess.run(
                [sys.executable, "-I", drain.__file__, str(self.home)],
                env=self.env(),
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != drain.BUSY:  # a hook's own drainer may still be at work
                break
        assert done.returncode == 0, (done.returncode, done.stderr, self.log())

    def console(self, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [sys.executable, "-m", "commander.cli", *arguments],
            env=self.env(),
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
        )
        if check:
            assert done.returncode == 0, done.stderr
        return done

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        connection = db.connect(self.home / "fleet.db")
        try:
            return [tuple(row) for row in connection.execute(sql, values)]
        finally:
            connection.close()

    def events(self) -> list[tuple[str, str | None]]:
        """(type, broadcast_level) of the whole outbox, in order."""
        return self.rows("SELECT type, broadcast_level FROM outbox_events ORDER BY event_id")  # type: ignore[return-value]

    def waiting(self) -> list[str]:
        return spool.pending(str(self.home))

    def quarantine(self) -> dict[str, str]:
        """{entry: reason}."""
        bad = self.home / "spool" / "bad"
        names = [path for path in bad.iterdir() if path.suffix != ".reason"] if bad.is_dir() else []
        return {path.name: Path(f"{path}.reason").read_text().strip() for path in names}

    def log(self) -> str:
        path = self.home / "log" / "fleet.log"
        return path.read_text() if path.exists() else ""

    def context(self, done: "subprocess.CompletedProcess[bytes]") -> str:
        """The context that a printing hook gave, "" if it printed nothing."""
        assert done.returncode == 0, done.stderr
        if not done.stdout:
            return ""
        answer = json.loads(done.stdout)
        text: str = answer["hookSpecificOutput"]["additionalContext"]
        return text


def path_with_uv(folder: Path) -> str:
    """PATH with uv first, for whoever builds an environment and is not about how: pip takes ten times as long."""
    tools = folder / "uv only"
    tools.mkdir(exist_ok=True)
    if not (tools / "uv").exists():
        (tools / "uv").symlink_to(Path(sys.prefix) / "bin" / "uv")
    return f"{tools}{os.pathsep}{os.environ['PATH']}"


def git(folder: Path, *arguments: str, input: str | None = None) -> str:
    """Run git as a person with a name, and return what it prints."""
    identity = ["-c", "user.name=Dev", "-c", "user.email=dev@example.org"]
    options = ["-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always"]
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *options, *arguments],
        input=input,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def make_repository(folder: Path, remote: str | None = None, *init: str, **files: str) -> Path:
    """A repository with one commit."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q", *init)
    for name, text in ({"app.py": "def hello():\n    return 1\n"} | files).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "first")
    if remote:
        git(folder, "remote", "add", "origin", remote)
    return folder
