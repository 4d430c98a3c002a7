"""Headless jobs on a user's machine: Fleet's console, its runner, and a `claude` that records how
it was started before it becomes the real client."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
from claude_client import POLL_SECONDS, REPOSITORY
from fleet_world import Fleet

_SPY = """\
#!{python} -I
import json, os, sys, time
with open({record_file!r}, "a") as file:
    record = {{"argv": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd(), "at": time.time()}}
    file.write(json.dumps(record | {{"pid": os.getpid()}}) + "\\n")
{before}
os.execv({program!r}, [{program!r}, *sys.argv[1:]])
"""


class Jobs:
    """What a user does with `fleet jobs` and `fleet ask`, and the results."""

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        self.fleet = fleet
        self.folder = folder
        self._record = folder / "started.jsonl"
        self.program = folder / "bin" / "claude"
        self.program.parent.mkdir()
        self.client()

    def client(self, before: str = "") -> None:
        """Make `claude` the real client; `before` is Python code that runs first."""
        text = _SPY.format(
            python=sys.executable,
            record_file=str(self._record),
            before=before,
            program=str(self.fleet.world.program),
        )
        self.program.write_text(text)
        self.program.chmod(0o755)

    def console(
        self, *arguments: str, input: str | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._command(*arguments),
            cwd=REPOSITORY,
            env=self.environment(**environment),
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self._command(*arguments),
            cwd=REPOSITORY,
            env=self.environment(**environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def environment(self, **variables: str) -> dict[str, str]:
        environment = self.fleet.world.environment(variables)
        environment["PATH"] = f"{self.program.parent}{os.pathsep}{environment['PATH']}"
        return environment

    def submit(self, prompt: str, *arguments: str, project: str = "alpha") -> int:
        """Queue a job, which starts a runner; returns the job's id."""
        done = self.console("jobs", "submit", "--project", project, "--json", *arguments, prompt)
        assert done.returncode == 0, done.stderr
        return int(json.loads(done.stdout)["job_id"])

    def queue(self, prompt: str, project: str = "alpha", **columns: Any) -> int:
        """Insert a row as another program does; this starts no runner."""
        (row,) = self.fleet.rows(
            "SELECT project_id FROM projects WHERE repo_name = ?", project
        ) or [{"project_id": None}]
        values = {
            "ts_created": "2026-11-24T08:00:00.000Z",
            "type": "worker_task",
            "project_id": row["project_id"],
            "model": "haiku",
            "status": "queued",
            "request_json": json.dumps({"prompt": prompt}),
        } | columns
        return self.write(
            f"INSERT INTO jobs ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})",
            *values.values(),
        )

    def write(self, sql: str, *values: object) -> int:
        connection = sqlite3.connect(self.fleet.home / "fleet.db", timeout=30)
        try:
            with connection:
                return int(connection.execute(sql, values).lastrowid or 0)
        finally:
            connection.close()

    def set(self, key: str, value: str) -> None:
        done = self.console("config", "set", key, value)
        assert done.returncode == 0, done.stderr

    # --- results ---

    def job(self, job_id: int) -> dict[str, Any]:
        (row,) = self.fleet.rows("SELECT * FROM jobs WHERE job_id = ?", job_id)
        return row

    def run_of(self, job_id: int) -> dict[str, Any]:
        return self.fleet.rows(
            "SELECT * FROM job_runs WHERE job_id = ? ORDER BY attempt DESC LIMIT 1", job_id
        )[0]

    def wait(self, *job_ids: int, timeout: float = 120) -> list[str]:
        """The jobs' statuses once none of them is queued or running."""
        self.until(
            lambda: all(
                self.job(number)["status"] in ("completed", "failed", "canceled")
                for number in job_ids
            ),
            timeout,
        )
        return [self.job(number)["status"] for number in job_ids]

    def until(self, happened: Callable[[], object], timeout: float = 60) -> None:
        deadline = time.monotonic() + timeout
        while not happened():
            if time.monotonic() > deadline:
                raise TimeoutError("the condition did not become true in time")
            time.sleep(POLL_SECONDS)

    def events(self) -> list[dict[str, Any]]:
        """The job_completed events: the level and the job's fields."""
        rows = self.fleet.rows(
            "SELECT broadcast_level AS level, payload_json FROM outbox_events"
            " WHERE type = 'job_completed' ORDER BY event_id"
        )
        return [{"level": row["level"]} | json.loads(row["payload_json"])["job"] for row in rows]

    def started(self) -> list[dict[str, Any]]:
        """How each `claude` was started: argv, env, cwd, at, pid."""
        text = self._record.read_text() if self._record.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def runners(self) -> list[psutil.Process]:
        return [
            process
            for process in psutil.process_iter(["cmdline"])
            if any("jobs/run.py" in word for word in process.info["cmdline"] or ())
            and str(self.fleet.home) in process.info["cmdline"]
        ]

    def runners_end(self) -> None:
        self.until(lambda: not self.runners())

    def kill_all(self) -> None:
        """Kill the runners and clients that a test has left behind."""
        for process in self.runners():
            process.send_signal(signal.SIGKILL)
        for record in self.started():
            with contextlib.suppress(OSError):
                os.kill(record["pid"], signal.SIGKILL)

    def _command(self, *arguments: str) -> Sequence[str]:
        return [sys.executable, "-m", "commander.cli", *arguments]


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
