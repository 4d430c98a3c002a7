"""The real Claude Code client, headless and in tmux, against a scripted model on loopback.

What lives here: a clean environment for every world, one `-p` turn, and an interactive session.
The client never sees the home folder, the credentials or the settings of the user who runs the
tests.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from fleet_lib.processes import is_alive, name_of

API_KEY = "sk-fake"
POLL_SECONDS = 0.05
TOOLS = ("Bash", "Edit", "Write", "Read", "Agent")

REPOSITORY = Path(__file__).resolve().parents[2]


def claude_program(version: str) -> Path | None:
    """The client of that version, where `make setup` puts it; None if it is not there."""
    program = REPOSITORY / f".tools/claude-{version}/node_modules/.bin/claude"
    return program if program.exists() else None


@dataclass(frozen=True)
class Turn:
    """The outcome of one `claude -p`. `result` is its JSON, empty if it printed none."""

    exit_code: int
    stdout: str
    stderr: str
    result: Mapping[str, Any]

    @property
    def session_id(self) -> str:
        return str(self.result.get("session_id", ""))

    @property
    def text(self) -> str:
        return str(self.result.get("result", ""))

    @property
    def is_error(self) -> bool:
        return bool(self.result.get("is_error", True))


@dataclass(frozen=True)
class World:
    """One user's machine: a home folder, the client's configuration, and the model it talks to.

    `model_url` must be loopback. `config_dir` is `$HOME/.claude`; another one is passed to the
    client as `CLAUDE_CONFIG_DIR`. `env` is added to the environment of every client started here.
    """

    home: Path
    model_url: str
    program: Path
    config_dir: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if urlsplit(self.model_url).hostname != "127.0.0.1":
            raise ValueError(f"the model must be on loopback, not at {self.model_url}")
        self.settings_dir.mkdir(parents=True, exist_ok=True)

    @property
    def settings_dir(self) -> Path:
        return self.config_dir or self.home / ".claude"

    def write_settings(self, settings: Mapping[str, Any], project: Path | None = None) -> Path:
        """Write the user's `settings.json`, or the one of a project."""
        folder = project / ".claude" if project else self.settings_dir
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "settings.json"
        path.write_text(json.dumps(settings, indent=2))
        return path

    def transcript(self, session_id: str) -> Path:
        """The transcript of a session that has run."""
        (path,) = self.settings_dir.glob(f"projects/*/{session_id}.jsonl")
        return path

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """The whole environment of the client. It inherits only PATH from the caller."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            "ANTHROPIC_API_KEY": API_KEY,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            **self.env,
            **(extra or {}),
            "ANTHROPIC_BASE_URL": self.model_url,
        }
        if self.config_dir:
            environment["CLAUDE_CONFIG_DIR"] = str(self.config_dir)
        return environment

    def run(
        self,
        prompt: str,
        cwd: Path,
        resume: str | None = None,
        extra_args: Sequence[str] = (),
        extra_env: Mapping[str, str] | None = None,
        timeout: float = 240,
    ) -> Turn:
        """One headless turn, the prompt on stdin; raises `TimeoutExpired` when the client hangs.

        The tools are allowed by name because root may not skip the permissions.
        """
        command = [str(self.program), "-p", "--output-format", "json", "--model", "sonnet"]
        command += ["--permission-mode", "acceptEdits", "--allowed-tools", ",".join(TOOLS)]
        command += ["--resume", resume] if resume else []
        done = subprocess.run(
            [*command, *extra_args],
            input=prompt,
            cwd=cwd,
            env=self.environment(extra_env),
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return Turn(done.returncode, done.stdout, done.stderr, _result(done.stdout))

    def trust(self, *folders: Path) -> None:
        """Answer in advance what a first interactive start asks: theme, key, trust in folders."""
        path = self.config_dir / ".claude.json" if self.config_dir else self.home / ".claude.json"
        state = json.loads(path.read_text()) if path.exists() else {}
        state |= {
            "hasCompletedOnboarding": True,
            "theme": "dark",
            "customApiKeyResponses": {"approved": [API_KEY], "rejected": []},
        }
        projects = state.setdefault("projects", {})
        for folder in folders:
            projects.setdefault(str(folder.resolve()), {})["hasTrustDialogAccepted"] = True
        path.write_text(json.dumps(state))

    def interactive(
        self,
        cwd: Path,
        extra_args: Sequence[str] = (),
        extra_env: Mapping[str, str] | None = None,
    ) -> Interactive:
        """Start an interactive session in a trusted folder and wait for its input line.

        It asks before it uses a tool, even where a new client would start in auto mode.
        """
        self.trust(cwd)
        command = [str(self.program), "--model", "sonnet", "--permission-mode", "default"]
        command += extra_args
        return Interactive(command, cwd, self.environment(extra_env))


class Interactive:
    """A session in its own terminal: a tmux server with its own socket, killed at the end."""

    def __init__(self, command: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> None:
        self._sockets = tempfile.TemporaryDirectory(prefix="fleet-tmux-")
        self._tmux = ["tmux", "-L", "client", "-f", os.devnull]
        clean = ["env", "-i", *(f"{name}={value}" for name, value in environment.items())]
        self._sent = ""
        self._run(
            *("new-session", "-d", "-x", "160", "-y", "50", "-c", str(cwd)),
            shlex.join([*clean, *command]),
        )
        try:
            self.wait_for(r"^\s*[│ ]*❯", timeout=90)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def send(self, text: str) -> None:
        """Type a line, see it arrive in the input, and press Enter.

        A slow command leaves its line in the input, and text typed before it disappears is
        appended to it.
        """
        deadline = time.monotonic() + 30
        while self._sent and self._sent in self._input() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        self._sent = text[-40:]
        self._run("send-keys", "-l", text)
        self.wait_for(re.escape(text[-40:]))
        self.keys("Enter")

    def clear_input(self) -> None:
        """Clear the input line: 2.1.332 puts the text of an erased prompt back there."""
        self._sent = ""
        self.keys("C-u")
        self.wait_for(r"^\s*[│ ]*❯\s*(Try .*)?[│ ]*$")

    def _input(self) -> str:
        """The input line: the last line with the client's prompt mark."""
        return next((line for line in reversed(self.screen().splitlines()) if "❯" in line), "")

    def keys(self, *names: str) -> None:
        """Press keys by their tmux names: `Escape`, `C-c`, `Enter`."""
        self._run("send-keys", *names)

    def screen(self, history_lines: int = 0) -> str:
        """The terminal's text, and this many lines above it; empty once the client has ended."""
        shown = self._run("capture-pane", "-p", "-J", "-S", str(-history_lines), check=False)
        return shown.stdout

    def wait_for(self, pattern: str, timeout: float = 60) -> str:
        """The screen, as soon as the (multi-line) pattern matches; raises TimeoutError with it."""
        deadline = time.monotonic() + timeout
        while True:
            screen = self.screen()
            if re.search(pattern, screen, re.MULTILINE):
                return screen
            if time.monotonic() > deadline:
                raise TimeoutError(f"{pattern!r} did not appear in {timeout} s:\n{screen}")
            time.sleep(POLL_SECONDS)

    def wait_for_exit(self, timeout: float = 60) -> None:
        """Wait until the client has ended by itself, including its SessionEnd hooks."""
        deadline = time.monotonic() + timeout
        while self._run("has-session", check=False).returncode == 0:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the client did not end in {timeout} s:\n{self.screen()}")
            time.sleep(POLL_SECONDS)

    def kill(self) -> None:
        """End the client as a crash does, without running any hook."""
        shown = self._run("display-message", "-p", "#{pane_pid}")
        os.killpg(int(shown.stdout), signal.SIGKILL)
        self.wait_for_exit()

    def close(self) -> None:
        """Close the terminal and wait for the client, which gets SIGHUP, runs its SessionEnd hooks
        and ends."""
        pid = self._run("display-message", "-p", "#{pane_pid}", check=False).stdout.strip()
        client = name_of(int(pid)) if pid else None
        self._run("kill-server", check=False)
        self._sockets.cleanup()
        deadline = time.monotonic() + 30
        while client and is_alive(client) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def _run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._tmux, *arguments],
            env={"PATH": os.environ["PATH"], "TMUX_TMPDIR": self._sockets.name, "LANG": "C.UTF-8"},
            check=check,
            capture_output=True,
            text=True,
            timeout=60,
        )


def _result(stdout: str) -> Mapping[str, Any]:
    """The object of `--output-format json`; with `--verbose` it is the last one of a list."""
    try:
        value = json.loads(stdout)
    except ValueError:
        return {}
    if isinstance(value, list):
        value = value[-1] if value else {}
    return value if isinstance(value, dict) else {}
