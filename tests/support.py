"""Helpers for tests: run the hooks as real processes, run the drainer and the console in the test's
process or in their own, and make git repositories."""

import atexit
import contextlib
import fcntl
import gc
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any
from unittest import mock

import psutil
from click.testing import CliRunner

from commander.cli import main as console_main
from fleet_lib import held, outside, paths, spool, wake
from fleet_lib.drain import drain, drainer, reader_child
from fleet_lib.drain.put_off import PutOff
from fleet_lib.drain.reader import Reader
from fleet_lib.store import db

ROOT = Path(__file__).resolve().parent.parent
PAYLOADS = Path(__file__).resolve().parent / "payloads"
NO_OP_PROGRAM = Path(shutil.which("true") or "/bin/true").resolve()
HOOKS = {  # {event of Claude Code: its file in hooks/}
    "SessionStart": "session_start",
    "UserPromptSubmit": "user_prompt_submit",
    "Stop": "stop",
    "StopFailure": "stop_failure",
    "PermissionRequest": "permission_request",
    "Notification": "notification",
    "SessionEnd": "session_end",
}


def version_key(version: str) -> list[int]:
    """A key that sorts 2.1.99 before 2.1.100."""
    return [int(number) for number in version.split(".")]


# The versions of Claude Code that payloads were captured from, oldest first.
CLIENTS = sorted((path.name for path in PAYLOADS.iterdir() if path.is_dir()), key=version_key)

# The tests may run inside a Claude Code session or a git hook; Fleet's hooks must not notice.
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
    """The names of captured payloads of all clients, e.g. "2.1.332/Stop"; `events` limits them."""
    names = (
        f"{client}/{path.stem}"
        for client in CLIENTS
        for path in sorted((PAYLOADS / client).glob("*.json"))
    )
    return [name for name in names if not events or event_of(name) in events]


def event_of(name: str) -> str:
    """The hook event in the name of a captured payload."""
    return name.rpartition("/")[2].partition("-")[0]


def _parent(number: int) -> int | None:
    """The process id of its parent; None if it has ended."""
    try:
        return psutil.Process(number).ppid()
    except psutil.NoSuchProcess:
        return None


@dataclass
class Fleet:
    """One FLEET_HOME, with what a user and Claude Code do in it."""

    home: Path
    folder: Path  # where the test can create projects
    python: str = sys.executable
    environment: dict[str, str] = field(default_factory=dict)

    def hook(
        self,
        event: str,
        payload: dict[str, Any] | bytes,
        project: Path | str | None = None,
        *,
        python: str | None = None,
        background: bool = False,
        **environment: str,
    ) -> "subprocess.CompletedProcess[bytes]":
        """Run a hook as a process, as Claude Code does. With `background` the hook starts the real
        drainer. Otherwise it starts a program that does nothing, so the spool stays as it is."""
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        variables = self.env(**environment)
        if project is not None:
            variables["CLAUDE_PROJECT_DIR"] = str(project)
        with contextlib.nullcontext() if background else self.without_drainer():
            return subprocess.run(
                [python or self.python, "-I", "-S", str(ROOT / "hooks" / f"{event}.py")],
                input=data,
                capture_output=True,
                env=variables,
                timeout=60,
                check=False,
                cwd=self.folder,
            )

    @contextlib.contextmanager
    def without_drainer(self) -> Iterator[None]:
        """Within the block, hooks start a program that does nothing instead of the drainer: it
        stands where they look first for an interpreter, in the installed environment. A really
        installed interpreter stays, and its drainer finds the lock held."""
        python = self.home / "venv" / "bin" / "python"
        try:
            spool.make_folders(str(self.home))
            self.replace_drainer()
        except FileExistsError:
            with (
                self._holding_lock()
                if python.resolve() != NO_OP_PROGRAM
                else contextlib.nullcontext()
            ):
                yield
            return
        except OSError:  # the test is about a home that cannot be used
            yield
            return
        try:
            yield
        finally:
            python.unlink()
            for folder in (python.parent, python.parent.parent):
                with contextlib.suppress(OSError):  # the test may have put files there
                    folder.rmdir()

    def replace_drainer(self) -> None:
        """From now on, a hook starts a program that does nothing instead of the drainer."""
        python = self.home / "venv" / "bin" / "python"
        python.parent.mkdir(parents=True, exist_ok=True)
        python.symlink_to(NO_OP_PROGRAM)

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
        inherited = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        return {
            **inherited,
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
        """Wait until no drainer of this home is running. One that lingers is asked to end."""
        for _ in range(3000):
            wake.ring(str(self.home), wake.LEAVE)
            if not self.drainers():
                return
            time.sleep(0.02)
        raise AssertionError("a drainer is still running")

    def drainers(self) -> list[int]:
        """The process ids of this home's drainers, without the readers that they have forked."""
        found = subprocess.run(
            ["pgrep", "-f", f"drain.py {self.home}"], capture_output=True, text=True, check=False
        )
        parents = {number: _parent(number) for number in map(int, found.stdout.split())}
        return [each for each, one in parents.items() if one is not None and one not in parents]

    def is_being_drained(self) -> bool:
        """Whether a drainer holds the lock. It keeps the lock until it ends. The lock is not touched:
        a drainer that starts at this moment would find it held, and end."""
        return held.named(Path(paths.lock(str(self.home)))) is not None

    def drain(self) -> None:
        """Apply the pending entries in this process, with the drainer's lock, environment, folder
        and umask, and without the child that reads for it. Tests of the drainer's own process and of
        its child are in test_drain.py, test_put_off.py, test_hooks.py, torture/ and tests/client."""
        try:
            lock = os.open(paths.lock(str(self.home)), os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:
            return  # no spool, so nothing is pending
        umask = os.umask(0o077)
        # pytest-timeout uses the same signal and timer as the drainer.
        handler, left = signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)
        try:
            wake.ring(str(self.home), wake.LEAVE)
            fcntl.flock(lock, fcntl.LOCK_EX)  # a drainer that a hook started may still be running
            self._put_database()
            with _as_another_process(self.env(), Path("/")):
                reader = _ReaderHere(str(self.home))
                try:
                    assert drainer.drain(str(self.home), reader=reader), self.log()
                finally:
                    reader.close()
        finally:
            os.umask(umask)
            signal.signal(signal.SIGALRM, handler)
            signal.setitimer(signal.ITIMER_REAL, *left)
            os.close(lock)

    def _put_database(self) -> None:
        """A home that has no database yet gets a copy of an empty one, which is what the drainer
        would create with all migrations. tests/test_database.py has the migrations."""
        with (
            contextlib.suppress(OSError),
            open(self.home / "fleet.db", "xb", opener=_private) as new,
        ):
            new.write(_empty_database())

    def drain_process(self) -> None:
        """Apply the pending entries in a process of its own."""
        while True:
            done = subprocess.run(
                [sys.executable, "-I", drain.__file__, str(self.home), "--once"],
                env=self.env(),
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != drain.BUSY:  # a drainer that a hook started may still be running
                break
        assert done.returncode == 0, (done.returncode, done.stderr, self.log())

    def console(self, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run `fleet` with these arguments in this process. A command that does not return, or
        holds a lock until its process ends, needs `console_process`."""
        with _as_another_process(self.env(), ROOT):
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
        """Run `fleet` with these arguments in a process of its own."""
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
        """(type, broadcast_level) of every event in the outbox, in order."""
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
        """The context in a hook's answer, or "" if the hook printed nothing."""
        assert done.returncode == 0, done.stderr
        if not done.stdout:
            return ""
        answer = json.loads(done.stdout)
        text: str = answer["hookSpecificOutput"]["additionalContext"]
        return text


class _ReaderHere(Reader):
    """Answers in this process what the drainer asks its child: forking a process of this size costs
    more than all the rest of a drain."""

    def begin(self, put_off: PutOff, on_wait: Callable[[str], None] = lambda _: None) -> None:
        super().begin(put_off, on_wait)
        outside.note_on(self._board, put_off.silent_places())
        signal.signal(signal.SIGALRM, reader_child._expire)
        self._here = reader_child._Child(self._home)

    def work_ahead(self, names: list[str]) -> None:
        self._here.begin_ahead(names)

    def _ask_each(self, what: str, questions: Sequence[tuple[Any, ...]]) -> None:
        """`_ask` asks each."""
        while self._here.is_ahead:
            self._here.work_ahead()

    def forget(self) -> None:
        self._here.forget()
        self._begin_batch()

    def close(self) -> None:
        outside._board, outside._silent = None, frozenset()
        super().close()

    def _ask(self, what: str, *arguments: object) -> Any:
        self._received.seek(0)
        self._received.truncate()
        self._received.write(self._here.reply(what, arguments))
        self._received.seek(0)
        return self._result(self._unpickler.load())


_reserved: list[socket.socket] = []


def reserved_port() -> int:
    """A free port of 127.0.0.1 that the system gives to no other program as long as this process
    lives. The socket that holds it does not listen, so a server that reuses addresses can."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    _reserved.append(holder)
    return int(holder.getsockname()[1])


def cpu_seconds(work: Callable[[], object]) -> float:
    """The CPU time of a call, without collecting the garbage of all other tests."""
    gc.disable()
    try:
        began = time.process_time()
        work()
        return time.process_time() - began
    finally:
        gc.enable()


def is_fast(measure: Callable[[], bool]) -> bool:
    """Whether one of five measurements of CPU time passes. On a core that others use, any one may
    take several times as long; what is slow is slow each time."""
    return any(measure() for _ in range(5))


@contextlib.contextmanager
def _as_another_process(environment: Mapping[str, str], folder: Path) -> Iterator[None]:
    """Within the block, this process has the environment and working folder of another one."""
    with mock.patch.dict(os.environ, environment, clear=True), contextlib.chdir(folder):
        yield


def path_with_uv(folder: Path) -> str:
    """PATH with uv first, for tests that only need an environment: pip takes ten times as long."""
    tools = folder / "uv only"
    tools.mkdir(exist_ok=True)
    if not (tools / "uv").exists():
        (tools / "uv").symlink_to(Path(sys.prefix) / "bin" / "uv")
    return f"{tools}{os.pathsep}{os.environ['PATH']}"


def git(folder: Path, *arguments: str, input: str | None = None) -> str:
    """Run git with an author's name and return its output."""
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
        # Most tests use the same repository, so it is created once and copied.
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


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@cache
def _empty_database() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "fleet.db"
        db.connect(path).close()
        return path.read_bytes()


@cache
def _template_repository() -> Path:
    """The repository that is copied: one for each process, deleted when the process ends."""
    folder = Path(mkdtemp(prefix="fleet-template-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _init_and_commit(folder / "repository", ("--template=",), {})
    return folder / "repository"
