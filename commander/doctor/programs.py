"""The checks of programs: versions, the environment that Fleet runs in, and Claude Code."""

import contextlib
import importlib.metadata
import platform
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from commander.doctor.findings import INSTALL, Finding, Installation
from fleet_lib import held, paths
from fleet_lib.errors import FleetError
from fleet_lib.jobs.program import claude_program
from fleet_lib.text import clean

PROMPT_ID_SINCE = (2, 1, 196)


def versions(installation: Installation) -> Iterator[Finding]:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.execute("CREATE VIRTUAL TABLE t USING fts5(x)")
            connection.execute("SELECT json_extract('{}', '$.a')")
        except sqlite3.OperationalError as error:
            yield Finding(
                "failed",
                "versions",
                f"SQLite {sqlite3.sqlite_version} lacks a feature that Fleet needs: {error}",
                "Search needs FTS5 and JSON.",
                "put a Python whose sqlite3 has both first on PATH, then run ./install.sh",
            )
    git = shutil.which("git")
    git_version = _first_line([git, "--version"]) if git else "no git"
    yield Finding(
        "ok",
        "versions",
        f"Fleet {importlib.metadata.version('fleet')}, Python {platform.python_version()}, SQLite"
        f" {sqlite3.sqlite_version}, {git_version}, {platform.system()} {platform.machine()}",
    )
    if not git:
        yield Finding(
            "failed",
            "versions",
            "git is not on PATH.",
            "Fleet cannot tell which repository a turn belongs to.",
            "install git",
        )


def environment(installation: Installation) -> Iterator[Finding]:
    link = installation.home / "venv"
    if link.exists():
        yield Finding("ok", "environment", f"{link} → {link.resolve().name}")
    elif link.is_symlink():
        yield Finding(
            "failed",
            "environment",
            f"{link} points to nothing.",
            "Hooks cannot start.",
            INSTALL,
        )
    for folder, state in installation.plugin_states.items():
        if state["state"] == "ready":
            yield Finding(
                "ok",
                "environment",
                f"The environment of the plugin in {folder} is ready ({state['at']}).",
            )
        elif state["state"] == "building":
            yield Finding(
                "note",
                "environment",
                f"The environment of the plugin in {folder} is being built (since {state['at']}).",
                "Captured turns wait safely in the spool.",
            )
        else:
            reason = clean(state["reason"], 300)
            yield Finding(
                "failed",
                "environment",
                f"The environment of the plugin in {folder} could not be built ({state['at']}):"
                f" {reason}",
                "Captured turns wait safely in the spool. Fleet tries again at the end of a turn.",
                "remove the cause, or install Fleet with ./install.sh",
            )
    if not link.exists() and not installation.plugin_states:
        yield Finding(
            "note",
            "environment",
            f"Fleet is not installed. This command runs from {sys.prefix}.",
            "That is enough for development.",
            INSTALL,
        )


def claude(installation: Installation) -> Iterator[Finding]:
    try:
        program = claude_program(str(installation.home))
    except FleetError as error:
        yield Finding(
            "warning",
            "claude",
            str(error),
            "Capturing works, but `fleet commander` and jobs do not.",
        )
        return
    answer = _first_line([program, "--version"])
    match = re.match(r"(\d+)\.(\d+)\.(\d+)", answer)
    if not match:
        yield Finding(
            "warning",
            "claude",
            f"{program} --version does not print a version: {clean(answer, 80)}",
            "Fleet cannot tell whether it supports this Claude Code.",
            f"run {program} --version and see what is wrong",
        )
    elif tuple(map(int, match.groups())) < PROMPT_ID_SINCE:
        yield Finding(
            "warning",
            "claude",
            f"{program} has version {match[0]}, which is older than 2.1.196.",
            "It does not say which prompt a turn belongs to. Fleet reads that from the transcript.",
            "claude update",
        )
    else:
        yield Finding("ok", "claude", f"{program} {clean(answer, 40)}")


def gateway(installation: Installation) -> Iterator[Finding]:
    running = held.holder(Path(paths.gateway_lock(str(installation.home))))
    if running is None:
        return
    current = (installation.home / "venv").resolve()
    if not current.exists() or running.environment == str(current):
        yield Finding("ok", "gateway", f"It is running (process {running.pid}).")
        return
    yield Finding(
        "warning",
        "gateway",
        f"The running gateway (process {running.pid}) is not of the installed Fleet.",
        "It keeps working, but shows the dashboard of the version that it was started with.",
        "stop it and run fleet gateway again",
    )


def _first_line(command: list[str]) -> str:
    """The first line that a program prints, or why it could not be run."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=15,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return (done.stdout or done.stderr).strip().partition("\n")[0]
