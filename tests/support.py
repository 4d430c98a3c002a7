"""What tests are written with: the hooks as real subprocesses, the drainer and the console in the
test's own process or in one of their own, git repositories."""

import atexit
import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from unittest import mock

from click.testing import CliRunner

from commander.cli import main as console_main
from fleet_lib import paths, spool
from fleet_lib.drain import drain, drainer
from fleet_lib.store import db

ROOT = Path(__file__).resolve().parent.parent
PAYLOADS = Path(__file__).resolve().parent / "payloads"
NOTHING = Path(shutil.which("true") or "/bin/true").resolve()  # a program that ends at once


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
        """Run a hook as Claude Code does, as a process. The drainer that it starts is a program that
        does nothing, so that a test sees what the hook left; `background` asks for the real one."""
        data = given if isinstance(given, bytes) else json.dumps(given).encode()
        every = self.env(**environment)
        if project is not None:
            every["CLAUDE_PROJECT_DIR"] = str(project)
        with contextlib.nullcontext() if background else self.without_drainer():
            return subprocess.run(
                [python or self.python, "-I", "-S", str(ROOT / "hooks" / f"{event}.py")],
                input=data,
                capture_output=True,
                env=every,
                timeout=60,
                check=False,
                cwd=self.folder,
            )

    @contextlib.contextmanager
    def without_drainer(self) -> Iterator[None]:
        """Within the block, hooks find a program that does nothing where they look first for the
        drainer's interpreter: the installed environment's. One that is really installed stays, and
        its drainer finds the lock held."""
        python = self.home / "venv" / "bin" / "python"
        try:
            spool.make_folders(str(self.home))
            self.replace_drainer()
        except FileExistsError:
            with self._holding_lock() if python.resolve() != NOTHING else contextlib.nullcontext():
                yield
            return
        except OSError:  # the home cannot be used, which the test is about
            yield
            return
        try:
            yield
        finally:
            python.unlink()
            for folder in (python.parent, python.parent.parent):
                with contextlib.suppress(OSError):  # the test has files of its own there
                    folder.rmdir()

    def replace_drainer(self) -> None:
        """From now on, the drainer that a hook starts is a program that does nothing."""
        python = self.home / "venv" / "bin" / "python"
        python.parent.mkdir(parents=True, exist_ok=True)
        python.symlink_to(NOTHING)

    @contextlib.contextmanager
    def _holding_lock(self) -> Iterator[None]:
        lock = self.hold_lock()
        try:
            yield
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
            if not self.drainers():
                return
        raise AssertionError("a drainer does not end")

    def drainers(self) -> list[int]:
        """The process numbers of this home's drainers."""
        found = subprocess.run(
            ["pgrep", "-f", f"drain.py {self.home}"], capture_output=True, text=True, check=False
        )
        return [int(line) for line in found.stdout.split()]

    def is_being_drained(self) -> bool:
        """Whether a drainer holds the lock, as each does until it ends."""
        try:
            with open(paths.lock(str(self.home))) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            pass  # nothing was ever drained here
        return False

    def drain(self) -> None:
        """Apply what waits, in this process: under the drainer's lock, and with the environment,
        the folder and the umask that it has. What needs the drainer's own process is tested in
        test_drain.py, test_hooks.py, torture/ and tests/client."""
        try:
            lock = os.open(paths.lock(str(self.home)), os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:
            return  # no spool, so nothing waits
        umask = os.umask(0o077)
        # pytest-timeout counts with the same clock as the drainer.
        handler, left = signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)  # a hook's own drainer may still be at work
            with _in_place_of_a_process(self.env(), Path("/")):
                assert drainer.drain(str(self.home)), self.log()
        finally:
            os.umask(umask)
            signal.signal(signal.SIGALRM, handler)
            signal.setitimer(signal.ITIMER_REAL, *left)
            os.close(lock)

    def drain_process(self) -> None:
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
        """`fleet` with these arguments, in this process. A command that does not return, or keeps a
        lock until its process ends, needs `console_process`."""
        with _in_place_of_a_process(self.env(), ROOT):
            result = CliRunner().invoke(
                console_main, arguments, prog_name="fleet", catch_exceptions=False
            )
        done = subprocess.CompletedProcess(
            ["fleet", *arguments], result.exit_code, result.stdout, result.stderr
        )
        if check:
            assert done.returncode == 0, done.stderr
        return done

    def console_process(
        self, *arguments: str, check: bool = True
    ) -> "subprocess.CompletedProcess[str]":
        """`fleet` with these arguments, in a process of its own."""
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


@contextlib.contextmanager
def _in_place_of_a_process(environment: Mapping[str, str], folder: Path) -> Iterator[None]:
    """Within the block, this process has the environment and folder that another would have."""
    with mock.patch.dict(os.environ, environment, clear=True), contextlib.chdir(folder):
        yield


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
    if not init and not files and "GIT_COMMITTER_DATE" not in os.environ:
        # Most tests want the same one: it is made once, and copied.
        shutil.copytree(_template_repository(), folder)
    else:
        _init_and_commit(folder, init, files)
    if remote:
        git(folder, "remote", "add", "origin", remote)
    return folder


def _init_and_commit(folder: Path, init: tuple[str, ...], files: dict[str, str]) -> None:
    folder.mkdir(parents=True)
    git(folder, "init", "-q", *init)
    for name, text in ({"app.py": "def hello():\n    return 1\n"} | files).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "first")


@cache
def _template_repository() -> Path:
    """This process's own, gone with it."""
    folder = Path(mkdtemp(prefix="fleet-template-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _init_and_commit(folder / "repository", ("--template=",), {})
    return folder / "repository"
