"""The drainer: nothing lost, nothing twice, one at a time, whatever happens to it or to the database."""

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import ROOT, Fleet

from fleet_lib import paths, spool
from fleet_lib.drain import drain, drainer, quarantine
from fleet_lib.drain import foreground as draining
from fleet_lib.errors import DatabaseUnusable


def stop(number: int, **more: Any) -> dict[str, Any]:
    call = {"session_id": f"s{number % 7}", "prompt_id": f"p{number}", "cwd": "/nowhere/repo"}
    return {**call, "last_assistant_message": f"Turn {number} is done.", **more}


def put(fleet: Fleet, number: int, **more: Any) -> str:
    call = stop(number, **more)
    data = json.dumps(call).encode()
    return spool.put(str(fleet.home), "Stop", data, call["session_id"], cwd=call["cwd"])


def start_drainer(fleet: Fleet) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-I", drain.__file__, str(fleet.home)],
        env=fleet.env(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def start_changed_drainer(fleet: Fleet, change: str, *arguments: object) -> "subprocess.Popen[str]":
    """A drainer that runs `change` first, with `arguments` from sys.argv[2] on, and is talked to through
    its stdin and stdout."""
    script = f"""
import importlib, os, runpy, sys, time
sys.path.insert(0, {str(ROOT)!r})
ended = lambda: None
{change}
try:
    runpy.run_path({drain.__file__!r}, run_name="__main__")
finally:
    sys.setprofile(None)
    ended()
"""
    return subprocess.Popen(
        [sys.executable, "-c", script, str(fleet.home), *map(str, arguments)],
        env=fleet.env(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def wait_for_a_drainer(fleet: Fleet) -> None:
    deadline = time.monotonic() + 30
    while not fleet.is_being_drained():
        assert time.monotonic() < deadline, "no drainer takes the lock"
        time.sleep(0.01)


@contextlib.contextmanager
def held(fleet: Fleet) -> Iterator[None]:
    """While the block runs, another program writes to the database, and no drainer can end."""
    fleet.console("db", "migrate")
    holder = sqlite3.connect(fleet.home / "fleet.db", isolation_level=None)
    with contextlib.closing(holder):
        holder.execute("BEGIN IMMEDIATE")
        yield


def start_fleet_drain(fleet: Fleet) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "commander.cli", "drain"],
        env=fleet.env(),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def briefings(fleet: Fleet) -> list[str]:
    return [row[0] for row in fleet.rows("SELECT task_id FROM briefings ORDER BY briefing_id")]


def test_entries_are_applied_in_the_order_they_came(fleet: Fleet) -> None:
    for number in range(250):
        put(fleet, number)
    fleet.drain_process()
    assert briefings(fleet) == [f"p{number}" for number in range(250)]
    assert fleet.waiting() == []


def test_a_hook_starts_the_drainer_and_does_not_wait_for_it(fleet: Fleet) -> None:
    fleet.hook("stop", stop(1), background=True)
    deadline = time.monotonic() + 20
    while fleet.waiting() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert fleet.waiting() == []
    fleet.wait_for_drainers()
    assert briefings(fleet) == ["p1"]


def test_an_entry_that_comes_between_the_last_look_and_the_release_is_applied(
    fleet: Fleet,
) -> None:
    """The lost wake-up: an entry comes after the worker's last look, and its own drainer finds the
    lock held."""
    before_release = """
import fcntl
real = fcntl.flock
def flock(descriptor, how):
    if how == fcntl.LOCK_UN:
        print("looked", flush=True)
        sys.stdin.readline()
    real(descriptor, how)
fcntl.flock = flock
"""
    put(fleet, 0)
    with start_changed_drainer(fleet, before_release) as worker:
        assert said(worker) == "looked"
        put(fleet, 1)
        assert start_drainer(fleet).wait(30) == drain.BUSY
        assert len(fleet.waiting()) == 1
        worker.communicate("\n" * 5, timeout=30)
    assert worker.returncode == drain.DONE
    assert fleet.waiting() == []
    assert briefings(fleet) == ["p0", "p1"]


@pytest.mark.slow
def test_of_many_drainers_one_works_and_no_entry_waits_for_the_next_hook(fleet: Fleet) -> None:
    """The same by chance: whoever put an entry must find it applied once all drainers have ended."""
    for round_ in range(15):
        drainers = []
        for number in range(6):
            put(fleet, round_ * 10 + number)
            drainers.append(start_drainer(fleet))
            time.sleep(random.Random(round_ * 10 + number).random() / 20)
        for process in drainers:
            assert process.wait(60) in (drain.DONE, drain.BUSY)
        assert fleet.waiting() == []
    assert len(briefings(fleet)) == 90


def test_a_killed_drainer_loses_nothing_and_repeats_nothing(fleet: Fleet) -> None:
    """Killed at the call of any function of Fleet's, from the first to the last of a drain."""
    killed_at_a_call = """
left = int(sys.argv[2])
def count(frame, event, argument):
    global left
    if event == "call" and "/fleet_lib/" in frame.f_code.co_filename:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), 9)
def ended():
    print(-left)
sys.setprofile(count)
"""

    def put_twenty(round_: int) -> None:
        for number in range(round_ * 20, round_ * 20 + 20):
            put(fleet, number)

    put_twenty(0)
    fleet.drain_process()  # makes the database
    put_twenty(1)
    with start_changed_drainer(fleet, killed_at_a_call, 0) as whole:
        calls = int(said(whole))
    assert whole.returncode == drain.DONE and calls > 1000
    chance = random.Random(20261123)
    for round_ in range(2, 12):
        put_twenty(round_)
        part = calls * 95 // 1000  # what is left over makes it more calls, and never fewer
        at = chance.randrange((round_ - 2) * part, (round_ - 1) * part)
        with start_changed_drainer(fleet, killed_at_a_call, max(1, at)) as process:
            pass
        assert process.returncode == -signal.SIGKILL, "it ended before it was killed"
    fleet.drain_process()
    assert fleet.quarantine() == {}
    assert briefings(fleet) == [f"p{number}" for number in range(240)]
    events = fleet.rows("SELECT count(*), count(DISTINCT briefing_id) FROM outbox_events")
    assert events == [(240, 240)]


def test_a_database_that_another_program_holds_is_waited_for(fleet: Fleet) -> None:
    put(fleet, 0)
    fleet.drain_process()
    put(fleet, 1)
    with held(fleet):
        process = start_drainer(fleet)
        deadline = time.monotonic() + 60
        while (
            "trying again, the database is busy: database is locked" not in fleet.log()
        ):  # after a whole busy timeout
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        assert process.poll() is None
    assert process.wait(30) == drain.DONE
    assert briefings(fleet) == ["p0", "p1"]


@pytest.mark.parametrize("harm", ["corrupt", "newer", "folder"])
def test_an_unusable_database_keeps_the_entries_and_recovers_by_itself(
    fleet: Fleet, harm: str
) -> None:
    put(fleet, 0)
    fleet.drain_process()
    database = fleet.home / "fleet.db"
    good = database.read_bytes()
    for beside in ("-wal", "-shm"):
        Path(f"{database}{beside}").unlink(missing_ok=True)
    if harm == "corrupt":
        database.write_bytes(b"this is no database" * 1000)
    elif harm == "folder":
        database.unlink()
        database.mkdir()
    else:
        with sqlite3.connect(database) as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
    for number in (1, 2):
        put(fleet, number)
        assert start_drainer(fleet).wait(30) == drain.UNUSABLE
    assert len(fleet.waiting()) == 2
    assert fleet.quarantine() == {}
    assert "the entries wait in the spool" in fleet.log()
    done = fleet.console("drain", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ") and "Traceback" not in done.stderr
    if harm == "folder":
        database.rmdir()
    for beside in ("-wal", "-shm"):
        Path(f"{database}{beside}").unlink(missing_ok=True)
    database.write_bytes(good)
    fleet.drain_process()
    assert briefings(fleet) == ["p0", "p1", "p2"]


def test_an_entry_that_ends_its_drainer_is_quarantined_the_third_time(fleet: Fleet) -> None:
    """An entry whose reading kills the process, as a hard crash in a library would."""
    poison = put(fleet, 1)
    dies_of_it = f"""
drainer = importlib.import_module({drainer.__name__!r})
real = drainer.prepare
def prepare(entry, *rest):
    if entry.name == {poison!r}:
        os.kill(os.getpid(), 9)
    return real(entry, *rest)
drainer.prepare = prepare
"""

    def run() -> int:
        with start_changed_drainer(fleet, dies_of_it) as process:
            pass
        return process.returncode

    assert [run() for _ in range(3)] == [-9, -9, -9]
    put(fleet, 2)
    assert run() == 0
    assert "not finished in 3 attempts" in fleet.quarantine()[poison]
    assert briefings(fleet) == ["p2"]


def test_a_drainer_that_is_killed_while_it_waits_blames_no_entry(fleet: Fleet) -> None:
    """It waits up to two seconds for the end of a transcript; whoever kills it then says nothing about
    the entry."""
    says_that_it_waits = """
def sleep(seconds):
    print("waits", flush=True)
    sys.stdin.readline()
time.sleep = sleep
"""
    transcript = fleet.folder / "t.jsonl"
    transcript.write_text('{"type":"user","promptId":"p1","message":{"content":"x"}}\n')
    for _ in range(6):
        put(fleet, 1, transcript_path=str(transcript))
        with start_changed_drainer(fleet, says_that_it_waits) as process:
            assert said(process) == "waits"
            process.kill()
    fleet.drain_process()
    assert fleet.quarantine() == {}
    assert briefings(fleet) == ["p1"]


def test_a_database_without_our_tables_keeps_the_entries_and_says_so(fleet: Fleet) -> None:
    put(fleet, 0)
    fleet.drain_process()
    fleet.rows("ALTER TABLE turns RENAME TO elsewhere")
    put(fleet, 1)
    assert start_drainer(fleet).wait(30) == drain.UNUSABLE
    assert "no such table" in fleet.log()
    done = fleet.console("drain", check=False)
    assert done.returncode == 1 and "no such table" in done.stderr
    fleet.rows("ALTER TABLE elsewhere RENAME TO turns")
    fleet.drain_process()
    assert briefings(fleet) == ["p0", "p1"]


def test_an_entry_that_takes_too_long_goes_to_quarantine(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, _ = put(fleet, 1), put(fleet, 2)
    real = drainer.prepare

    def prepare(entry: spool.Entry, *rest: Any) -> Any:
        if entry.name == slow:
            time.sleep(30)
        return real(entry, *rest)

    monkeypatch.setattr(drainer, "prepare", prepare)
    monkeypatch.setattr(drainer, "ENTRY_SECONDS", 0.3)
    assert drainer.drain(str(fleet.home))
    assert "too long" in fleet.quarantine()[slow]
    assert briefings(fleet) == ["p2"]


def test_a_yaml_alias_bomb_costs_nothing_but_its_fields(fleet: Fleet) -> None:
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{new}: &{new} [{', '.join(['*' + old] * 9)}]\n"
        for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    )
    message = f"```briefing\n---\nstatus: blocked\n{bomb}blockers: *i\n---\n```"
    put(fleet, 1, last_assistant_message=message)
    begun = time.monotonic()
    fleet.drain_process()
    assert time.monotonic() - begun < 10
    assert fleet.rows("SELECT status, blockers_json FROM briefings") == [("blocked", "[]")]


def test_quarantine_is_bounded_and_expires(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(12):
        spool.put(str(fleet.home), "Stop", b"not json %d" % number)
    fleet.drain_process()
    assert len(fleet.quarantine()) == 12
    oldest = sorted(fleet.quarantine())[0]
    old = time.time() - 31 * 86400
    os.utime(fleet.home / "spool" / "bad" / oldest, (old, old))
    monkeypatch.setattr(quarantine, "MAX_ENTRIES", 5)
    drainer.drain(str(fleet.home))
    assert len(fleet.quarantine()) == 5
    assert oldest not in fleet.quarantine()


def test_leftovers_of_killed_hooks_are_swept(fleet: Fleet) -> None:
    put(fleet, 1)
    old, new = (fleet.home / "spool" / "tmp" / name for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"half an entry")
    day_before = time.time() - 2 * 86400
    os.utime(old, (day_before, day_before))
    fleet.drain_process()
    assert not old.exists()
    assert new.exists()


def test_fleet_drain_returns_when_the_other_drainer_is_done(fleet: Fleet) -> None:
    for number in range(30):
        put(fleet, number)
    with held(fleet):
        other = start_drainer(fleet)
        wait_for_a_drainer(fleet)
        draining = start_fleet_drain(fleet)
        assert draining.stderr is not None
        assert "another drainer is running, 30 left" in draining.stderr.readline()
    assert draining.wait(60) == 0
    assert fleet.waiting() == []
    assert len(briefings(fleet)) == 30
    other.wait(30)


def test_the_drainers_folders_and_files_are_private(fleet: Fleet) -> None:
    fleet.hook("stop", stop(1))
    fleet.hook("stop", b"not json")
    fleet.drain_process()
    for path in [fleet.home, *fleet.home.rglob("*")]:
        mode = path.stat().st_mode & 0o777
        assert mode == (0o700 if path.is_dir() else 0o600), (path, oct(mode))


def test_a_foreign_file_with_a_name_too_long_for_its_reason_holds_up_nobody(fleet: Fleet) -> None:
    spool.make_folders(str(fleet.home))
    (fleet.home / "spool" / "new" / ("x" * 252)).write_bytes(b"not ours")
    put(fleet, 1)
    fleet.drain_process()
    assert fleet.waiting() == [] and briefings(fleet) == ["p1"]
    assert list(fleet.quarantine()) == ["x" * 200]


def test_a_name_of_two_byte_letters_leaves_room_for_its_reason(fleet: Fleet) -> None:
    spool.make_folders(str(fleet.home))
    (fleet.home / "spool" / "new" / ("ö" * 127)).write_bytes(b"not ours")
    put(fleet, 1)
    fleet.drain()
    assert fleet.waiting() == [] and briefings(fleet) == ["p1"]
    assert list(fleet.quarantine()) == ["ö" * 100]


# A program that may write no file longer than 0 bytes, as on a full disk.
FULL_DISK = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); "


def on_a_full_disk(fleet: Fleet, program: str) -> int:
    return subprocess.run(
        [sys.executable, "-c", FULL_DISK + program],
        env=fleet.env(),
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        check=False,
    ).returncode


def test_the_journal_of_attempts_is_replaced_whole_or_not_at_all(fleet: Fleet) -> None:
    name = put(fleet, 1)
    journal = Path(paths.journal(str(fleet.home)))
    journal.write_text(f"2 {name}\n")
    command = [sys.executable, "-I", drain.__file__, str(fleet.home)]
    start = f"os.execv({command[0]!r}, {command!r})"
    assert on_a_full_disk(fleet, start) == drain.UNUSABLE
    assert journal.read_text() == f"2 {name}\n"
    assert os.listdir(fleet.home / "spool" / "tmp") == []


def test_an_entry_whose_reason_cannot_be_written_stays_in_the_spool(fleet: Fleet) -> None:
    name = put(fleet, 1)
    move = "from fleet_lib.drain import quarantine; "
    move += f"quarantine.move({str(fleet.home)!r}, {{{name!r}: 'a reason'}})"
    assert on_a_full_disk(fleet, move) == 1
    assert fleet.waiting() == [name]
    assert os.listdir(fleet.home / "spool" / "bad") == []


def test_an_entry_that_names_a_missing_file_is_quarantined_and_not_lost(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = put(fleet, 1)

    def prepare(*_: Any) -> Any:
        raise FileNotFoundError("a file of the turn")

    monkeypatch.setattr(drainer, "prepare", prepare)
    assert drainer.drain(str(fleet.home))
    assert list(fleet.quarantine()) == [name]


def test_a_drainer_that_is_killed_under_fleet_drain_is_started_again(fleet: Fleet) -> None:
    for number in range(40):
        put(fleet, number)
    with held(fleet):
        draining = start_fleet_drain(fleet)
        killed: set[int] = set()
        while len(killed) < 2:
            assert draining.poll() is None
            wait_for_a_drainer(fleet)
            for pid in set(fleet.drainers()) - killed:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
    _, error = draining.communicate(timeout=60)
    assert draining.returncode == 0, error
    assert len(briefings(fleet)) == 40


def test_a_reader_waits_for_a_held_database_only_so_long(fleet: Fleet) -> None:
    put(fleet, 1)
    with held(fleet):
        began = time.monotonic()
        with pytest.raises(DatabaseUnusable, match="1 entries are still waiting after 1 s"):
            draining.drain(str(fleet.home), timeout=1.0)
        assert time.monotonic() - began < 10
    fleet.wait_for_drainers()
    assert briefings(fleet) == ["p1"]  # it went on behind
