"""The checks, in the order in which they are printed. Each yields one line or more; docs/troubleshooting.md has
a section for each of them."""

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
from collections.abc import Callable, Iterator
from pathlib import Path

from commander import settings
from commander.claude import claude_program
from commander.doctor.findings import Finding, Hook, Patient, open_untouched
from fleet_lib import clock, config, migrate, paths, spool, verify
from fleet_lib.errors import FleetError
from fleet_lib.prelude import clean
from fleet_lib.redact import redact

BACKLOG_SECONDS = 120
LATE_SECONDS = 600
WAL_BYTES = 256 * 1024 * 1024
FREE_BYTES = 500 * 1024 * 1024
SLOW_RATIO = 3.0
PROMPT_ID_SINCE = (2, 1, 196)
_INSTALL = "run ./install.sh in Fleet's checkout"
_SAMPLE = {"session_id": "doctor", "prompt_id": "doctor", "last_assistant_message": "A sample."}

Check = Callable[[Patient], Iterator[Finding]]


def examine(patient: Patient) -> list[Finding]:
    """Run every check. One that fails itself is a finding."""
    found: list[Finding] = []
    for name, check in CHECKS.items():
        try:
            found += check(patient)
        except Exception as error:
            said = clean(f"this check failed itself: {type(error).__name__}: {error}", 300)
            found.append(Finding("failed", name, said, "please report it", "fleet doctor --report"))
    return found


def home(patient: Patient) -> Iterator[Finding]:
    if not patient.home.exists():
        yield Finding("note", "home", f"{patient.home} is not there yet", "nothing was captured")
    elif not patient.home.is_dir():
        yield Finding(
            "failed",
            "home",
            f"{patient.home} is no folder",
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
            "failed", "environment", f"{link} points to nothing", "hooks cannot start", _INSTALL
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
        yield Finding("note", "environment", f"run from {sys.prefix}, not installed", "", _INSTALL)


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
    try:
        text = settings.read(file)
        json.loads((text or "{}").removeprefix("\ufeff"))
    except (FleetError, ValueError) as error:
        yield Finding(
            "failed",
            "settings",
            f"{file} is not valid JSON: {error}" if isinstance(error, ValueError) else str(error),
            "Claude Code reads none of it, so no hook runs",
            "mend it at that place",
        )
        return
    yield Finding("ok", "settings", str(file) if text is not None else f"no {file}")
    for other in (
        file,
        *(Path.cwd() / ".claude" / n for n in ("settings.json", "settings.local.json")),
    ):
        with contextlib.suppress(FleetError, ValueError):
            value = json.loads((settings.read(other) or "{}").removeprefix("\ufeff"))
            if isinstance(value, dict) and value.get("disableAllHooks"):
                yield Finding(
                    "failed",
                    "settings",
                    f"disableAllHooks in {other}",
                    "nothing is captured",
                    "take that line out",
                )
    named = patient.settings.get("env")
    every = {**os.environ, **(named if isinstance(named, dict) else {})}
    if str(every.get("FLEET_HOOKS", "")).lower() == "off":
        yield Finding(
            "failed", "settings", "FLEET_HOOKS is off", "nothing is captured", "unset FLEET_HOOKS"
        )


def registration(patient: Patient) -> Iterator[Finding]:
    wanted = list(json.loads(settings.settings_example().read_text("utf-8"))["hooks"])
    there = Counter((hook.place, hook.event) for hook in patient.hooks())
    places = {place for place, _ in there} - {"commander"}
    missing = [event for event in wanted if not any(there[place, event] for place in places)]
    if missing:
        yield Finding(
            "failed",
            "registration",
            f"no hook for {', '.join(missing)}",
            "those moments are not captured",
            _INSTALL,
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
            _INSTALL,
        )
    for (place, event), count in there.items():
        if count > 1:
            yield Finding(
                "warning",
                "registration",
                f"{event} is registered {count} times by the {place}",
                "a turn is still one briefing, at twice the cost",
                _INSTALL,
            )
    if {"settings", "plugin"} <= places:
        yield Finding(
            "note",
            "registration",
            "by the settings and by a plugin",
            "a turn is still one briefing; one of the two is enough",
            "./install.sh --uninstall, or: claude plugin uninstall fleet",
        )
        homes = {_home_of(hook) or _default_home(patient) for hook in patient.hooks()}
        if len(homes) > 1:
            yield Finding(
                "failed",
                "registration",
                f"they keep their data in different folders: {', '.join(sorted(homes))}",
                "each has half of what happens",
                f"set FLEET_HOME in the env of {patient.settings_file}",
            )


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
                        _INSTALL,
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


def database(patient: Patient) -> Iterator[Finding]:
    path = Path(paths.database(str(patient.home)))
    if not path.exists():
        yield Finding("note", "database", "none yet", "nothing was captured so far")
        return
    try:
        connection = open_untouched(path)
    except (sqlite3.Error, OSError) as error:
        yield _unusable(path, error)
        return
    with contextlib.closing(connection):
        try:
            version = migrate.version_of(connection)
            known = migrate.latest_version()
            if version > known:
                yield Finding(
                    "failed",
                    "database",
                    f"schema {version}, this Fleet knows {known}",
                    "a later Fleet made it; what is captured waits in the spool",
                    "upgrade Fleet: git pull, then ./install.sh",
                )
                return
            if version < known:
                yield Finding(
                    "warning",
                    "database",
                    f"schema {version}, this Fleet's is {known}",
                    "the Commander is told nothing until it is migrated",
                    "fleet db migrate",
                )
                return
            wrong = verify.problems(connection, thorough=False)
            rows = connection.execute("SELECT count(*) FROM briefings").fetchone()[0]
        except sqlite3.Error as error:
            yield _unusable(path, error)
            return
    for line in wrong:
        yield Finding(
            "failed",
            "database",
            clean(line, 200),
            "keep the file; what is captured waits in the spool while it cannot be written",
            f"fleet db backup; then restore one of {paths.backups(str(patient.home))}",
        )
    if not wrong:
        size = path.stat().st_size / 1e6
        yield Finding("ok", "database", f"schema {version}, {rows} briefings, {size:.1f} MB, sound")
    wal = Path(f"{path}-wal")
    if wal.exists() and wal.stat().st_size > WAL_BYTES:
        yield Finding(
            "warning",
            "database",
            f"its write-ahead log has {wal.stat().st_size / 1e6:.0f} MB",
            "some program has held the file open for reading for long",
            "end that program; the next drain folds the log in",
        )


def _unusable(path: Path, error: Exception) -> Finding:
    return Finding(
        "failed",
        "database",
        clean(f"{path}: {error}", 300),
        "what is captured waits in the spool",
        f"move it aside and restore one of {path.parent / 'backups'}",
    )


def modes(patient: Patient) -> Iterator[Finding]:
    if not patient.home.is_dir():
        return
    names = [
        "",
        "fleet.db",
        "fleet.db-wal",
        "fleet.db-shm",
        "spool",
        "spool/new",
        "spool/bad",
        "log",
    ]
    lax = []
    for path in [
        patient.home / name for name in [*names, "log/fleet.log", "backups", "config.toml"]
    ]:
        with contextlib.suppress(OSError):
            if path.stat().st_mode & 0o077:
                lax.append(path)
    if not lax:
        yield Finding("ok", "modes", "readable by you alone")
    for path in lax:
        yield Finding(
            "warning",
            "modes",
            f"{path} is open to others ({path.stat().st_mode & 0o777:o})",
            "it holds what you and the model said",
            f"chmod {'700' if path.is_dir() else '600'} '{path}'",
        )


def disk(patient: Patient) -> Iterator[Finding]:
    place = next(path for path in (patient.home, *patient.home.parents) if path.is_dir())
    usage = shutil.disk_usage(place)
    said = f"{usage.free / 1e9:.1f} GB free"
    if usage.free < FREE_BYTES:
        yield Finding(
            "warning",
            "disk",
            said,
            "when it is full, turns are lost, and the session is told so",
            "make room; fleet db prune --dry-run shows what history takes",
        )
    else:
        yield Finding("ok", "disk", said)


def backlog(patient: Patient) -> Iterator[Finding]:
    names = spool.pending(str(patient.home))
    if not names:
        yield Finding("ok", "spool", "empty")
        return
    received = names[0].split(".")[0]
    age = time.time() - int(received) / 1e9 if received.isdecimal() else 0.0
    said = f"{len(names)} wait, the oldest for {_span(age)}"
    if age > BACKLOG_SECONDS:
        yield Finding(
            "warning", "spool", said, "the drainer cannot apply them: see log below", "fleet drain"
        )
    else:
        yield Finding("ok", "spool", said)


def quarantine(patient: Patient) -> Iterator[Finding]:
    folder = Path(paths.spool(str(patient.home), "bad"))
    if not folder.is_dir():
        return
    bad = sorted(path for path in folder.iterdir() if path.suffix != ".reason")
    if not bad:
        yield Finding("ok", "quarantine", "empty")
        return
    reason = ""
    with contextlib.suppress(OSError):
        reason = Path(f"{bad[-1]}.reason").read_text("utf-8", "replace")
    yield Finding(
        "warning",
        "quarantine",
        f"{len(bad)} entries; the newest: {clean(reason, 160)}",
        "they could not be applied, and are kept for 30 days",
        f"fleet replay '{bad[-1]}'",
    )


def log(patient: Patient) -> Iterator[Finding]:
    since = clock.iso(time.time_ns() - 86400 * 1_000_000_000)[:19]
    lines = []
    for name in (paths.log_file(str(patient.home)) + ".1", paths.log_file(str(patient.home))):
        with contextlib.suppress(OSError):
            lines += Path(name).read_text("utf-8", "replace").splitlines()
    recent = [line for line in lines if line[:19] >= since and line[4:5] == "-"]
    if not recent:
        yield Finding("ok", "log", "nothing in the last day")
        return
    yield Finding(
        "warning",
        "log",
        f"{len(recent)} lines in the last day; the newest: {clean(recent[-1], 200)}",
        "each is something that went wrong",
        f"tail '{paths.log_file(str(patient.home))}'",
    )


def capture(patient: Patient) -> Iterator[Finding]:
    last = 0.0
    path = Path(paths.database(str(patient.home)))
    if path.exists():
        with contextlib.suppress(sqlite3.Error, ValueError, TypeError):
            with contextlib.closing(open_untouched(path)) as connection:
                moment = connection.execute("SELECT max(last_seen_at) FROM sessions").fetchone()[0]
                own = connection.execute(
                    "SELECT max(updated_at) FROM commander_sessions"
                ).fetchone()[0]
            last = max(clock.parse(text).timestamp() for text in (moment, own) if text)
    for name in spool.pending(str(patient.home))[-1:]:
        if name.split(".")[0].isdecimal():
            last = max(last, int(name.split(".")[0]) / 1e9)
    newest = 0.0
    for transcript in (patient.claude / "projects").glob("*/*.jsonl"):
        with contextlib.suppress(OSError):
            newest = max(newest, transcript.stat().st_mtime)
    said = f"last {_span(time.time() - last)} ago" if last else "nothing yet"
    if newest > last + LATE_SECONDS:
        yield Finding(
            "warning",
            "capture",
            f"{said}, but a session wrote its transcript {_span(time.time() - newest)} ago",
            "a session that was started before Fleet was installed has no hooks",
            "start that session anew (claude --resume)",
        )
    else:
        yield Finding("ok" if last else "note", "capture", said)


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


def commander(patient: Patient) -> Iterator[Finding]:
    if not (patient.home / "CLAUDE.md").exists():
        yield Finding(
            "note",
            "commander",
            f"no CLAUDE.md in {patient.home}",
            "it has no instructions",
            _INSTALL,
        )
        return
    yield Finding("ok", "commander", "fleet commander opens it")


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


def _span(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


CHECKS: dict[str, Check] = {
    "home": home,
    "versions": versions,
    "environment": environment,
    "configuration": configuration,
    "settings": settings_file,
    "registration": registration,
    "hooks": hooks,
    "other hooks": other_hooks,
    "claude": claude,
    "database": database,
    "modes": modes,
    "disk": disk,
    "spool": backlog,
    "quarantine": quarantine,
    "log": log,
    "capture": capture,
    "commander": commander,
}
