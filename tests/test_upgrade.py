"""Databases of every released schema and of the original system, upgraded by this version; and
older programs, which refuse a newer database. `tests/databases` has one of each version."""

import contextlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT, Fleet, payload

from fleet_lib.store import db, migrate

DATABASES = Path(__file__).resolve().parent / "databases"
RELEASED = {"original": 0} | {f"v{number}": number for number in (2, 3, 9, 15, 19, 21, 22, 23)}
TABLES = ("projects", "briefings", "outbox_events", "jobs", "conversations")


def rows(path: Path, table: str) -> list[dict[str, object]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY rowid")]


@pytest.fixture(params=RELEASED)
def origin(request: pytest.FixtureRequest, fleet: Fleet) -> str:
    fleet.home.mkdir()
    shutil.copy(DATABASES / f"{request.param}.db", fleet.home / "fleet.db")
    return str(request.param)


def test_every_released_schema_has_a_sample_database() -> None:
    newest = DATABASES / f"v{migrate.latest_version()}.db"
    assert newest.exists(), "every migration needs a database of its schema in tests/databases"
    for name, version in RELEASED.items():
        with contextlib.closing(sqlite3.connect(DATABASES / f"{name}.db")) as connection:
            assert migrate.version_of(connection) == version


def test_migration_says_how_far_it_is(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "_INSTRUCTIONS", 50)
    fleet.home.mkdir()
    path = shutil.copy(DATABASES / "v19.db", fleet.home / "fleet.db")
    shown: list[tuple[int, int]] = []
    db.connect(path, progress=lambda done, total: shown.append((done, total))).close()
    assert shown == sorted(shown) and len({done for done, _ in shown}) > 5
    assert {total for _, total in shown} == {shown[-1][1]} and shown[-1][0] < shown[-1][1]
    assert shown[0][0] == 0, "the backup comes first"


def test_old_database_is_backed_up_and_migrated_without_losing_a_row(
    origin: str, fleet: Fleet
) -> None:
    database = fleet.home / "fleet.db"
    before = {table: rows(database, table) for table in TABLES}
    output = fleet.console("db", "migrate").stdout
    with contextlib.closing(sqlite3.connect(database)) as connection:
        assert migrate.version_of(connection) == migrate.latest_version()
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    backups = list((fleet.home / "backups").glob("*.db"))
    assert len(backups) == (RELEASED[origin] < migrate.latest_version()), output
    for table in TABLES:
        after = rows(database, table)
        assert [
            {name: row[name] for name in old} for old, row in zip(before[table], after, strict=True)
        ] == before[table]


def test_old_database_is_usable_at_once(origin: str, fleet: Fleet, tmp_path: Path) -> None:
    program = tmp_path / "claude"
    program.write_text(
        "#!/bin/sh\ncat > /dev/null\n"
        """echo '{"type":"result","is_error":false,"result":"ok"}'\n"""
    )
    program.chmod(0o755)
    folder = tmp_path / "worker"
    folder.mkdir()
    found = fleet.console(
        "briefings", "search", "work" if origin == "original" else "refunds"
    ).stdout
    assert "#" in found or "1" in found
    fleet.hook(
        "stop",
        payload("Stop")
        | {"session_id": "new", "prompt_id": "new", "last_assistant_message": "A new turn."},
        folder,
    )
    fleet.drain()
    assert "A new turn." in fleet.console("briefings", "list").stdout
    start = payload("SessionStart-startup") | {"session_id": "c-new", "cwd": str(fleet.home)}
    context = fleet.context(fleet.hook("session_start", start | {"source": "startup"}, fleet.home))
    assert "Projects:" in context and "A new turn." in context
    fleet.console("config", "set", "claude.program", str(program))
    fleet.rows("UPDATE projects SET repo_root = ?", str(folder))
    fleet.console_process("jobs", "run", "--once")
    assert fleet.rows("SELECT status FROM jobs") == [("completed",)]
    assert fleet.rows("SELECT count(*) FROM outbox_events WHERE type = 'job_completed'") == [(1,)]
    assert fleet.console("db", "check").returncode == 0


@pytest.fixture
def older_program(tmp_path: Path) -> Path:
    """This program before the newest migration: it knows one schema version less."""
    copy = tmp_path / "older"
    for name in ("hooks", "fleet_lib", "commander"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    newest = migrate.latest_version()
    for file in (copy / "fleet_lib" / "store" / "migrations").glob(f"{newest:04d}_*.sql"):
        file.unlink()
    text = (copy / "fleet_lib" / "prelude" / "database.py").read_text()
    text, count = re.subn(r"(?m)^SCHEMA_VERSION = \d+", f"SCHEMA_VERSION = {newest - 1}", text)
    assert count == 1
    (copy / "fleet_lib" / "prelude" / "database.py").write_text(text)
    return copy


def test_older_program_refuses_a_newer_database_and_loses_nothing(
    older_program: Path, fleet: Fleet
) -> None:
    fleet.home.mkdir()
    newest = migrate.latest_version()
    shutil.copy(DATABASES / f"v{newest}.db", fleet.home / "fleet.db")
    before = (fleet.home / "fleet.db").read_bytes()
    env = fleet.env(PYTHONPATH=str(older_program))

    def console(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "commander", *arguments],
            env=env,
            cwd=older_program,
            capture_output=True,
            text=True,
            check=False,
        )

    line = f"the database has schema version {newest}, this Fleet knows only {newest - 1}; upgrade Fleet"
    for command in (
        ("status",),
        ("briefings", "list"),
        ("jobs", "run", "--once"),
        ("db", "migrate"),
    ):
        done = console(*command)
        assert done.returncode == 1, command
        assert line in done.stderr and done.stderr.count("\n") <= 2
    stop = payload("Stop") | {"session_id": "s-9", "prompt_id": "p-9", "cwd": str(fleet.folder)}
    lock = fleet.hold_lock()
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(older_program / "hooks" / "stop.py")],
        input=json.dumps(stop).encode(),
        env=env | {"CLAUDE_PROJECT_DIR": str(fleet.folder)},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    fleet.wait_for_drainers()
    assert lock is not None
    os.close(lock)
    console("drain")
    assert len(fleet.waiting()) == 1, "the capture must wait for the newer program"
    assert (fleet.home / "fleet.db").read_bytes() == before
    fleet.drain()
    assert fleet.rows("SELECT 1 FROM briefings WHERE session_id = 's-9'") == [(1,)]
