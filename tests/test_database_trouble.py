"""Trouble with the database whose cause SQLite's own words do not name: each is said as it is,
nothing is lost, and where it is possible capture goes on."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ROOT, Fleet

from commander.doctor import data
from commander.doctor.findings import Installation
from fleet_lib import paths, spool
from fleet_lib.drain import drain, drainer
from fleet_lib.store import causes, db
from fleet_lib.store.conversations import cursors_past_the_end

LARGEST = 2**63 - 1


def put(fleet: Fleet, number: int) -> None:
    call = {"session_id": "s", "prompt_id": f"p{number}", "cwd": "/nowhere/repo"}
    call |= {"last_assistant_message": f"Turn {number} is done."}
    spool.put(str(fleet.home), "Stop", json.dumps(call).encode(), "s", cwd="/nowhere/repo")


def count_in(file: Path) -> int:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        return int(connection.execute("SELECT count(*) FROM briefings").fetchone()[0])


def checked(fleet: Fleet) -> list[str]:
    installation = Installation(fleet.home, fleet.home.parent / ".claude")
    return [f"{one.level}: {one.found} {one.fix}" for one in data.database(installation)]


# Another program that has the database open, and writes what is in the log only.
READER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA wal_autocheckpoint = 0")
connection.execute("CREATE TABLE IF NOT EXISTS theirs (value)")
for number in range(20):
    connection.execute("INSERT INTO theirs VALUES (?)", (str(number) * 2000,))
print("open", flush=True)
sys.stdin.read()
connection.close()
"""


@contextlib.contextmanager
def other_program(fleet: Fleet) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", READER, str(fleet.home / "fleet.db")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "open\n"
        yield process


def test_copy_of_the_one_file_has_all_turns_while_another_program_has_it_open(
    fleet: Fleet,
) -> None:
    put(fleet, 0)
    fleet.drain_process()
    with other_program(fleet) as process:
        for number in range(1, 60):
            put(fleet, number)
        fleet.drain_process()
        shutil.copy(fleet.home / "fleet.db", fleet.folder / "copy.db")
        assert (fleet.home / "fleet.db-wal").exists()
        process.communicate("")
    assert count_in(fleet.folder / "copy.db") == 60


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says who holds a deleted file")
def test_deleted_log_that_a_program_still_uses_is_named_with_who_uses_it(fleet: Fleet) -> None:
    put(fleet, 0)
    fleet.drain_process()
    with other_program(fleet) as process:
        (fleet.home / "fleet.db-wal").unlink()
        put(fleet, 1)
        assert run_drainer(fleet) == run_drainer(fleet) == drain.UNUSABLE
        assert fleet.log().count(f"was deleted while process {process.pid} used it") == 1
        (finding,) = checked(fleet)
        assert finding.startswith("failed") and f"kill {process.pid}; then: fleet drain" in finding
        assert "restore" not in finding
        done = fleet.console_process("drain", check=False)
        assert done.returncode == 1 and f"kill {process.pid}" in done.stderr
        process.communicate("")
    fleet.drain_process()
    assert count_in(fleet.home / "fleet.db") == 2
    assert fleet.rows("SELECT count(*) FROM theirs") == [(20,)]


def run_drainer(fleet: Fleet) -> int:
    command = [sys.executable, "-I", drain.__file__, str(fleet.home), "--once"]
    return subprocess.run(command, env=fleet.env(), check=False).returncode


def test_event_with_the_largest_number_stops_no_capture(fleet: Fleet) -> None:
    put(fleet, 0)
    fleet.drain_process()
    fleet.rows(
        "INSERT INTO outbox_events (event_id, ts, type, payload_json) VALUES (?, 't', 'x', '{}')",
        LARGEST,
    )
    fleet.rows("UPDATE conversations SET last_outbox_event_id_seen = ?", LARGEST)
    put(fleet, 1)
    fleet.drain_process()
    rows = fleet.rows("SELECT event_id, type FROM outbox_events ORDER BY event_id")
    assert rows == [(1, "briefing_added"), (2, "x"), (3, "briefing_added")]
    assert "1 events of another program had numbers" in fleet.log()
    with contextlib.closing(sqlite3.connect(fleet.home / "fleet.db")) as connection:
        assert cursors_past_the_end(connection)[0] == 0


def test_event_with_the_largest_number_that_was_deleted_stops_no_capture(fleet: Fleet) -> None:
    put(fleet, 0)
    fleet.drain_process()
    fleet.rows("UPDATE sqlite_sequence SET seq = ? WHERE name = 'outbox_events'", LARGEST)
    put(fleet, 1)
    fleet.drain_process()
    assert fleet.rows("SELECT max(event_id) FROM outbox_events") == [(2,)]


def test_table_that_has_no_number_left_is_named(fleet: Fleet) -> None:
    put(fleet, 0)
    fleet.drain_process()
    fleet.rows("UPDATE sqlite_sequence SET seq = ? WHERE name = 'briefings'", LARGEST)
    put(fleet, 1)
    assert run_drainer(fleet) == drain.UNUSABLE
    assert "gave a row of briefings the largest number" in fleet.log()
    assert len(fleet.waiting()) == 1


def test_database_that_is_a_dangling_link_is_named_and_the_entries_wait(fleet: Fleet) -> None:
    put(fleet, 0)
    fleet.drain_process()
    (fleet.home / "fleet.db").rename(fleet.folder / "elsewhere.db")
    (fleet.home / "fleet.db").symlink_to(fleet.folder / "gone.db")
    put(fleet, 1)
    assert run_drainer(fleet) == drain.UNUSABLE
    for command in ("drain", "status", "usage"):
        done = fleet.console_process(command, check=False)
        assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
        assert "is a link to" in done.stderr and "which does not exist" in done.stderr
    (finding,) = checked(fleet)
    assert finding.startswith("failed") and "which does not exist" in finding
    assert not (fleet.folder / "gone.db").exists()
    (fleet.folder / "elsewhere.db").rename(fleet.folder / "gone.db")
    fleet.drain_process()
    assert count_in(fleet.home / "fleet.db") == 2


def test_file_system_without_locks_is_not_waited_for(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(fleet, 0)
    fleet.drain_process()
    put(fleet, 1)
    monkeypatch.setattr(causes, "no_locks", lambda _: "No locks available")
    monkeypatch.setitem(db.connect.__kwdefaults__, "busy_timeout", 0.2)
    # SQLite says of such a file system what it says of a lock that is held.
    with contextlib.closing(
        sqlite3.connect(fleet.home / "fleet.db", isolation_level=None)
    ) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(2):
            assert not drainer.drain(str(fleet.home))
    assert fleet.log().count("has no working locks (No locks available)") == 1
    assert "database is locked" not in fleet.log()
    assert len(fleet.waiting()) == 1


def test_home_of_mode_0000_is_repaired_by_its_owners_next_hook(fleet: Fleet) -> None:
    """As made under umask 0777. Root may enter such a folder, so the hook runs without that right."""
    fleet.hook("stop", {"session_id": "s", "prompt_id": "p0", "cwd": "/nowhere/repo"})
    folders = [paths.spool(str(fleet.home), name) for name in ("tmp", "new", "bad")]
    for folder in [*folders, str(fleet.home / "spool"), str(fleet.home)]:
        os.chmod(folder, 0)
    try:
        prefix = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
        hook = [sys.executable, "-I", "-S", str(ROOT / "hooks" / "stop.py")]
        done = subprocess.run(
            [*(prefix if os.geteuid() == 0 else []), *hook],
            input=b'{"session_id": "s", "prompt_id": "p1", "cwd": "/nowhere/repo"}\n',
            env=fleet.env(),
            capture_output=True,
            check=False,
        )
    finally:
        left = [oct(Path(folder).stat().st_mode & 0o777) for folder in [str(fleet.home), *folders]]
        for folder in [str(fleet.home), str(fleet.home / "spool"), *folders]:
            os.chmod(folder, 0o700)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert left == ["0o700"] * 4
    fleet.wait_for_drainers()
    fleet.drain_process()
    assert {row[0] for row in fleet.rows("SELECT task_id FROM briefings")} == {"p0", "p1"}


def test_killed_holder_of_a_deleted_log_leaves_a_good_database(fleet: Fleet) -> None:
    put(fleet, 0)
    fleet.drain_process()
    with other_program(fleet) as process:
        (fleet.home / "fleet.db-wal").unlink()
        put(fleet, 1)
        process.send_signal(signal.SIGKILL)
    fleet.drain_process()
    assert count_in(fleet.home / "fleet.db") == 2
