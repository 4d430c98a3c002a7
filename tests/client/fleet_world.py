"""A user's machine with Fleet on it: the real client with the hooks registered, the scripted model,
repositories to work in, and fleet.db.

What lives here: actions (a worker's turn, a Commander's turn) and reading the results (what the
model was shown, what was stored). Nothing here asserts.
"""

from __future__ import annotations

import contextlib
import copy
import fcntl
import json
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from claude_client import POLL_SECONDS, REPOSITORY, Interactive, Turn, World
from scripted_model import (
    Reply,
    Request,
    ScriptedModel,
    Text,
    by_prompt,
    injected_context,
    last_prompt_context,
    newest_prompt,
    tool_rounds,
)

from commander.setup.commander_folder import make_commander_folder, write_hook_file
from commander.setup.hook_entries import registration, settings_example
from fleet_lib import wake

HOOKS = REPOSITORY / "hooks"
_PRELUDE = re.compile(r"<fleet-prelude>.*?</fleet-prelude>", re.DOTALL)


class Fleet:
    """One machine. `before_answer` sees every request of a turn before the model answers it."""

    def __init__(self, folder: Path, program: Path, model: ScriptedModel) -> None:
        self.model = model
        self._steps: dict[str, Sequence[Reply]] = {}
        self._held_back: list[tuple[str, int, threading.Event]] = []
        self.before_answer: Callable[[Request], None] = lambda request: None
        self.world = World(folder / "home", model.url, program)
        self.home = self.world.settings_dir / "commander"
        self._repositories = folder / "repositories"
        self._repositories.mkdir()
        answer = by_prompt(self._steps)

        def script(request: Request) -> Reply:
            self.before_answer(request)
            for prompt, rounds, is_let_go in self._held_back:
                if prompt in newest_prompt(request) and tool_rounds(request) >= rounds:
                    is_let_go.wait(250)
            return answer(request)

        model.use_script(script)
        self._register(Path(sys.executable))
        make_commander_folder(self.home, with_hooks=True)

    def _register(self, python: Path) -> None:
        claude = self.world.settings_dir
        write_hook_file(self.home, python, HOOKS.parent)
        self.world.write_settings(registration(settings_example(), self.home, claude))

    def register_hooks_once_more(self) -> None:
        """Add a second copy of every hook with a different command line, which the client treats as
        another program: a plugin and the settings may both register Fleet's hooks."""
        for folder in (self.world.settings_dir, self.home / ".claude"):
            _update_json(folder / "settings.json", _with_second_copies)

    def delay_hook(self, script: str) -> None:
        """Make Python start slowly for one of the hooks."""
        slow = self._repositories.with_name("slow-python")
        slow.write_text(
            f'#!/bin/sh\ncase "$*" in *{script}*) sleep 0.5 ;; esac\nexec "{sys.executable}" "$@"\n'
        )
        slow.chmod(0o755)
        self._register(slow)

    def erase_prompts_with(self, word: str) -> None:
        """Add a user's hook to the Commander's folder that blocks every prompt with this word."""
        erase = {"type": "command", "command": "sh", "args": ["-c", f"! grep -q {word} || exit 2"]}

        def add(settings_now: dict[str, Any]) -> dict[str, Any]:
            added = copy.deepcopy(settings_now)
            added["hooks"]["UserPromptSubmit"].append({"hooks": [erase]})
            return added

        _update_json(self.home / ".claude" / "settings.json", add)

    # --- actions ---

    def repository(self, name: str, files: Mapping[str, str] | None = None) -> Path:
        """A repository with one commit, of these files or of an empty `.gitignore`."""
        path = self._repositories / name
        path.mkdir()
        git(path, "init", "-q", "-b", "main")
        configure(path)
        for file, text in (files or {".gitignore": ""}).items():
            (path / file).parent.mkdir(parents=True, exist_ok=True)
            (path / file).write_text(text)
        git(path, "add", "-A")
        git(path, "commit", "-q", "-m", "first")
        return path

    def add_project(self, name: str) -> Path:
        """A repository that Fleet knows as a project, registered without a client."""
        repository = self.repository(name)
        stop = {"hook_event_name": "Stop", "session_id": f"s-{name}", "prompt_id": f"p-{name}"}
        stop |= {"cwd": str(repository), "last_assistant_message": f"Now {name} is known."}
        file = self._repositories.with_name(f"{name}.json")
        file.write_text(json.dumps(stop))
        self.console("replay", str(file))
        return repository

    def worker(
        self, cwd: Path, prompt: str, *replies: Reply, env: Mapping[str, str] | None = None
    ) -> Turn:
        """One turn of a headless worker in a folder; raises unless it succeeded."""
        turn = self.turn(cwd, prompt, *replies, env=env)
        if turn.is_error:
            raise AssertionError(f"the worker failed: {turn.stdout}{turn.stderr}")
        return turn

    def commander(
        self,
        prompt: str,
        *replies: Reply,
        resume: str | None = None,
        fork: bool = False,
        env: Mapping[str, str] | None = None,
    ) -> Turn:
        """A turn of a headless Commander, in a new session unless one is resumed; it may fail.

        Earlier work of others is in the database by then, however late their drainers are."""
        self.drain()
        return self.turn(self.home, prompt, *replies, resume=resume, fork=fork, env=env)

    def turn(
        self,
        cwd: Path,
        prompt: str,
        *replies: Reply,
        resume: str | None = None,
        fork: bool = False,
        env: Mapping[str, str] | None = None,
    ) -> Turn:
        """A headless turn of a worker or a Commander; `fork` continues the resumed session under a
        new id."""
        self.script(prompt, *replies)
        arguments = ["--fork-session"] if fork else []
        return self.world.run(prompt, cwd, resume, arguments, extra_env=env)

    def script(self, prompt: str, *replies: Reply) -> None:
        """Set the model's answers to a prompt, which also identifies the requests later."""
        for other in self._steps:
            if prompt != other and (prompt in other or other in prompt):
                raise ValueError(f"{prompt!r} cannot be distinguished from {other!r}")
        self._steps[prompt] = replies or [Text("done")]

    def hold_back(self, prompt: str, rounds: int = 0) -> threading.Event:
        """From now on the model answers a prompt only when the event that this returns is set; the
        first so many rounds of tool calls go on."""
        is_let_go = threading.Event()
        self._held_back.append((prompt, rounds, is_let_go))
        return is_let_go

    def interactive_commander(self, *arguments: str) -> Interactive:
        return self.world.interactive(self.home, arguments)

    def console(self, *arguments: str) -> str:
        """What `fleet …` prints; raises when it fails."""
        command = [sys.executable, "-m", "commander.cli", *arguments]
        done = subprocess.run(
            command,
            cwd=REPOSITORY,
            env=self.world.environment(),
            capture_output=True,
            text=True,
            timeout=120,
        )
        if done.returncode:
            raise AssertionError(f"fleet {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def drain(self) -> None:
        """Return when all captures are in the database. A client does not wait for every hook before
        it ends. An entry leaves the spool only after its commit, so an empty spool needs no drain."""
        _wait(lambda: not self._hooks(), "end of the hooks", 60)
        if any((self.home / "spool" / "new").glob("*")):
            self.console("drain")

    def _hooks(self) -> list[int]:
        """The process ids of this machine's hooks that are running."""
        found = subprocess.run(
            ["pgrep", "-f", r": fleet-hook|/hooks/[a-z_]+\.py"], capture_output=True, text=True
        )
        home = f"HOME={self.world.home}".encode()
        hooks = []
        for pid in found.stdout.split():
            with contextlib.suppress(OSError):  # it has ended
                if home in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                    hooks.append(int(pid))
        return hooks

    @contextlib.contextmanager
    def drainers_held_off(self) -> Iterator[None]:
        """Hold the drainer's lock, as a running drainer does."""
        with (self.home / "spool" / "lock").open("a") as lock:
            wake.ring(str(self.home), wake.LEAVE)
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    # --- what the model was shown ---

    def preludes_with(self, prompt: str) -> list[str]:
        """The preludes that were injected with this prompt, as the model received them."""
        return _preludes(last_prompt_context(self._first_request(prompt)))

    def preludes_up_to(self, prompt: str) -> list[str]:
        """Every prelude in the conversation up to and including this prompt."""
        return _preludes(injected_context(self._first_request(prompt)))

    def context(self, prompt: str) -> str:
        """All hook context that was injected with this prompt."""
        return "\n".join(last_prompt_context(self._first_request(prompt)))

    def wait_for_request(self, prompt: str, timeout: float = 60) -> None:
        """Return once the model has received this prompt."""
        _wait(lambda: bool(self.model.main_requests(prompt)), f"a request {prompt!r}", timeout)

    def _first_request(self, prompt: str) -> Request:
        return self.model.main_requests(prompt)[0]

    # --- what was stored ---

    def rows(self, sql: str, *parameters: object) -> list[dict[str, Any]]:
        """The rows of a query, even during writes; none until the database has its tables."""
        database = self.home / "fleet.db"
        if not database.exists():
            return []
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)
        connection.row_factory = sqlite3.Row
        try:
            if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
                return []
            return [dict(row) for row in connection.execute(sql, parameters)]
        finally:
            connection.close()

    def wait_for_rows(self, sql: str, *parameters: object, timeout: float = 60) -> None:
        """Return once the query has rows. This does not drain: the hooks do that."""
        _wait(lambda: bool(self.rows(sql, *parameters)), f"rows of {sql} {parameters}", timeout)

    def briefings(self) -> list[dict[str, Any]]:
        """The briefings in order, their JSON lists as lists, after a drain."""
        self.drain()
        return [
            {
                name.removesuffix("_json"): json.loads(value) if name.endswith("_json") else value
                for name, value in row.items()
            }
            for row in self.rows("SELECT * FROM briefings ORDER BY briefing_id")
        ]

    def event_counts(self) -> Counter[str]:
        """How many events of each type there are, after a drain."""
        self.drain()
        return Counter(row["type"] for row in self.rows("SELECT type FROM outbox_events"))

    def cursor(self) -> int:
        """The last event that the Commander's conversation has been shown, after a drain."""
        self.drain()
        rows = self.rows("SELECT last_outbox_event_id_seen AS seen FROM conversations")
        return int(rows[0]["seen"]) if rows else 0

    def last_event(self) -> int:
        self.drain()
        (row,) = self.rows("SELECT max(event_id) AS last FROM outbox_events")
        return int(row["last"])

    def stuck_sessions(self) -> list[tuple[str, str]]:
        """(session id, reason) of those that `fleet status` says need you."""
        status = json.loads(self.console("status", "--json"))
        return [(row["session_id"], row["reason"]) for row in status["needs_you"]]


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def configure(repository: Path) -> None:
    """Set a commit author, and turn off prompts and background work."""
    for name, value in (
        ("user.name", "Worker"),
        ("user.email", "worker@example.invalid"),
        ("commit.gpgsign", "false"),
        ("gc.auto", "0"),
    ):
        git(repository, "config", name, value)


def blocked_by(blocker: str) -> Text:
    """A final answer with an explicit briefing."""
    return Text(
        "I cannot go on.\n\n```briefing\n---\nstatus: blocked\n"
        f"summary: Stuck on {blocker}\nblockers:\n  - Waiting for {blocker}\n---\n```"
    )


def _update_json(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text())), indent=2))


def _with_second_copies(settings: dict[str, Any]) -> dict[str, Any]:
    doubled = copy.deepcopy(settings)
    for groups in doubled["hooks"].values():
        second = copy.deepcopy(groups)
        for group in second:
            for hook in group["hooks"]:
                hook["command"] = hook["command"].replace(" -I -S ", " -I -B -S ")
        groups += second
    return doubled


def _preludes(contexts: Sequence[str]) -> list[str]:
    return _PRELUDE.findall("\n".join(contexts))


def _wait(happened: Callable[[], bool], what: str, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {what} in {timeout} s")
        time.sleep(POLL_SECONDS)
