"""What every scenario uses: a home, hooks as Claude Code runs them, a record of what was
acknowledged, and the check of the promise at the end."""

import contextlib
import fcntl
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from fleet_lib import wake

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
DRAINER = str(ROOT / "fleet_lib" / "drain" / "drain.py")


class Broken(AssertionError):
    """The promise was not kept."""


@dataclass
class Ground:
    """One home, and what was done in it. `sent` and `kept` hold (session, prompt) pairs: given to a
    Stop hook, and given to one that exited 0."""

    folder: Path
    seed: int
    home: Path = field(init=False)
    sent: set[tuple[str, str]] = field(default_factory=set)
    kept: set[tuple[str, str]] = field(default_factory=set)
    killed: Counter[str] = field(default_factory=Counter)
    exits: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        # Homes with spaces, quotes and non-ASCII letters must work like any other.
        self.home = self.folder / "a user's höme" / "fleet ✓"
        self.home.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        return kept | {"HOME": str(self.folder), "FLEET_HOME": str(self.home)} | more

    def hook(
        self,
        event: str,
        payload: dict[str, object],
        kill_after: float | None = None,
        prefix: tuple[str, ...] = (),
    ) -> int:
        """Run a hook to its end or until a SIGKILL; its exit code. `prefix` is a program that runs
        it."""
        process = subprocess.Popen(
            [*prefix, PYTHON, "-I", "-S", str(ROOT / "hooks" / f"{event}.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=self.environment(CLAUDE_PROJECT_DIR=str(payload["cwd"])),
        )
        timer = None
        if kill_after is not None:
            timer = threading.Timer(kill_after, self._kill_one, (process, f"hook {event}"))
            timer.start()
        with contextlib.suppress(BrokenPipeError):
            _, error = process.communicate(json.dumps(payload).encode())
            if error:
                raise Broken(f"{event} wrote to stderr: {error[-500:]!r}")
        if timer:
            timer.cancel()
        code = process.wait()
        with self._lock:
            self.exits[code] += 1
        return code

    def turn(
        self, session: str, number: int, folder: Path, kill_after: float | None = None
    ) -> bool:
        """Run the Stop hook of a turn; whether it acknowledged the turn."""
        prompt = f"{session}-p{number}"
        self.sent.add((session, prompt))
        payload = {
            "hook_event_name": "Stop",
            "session_id": session,
            "prompt_id": prompt,
            "cwd": str(folder),
            "last_assistant_message": f"Turn {number} of {session} is done.",
        }
        is_kept = self.hook("stop", payload, kill_after) == 0
        if is_kept:
            self.kept.add((session, prompt))
        return is_kept

    def project(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir(exist_ok=True)
        return path

    def console(
        self, *arguments: str, timeout: float = 300, **environment: str
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [PYTHON, "-m", "commander", *arguments],
            cwd=ROOT,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def drain(self) -> None:
        done = self.console("drain")
        if done.returncode:
            raise Broken(f"fleet drain: {done.stderr.strip()}")

    @contextlib.contextmanager
    def drainer_lock(self) -> Iterator[None]:
        """Hold the drainer's lock, so that what is captured stays in the spool."""
        (self.home / "spool").mkdir(parents=True, exist_ok=True)
        lock = os.open(self.home / "spool" / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            wake.ring(str(self.home), wake.LEAVE)
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    # --- killing ---

    def processes(self, mark: str) -> list[psutil.Process]:
        """The processes of this home whose command line contains the mark."""
        found = []
        for process in psutil.process_iter(["cmdline", "environ"]):
            words = process.info["cmdline"] or []
            if any(mark in word for word in words) and self._is_ours(process, words):
                found.append(process)
        return found

    def _is_ours(self, process: psutil.Process, words: list[str]) -> bool:
        if str(self.home) in words:
            return True
        environment = process.info["environ"] or {}
        return bool(environment.get("FLEET_HOME") == str(self.home))

    def kill(self, mark: str) -> None:
        """Send SIGKILL to one of these processes, chosen by the seed."""
        found = self.processes(mark)
        if found:
            with contextlib.suppress(psutil.Error):
                self.random.choice(found).send_signal(signal.SIGKILL)
                with self._lock:
                    self.killed[mark] += 1

    def _kill_one(self, process: "subprocess.Popen[bytes]", name: str) -> None:
        if process.poll() is None:
            process.kill()
            with self._lock:
                self.killed[name] += 1

    def end_all(self) -> None:
        for mark in ("jobs/run.py", "gateway", "drain.py", "stand_in"):
            for process in self.processes(mark):
                with contextlib.suppress(psutil.Error):
                    process.kill()

    # --- the promise ---

    def check(self) -> None:
        """Every kept turn has exactly one briefing with exactly one event; no event lacks its
        briefing; the spool and the quarantine are empty; the database passes its integrity check.
        Raises Broken."""
        self.drain()
        try:
            faults = self._faults()
        except sqlite3.Error as error:
            raise Broken(f"the database cannot be read: {error}") from None
        if faults:
            raise Broken("; ".join(faults[:10]))

    def _faults(self) -> list[str]:
        faults = []
        with contextlib.closing(sqlite3.connect(self.home / "fleet.db")) as connection:
            integrity = connection.execute("PRAGMA integrity_check").fetchone()[0]
            if integrity != "ok":
                faults.append(f"integrity: {integrity}")
            if connection.execute("PRAGMA foreign_key_check").fetchone():
                faults.append("a foreign key names a missing row")
            rows = connection.execute("SELECT session_id, task_id, briefing_id FROM briefings")
            briefings = Counter((session, task) for session, task, _ in rows)
            faults += [f"lost: {pair}" for pair in self.kept if briefings[pair] == 0]
            faults += [f"twice: {pair}" for pair, count in briefings.items() if count > 1]
            faults += [f"from nowhere: {pair}" for pair in briefings if pair not in self.sent]
            silent = connection.execute(
                "SELECT count(*) FROM briefings b WHERE NOT EXISTS (SELECT 1 FROM outbox_events o"
                " WHERE o.briefing_id = b.briefing_id AND o.type = 'briefing_added')"
            ).fetchone()[0]
            orphans = connection.execute(
                "SELECT count(*) FROM outbox_events o WHERE briefing_id IS NOT NULL AND NOT EXISTS"
                " (SELECT 1 FROM briefings b WHERE b.briefing_id = o.briefing_id)"
            ).fetchone()[0]
            repeats = connection.execute(
                "SELECT count(*) FROM (SELECT 1 FROM outbox_events WHERE type = 'briefing_added'"
                " GROUP BY briefing_id HAVING count(*) > 1)"
            ).fetchone()[0]
        for count, what in (
            (silent, "briefings have no event"),
            (orphans, "events have no briefing"),
            (repeats, "briefings were announced twice"),
        ):
            if count:
                faults.append(f"{count} {what}")
        waiting = list((self.home / "spool" / "new").iterdir())
        bad = list((self.home / "spool" / "bad").iterdir())
        if waiting or bad:
            reasons = [path.read_text() for path in bad if path.suffix == ".reason"]
            faults.append(f"{len(waiting)} waiting, {len(bad)} in quarantine: {reasons[:3]}")
        return faults


@contextlib.contextmanager
def ground(seed: int) -> Iterator[Ground]:
    with tempfile.TemporaryDirectory(prefix="fleet-torture-") as folder:
        made = Ground(Path(folder), seed)
        try:
            yield made
        finally:
            made.end_all()
            time.sleep(0.2)
            made.end_all()
