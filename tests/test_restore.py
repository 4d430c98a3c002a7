"""`fleet db restore`: a backup in the database's place, and nothing lost on the way."""

import contextlib
import json
import os
import sqlite3
import stat
from pathlib import Path

import pytest
from support import Fleet

from fleet_lib.store import restore


def finish_turn(fleet: Fleet, number: int) -> None:
    fleet.hook("stop", {"session_id": f"s{number}", "prompt_id": "p", "cwd": "/nowhere/shop"})
    fleet.drain()


def sessions(fleet: Fleet) -> list[str]:
    return [row[0] for row in fleet.rows("SELECT session_id FROM briefings ORDER BY briefing_id")]


def execute(path: Path, sql: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(sql)


@pytest.fixture
def backup(fleet: Fleet) -> Path:
    """A backup with one turn, of a database that has two by now."""
    finish_turn(fleet, 1)
    file = Path(json.loads(fleet.console("db", "backup", "--json").stdout)["path"])
    finish_turn(fleet, 2)
    return file


def test_the_backup_is_put_in_place_and_the_database_before_is_kept(
    fleet: Fleet, backup: Path
) -> None:
    before = backup.read_bytes()

    report = json.loads(fleet.console("db", "restore", str(backup), "--json").stdout)

    assert sessions(fleet) == ["s1"]
    assert backup.read_bytes() == before
    replaced = Path(report["replaced"])
    assert replaced.parent == fleet.home / "backups"
    with contextlib.closing(sqlite3.connect(replaced)) as connection:
        assert connection.execute("SELECT count(*) FROM briefings").fetchone() == (2,)
    assert (report["path"], report["from"]) == (str(fleet.home / "fleet.db"), str(backup))
    (last,) = fleet.rows("SELECT max(event_id) FROM outbox_events")
    assert (report["last_event"], report["clamped"]) == (last[0], False)
    for path in (fleet.home / "fleet.db", replaced):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not [name for name in os.listdir(fleet.home) if "restoring" in name]


def test_what_waits_in_the_spool_is_applied_to_the_restored_database(
    fleet: Fleet, backup: Path
) -> None:
    fleet.hook("stop", {"session_id": "s3", "prompt_id": "p", "cwd": "/nowhere/shop"})
    said = fleet.console("db", "restore", str(backup)).stdout
    assert "The database before is kept in" in said and "cursors" not in said

    fleet.drain()

    assert sessions(fleet) == ["s1", "s3"]


def test_cursors_past_the_newest_event_are_clamped(fleet: Fleet, backup: Path) -> None:
    fleet.hook("session_start", {"session_id": "c", "source": "startup"}, fleet.home)
    fleet.drain()
    execute(fleet.home / "fleet.db", "UPDATE conversations SET last_outbox_event_id_seen = 99")
    file = json.loads(fleet.console("db", "backup", "--json").stdout)["path"]

    assert "were set to it" in fleet.console("db", "restore", file).stdout

    ((seen,),) = fleet.rows("SELECT last_outbox_event_id_seen FROM conversations")
    assert fleet.rows("SELECT max(event_id) FROM outbox_events") == [(seen,)]


def test_a_damaged_database_is_replaced_and_kept_with_its_log(fleet: Fleet, backup: Path) -> None:
    database = fleet.home / "fleet.db"
    for name in ("", "-wal", "-shm"):
        Path(f"{database}{name}").write_bytes(f"damaged{name}".encode())

    replaced = json.loads(fleet.console("db", "restore", str(backup), "--json").stdout)["replaced"]

    assert sessions(fleet) == ["s1"]
    assert Path(replaced).read_bytes() == b"damaged"
    assert Path(f"{replaced}-wal").read_bytes() == b"damaged-wal"


def test_a_restore_without_a_database_makes_one(fleet: Fleet, backup: Path) -> None:
    for name in ("", "-wal", "-shm"):
        (fleet.home / f"fleet.db{name}").unlink(missing_ok=True)

    report = json.loads(fleet.console("db", "restore", str(backup), "--json").stdout)

    assert report["replaced"] is None
    assert sessions(fleet) == ["s1"]


@pytest.mark.parametrize("kind", ["text", "damaged", "newer", "itself", "missing"])
def test_a_file_that_cannot_be_used_leaves_the_database_as_it_was(
    fleet: Fleet, backup: Path, kind: str
) -> None:
    if kind == "text":
        backup.write_text("no database")
    elif kind == "damaged":
        with backup.open("r+b") as file:
            file.seek(8192)
            file.write(b"\xff" * 65536)
    elif kind == "newer":
        execute(backup, "PRAGMA user_version = 99")
    elif kind == "itself":
        backup = fleet.home / "fleet.db"
    else:
        backup.unlink()
    done = fleet.console("db", "restore", str(backup), check=False)

    assert done.returncode == (2 if kind == "missing" else 1)
    assert kind == "missing" or len(done.stderr.splitlines()) == 1
    assert sessions(fleet) == ["s1", "s2"]
    assert not [name for name in os.listdir(fleet.home) if "restoring" in name]


def test_it_waits_for_a_running_drainer(
    fleet: Fleet, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore, "LOCK_SECONDS", 0.2)
    lock = fleet.hold_lock()
    assert lock is not None
    try:
        done = fleet.console("db", "restore", str(backup), check=False)
    finally:
        os.close(lock)

    assert done.returncode == 1 and "a drainer is running" in done.stderr
    assert sessions(fleet) == ["s1", "s2"]
