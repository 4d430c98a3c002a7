"""The drainer: it loses nothing and applies nothing twice, and only one runs at a time, whatever
happens to it or to the database."""

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import ROOT, Fleet

from fleet_lib import paths, spool
from fleet_lib.drain import drain, drainer, put_off, quarantine, reader_child
from fleet_lib.drain import foreground as draining
from fleet_lib.errors import DatabaseUnusable


def stop(number: int, **more: Any) -> dict[str, Any]:
    call = {"session_id": f"s{number % 7}", "prompt_id": f"p{number}", "cwd": "/nowhere/repo"}
    return {**call, "last_assistant_message": f"Turn {number} is done.", **more}


def put(fleet: Fleet, number: int, **more: Any) -> str:
    call = stop(number, **more)
    data = json.dumps(call).encode()
    return spool.put(str(fleet.home), "Stop", data, call["session_id"], cwd=call["cwd"])


def place_row(entries: list[str], *, next_try: float) -> dict[str, Any]:
    """A place of the file spool/put-off."""
    place = put_off.Place("/dead", "it does not answer", True, time.time(), 1, next_try)
    return vars(place) | {"entries": entries}


def start_drainer(fleet: Fleet) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-I", drain.__file__, str(fleet.home), "--once"],
        env=fleet.env(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def start_patched_drainer(fleet: Fleet, patch: str, *arguments: object) -> "subprocess.Popen[str]":
    """Start a drainer that first runs the code in `patch`, with `arguments` from sys.argv[2] on.
    The test talks to it through stdin and stdout."""
    script = f"""
import importlib, os, runpy, sys, time
sys.path.insert(0, {str(ROOT)!r})
after_drain = lambda: None
os._exit = sys.exit
{patch}
try:
    runpy.run_path({drain.__file__!r}, run_name="__main__")
finally:
    sys.setprofile(None)
    after_drain()
"""
    return subprocess.Popen(
        [sys.executable, "-c", script, str(fleet.home), *map(str, arguments), "--once"],
        env=fleet.env(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def read_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def wait_for_drainer(fleet: Fleet) -> None:
    deadline = time.monotonic() + 60
    while not fleet.is_being_drained():
        assert time.monotonic() < deadline, "no drainer has taken the lock"
        time.sleep(0.01)


@contextlib.contextmanager
def locked_database(fleet: Fleet) -> Iterator[None]:
    """While the block runs, another program holds the write lock, so no drainer can finish."""
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


def test_entries_are_applied_in_order_of_arrival(fleet: Fleet) -> None:
    for number in range(250):
        put(fleet, number)
    fleet.drain_process()
    assert briefings(fleet) == [f"p{number}" for number in range(250)]
    assert fleet.waiting() == []


def test_hook_starts_the_drainer_and_does_not_wait_for_it(fleet: Fleet) -> None:
    fleet.hook("stop", stop(1), background=True)
    deadline = time.monotonic() + 60
    while fleet.waiting() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert fleet.waiting() == []
    fleet.wait_for_drainers()
    assert briefings(fleet) == ["p1"]


def test_entry_that_arrives_just_before_the_lock_is_released_is_applied(
    fleet: Fleet,
) -> None:
    """A lost wake-up: the entry arrives after the running drainer looked for the last time, and the
    drainer that its hook starts finds the lock still held."""
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
    with start_patched_drainer(fleet, before_release) as worker:
        assert read_line(worker) == "looked"
        put(fleet, 1)
        assert start_drainer(fleet).wait(60) == drain.BUSY
        assert len(fleet.waiting()) == 1
        worker.communicate("\n" * 5, timeout=60)
    assert worker.returncode == drain.DONE
    assert fleet.waiting() == []
    assert briefings(fleet) == ["p0", "p1"]


@pytest.mark.slow
def test_concurrent_drainers_leave_no_entry_for_the_next_hook(fleet: Fleet) -> None:
    """The same race at random moments: when all drainers have ended, every entry is applied."""
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


def test_killed_drainer_loses_nothing_and_repeats_nothing(fleet: Fleet) -> None:
    """Killed at calls of Fleet's functions that are spread over the whole drain."""
    killed_at_a_call = """
left = int(sys.argv[2])
def count(frame, event, argument):
    global left
    if event == "call" and "/fleet_lib/" in frame.f_code.co_filename:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), 9)
def after_drain():
    print(-left)
sys.setprofile(count)
"""

    def put_twenty(round_: int) -> None:
        for number in range(round_ * 20, round_ * 20 + 20):
            put(fleet, number)

    put_twenty(0)
    fleet.drain_process()  # creates the database
    put_twenty(1)
    with start_patched_drainer(fleet, killed_at_a_call, 0) as complete:
        calls = int(read_line(complete))
    assert complete.returncode == drain.DONE and calls > 1000
    chance = random.Random(20261123)
    for round_ in range(2, 12):
        put_twenty(round_)
        part = calls * 95 // 1000  # entries left over from a kill only add calls
        at = chance.randrange((round_ - 2) * part, (round_ - 1) * part)
        with start_patched_drainer(fleet, killed_at_a_call, max(1, at)) as process:
            pass
        assert process.returncode == -signal.SIGKILL, "it ended before it was killed"
    fleet.drain_process()
    assert fleet.quarantine() == {}
    assert briefings(fleet) == [f"p{number}" for number in range(240)]
    events = fleet.rows("SELECT count(*), count(DISTINCT briefing_id) FROM outbox_events")
    assert events == [(240, 240)]


def test_drainer_waits_for_a_locked_database(fleet: Fleet) -> None:
    put(fleet, 0)
    fleet.drain_process()
    put(fleet, 1)
    with locked_database(fleet):
        process = start_drainer(fleet)
        deadline = time.monotonic() + 60
        # The message comes after a whole busy timeout.
        while "trying again, the database is busy: database is locked" not in fleet.log():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        assert process.poll() is None
    assert process.wait(60) == drain.DONE
    assert briefings(fleet) == ["p0", "p1"]


@pytest.mark.parametrize("damage", ["corrupt", "newer", "folder"])
def test_entries_wait_for_an_unusable_database_and_are_applied_later(
    fleet: Fleet, damage: str
) -> None:
    put(fleet, 0)
    fleet.drain_process()
    database = fleet.home / "fleet.db"
    good = database.read_bytes()
    for suffix in ("-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)
    if damage == "corrupt":
        database.write_bytes(b"this is no database" * 1000)
    elif damage == "folder":
        database.unlink()
        database.mkdir()
    else:
        with sqlite3.connect(database) as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
    for number in (1, 2):
        put(fleet, number)
        assert start_drainer(fleet).wait(60) == drain.UNUSABLE
    assert len(fleet.waiting()) == 2
    assert fleet.quarantine() == {}
    assert "the entries wait in the spool" in fleet.log()
    done = fleet.console("drain", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ") and "Traceback" not in done.stderr
    if damage == "folder":
        database.rmdir()
    for suffix in ("-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)
    database.write_bytes(good)
    fleet.drain_process()
    assert briefings(fleet) == ["p0", "p1", "p2"]


def test_entry_that_ends_its_reader_again_and_again_is_quarantined(fleet: Fleet) -> None:
    """Reading the entry kills the process, as a crash in a C library would. The drainer goes on."""
    poison = put(fleet, 1)
    crash_on_entry = f"""
child = importlib.import_module({reader_child.__name__!r})
real = child.prepare
def prepare(entry, *rest):
    if entry.name == {poison!r}:
        os.kill(os.getpid(), 11)
    return real(entry, *rest)
child.prepare = prepare
"""
    put(fleet, 2)
    with start_patched_drainer(fleet, crash_on_entry) as process:
        pass
    assert process.returncode == 0
    assert "ended the process that read it 3 times" in fleet.quarantine()[poison]
    assert briefings(fleet) == ["p2"]


def test_reader_that_is_killed_from_outside_does_no_harm(fleet: Fleet) -> None:
    killed_twice = """
child = importlib.import_module("fleet_lib.drain.reader_child")
real = child.prepare
def prepare(entry, *rest):
    left = int(open(sys.argv[2]).read())
    if left:
        open(sys.argv[2], "w").write(str(left - 1))
        os.kill(os.getpid(), 9)
    return real(entry, *rest)
child.prepare = prepare
"""
    put(fleet, 1)
    counter = fleet.folder / "left"
    counter.write_text("5")
    with start_patched_drainer(fleet, killed_twice, counter) as process:
        pass
    assert process.returncode == 0 and counter.read_text() == "0"
    assert fleet.quarantine() == {} and briefings(fleet) == ["p1"]


def test_killing_a_waiting_drainer_does_not_count_against_its_entry(fleet: Fleet) -> None:
    """The drainer waits up to two seconds for the end of a transcript. Killing it then must not
    count against the entry."""
    announce_waiting = """
def sleep(seconds):
    if os.getppid() != parent:  # only in the reader
        open(sys.argv[2], "w").close()
        real(5)
parent = os.getppid()
real, time.sleep = time.sleep, sleep
"""
    waits = fleet.folder / "waits"
    transcript = fleet.folder / "t.jsonl"
    transcript.write_text('{"type":"user","promptId":"p1","message":{"content":"x"}}\n')
    for _ in range(6):
        put(fleet, 1, transcript_path=str(transcript))
        with start_patched_drainer(fleet, announce_waiting, waits) as process:
            deadline = time.monotonic() + 30
            while not waits.exists():
                assert time.monotonic() < deadline
                time.sleep(0.01)
            process.kill()
        waits.unlink()
    fleet.drain_process()
    assert fleet.quarantine() == {}
    assert briefings(fleet) == ["p1"]


def test_database_without_a_table_is_reported_and_the_entries_wait(fleet: Fleet) -> None:
    put(fleet, 0)
    fleet.drain_process()
    fleet.rows("ALTER TABLE turns RENAME TO elsewhere")
    put(fleet, 1)
    assert start_drainer(fleet).wait(60) == drain.UNUSABLE
    assert "no such table" in fleet.log()
    done = fleet.console("drain", check=False)
    assert done.returncode == 1 and "no such table" in done.stderr
    fleet.rows("ALTER TABLE elsewhere RENAME TO turns")
    fleet.drain_process()
    assert briefings(fleet) == ["p0", "p1"]


def test_entry_that_takes_too_long_is_quarantined(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, _ = put(fleet, 1), put(fleet, 2)
    real = reader_child.prepare

    def prepare(entry: spool.Entry, *rest: Any) -> Any:
        while entry.name == slow:
            pass
        return real(entry, *rest)

    monkeypatch.setattr(reader_child, "prepare", prepare)
    monkeypatch.setattr(reader_child, "ENTRY_SECONDS", 0.3)
    # On a busy machine a process that works waits, too.
    monkeypatch.setattr(time, "process_time", time.monotonic)
    assert drainer.drain(str(fleet.home))
    assert "too long" in fleet.quarantine()[slow]
    assert briefings(fleet) == ["p2"]


def test_yaml_alias_bomb_costs_only_its_fields(fleet: Fleet) -> None:
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{new}: &{new} [{', '.join(['*' + old] * 9)}]\n"
        for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    )
    message = f"```briefing\n---\nstatus: blocked\n{bomb}blockers: *i\n---\n```"
    put(fleet, 1, last_assistant_message=message)
    begun = time.monotonic()
    fleet.drain_process()
    assert time.monotonic() - begun < 60
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


def test_old_leftovers_of_killed_hooks_are_deleted(fleet: Fleet) -> None:
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
    with locked_database(fleet):
        other = start_drainer(fleet)
        wait_for_drainer(fleet)
        draining = start_fleet_drain(fleet)
        assert draining.stderr is not None
        assert "another drainer is running, 30 left" in draining.stderr.readline()
    assert draining.wait(60) == 0
    assert fleet.waiting() == []
    assert len(briefings(fleet)) == 30
    other.wait(30)


def test_folders_and_files_of_the_drainer_are_private(fleet: Fleet) -> None:
    fleet.hook("stop", stop(1))
    fleet.hook("stop", b"not json")
    fleet.drain_process()
    for path in [fleet.home, *fleet.home.rglob("*")]:
        mode = path.stat().st_mode & 0o777
        assert mode == (0o700 if path.is_dir() else 0o600), (path, oct(mode))


def test_foreign_file_with_a_very_long_name_is_quarantined(fleet: Fleet) -> None:
    spool.make_folders(str(fleet.home))
    (fleet.home / "spool" / "new" / ("x" * 252)).write_bytes(b"not ours")
    put(fleet, 1)
    fleet.drain_process()
    assert fleet.waiting() == [] and briefings(fleet) == ["p1"]
    assert list(fleet.quarantine()) == ["x" * 200]


def test_foreign_file_with_a_long_two_byte_name_is_quarantined(fleet: Fleet) -> None:
    spool.make_folders(str(fleet.home))
    (fleet.home / "spool" / "new" / ("ö" * 127)).write_bytes(b"not ours")
    put(fleet, 1)
    fleet.drain()
    assert fleet.waiting() == [] and briefings(fleet) == ["p1"]
    assert list(fleet.quarantine()) == ["ö" * 100]


# Limits the size of files to 0 bytes, which is like a full disk.
FULL_DISK = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); "


def on_a_full_disk(fleet: Fleet, program: str) -> int:
    return subprocess.run(
        [sys.executable, "-c", FULL_DISK + program],
        env=fleet.env(),
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        check=False,
    ).returncode


def test_list_of_what_is_put_off_is_replaced_whole_or_not_at_all(fleet: Fleet) -> None:
    put(fleet, 1)
    file = Path(paths.put_off(str(fleet.home)))
    content = json.dumps({"places": [place_row(["x"], next_try=time.time() + 60)]})
    file.write_text(content)
    command = [sys.executable, "-I", drain.__file__, str(fleet.home), "--once"]
    start = f"os.execv({command[0]!r}, {command!r})"
    assert on_a_full_disk(fleet, start) == drain.UNUSABLE
    assert file.read_text() == content
    assert os.listdir(fleet.home / "spool" / "tmp") == []


def test_entry_whose_reason_cannot_be_written_stays_in_the_spool(fleet: Fleet) -> None:
    name = put(fleet, 1)
    move = "from fleet_lib.drain import quarantine; "
    move += f"quarantine.move({str(fleet.home)!r}, {{{name!r}: 'a reason'}})"
    assert on_a_full_disk(fleet, move) == 1
    assert fleet.waiting() == [name]
    assert os.listdir(fleet.home / "spool" / "bad") == []


def test_entry_that_names_a_missing_file_is_quarantined(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = put(fleet, 1)

    def prepare(*_: Any) -> Any:
        raise FileNotFoundError("a file of the turn")

    monkeypatch.setattr(reader_child, "prepare", prepare)
    assert drainer.drain(str(fleet.home))
    assert list(fleet.quarantine()) == [name]


def test_fleet_drain_starts_a_killed_drainer_again(fleet: Fleet) -> None:
    for number in range(40):
        put(fleet, number)
    with locked_database(fleet):
        draining = start_fleet_drain(fleet)
        killed: set[int] = set()
        while len(killed) < 2:
            assert draining.poll() is None
            wait_for_drainer(fleet)
            for pid in set(fleet.drainers()) - killed:
                # The reader of one that was killed counts as a drainer until it ends by itself.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed.add(pid)
    _, error = draining.communicate(timeout=60)
    assert draining.returncode == 0, error
    assert len(briefings(fleet)) == 40


def test_wait_for_a_locked_database_ends_after_its_timeout(fleet: Fleet) -> None:
    put(fleet, 1)
    with locked_database(fleet):
        began = time.monotonic()
        with pytest.raises(DatabaseUnusable, match="1 entries are still waiting after 1 s"):
            draining.drain_now(str(fleet.home), timeout=1.0)
        assert time.monotonic() - began < 60
    fleet.wait_for_drainers()
    assert briefings(fleet) == ["p1"]  # the drainer went on in the background


def test_only_an_entry_that_was_forgotten_is_applied_by_a_long_running_program(
    fleet: Fleet,
) -> None:
    put(fleet, 1)
    draining.drain_forgotten(str(fleet.home))
    assert len(spool.pending(str(fleet.home))) == 1, "its own drainer may be starting"
    (name,) = spool.pending(str(fleet.home))
    new = Path(paths.spool(str(fleet.home), "new"))
    old = f"{int(name.partition('.')[0]) - 11_000_000_000:020d}.{name.partition('.')[2]}"
    (new / name).rename(new / old)
    draining.drain_forgotten(str(fleet.home))
    assert spool.pending(str(fleet.home)) == []


def bare_environment(folder: Path) -> Path:
    """The Python of an environment without any library."""
    python = folder / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(os.path.realpath(sys.executable))
    (folder / "pyvenv.cfg").write_text(
        f"home = {os.path.dirname(os.path.realpath(sys.executable))}\n"
    )
    return python


@pytest.mark.parametrize("options", [[], ["-S"]])
def test_python_without_the_libraries_leaves_an_entry_that_would_need_them(
    fleet: Fleet, options: list[str]
) -> None:
    put(fleet, 1, last_assistant_message="```briefing\n---\nsummary: Needs YAML\n---\n```")
    python = bare_environment(fleet.folder / "bare")
    done = subprocess.run(
        [python, "-I", *options, drain.__file__, str(fleet.home), "--once"],
        env=fleet.env(),
        check=False,
    )
    assert done.returncode == drain.UNUSABLE
    assert len(spool.pending(str(fleet.home))) == 1 and fleet.quarantine() == {}
    assert "cannot drain: No module named" in fleet.log()


@pytest.mark.parametrize("is_beside", [True, False])
def test_drainer_without_site_finds_the_libraries_of_its_environment(
    fleet: Fleet, is_beside: bool
) -> None:
    """Hooks start it so. The libraries lie beside it, or where only `site` finds them."""
    python = bare_environment(fleet.folder / "own")
    site = python.parents[1] / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    site.mkdir(parents=True)
    libraries = sysconfig.get_path("purelib")
    if is_beside:
        (site / "site-packages").symlink_to(libraries)
    else:
        (site / "site-packages").mkdir()
        (site / "site-packages" / "others.pth").write_text(f"{libraries}\n")
    put(fleet, 1, last_assistant_message="```briefing\n---\nsummary: Needs YAML\n---\n```")
    command = [python, "-I", "-S", drain.__file__, str(fleet.home), "--once"]
    done = subprocess.run(command, env=fleet.env(), check=False)
    assert (done.returncode, fleet.log()) == (drain.DONE, "")
    assert fleet.rows("SELECT summary FROM turns") == [("Needs YAML",)]
