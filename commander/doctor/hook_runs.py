"""The check that runs every registered hook on a sample, in a temporary home."""

import fcntl
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from commander.doctor.findings import INSTALL, Finding, Hook, Installation
from fleet_lib import paths, spool
from fleet_lib.text import clean

SLOW_RATIO = 3.0
_RUNS = 3
_SAMPLE = {"session_id": "doctor", "prompt_id": "doctor", "last_assistant_message": "A sample."}


def hooks(installation: Installation) -> Iterator[Finding]:
    every = list({hook.command: hook for hook in installation.hooks()}.values())
    if not every:
        return
    with tempfile.TemporaryDirectory(prefix="fleet-doctor-", ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        spool.make_folders(str(home))
        with Path(paths.lock(str(home))).open("w") as lock:
            # No drainer may be working there when the folder is removed.
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield from _run_all(every, home, installation)


def _run_all(every: list[Hook], home: Path, installation: Installation) -> Iterator[Finding]:
    bare: list[float] = []
    times: list[float] = []
    faults: dict[str, list[str]] = {}  # {fault: the hooks that have it}
    for hook in every:
        # A command ends well without a file that it needs.
        fault = _missing(hook)
        # Where the words of the registration find the home, as in a session of theirs.
        project = installation.home if hook.place == "commander" else home.parent
        folders = {
            "CLAUDE_CONFIG_DIR": str(installation.claude),
            "CLAUDE_PROJECT_DIR": str(project),
        }
        for _ in range(0 if fault else _RUNS):
            if hook.python:
                bare.append(_run([hook.python, "-I", "-c", "pass"], home, folders)[0])
            seconds, fault = _run(list(hook.command), home, folders)
            times.append(seconds)
        if not fault and hook.event != "UserPromptSubmit" and not _has_captured(home, hook.event):
            fault = "it captured nothing"
        if fault:
            faults.setdefault(fault, []).append(f"{hook.event} of {hook.owner}")
    for fault, hooks in faults.items():
        yield Finding(
            "failed",
            "hooks",
            f"{', '.join(hooks)}: the hook failed on a sample: {fault}",
            "What it should capture is lost, or a session is disturbed.",
            INSTALL,
        )
    if faults:
        return
    typical = statistics.median(times)
    ratio = typical / statistics.median(bare) if bare else 1.0
    is_slow = ratio > SLOW_RATIO
    yield Finding(
        "warning" if is_slow else "ok",
        "hooks",
        f"{len(every)} hooks ran on a sample, {typical * 1000:.0f} ms each, {ratio:.1f} times as"
        " long as `python -I -c pass`.",
        "The machine is busy, or the disk is slow to sync." if is_slow else "",
        "run fleet doctor again when the machine is quiet" if is_slow else "",
    )


def _missing(hook: Hook) -> str:
    """What is wrong with the files that a hook names, or ""."""
    if hook.python and not shutil.which(hook.python):
        return f"{hook.python} is missing, or is no program"
    if hook.file and not os.access(hook.file, os.R_OK):
        return f"{hook.file} is missing, or cannot be read"
    return ""


def _run(command: list[str], home: Path, folders: dict[str, str]) -> tuple[float, str]:
    """(seconds, what went wrong or "") of one run on the sample."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    started = time.monotonic()
    try:
        done = subprocess.run(
            command,
            input=json.dumps(_SAMPLE | {"cwd": str(home.parent)}).encode(),
            capture_output=True,
            check=False,
            timeout=20,
            cwd=home.parent,
            env={**inherited, **folders, "FLEET_HOME": str(home)},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return time.monotonic() - started, clean(error, 200)
    seconds = time.monotonic() - started
    if done.returncode:
        stderr = clean(done.stderr.decode("utf-8", "replace"), 200)
        return seconds, f"exit code {done.returncode}: {stderr}"
    return seconds, ""


def _has_captured(home: Path, event: str) -> bool:
    return any(spool.name_parts(name)[1] == event for name in spool.pending(str(home)))
