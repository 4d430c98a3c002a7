"""The checks of Fleet's folder and what lies in it: the database, the spool, the log, jobs."""

import contextlib
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from commander.doctor.findings import INSTALL, Finding, Installation, open_untouched, span
from fleet_lib import clock, paths, spool
from fleet_lib.drain import put_off
from fleet_lib.drain import quarantine as bad
from fleet_lib.drain.foreground import lock_trouble
from fleet_lib.store import causes, indexes, job_runs, migrate, search_index, verify
from fleet_lib.store.conversations import cursors_past_the_end
from fleet_lib.store.job_hold import JobHoldRepo
from fleet_lib.text import clean

BACKLOG_SECONDS = 120
LATE_SECONDS = 600  # how long a job may wait for a runner
WAL_BYTES = 256 * 1024 * 1024
FREE_BYTES = 500 * 1024 * 1024
# The home ("") and what is private in it.
_PRIVATE = (
    *("", "fleet.db", "fleet.db-wal", "fleet.db-shm", "backups", "backups/*.db", "config.toml"),
    "cache",
    *("spool", "spool/new", "spool/bad", "spool/tmp", "log", "log/fleet.log*"),
    *("gateway.token", "gateway.name", "notify.json", "settings-record.json", "history.json"),
    *("relay", "relay/seed"),
)
_CAPTURES_WAIT = "New captures wait safely in the spool."


def home(installation: Installation) -> Iterator[Finding]:
    folder = installation.home
    if not folder.exists():
        yield Finding(
            "note", "home", f"{folder} does not exist yet.", "Nothing has been captured so far."
        )
    elif not folder.is_dir():
        yield Finding(
            "failed",
            "home",
            f"{folder} is not a folder.",
            "Fleet cannot store anything there.",
            "set FLEET_HOME to a folder",
        )
    elif not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield Finding(
            "failed",
            "home",
            f"You have no permission to read and write {folder}.",
            "Hooks cannot store anything there.",
            f"make yourself its owner (chown), then run: chmod 700 '{folder}'",
        )
    elif reason := causes.no_locks(str(folder)):
        yield Finding(
            "failed",
            "home",
            f"The file system of {folder} has no working locks: {reason}.",
            "Turns are kept in the spool, but the database cannot be written safely.",
            "move the folder to a local disk and install with --fleet-home",
        )
    else:
        yield Finding("ok", "home", str(folder))


def database(installation: Installation) -> Iterator[Finding]:
    home = str(installation.home)
    path = Path(paths.database(home))
    if obstacle := _obstacle(home, path):
        yield obstacle
        return
    try:
        with contextlib.closing(open_untouched(path)) as connection:
            version = migrate.version_of(connection)
            if version != migrate.latest_version():
                yield _other_schema(version)
                return
            is_whole = path.stat().st_size <= verify.WHOLE_BYTES
            if is_whole:
                problems = verify.problems(connection, is_quick=True)
            else:
                problems = verify.problems_at_the_ends(connection)
            lacks = indexes.problems(connection)
            rows = connection.execute("SELECT count(*) FROM briefings").fetchone()[0]
            past, newest = cursors_past_the_end(connection)
    except (sqlite3.Error, OSError) as error:
        yield Finding(
            "failed",
            "database",
            clean(f"{path} cannot be used: {error}", 300),
            _CAPTURES_WAIT,
            f"fleet db restore FILE, with a backup from {path.parent / 'backups'}",
        )
        return
    damaged = (
        "Keep the file. New captures wait in the spool while it cannot be written.",
        f"fleet db restore FILE, with a backup from {paths.backups(str(installation.home))}",
    )
    incomplete = ("Lists that are read along it fail. Nothing is lost.", "fleet db check --fix")
    for problem in problems:
        yield Finding("failed", "database", clean(problem, 200), *damaged)
    for problem in lacks:
        yield Finding("failed", "database", clean(problem, 200), *incomplete)
    if past:
        yield Finding(
            "warning",
            "database",
            f"{_number(past, 'cursor is', 'cursors are')} past the newest event, e{newest}.",
            "An older database was put back. The Commander is shown what comes after that event.",
            "end a turn in any session: the drainer then sets them to that event",
        )
    if not problems and not lacks:
        size = path.stat().st_size / 1e6
        yield Finding(
            "ok",
            "database",
            f"Schema version {version}, {_number(rows, 'briefing', 'briefings')}, {size:.1f} MB."
            + (
                " The integrity check found no problem."
                if is_whole
                else " Its newest and oldest rows can be read; `fleet db check` looks at all of it."
            ),
        )
    yield from _search_index(path)
    yield from _write_ahead_log(Path(f"{path}-wal"))


def _obstacle(home: str, path: Path) -> Finding | None:
    """Why there is no database to look at, or what its own words would be wrong about."""
    if path.is_symlink() and not path.exists():
        return Finding(
            "failed",
            "database",
            f"{path} is a link to {path.readlink()}, which does not exist.",
            _CAPTURES_WAIT,
            "mount or restore what the link names, or remove the link to begin anew",
        )
    if not path.exists():
        return Finding(
            "note", "database", "There is no database yet.", "Nothing has been captured so far."
        )
    if pids := causes.holders_of_deleted_log(home):
        words = causes.deleted_log_words(home, pids)
        fix = f"kill {' '.join(map(str, pids))}; then: fleet drain"
        return Finding("failed", "database", f"{words}.", _CAPTURES_WAIT, fix)
    return None


def _search_index(path: Path) -> Iterator[Finding]:
    """Only how far it is: comparing it with the briefings takes long, and is `fleet db check`'s."""
    try:
        with contextlib.closing(open_untouched(path)) as connection:
            if search_index.is_whole(connection):
                progress = search_index.progress_of(connection)
                if progress.waiting:
                    yield Finding(
                        "note",
                        "database",
                        f"The search index has {progress.total - progress.waiting:,} of"
                        f" {_number(progress.total, 'briefing', 'briefings')} so far.",
                        "Each turn that ends adds more.",
                        "fleet drain, to add all now",
                    )
                return
            problem = "A table or trigger of it is missing."
    except sqlite3.Error as error:
        problem = clean(str(error), 200)
    yield Finding(
        "warning",
        "database",
        f"The search index is damaged: {problem}",
        "Searching fails, or finds too little. Nothing else depends on the index.",
        "fleet db check --fix",
    )


def _other_schema(version: int) -> Finding:
    known = migrate.latest_version()
    if version > known:
        return Finding(
            "failed",
            "database",
            f"The database has schema version {version}, but this Fleet knows only {known}.",
            f"A later Fleet made it. {_CAPTURES_WAIT}",
            "upgrade Fleet: git pull, then ./install.sh",
        )
    return Finding(
        "warning",
        "database",
        f"The database has schema version {version}, but this Fleet needs {known}.",
        "The Commander is shown nothing until it is migrated.",
        "fleet db migrate",
    )


def _write_ahead_log(path: Path) -> Iterator[Finding]:
    if path.exists() and path.stat().st_size > WAL_BYTES:
        yield Finding(
            "warning",
            "database",
            f"The write-ahead log of the database has {path.stat().st_size / 1e6:.0f} MB.",
            "A program has kept the database open for reading for a long time.",
            "end that program; the next drain then empties the log",
        )


def modes(installation: Installation) -> Iterator[Finding]:
    if not installation.home.is_dir():
        return
    lax = []
    for pattern in _PRIVATE:
        for path in sorted(installation.home.glob(pattern)) if pattern else [installation.home]:
            with contextlib.suppress(OSError):
                if path.stat().st_mode & 0o077:
                    lax.append(path)
    if not lax:
        yield Finding("ok", "modes", "Only you can read Fleet's files.")
    for path in lax:
        yield Finding(
            "warning",
            "modes",
            f"Other users can access {path} (mode {path.stat().st_mode & 0o777:o}).",
            "It holds what you and the model wrote.",
            f"chmod {'700' if path.is_dir() else '600'} '{path}'",
        )


def disk(installation: Installation) -> Iterator[Finding]:
    folder = next(path for path in (installation.home, *installation.home.parents) if path.is_dir())
    free = shutil.disk_usage(folder).free
    if free < FREE_BYTES:
        yield Finding(
            "warning",
            "disk",
            f"Only {free / 1e9:.1f} GB are free.",
            "When the disk is full, turns are lost, and a message in the session says so.",
            "free some space; fleet db prune --dry-run shows how much the history uses",
        )
    else:
        yield Finding("ok", "disk", f"{free / 1e9:.1f} GB are free.")


def backlog(installation: Installation) -> Iterator[Finding]:
    home = str(installation.home)
    if trouble := lock_trouble(home):
        yield Finding(
            "failed",
            "spool",
            f"{trouble[0].upper()}{trouble[1:]}.",
            "It holds the drainer's lock, so nothing that is captured is applied.",
        )
    now = time.time()
    for place in put_off.read(home):
        if place.entries:
            yield Finding(
                "warning",
                "spool",
                f"{_number(len(place.entries), 'entry waits', 'entries wait')} for"
                f" {clean(put_off.in_words(place, now), 300)}.",
                "All other entries are applied. These are tried again, and nothing is lost.",
                "mount that folder again, or unmount it; then: fleet drain",
            )
    names = spool.pending(home)
    if not names:
        yield Finding("ok", "spool", "The spool is empty.")
        return
    received = spool.name_parts(names[0])[0]
    age = time.time() - int(received) / 1e9 if received else 0.0
    found = f"{_number(len(names), 'entry is', 'entries are')} waiting, the oldest for {span(age)}."
    later = put_off.names(home)
    if names and later.issuperset(names):
        yield Finding("note", "spool", found, "All of them are put off; see above.")
        return
    if age > BACKLOG_SECONDS:
        yield Finding(
            "warning",
            "spool",
            found,
            "The drainer cannot apply them. The log check below may say why.",
            "fleet drain",
        )
    else:
        yield Finding("ok", "spool", found)


def quarantine(installation: Installation) -> Iterator[Finding]:
    home = str(installation.home)
    folder = bad.folder(home)
    if not folder.is_dir():
        return
    names = bad.names(home)
    if not names:
        yield Finding("ok", "quarantine", "The quarantine is empty.")
        return
    yield Finding(
        "warning",
        "quarantine",
        f"{_number(len(names), 'entry is', 'entries are')} in quarantine."
        f" The newest: {clean(bad.reason_of(home, names[-1]), 160) or 'no reason was recorded'}",
        f"They could not be applied. They are deleted after {bad.MAX_DAYS} days.",
        f"fleet replay '{folder}'/*; if one fails again, report it, or delete it and its .reason",
    )


def log(installation: Installation) -> Iterator[Finding]:
    since = clock.ago(86400)[:19]
    log_file = paths.log_file(str(installation.home))
    lines = []
    for name in (f"{log_file}.1", log_file):
        with contextlib.suppress(OSError):
            lines += Path(name).read_text("utf-8", "replace").splitlines()
    recent = [line for line in lines if line[:19] >= since and line[4:5] == "-"]
    if not recent:
        yield Finding("ok", "log", "No problem was logged in the last 24 hours.")
        return
    yield Finding(
        "warning",
        "log",
        f"{_number(len(recent), 'line was', 'lines were')} logged in the last 24 hours."
        f" The newest: {clean(recent[-1], 200)}",
        "Each line is a problem that occurred.",
        f"tail '{log_file}'",
    )


def jobs(installation: Installation) -> Iterator[Finding]:
    path = Path(paths.database(str(installation.home)))
    if not path.exists():
        return
    try:
        with contextlib.closing(open_untouched(path)) as connection:
            connection.row_factory = sqlite3.Row
            if migrate.version_of(connection) != migrate.latest_version():
                return  # the database check reports that
            runs = job_runs.JobRunRepo(connection)
            running = runs.active()
            lost = [run for run in running if job_runs.is_lost(run)]
            queued, oldest = connection.execute(
                "SELECT count(*), min(ts_created) FROM jobs WHERE status = 'queued'"
            ).fetchone()
            spent = runs.spent_since(job_runs.start_of_day())
            hold = JobHoldRepo(connection).of_waiting_jobs()
    except sqlite3.Error as error:
        yield Finding(
            "note",
            "jobs",
            clean(f"The jobs cannot be read: {error}", 200),
            "The database check above says what to do.",
        )
        return
    if lost:
        numbers = ", ".join(str(run.job_id) for run in lost[:5])
        yield Finding(
            "warning",
            "jobs",
            f"The runner of job {numbers} died.",
            "The next runner queues a job again if it had not started, and fails it if it had.",
            "fleet jobs run --once",
        )
    elif hold:
        yield Finding(
            "warning",
            "jobs",
            str(hold),
            "One of them is then tried again by itself. To try at once:",
            "fleet jobs run --once",
        )
    elif queued and not running and clock.seconds_since(oldest) > LATE_SECONDS:
        yield Finding(
            "warning",
            "jobs",
            f"{_number(queued, 'job is', 'jobs are')} queued but no runner is running.",
            "They wait until a runner is started.",
            "fleet jobs run --once",
        )
    else:
        yield Finding(
            "ok", "jobs", f"{len(running)} running, {queued} queued, ${spent:.2f} spent today."
        )


def commander(installation: Installation) -> Iterator[Finding]:
    if (installation.home / "CLAUDE.md").exists():
        yield Finding("ok", "commander", "`fleet commander` opens it.")
        return
    yield Finding(
        "note",
        "commander",
        f"There is no CLAUDE.md in {installation.home}.",
        "The Commander has no instructions.",
        INSTALL,
    )


def _number(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
