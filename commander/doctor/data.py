"""The checks of what is kept: the database, the spool, the log, and whether capture flows."""

import contextlib
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from commander.doctor.findings import INSTALL, Finding, Patient, open_untouched
from fleet_lib import clock, paths, spool
from fleet_lib.drain import quarantine as bad
from fleet_lib.store import job_runs, migrate, verify
from fleet_lib.text import clean

BACKLOG_SECONDS = 120
LATE_SECONDS = 600
WAL_BYTES = 256 * 1024 * 1024
FREE_BYTES = 500 * 1024 * 1024
# The home ("") and what is private in it.
_PRIVATE = (
    *("", "fleet.db", "fleet.db-wal", "fleet.db-shm", "backups", "backups/*.db", "config.toml"),
    *("spool", "spool/new", "spool/bad", "spool/tmp", "log", "log/fleet.log*"),
    *("gateway.token", "settings-record.json"),
)


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
        yield Finding(
            "ok", "database", f"schema {version}, {rows} briefings, {size:.1f} MB, integrity ok"
        )
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
    lax = []
    for pattern in _PRIVATE:
        for path in sorted(patient.home.glob(pattern)) if pattern else [patient.home]:
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
            "make room; fleet db prune --dry-run shows how much space history uses",
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
    home = str(patient.home)
    folder = bad.folder(home)
    if not folder.is_dir():
        return
    names = bad.names(home)
    if not names:
        yield Finding("ok", "quarantine", "empty")
        return
    yield Finding(
        "warning",
        "quarantine",
        f"{len(names)} entries; the newest: {clean(bad.reason_of(home, names[-1]), 160)}",
        f"they could not be applied, and are kept for {bad.MAX_DAYS} days",
        f"fleet replay '{folder}'/*; what it refuses cannot be applied: report it, or delete it with its"
        " .reason",
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
        "each line is a problem that occurred",
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
            "restart that session (claude --resume)",
        )
    else:
        yield Finding("ok" if last else "note", "capture", said)


def jobs(patient: Patient) -> Iterator[Finding]:
    path = Path(paths.database(str(patient.home)))
    if not path.exists():
        return
    try:
        with contextlib.closing(open_untouched(path)) as connection:
            connection.row_factory = sqlite3.Row
            if migrate.version_of(connection) != migrate.latest_version():
                return  # the database check says that
            runs = job_runs.JobRunRepo(connection)
            at_work = runs.active()
            lost = [run for run in at_work if job_runs.is_lost(run)]
            queued = connection.execute(
                "SELECT count(*), min(ts_created) FROM jobs WHERE status = 'queued'"
            ).fetchone()
            spent = runs.spent_since(job_runs.start_of_day())
    except sqlite3.Error as error:
        yield Finding("note", "jobs", clean(f"unknown: {error}", 200), "see database, above")
        return
    mend = "fleet jobs run --once"
    if lost:
        numbers = ", ".join(str(run.job_id) for run in lost[:5])
        yield Finding(
            "warning",
            "jobs",
            f"the runner of job {numbers} died",
            "the next runner settles it: queued again if it had not begun, else failed",
            mend,
        )
    elif (
        queued[0]
        and not at_work
        and clock.parse(queued[1]).timestamp() < time.time() - LATE_SECONDS
    ):
        yield Finding(
            "warning",
            "jobs",
            f"{queued[0]} queued, and nobody runs them",
            "no runner is at work",
            mend,
        )
    else:
        yield Finding(
            "ok", "jobs", f"{len(at_work)} at work, {queued[0]} queued, ${spent:.2f} today"
        )


def commander(patient: Patient) -> Iterator[Finding]:
    if not (patient.home / "CLAUDE.md").exists():
        yield Finding(
            "note",
            "commander",
            f"no CLAUDE.md in {patient.home}",
            "it has no instructions",
            INSTALL,
        )
        return
    yield Finding("ok", "commander", "fleet commander opens it")


def _span(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
