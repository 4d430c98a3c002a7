"""The reader prepares the next batch while this one is written. What goes wrong with an entry of the
next batch is that entry's trouble alone, and is seen when its turn comes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support import ROOT, Fleet, make_repository
from test_drain import briefings, put, start_patched_drainer

from fleet_lib import outside, spool
from fleet_lib.drain import drainer, put_off, reader, reader_child, reader_watch
from fleet_lib.drain.put_off import PutOff
from fleet_lib.errors import BadEntry

SMALL_BATCHES = """
drainer = importlib.import_module("fleet_lib.drain.drainer")
child = importlib.import_module("fleet_lib.drain.reader_child")
drainer.BATCH_ENTRIES = 2
real = child.prepare
"""


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drainer, "BATCH_ENTRIES", 2)


def test_the_next_batch_is_read_while_this_one_is_written(fleet: Fleet) -> None:
    names = [put(fleet, number) for number in range(1, 7)]
    read = fleet.folder / "read"
    seen = fleet.folder / "seen"
    meets = f"""{SMALL_BATCHES}
def prepare(entry, *rest):
    if entry.name == {names[3]!r}:
        open(sys.argv[2], "w").close()
    return real(entry, *rest)
child.prepare = prepare
from fleet_lib import spool
really, acknowledged = spool.acknowledge, []
def acknowledge(home, names):
    if not acknowledged:  # the first batch is committed
        end = time.monotonic() + 60
        while not os.path.exists(sys.argv[2]) and time.monotonic() < end:
            time.sleep(0.01)
        open(sys.argv[3], "w").write(str(os.path.exists(sys.argv[2])))
    acknowledged.append(names)
    really(home, names)
spool.acknowledge = acknowledge
"""
    with start_patched_drainer(fleet, meets, read, seen) as process:
        pass
    assert process.returncode == 0 and seen.read_text() == "True"
    assert briefings(fleet) == [f"p{number}" for number in range(1, 7)]
    assert fleet.waiting() == [] and fleet.quarantine() == {}


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("os.kill(os.getpid(), 11)", "ended the process that read it 3 times"),
        ("raise ValueError('a bug')", "ValueError: a bug"),
        pytest.param(  # not even its alarm ends it, as in a function of C
            "signal.pthread_sigmask(0, [14])\n        while True: pass",
            "reading it took too long",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_an_entry_that_fails_ahead_of_its_batch_takes_no_other_with_it(
    fleet: Fleet, what: str, reason: str
) -> None:
    names = [put(fleet, number) for number in range(1, 8)]
    fails = f"""{SMALL_BATCHES}
import signal
reader_watch = importlib.import_module("fleet_lib.drain.reader_watch")
reader_watch._LONGEST_SECONDS = 6.0
def prepare(entry, *rest):
    if entry.name == {names[2]!r}:
        {what}
    return real(entry, *rest)
child.prepare = prepare
"""
    with start_patched_drainer(fleet, fails) as process:
        pass
    assert process.returncode == 0
    assert briefings(fleet) == ["p1", "p2", "p4", "p5", "p6", "p7"]
    assert list(fleet.quarantine()) == [names[2]]
    assert reason in fleet.quarantine()[names[2]]


def test_a_reader_that_is_killed_while_it_is_ahead_loses_nothing(fleet: Fleet) -> None:
    names = [put(fleet, number) for number in range(1, 8)]
    killed_once = f"""{SMALL_BATCHES}
def prepare(entry, *rest):
    with __import__("contextlib").suppress(FileNotFoundError):
        if entry.name == {names[4]!r}:
            os.unlink(sys.argv[2])
            os.kill(os.getpid(), 9)
    return real(entry, *rest)
child.prepare = prepare
"""
    once = fleet.folder / "once"
    once.touch()
    with start_patched_drainer(fleet, killed_once, once) as process:
        pass
    assert process.returncode == 0 and not once.exists()
    assert briefings(fleet) == [f"p{number}" for number in range(1, 8)]
    assert fleet.quarantine() == {}


@pytest.mark.usefixtures("small_batches")
def test_a_folder_that_hangs_ahead_of_its_batch_is_the_one_that_is_put_off(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive = str(make_repository(fleet.folder / "alive"))
    dead = str(fleet.folder / "dead")
    os.mkdir(dead)
    real = outside.is_folder

    def is_folder(path: str) -> bool:
        outside.asking(path)
        while path.startswith(dead):
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            time.sleep(1)
        return real(path)

    monkeypatch.setattr(outside, "is_folder", is_folder)
    monkeypatch.setattr(outside, "QUESTION_SECONDS", 0.5)
    monkeypatch.setattr(outside.asking, "__defaults__", (0.5,))
    folders = [alive, alive, alive, f"{dead}/a", alive, f"{dead}/b", alive]
    for number, folder in enumerate(folders, start=1):
        put(fleet, number, cwd=folder)
    assert drainer.drain(str(fleet.home))
    assert briefings(fleet) == ["p1", "p2", "p3", "p5", "p7"]
    assert fleet.quarantine() == {}
    places = put_off.read(str(fleet.home))
    assert all(place.place.startswith(dead) for place in places)
    assert sum(len(place.entries) for place in places) == 2
    monkeypatch.setattr(outside, "is_folder", real)
    assert drainer.drain(str(fleet.home), is_forced=True)
    assert sorted(briefings(fleet)) == [f"p{number}" for number in range(1, 8)]


@pytest.mark.slow
def test_an_entry_that_waited_too_long_names_its_own_place_and_not_the_next_ones(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, other = (str(make_repository(fleet.folder / name)) for name in ("slow", "other"))
    real = reader_child.prepare

    def prepare(entry: spool.Entry, *rest: Any) -> Any:
        if entry.cwd == slow:
            outside.asking(slow)
            time.sleep(60)
        return real(entry, *rest)

    monkeypatch.setattr(reader_child, "prepare", prepare)
    monkeypatch.setattr(reader_child, "ENTRY_SECONDS", 6.0)
    monkeypatch.setattr(outside, "QUESTION_SECONDS", 50.0)
    monkeypatch.setattr(outside.asking, "__defaults__", (50.0,))
    for number, folder in enumerate((other, slow, other, other), start=1):
        put(fleet, number, cwd=folder)
    assert drainer.drain(str(fleet.home))
    assert [place.place for place in put_off.read(str(fleet.home))] == [slow]
    assert briefings(fleet) == ["p1", "p3", "p4"]


def test_an_answer_that_came_too_late_is_not_taken_for_the_next_one(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [put(fleet, number) for number in (1, 2)]
    real = reader_child.prepare

    def prepare(entry: spool.Entry, *rest: Any) -> Any:
        if entry.name == names[0]:
            end = time.monotonic() + 4
            while time.monotonic() < end:
                pass
        return real(entry, *rest)

    monkeypatch.setattr(reader_child, "prepare", prepare)
    monkeypatch.setattr(reader_watch, "_LONGEST_SECONDS", 0.5)
    asks = reader.Reader(str(fleet.home))
    asks.begin(PutOff(str(fleet.home)))
    with pytest.raises(BadEntry, match="too long"):
        asks.prepare(names[0])
    monkeypatch.setattr(reader_watch, "_LONGEST_SECONDS", 100.0)
    found = asks.prepare(names[1])
    asks.close()
    assert found is not None and found.entry.name == names[1]


WRITTEN = """
import sys
from pathlib import Path
from fleet_lib.drain import drainer

def written():
    fields = Path("/proc/self/io").read_text().split()
    return int(fields[fields.index("wchar:") + 1])

before = written()
assert drainer.drain(sys.argv[1])
print(written() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="needs Linux's count of bytes")
def test_a_turn_writes_little_more_than_its_rows(fleet: Fleet) -> None:
    for number in range(60):
        put(fleet, number)
    # A process of its own: what a child has written counts to the one that waits for it.
    command = [sys.executable, "-c", WRITTEN, str(fleet.home)]
    done = subprocess.run(command, env=fleet.env(), cwd=ROOT, capture_output=True, check=True)
    assert len(briefings(fleet)) == 60
    assert int(done.stdout) / 60 < 60_000  # it was 180 KB
