"""The checks of the installation: the program, the settings, the hooks, Claude Code."""

import contextlib
import fcntl
import importlib.metadata
import json
import os
import platform
import re
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from commander.doctor.findings import INSTALL, Finding, Hook, Patient, wanted_hooks
from commander.setup import settings
from fleet_lib import config, paths, spool
from fleet_lib.errors import FleetError
from fleet_lib.jobs.command import claude_program
from fleet_lib.redact import redact
from fleet_lib.text import clean

SLOW_RATIO = 3.0
PROMPT_ID_SINCE = (2, 1, 196)
_WITHOUT_MATCHER = ("Stop", "UserPromptSubmit")  # Claude Code ignores one there
_SAMPLE = {"session_id": "doctor", "prompt_id": "doctor", "last_assistant_message": "A sample."}


def home(patient: Patient) -> Iterator[Finding]:
    if not patient.home.exists():
        yield Finding("note", "home", f"{patient.home} is not there yet", "nothing was captured")
    elif not patient.home.is_dir():
        yield Finding(
            "failed",
            "home",
            f"{patient.home} is not a folder",
            "nothing can be kept there",
            "set FLEET_HOME to a folder",
        )
    elif not os.access(patient.home, os.R_OK | os.W_OK | os.X_OK):
        yield Finding(
            "failed",
            "home",
            f"{patient.home} cannot be written by you",
            "hooks cannot keep anything there",
            f"chown it to yourself, then: chmod 700 {patient.home}",
        )
    else:
        yield Finding("ok", "home", str(patient.home))


def versions(patient: Patient) -> Iterator[Finding]:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.execute("CREATE VIRTUAL TABLE t USING fts5(x)")
            connection.execute("SELECT json_extract('{}', '$.a')")
        except sqlite3.OperationalError as error:
            yield Finding(
                "failed",
                "versions",
                f"SQLite {sqlite3.sqlite_version}: {error}",
                "search needs FTS5 and JSON",
                "install Fleet with a Python whose sqlite3 has them",
            )
    git = shutil.which("git")
    said = _first_line([git, "--version"]) if git else ""
    yield Finding(
        "ok",
        "versions",
        f"Fleet {importlib.metadata.version('fleet')}, Python {platform.python_version()}, SQLite"
        f" {sqlite3.sqlite_version}, {said or 'no git'}, {platform.system()} {platform.machine()}",
    )
    if not git:
        yield Finding(
            "failed",
            "versions",
            "git is not on PATH",
            "no turn can be assigned to a repository",
            "install git",
        )


def environment(patient: Patient) -> Iterator[Finding]:
    link = patient.home / "venv"
    if link.exists():
        yield Finding("ok", "environment", f"{link} → {link.resolve().name}")
    elif link.is_symlink():
        yield Finding(
            "failed", "environment", f"{link} points to nothing", "hooks cannot start", INSTALL
        )
    for folder, state in patient.plugin_states.items():
        where = f"the plugin's, in {folder}"
        if state["state"] == "ready":
            yield Finding("ok", "environment", f"{where}: ready since {state['at']}")
        elif state["state"] == "building":
            yield Finding(
                "note",
                "environment",
                f"{where}: being made since {state['at']}",
                "captured turns wait safely in the spool",
            )
        else:
            yield Finding(
                "failed",
                "environment",
                f"{where}: could not be made at {state['at']}: {clean(state['reason'], 300)}",
                "captured turns wait safely in the spool; the end of a turn tries again",
                "mend what it says; or install with ./install.sh",
            )
    if not link.exists() and not patient.plugin_states:
        yield Finding("note", "environment", f"run from {sys.prefix}, not installed", "", INSTALL)


def configuration(patient: Patient) -> Iterator[Finding]:
    try:
        config.load(str(patient.home))
    except FleetError as error:
        yield Finding(
            "failed",
            "configuration",
            str(error),
            "hooks go on with what they can read",
            "edit that line, or: fleet config unset KEY",
        )
    else:
        changed = [s.key for s in config.settings(str(patient.home)) if s.value != s.default]
        yield Finding("ok", "configuration", ", ".join(changed) + " set" if changed else "defaults")


def settings_file(patient: Patient) -> Iterator[Finding]:
    file = patient.settings_file
    if patient.fault:
        yield Finding(
            "failed",
            "settings",
            patient.fault,
            "Claude Code cannot use it, so no hook runs",
            f"edit {file}: an empty settings file is {{}}",
        )
        return
    yield Finding("ok", "settings", str(file) if file.exists() else f"no {file}")
    for other, value in patient.every_settings.items():
        if value.get("disableAllHooks"):
            yield Finding(
                "failed",
                "settings",
                f"disableAllHooks in {other}",
                "nothing is captured",
                "take that line out",
            )
    hooks_switch, where = next(patient.variables("FLEET_HOOKS"), ("", None))
    if hooks_switch.lower() == "off":
        yield Finding(
            "failed",
            "settings",
            f"FLEET_HOOKS is off in {f'the env of {where}' if where else 'this shell'}",
            "nothing is captured",
            f"take FLEET_HOOKS out of {where}"
            if where
            else "unset FLEET_HOOKS, also in your shell's profile",
        )
    for named, where in patient.variables("FLEET_HOME"):
        if where and not _is_same(named, patient.home):
            yield Finding(
                "failed",
                "settings",
                f"FLEET_HOME is {named} in the env of {where}",
                f"sessions keep their data there, and this command looks in {patient.home}",
                f"take FLEET_HOME out of {where}, or set the same in your shell's profile",
            )


def registration(patient: Patient) -> Iterator[Finding]:
    wanted = list(wanted_hooks())
    every = list(patient.hooks())
    there = Counter((hook.place, hook.event) for hook in every)
    places = {place for place, _ in there} - {"commander"}
    missing = [event for event in wanted if not any(there[place, event] for place in places)]
    if missing:
        yield Finding(
            "failed",
            "registration",
            f"no hook for {', '.join(missing)}",
            "those moments are not captured",
            f"fix {patient.settings_file} first, then {INSTALL}" if patient.fault else INSTALL,
        )
    else:
        yield Finding(
            "ok", "registration", f"{len(wanted)} events, by {' and '.join(sorted(places))}"
        )
    if not any(there[place, "UserPromptSubmit"] for place in ("commander", "plugin")):
        yield Finding(
            "failed",
            "registration",
            f"no UserPromptSubmit hook in {patient.home / '.claude' / 'settings.json'}",
            "the Commander is not told what is new",
            INSTALL,
        )
    for hook in every:
        for found, means in _changed(hook):
            yield Finding(
                "failed",
                "registration",
                f"{hook.event} (by the {hook.place}) {found}",
                means,
                INSTALL,
            )
    for (place, event), count in there.items():
        if count > 1:
            yield Finding(
                "warning",
                "registration",
                f"{event} is registered {count} times by the {place}",
                "a turn is still one briefing, at twice the cost",
                INSTALL,
            )
    if {"settings", "plugin"} <= places:
        yield Finding(
            "note",
            "registration",
            "by the settings and by a plugin",
            "a turn is still one briefing; one of the two is enough",
            "./install.sh --uninstall, or: claude plugin uninstall fleet",
        )
    if any(where for _, where in patient.variables("FLEET_HOME")):
        return  # it wins over what a hook was installed for
    homes = {home for hook in every if (home := _home_of(hook))}
    if {"settings", "plugin"} <= places:
        homes.add(_default_home(patient))
    for other in sorted(home for home in homes if not _is_same(home, patient.home)):
        yield Finding(
            "failed",
            "registration",
            f"sessions that are started without FLEET_HOME keep their data in {other}",
            f"this command looks in {patient.home}, and each has half of what happens",
            f"set FLEET_HOME in the env of {patient.settings_file}, or nowhere at all",
        )


def _changed(hook: Hook) -> Iterator[tuple[str, str]]:
    """(what, what that means) of a registration that would not run each time, or not as a hook must."""
    if hook.kind != "command":
        yield f"has the type {clean(hook.kind, 40)}, not command", "it does not run"
    if hook.is_async:
        yield "is async", "`claude -p` kills it at its end, so turns are lost"
    if hook.event in _WITHOUT_MATCHER or hook.matcher in ("", "*"):
        return
    ((group, *_),) = [groups for event, groups in wanted_hooks().items() if event == hook.event]
    moments = [moment for moment in str(group.get("matcher") or "").split("|") if moment]
    try:
        left_out = [moment for moment in moments if not re.fullmatch(hook.matcher, moment)]
    except re.error:
        left_out = moments
    if left_out or not moments:
        told = clean(hook.matcher, 60)
        yield (
            f"has the matcher {told!r}",
            f"it does not run for {', '.join(left_out)}"
            if moments
            else "it runs at some of those moments only",
        )


def _is_same(named: str, home: Path) -> bool:
    return os.path.realpath(Path(named).expanduser()) == os.path.realpath(home)


def _home_of(hook: Hook) -> str:
    """The home that an installed hook knows, "" for one that does not."""
    marker = Path(hook.command[-1]).parent.parent / "fleet-home.txt"
    with contextlib.suppress(OSError):
        return marker.read_text("utf-8", "surrogateescape")
    return ""


def _default_home(patient: Patient) -> str:
    return os.environ.get("FLEET_HOME") or str(patient.claude / "commander")


def hooks(patient: Patient) -> Iterator[Finding]:
    every = {hook.command: hook for hook in patient.hooks()}
    if not every:
        return
    with tempfile.TemporaryDirectory(prefix="fleet-doctor-", ignore_cleanup_errors=True) as folder:
        throwaway = Path(folder) / "home"
        spool.make_folders(str(throwaway))
        with Path(paths.lock(str(throwaway))).open("w") as lock:
            # No drainer may be at work there when it goes.
            fcntl.flock(lock, fcntl.LOCK_EX)
            bare: list[float] = []
            times: list[float] = []
            broken = False
            for command, hook in every.items():
                base = [command[0], "-I", "-c", "pass"] if command[0] != "sh" else None
                for _ in range(3):
                    if base:
                        bare.append(_run(base, throwaway)[0])
                    seconds, why = _run(list(command), throwaway)
                    times.append(seconds)
                if why or (hook.event != "UserPromptSubmit" and not _landed(throwaway, hook.event)):
                    broken = True
                    yield Finding(
                        "failed",
                        "hooks",
                        f"{hook.event} ({hook.place}): {why or 'it captured nothing'}",
                        "what it should capture is lost, or a session is disturbed",
                        INSTALL,
                    )
            if broken:
                return
            took = statistics.median(times)
            ratio = took / statistics.median(bare) if bare else 1.0
            yield Finding(
                "warning" if ratio > SLOW_RATIO else "ok",
                "hooks",
                f"{len(every)} run on a sample, {took * 1000:.0f} ms each, {ratio:.1f} times"
                " `python -I -c pass`",
                "the machine is busy, or the disk is slow to sync" if ratio > SLOW_RATIO else "",
                "fleet doctor, once more" if ratio > SLOW_RATIO else "",
            )


def _run(command: list[str], throwaway: Path) -> tuple[float, str]:
    """(seconds, what was wrong) of one run on the sample."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    started = time.monotonic()
    try:
        done = subprocess.run(
            command,
            input=json.dumps(_SAMPLE | {"cwd": str(throwaway.parent)}).encode(),
            capture_output=True,
            check=False,
            timeout=20,
            cwd=throwaway.parent,
            env={**kept, "FLEET_HOME": str(throwaway), "CLAUDE_PROJECT_DIR": str(throwaway.parent)},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return time.monotonic() - started, clean(error, 200)
    seconds = time.monotonic() - started
    if done.returncode:
        said = clean(done.stderr.decode("utf-8", "replace"), 200)
        return seconds, f"exit code {done.returncode}: {said}"
    return seconds, ""


def _landed(throwaway: Path, event: str) -> bool:
    return any(name.split(".")[1:2] == [event] for name in spool.pending(str(throwaway)))


def other_hooks(patient: Patient) -> Iterator[Finding]:
    """What else runs at the same moments: when a session is slow, one of these may be why."""
    ours = {hook.event for hook in patient.hooks()}
    named: list[str] = []
    every = patient.settings.get("hooks")
    for event, groups in every.items() if isinstance(every, dict) else ():
        for group in groups if event in ours and isinstance(groups, list) else ():
            entries = group.get("hooks") if isinstance(group, dict) else None
            for entry in entries if isinstance(entries, list) else ():
                if isinstance(entry, dict) and not settings.is_ours(entry):
                    words = [entry.get("command"), *(entry.get("args") or [])]
                    named.append(f"{event}: {clean(redact(' '.join(map(str, words))), 80)}")
    if named:
        more = f" and {len(named) - 5} more" if len(named) > 5 else ""
        yield Finding("note", "other hooks", "; ".join(named[:5]) + more)


def claude(patient: Patient) -> Iterator[Finding]:
    try:
        program = claude_program(str(patient.home))
    except FleetError as error:
        yield Finding("warning", "claude", str(error), "the Commander cannot be opened by fleet")
        return
    said = _first_line([program, "--version"])
    match = re.match(r"(\d+)\.(\d+)\.(\d+)", said)
    if not match:
        yield Finding("warning", "claude", f"{program} did not tell its version: {clean(said, 80)}")
    elif tuple(map(int, match.groups())) < PROMPT_ID_SINCE:
        yield Finding(
            "warning",
            "claude",
            f"{program} {said}",
            "older than 2.1.196: turns are told apart by their transcript",
            "claude update",
        )
    else:
        yield Finding("ok", "claude", f"{program} {clean(said, 40)}")


def _first_line(command: list[str]) -> str:
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
