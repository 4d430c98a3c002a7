"""A drainer that lingers: it is woken by hooks, misses none, and makes way at once for whatever needs
its lock."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from support import ROOT, Fleet, make_repository, payload

from commander.setup import uninstall
from fleet_lib import held, hot_settings, paths, spool, wake
from fleet_lib.drain import drain, linger, mounts, put_off
from fleet_lib.drain.program import Program
from fleet_lib.files import write_whole
from fleet_lib.prelude.database import SCHEMA_VERSION
from fleet_lib.store import restore
from fleet_lib.turn import git, remembered
from fleet_lib.turn.repositories import Repositories

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and F_NOTIFY")


def until(is_true: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def stop(fleet: Fleet, number: int, *, background: bool = True) -> None:
    """A turn's end, by the real hook."""
    call = {
        "session_id": "s",
        "prompt_id": f"p{number}",
        "last_assistant_message": f"Done {number}.",
    }
    done = fleet.hook("stop", payload("Stop") | call, fleet.folder, background=background)
    assert done.returncode == 0


def put(home: str, number: int) -> None:
    call = {"session_id": "s", "prompt_id": f"p{number}", "last_assistant_message": "Done."}
    spool.put(home, "Stop", json.dumps(call).encode(), "s", cwd="/nowhere")


def applied(fleet: Fleet) -> int:
    if not (fleet.home / "fleet.db").exists():
        return 0
    with contextlib.suppress(Exception):  # it is being made
        return int(fleet.rows("SELECT count(*) FROM briefings")[0][0])
    return 0


def doing(fleet: Fleet) -> str:
    holder = held.named(Path(paths.lock(str(fleet.home))))
    return holder.doing if holder else ""


def is_idle(fleet: Fleet) -> bool:
    return doing(fleet) == held.IDLE


def start_lingering(fleet: Fleet) -> psutil.Process:
    """The drainer of a first turn, once it is idle."""
    stop(fleet, 1)
    until(lambda: is_idle(fleet))
    (pid,) = fleet.drainers()
    return psutil.Process(pid)


def patched_drainer(fleet: Fleet, patch: str) -> "subprocess.Popen[bytes]":
    """A drainer that lingers and runs the patch first."""
    script = f"""
import os, runpy, signal, sys, time
sys.path.insert(0, {str(ROOT)!r})
from fleet_lib import held, hot_settings, spool, wake
from fleet_lib.drain import drainer, linger
home = sys.argv[1]
{patch}
runpy.run_path({drain.__file__!r}, run_name="__main__")
"""
    return subprocess.Popen([sys.executable, "-c", script, str(fleet.home)], env=fleet.env())


# --- what it is for ---


@LINUX
def test_one_drainer_applies_turn_after_turn_and_holds_nothing_while_it_waits(fleet: Fleet) -> None:
    process = start_lingering(fleet)
    readers = set()
    for number in (2, 3):
        stop(fleet, number)
        until(lambda number=number: applied(fleet) == number)  # type: ignore[misc]
        until(lambda: is_idle(fleet))
        assert fleet.drainers() == [process.pid]
        readers |= {child.pid for child in process.children()}

    (reader,) = process.children()
    assert readers == {reader.pid}
    assert process.memory_info().rss + reader.memory_full_info().uss < 45 << 20
    assert [file.path for file in process.open_files() if "fleet.db" in file.path] == []
    assert reader.open_files() == []
    wake_file = Path(paths.wake(str(fleet.home)))
    assert wake_file.is_fifo() and wake_file.stat().st_mode & 0o777 == 0o600
    lock = Path(paths.lock(str(fleet.home)))
    hours_ago = time.time() - 9 * 3600  # a laptop that slept
    os.utime(lock, (hours_ago, hours_ago))
    holder = held.named(lock)
    assert holder is not None and holder.trouble() == ""
    assert f"process {process.pid}" in holder.in_words() and "waiting" in holder.in_words()
    before = used(process) + used(reader)
    time.sleep(0.5)
    assert used(process) + used(reader) - before < 0.1

    shutil.rmtree(fleet.home)
    for one in (process, reader):
        until(lambda one=one: has_ended(one))  # type: ignore[misc]
    assert not fleet.home.exists()


def used(process: psutil.Process) -> float:
    """Its CPU time in seconds."""
    return float(sum(process.cpu_times()[:2]))


def has_ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@LINUX
def test_reader_that_dies_while_the_drainer_waits_counts_against_no_entry(fleet: Fleet) -> None:
    put(str(fleet.home), 1)
    process = patched_drainer(fleet, "")
    drainer = psutil.Process(process.pid)
    for number in range(2, 6):
        until(lambda: is_idle(fleet))
        for reader in drainer.children():
            with contextlib.suppress(psutil.NoSuchProcess):  # its time was over
                reader.kill()
        put(str(fleet.home), number)
        wake.wake_drainer(str(fleet.home))
        until(lambda: not fleet.waiting())
    assert applied(fleet) == 5 and fleet.quarantine() == {}
    assert not Path(paths.put_off(str(fleet.home))).exists()
    assert process.poll() is None


def test_hook_that_wakes_starts_no_process(fleet: Fleet) -> None:
    process = start_lingering(fleet)
    started = fleet.folder / "started"
    python = fleet.home / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\ntouch '{started}'\n")
    python.chmod(0o700)

    stop(fleet, 2)
    until(lambda: applied(fleet) == 2)

    assert not started.exists()
    process.kill()
    until(lambda: not fleet.drainers())
    stop(fleet, 3)  # there is no reader any more
    until(started.exists)


def test_linger_seconds_of_0_ends_the_drainer_at_once(fleet: Fleet) -> None:
    fleet.console("config", "set", "drain.linger_seconds", "0")
    stop(fleet, 1)
    until(lambda: applied(fleet) == 1)
    until(lambda: not fleet.drainers(), 30)
    assert not Path(paths.wake(str(fleet.home))).exists()
    assert hot_settings.linger_seconds("/nowhere") == 60


# --- what makes it end ---


def test_whatever_takes_the_lock_does_not_wait_for_one_that_lingers(
    fleet: Fleet, tmp_path: Path
) -> None:
    fleet.console("config", "set", "drain.linger_seconds", "120")
    start_lingering(fleet)
    began = time.monotonic()
    stop(fleet, 2, background=False)
    fleet.console("status")  # by the one that lingers
    assert applied(fleet) == 2
    stop(fleet, 3, background=False)
    fleet.console("drain")  # by one of its own
    assert applied(fleet) == 3

    stop(fleet, 4)
    until(lambda: is_idle(fleet))
    backup = Path(fleet.console("db", "backup", str(tmp_path)).stdout.strip())
    with pytest.MonkeyPatch.context() as patch:
        move = restore._move_aside
        patch.setattr(restore, "_move_aside", lambda *a: (put(str(fleet.home), 9), move(*a))[1])
        restore.restore(str(fleet.home), backup)
    until(lambda: not fleet.waiting() and is_idle(fleet))  # what came meanwhile is not left behind
    fleet.wait_for_drainers()

    stop(fleet, 5)
    until(lambda: is_idle(fleet))
    said: list[object] = []
    with uninstall._without_drainer(fleet.home, said.append):
        assert not fleet.drainers()
    assert said == []
    assert time.monotonic() - began < 100


@pytest.mark.slow
def test_drainer_ends_when_home_database_or_program_was_replaced_and_the_turn_is_applied(
    fleet: Fleet,
) -> None:
    program = fleet.folder / "program"
    for name in ("fleet_lib", "hooks"):
        shutil.copytree(ROOT / name, program / name, ignore=shutil.ignore_patterns("__pycache__"))
    hook = [sys.executable, "-I", "-S", str(program / "hooks" / "stop.py")]

    def turn(number: int) -> int:
        call = payload("Stop") | {"prompt_id": f"p{number}"}
        data = json.dumps(call).encode()
        subprocess.run(hook, input=data, env=fleet.env(), check=True, cwd=fleet.folder)
        until(lambda: not fleet.waiting() and is_idle(fleet))
        return fleet.drainers()[0]

    first = turn(1)
    assert turn(2) == first
    module = program / "fleet_lib" / "turn" / "title.py"
    module.write_text(module.read_text() + "\n# a later version\n")
    second = turn(3)
    assert second != first
    shutil.copy(fleet.home / "fleet.db", fleet.home / "copy.db")
    (fleet.home / "copy.db").replace(fleet.home / "fleet.db")
    third = turn(4)
    assert third not in (first, second)
    assert applied(fleet) == 4
    # A plugin's newer version stands beside the one before it, and may have changed the database.
    later = fleet.folder / "later version"
    shutil.copytree(program, later)
    module = later / "fleet_lib" / "prelude" / "database.py"
    newer = f"SCHEMA_VERSION = {SCHEMA_VERSION + 1}"
    module.write_text(module.read_text().replace(f"SCHEMA_VERSION = {SCHEMA_VERSION}", newer))
    (
        later / "fleet_lib" / "store" / "migrations" / f"{SCHEMA_VERSION + 1:04d}_more.sql"
    ).write_text("CREATE TABLE more (id INTEGER);")
    with contextlib.closing(sqlite3.connect(fleet.home / "fleet.db")) as connection:
        connection.executescript(
            f"CREATE TABLE more (id); PRAGMA user_version = {SCHEMA_VERSION + 1}"
        )
    hook[-1] = str(later / "hooks" / "stop.py")
    fourth = turn(5)
    with contextlib.closing(sqlite3.connect(fleet.home / "fleet.db")) as connection:
        assert connection.execute("SELECT count(*) FROM briefings").fetchone() == (5,)
    assert str(later) in " ".join(psutil.Process(fourth).cmdline())


def test_drainer_that_is_large_or_old_ends_instead_of_waiting(fleet: Fleet) -> None:
    for limit in ("LARGEST_BYTES = 1 << 20", "LONGEST_LIFE_SECONDS = 0.0"):
        put(str(fleet.home), 1)
        assert patched_drainer(fleet, f"linger.{limit}").wait(60) == drain.DONE
        assert fleet.waiting() == []


@LINUX
def test_reader_that_is_large_ends_and_the_drainer_stays(fleet: Fleet) -> None:
    put(str(fleet.home), 1)
    process = patched_drainer(
        fleet, "sys.modules['fleet_lib.drain.reader'].LARGEST_BYTES = 1 << 20"
    )

    def is_alone() -> bool:
        children = psutil.Process(process.pid).children()
        return all(child.status() == psutil.STATUS_ZOMBIE for child in children)

    until(lambda: applied(fleet) == 1 and is_idle(fleet) and is_alone())
    stop(fleet, 2)
    until(lambda: applied(fleet) == 2 and is_idle(fleet) and is_alone())
    assert process.poll() is None


def test_home_without_fifos_or_of_several_kernels_is_drained_as_ever(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.make_folders(str(fleet.home))
    Path(paths.wake(str(fleet.home))).write_text("no pipe")
    stop(fleet, 1)
    until(lambda: applied(fleet) == 1)
    until(lambda: not fleet.drainers(), 30)
    assert Path(paths.wake(str(fleet.home))).read_text() == "no pipe"

    listed = fleet.folder / "mounts"
    listed.write_text(
        "21 1 8:1 / / rw shared:1 - ext4 /dev/vda rw\n"
        "30 21 0:44 / /home/me\\040and/you rw shared:9 - nfs4 server:/export rw\n"
    )
    real = open
    monkeypatch.setattr(
        "builtins.open",
        lambda name, *a, **k: real(listed if name == "/proc/self/mountinfo" else name, *a, **k),
    )
    assert mounts.is_shared("/home/me and/you/.claude/commander")
    assert not mounts.is_shared("/home/me")


# --- no wake-up is lost ---


@pytest.mark.parametrize(
    "moment",
    [
        "real = linger.Bell.close\ndef late(*a): come(); real(*a)\nlinger.Bell.close = late",
        "real = linger.Bell.close\ndef late(*a): real(*a); come()\nlinger.Bell.close = late",
        "real = held.release\ndef late(*a): real(*a); come()\nheld.release = late",
    ],
    ids=("before the FIFO is closed", "before the release", "after the release"),
)
def test_entry_that_comes_while_the_drainer_ends_is_applied_by_it(
    fleet: Fleet, moment: str
) -> None:
    put(str(fleet.home), 1)
    # What a hook does; the drainer that it starts found the lock held.
    patch = f"""
hot_settings.linger_seconds = lambda home: 0.001
wake._start_drainer = lambda *_: None
came = []
def come():
    if not came:
        came.append(spool.put(home, "Stop", b'{{"session_id": "s", "prompt_id": "late"}}', "s"))
        wake.wake_drainer(home)
{moment}
"""
    assert patched_drainer(fleet, patch).wait(60) == drain.DONE
    assert fleet.waiting() == [] and applied(fleet) == 2


MOMENTS = {
    "it waits": "linger.Bell.wait, real = (lambda *a: die()), linger.Bell.wait",
    "it begins": "linger.Bell.__init__, real = (lambda *a: (real(*a), die())), linger.Bell.__init__",
    "it applies": "drainer.drain, real = (lambda *a, **k: die()), drainer.drain",
    "it is woken": "os.read, real = (lambda *a: (real(*a), a[1] == 65536 and die())[0]), os.read",
    "it ends": "linger.Bell.close, real = (lambda *a: (real(*a), die())), linger.Bell.close\n"
    "hot_settings.linger_seconds = lambda home: 0.3",
}


@pytest.mark.parametrize(
    "moment",
    [pytest.param(name, marks=() if name == "it waits" else pytest.mark.slow) for name in MOMENTS],
)
def test_drainer_that_is_killed_at_any_moment_is_followed_by_the_next_hooks(
    fleet: Fleet, moment: str
) -> None:
    put(str(fleet.home), 1)
    patch = f"die = lambda: os.kill(os.getpid(), signal.SIGKILL)\n{MOMENTS[moment]}"
    process = patched_drainer(fleet, patch)
    time.sleep(0.1)
    while process.poll() is None:
        wake.ring(str(fleet.home))
        time.sleep(0.05)
    assert process.returncode == -signal.SIGKILL
    stop(fleet, 2)
    until(lambda: applied(fleet) == 2 and not fleet.waiting())


def test_stopped_drainer_is_named_and_goes_on_where_it_was(fleet: Fleet) -> None:
    process = start_lingering(fleet)
    process.send_signal(signal.SIGSTOP)
    until(lambda: process.status() == psutil.STATUS_STOPPED)
    stop(fleet, 2)
    assert f"kill -CONT {process.pid}" in " ".join(fleet.console("status").stdout.split())
    # An entry that has waited for long shows that wakes do nothing: a drainer is started, too.
    (entry,) = fleet.waiting()
    new = Path(paths.spool(str(fleet.home), "new"))
    old = f"{int(entry[:20]) - 60 * 10**9:020d}{entry[20:]}"
    (new / entry).rename(new / old)
    started = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wake, "_start_drainer", lambda home, _: started.append(home))
        wake.wake_drainer(str(fleet.home))
    assert started == [str(fleet.home)]
    process.send_signal(signal.SIGCONT)
    until(lambda: applied(fleet) == 2 and is_idle(fleet))
    assert fleet.drainers() == [process.pid]


def test_wake_never_waits_nor_writes_to_what_is_no_fifo(fleet: Fleet) -> None:
    home = str(fleet.home)
    spool.make_folders(home)
    place = Path(paths.wake(home))
    for make in (lambda: None, place.touch, place.mkdir, lambda: place.symlink_to("/dev/null")):
        make()
        assert not wake.ring(home)
        assert not place.is_file() or place.read_bytes() == b""
        if place.is_dir():
            place.rmdir()
        place.unlink(missing_ok=True)
    os.mkfifo(place)
    assert not wake.ring(home)  # without a reader
    reader = os.open(place, os.O_RDONLY | os.O_NONBLOCK)
    try:
        while wake.ring(home):  # until it is full
            pass
    finally:
        os.close(reader)


def test_what_was_put_off_is_tried_when_it_is_due(fleet: Fleet) -> None:
    put(str(fleet.home), 1)
    (entry,) = fleet.waiting()

    def put_it_off(seconds: float) -> None:
        next_try = time.time() + seconds
        place = put_off.Place("/dead", "it does not answer", True, time.time(), 1, next_try)
        row = vars(place) | {"entries": [entry]}
        write_whole(Path(paths.put_off(str(fleet.home))), json.dumps({"places": [row]}))

    put_it_off(600)
    process = patched_drainer(fleet, "linger.LOOK_SECONDS = 0.3")
    until(lambda: is_idle(fleet))
    assert fleet.waiting() == [entry]
    put_it_off(0.5)
    until(lambda: not fleet.waiting())
    assert process.poll() is None


@LINUX
def test_entry_of_a_hook_that_was_killed_before_it_rang_is_found_by_a_look(fleet: Fleet) -> None:
    put(str(fleet.home), 1)
    process = patched_drainer(fleet, "linger.SELDOM_SECONDS = 0.3")
    until(lambda: applied(fleet) == 1 and is_idle(fleet))
    put(str(fleet.home), 2)
    until(lambda: applied(fleet) == 2)
    assert process.poll() is None


@LINUX
@pytest.mark.parametrize("change", [Path.unlink, lambda fifo: fifo.chmod(0)], ids=("gone", "shut"))
def test_drainer_whose_fifo_no_hook_can_open_ends_at_once(
    fleet: Fleet, change: Callable[[Path], None]
) -> None:
    put(str(fleet.home), 1)
    process = patched_drainer(fleet, "linger.LOOK_SECONDS = linger.SELDOM_SECONDS = 600.0")
    until(lambda: is_idle(fleet))
    change(Path(paths.wake(str(fleet.home))))
    assert process.wait(20) == drain.DONE


@LINUX
@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.write_text("2"),
        lambda file: (file.with_suffix(".new").write_text("2"), file.with_suffix(".new").replace(file)),
        lambda file: (file.parents[3].joinpath("2").write_text("2"), file.parents[3].joinpath("2").replace(file)),
        Path.unlink,
        lambda file: file.parent.rename(file.parents[1] / "other"),
        lambda file: shutil.copytree(file.parents[2], file.parents[3] / "copy") and (
            file.parents[2].rename(file.parents[3] / "before"),
            (file.parents[3] / "copy").rename(file.parents[2]),
        ),
    ],
    ids=("written", "renamed", "from elsewhere", "removed", "folder", "program"),
)  # fmt: skip
def test_program_is_compared_once_something_in_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], object]
) -> None:
    file = tmp_path / "program" / "fleet_lib" / "turn" / "title.py"
    file.parent.mkdir(parents=True)
    file.write_text("1")
    begun = Program(str(tmp_path / "program"))
    assert begun.is_same()
    with monkeypatch.context() as patch:
        patch.setattr(begun, "_facts_now", lambda: 1 / 0)  # no file is asked for
        assert begun.is_same() and begun.is_same()
    (file.parent / "__pycache__").mkdir()
    assert begun.is_same() and begun.is_same()
    change(file)
    assert not begun.is_same() and not begun.is_same()
    begun.close()


@contextlib.contextmanager
def light_drainers(fleet: Fleet) -> Iterator[None]:
    """Hooks start drainers that linger for 1 to 6 ms, and apply an entry by removing it."""
    runner = fleet.folder / "runner.py"
    runner.write_text(f"""
import os, random, runpy, sys, types
sys.path.insert(0, {str(ROOT)!r})
sys.argv = sys.argv[1:]
from fleet_lib import hot_settings, spool
hot_settings.linger_seconds = lambda home: random.randint(1, 6) / 1000
def apply(home, *_, **__):
    spool.acknowledge(home, spool.pending(home))
    return True
for name, more in (("drainer", {{"drain": apply}}), ("put_off", {{"waiting": spool.pending}}),
                   ("reader", {{"Reader": lambda home: types.SimpleNamespace(end_child=lambda: None)}})):
    module = sys.modules["fleet_lib.drain." + name] = types.ModuleType(name)
    module.__dict__.update(more)
import fleet_lib.drain
for name in ("drainer", "put_off", "reader"):
    setattr(fleet_lib.drain, name, sys.modules["fleet_lib.drain." + name])
runpy.run_path(sys.argv[0], run_name="__main__")
""")
    python = fleet.home / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\nshift 2\nexec '{sys.executable}' -I '{runner}' \"$@\"\n")
    python.chmod(0o700)
    yield
    python.unlink()


def write_entries(fleet: Fleet, writers: int, each: int) -> None:
    """Entries of several writers, as hooks put them, each at a time of its own."""
    home = str(fleet.home)

    def write(writer: int) -> None:
        for number in range(each):
            put(home, writer * each + number)
            wake.wake_drainer(home)
            time.sleep((number * 7 + writer) % 11 / 1000)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: not fleet.waiting())
    until(lambda: not fleet.drainers())
    assert fleet.waiting() == []


def test_entries_of_several_writers_are_all_taken_by_drainers_that_linger_for_moments(
    fleet: Fleet,
) -> None:
    with light_drainers(fleet):
        write_entries(fleet, 4, 25)


@pytest.mark.slow
def test_no_entry_of_thousands_is_left_behind(fleet: Fleet) -> None:
    with light_drainers(fleet):
        write_entries(fleet, 4, 600)


@LINUX
def test_reader_that_is_stopped_or_killed_holds_up_nothing(fleet: Fleet) -> None:
    process = start_lingering(fleet)
    (reader,) = process.children()
    reader.suspend()
    stop(fleet, 2)
    until(lambda: applied(fleet) == 2)
    until(lambda: is_idle(fleet))
    assert fleet.drainers() == [process.pid]
    process.kill()

    put(str(fleet.home), 3)
    patch = """
from fleet_lib.drain import reader
real = reader.Reader.forget
def killed(self):
    os.kill(self._child, signal.SIGKILL)
    time.sleep(0.1)
    real(self)
reader.Reader.forget = killed
"""
    other = patched_drainer(fleet, patch)
    until(lambda: applied(fleet) == 3 and is_idle(fleet))
    assert other.poll() is None and fleet.quarantine() == {}


def test_wake_that_another_program_reads_starts_a_drainer(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = str(fleet.home)
    put(home, 1)
    started: list[str] = []
    monkeypatch.setattr(wake, "_start_drainer", lambda home, _: started.append(home))
    os.mkfifo(paths.wake(home))
    reader = os.open(paths.wake(home), os.O_RDONLY | os.O_NONBLOCK)
    wake.wake_drainer(home)
    lock = fleet.hold_lock()
    assert lock is not None and started == [home]
    wake.wake_drainer(home)
    assert started == [home] and os.read(reader, 99) == 2 * os.fsencode(f"{ROOT}\n")
    os.close(lock)
    os.close(reader)


@LINUX
def test_drainer_of_another_user_or_mount_namespace_makes_way_for_one_that_sees_the_folders(
    fleet: Fleet,
) -> None:
    put(str(fleet.home), 1)
    other = patched_drainer(fleet, 'wake.view = lambda: "1 1"')
    until(lambda: is_idle(fleet))
    stop(fleet, 2)
    until(lambda: applied(fleet) == 2 and is_idle(fleet))
    assert other.wait(60) == drain.DONE
    (pid,) = fleet.drainers()
    stop(fleet, 3)
    until(lambda: applied(fleet) == 3 and is_idle(fleet))
    assert fleet.drainers() == [pid]


def test_what_changes_while_the_drainer_waits_ends_it_and_names_who_goes_on(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = fleet.home
    put(str(home), 1)
    monkeypatch.setattr(linger, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(linger, "memory_bytes", lambda: 0)  # this process is no drainer
    monkeypatch.setattr(linger.Bell, "_notice_change", lambda _: False)
    other = fleet.folder / "other program"
    (other / "fleet_lib" / "drain").mkdir(parents=True)
    (other / "fleet_lib" / "drain" / "drain.py").touch()
    moved = home.with_name("moved")

    def end_of(change: Callable[[], object], *, works: bool = False) -> list[tuple[str, str]]:
        """What a drainer that waits does after the change."""
        bell = linger.Bell(str(home), str(ROOT), True)
        timer = threading.Timer(0.1, change)
        began = time.monotonic()
        timer.start()
        assert not bell.wait(lambda: works and not timer.is_alive())
        assert 0.05 < time.monotonic() - began < 30
        timer.join()
        found = bell.successors()
        bell.close()
        return found

    def ring(place: Path, program: object) -> bool:
        return wake.ring(str(place), f"{program}\n".encode())

    assert end_of(lambda: (home / "config.toml").write_text("[drain]\nlinger_seconds = 0\n")) == []
    (home / "config.toml").unlink()
    fifo = Path(paths.wake(str(home)))
    assert end_of(lambda: fifo.chmod(0)) == [(str(home), str(ROOT))]
    fifo.chmod(0o600)
    monkeypatch.setattr(linger, "LOOK_SECONDS", 40.0)  # from now on it is rung
    # A newer program is to apply what its hooks captured.
    assert end_of(lambda: ring(home, other), works=True) == [(str(home), str(other))]
    # One that is not there, or is this one by another name, is no other.
    (fleet.folder / "link").symlink_to(ROOT)
    for program in ("/nowhere", fleet.folder / "link"):
        assert end_of(lambda p=program: (ring(home, p), wake.ring(str(home), wake.LEAVE))) == []  # type: ignore[misc]
    # Hooks at the home's new place rang this drainer.
    successors = end_of(lambda: (home.rename(moved), ring(moved, ROOT)))
    assert (str(home), str(ROOT)) in successors
    assert sys.platform != "linux" or (str(moved), str(ROOT)) in successors


# --- what it remembers ---


def test_git_is_asked_again_only_about_what_may_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_repository(tmp_path / "app", "https://example.com/a/app.git")
    asked: list[str] = []
    real = git.run
    monkeypatch.setattr(
        git,
        "run",
        lambda folder, *words, **k: (asked.append(words[0]), real(folder, *words, **k))[1],
    )
    monkeypatch.setattr(remembered, "_SETTLED_NS", 0)

    def state() -> git.GitState:
        asked.clear()
        found = Repositories().state(str(folder), time.time_ns())
        assert found is not None
        return found

    before = state()
    assert {"rev-parse", "config"} <= set(asked)
    assert state().head == before.head and not {"rev-parse", "config"} & set(asked)

    identity = ["-c", "user.name=D", "-c", "user.email=d@example.org"]
    subprocess.run(
        ["git", "-C", str(folder), *identity, "commit", "--allow-empty", "-qm", "more"], check=True
    )
    after = state()
    assert after.head != before.head and len(after.reflog) == len(before.reflog) + 1
    subprocess.run(["git", "-C", str(folder), "checkout", "-qb", "topic"], check=True)
    assert state().branch == "topic"
    address = "https://example.com/a/other.git"
    subprocess.run(["git", "-C", str(folder), "remote", "set-url", "origin", address], check=True)
    assert state().remote == address
    subprocess.run(["git", "-C", str(folder), "pack-refs", "--all"], check=True)
    assert state().head == after.head
    subprocess.run(["git", "-C", str(folder), "checkout", "-q", "--detach"], check=True)
    assert state().branch is None
    subprocess.run(["git", "-C", str(folder), "config", "include.path", "/x"], check=True)
    state()
    state()
    assert "config" in asked  # what other files say is not known


def test_folder_that_comes_to_be_in_another_repository_has_that_ones_remote_and_branch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "_SETTLED_NS", 0)
    first, second = (f"https://example.com/a/{name}.git" for name in ("first", "second"))
    folder = make_repository(tmp_path / "app", first)
    other = make_repository(tmp_path / "other", second)
    inside, link = folder / "inside", tmp_path / "link"
    inside.mkdir()
    link.symlink_to(folder)

    def facts(place: Path) -> tuple[str | None, str | None]:
        state = git.read_git_state(str(place))
        assert state is not None
        return state.remote, state.branch

    assert [facts(place)[0] for place in (inside, link, inside, link)] == [first] * 4
    (other / ".git").rename(inside / ".git")
    assert facts(inside)[0] == second
    link.unlink()
    link.symlink_to(inside)
    assert facts(link)[0] == second
    (inside / ".git").rename(other / ".git")
    assert facts(inside)[0] == facts(link)[0] == first

    branch = facts(folder)[1]
    subprocess.run(["git", "-C", str(folder), "tag", str(branch)], check=True)
    subprocess.run(["git", "-C", str(folder), "pack-refs", "--all"], check=True)
    assert facts(folder)[1] == branch
    shutil.rmtree(folder / ".git" / "objects")
    assert git.read_git_state(str(folder)) is None
