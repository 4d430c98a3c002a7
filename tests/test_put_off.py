"""What the world does to a drain: folders that do not answer, disks in trouble, a drainer that is
stopped. The rest goes on, nothing is lost, and the console says what hangs and where."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support import ROOT, Fleet

from commander.doctor import checks
from commander.doctor.findings import Finding, Installation
from fleet_lib import apart, held, outside, paths, spool
from fleet_lib.drain import drain, drainer, put_off, reader_child
from fleet_lib.errors import NoAnswer
from fleet_lib.turn import repositories
from fleet_lib.turn import transcript as turn_transcript
from torture import dead_mount

needs_fuse = pytest.mark.skipif(not dead_mount.is_possible(), reason="needs root and FUSE")


def put(fleet: Fleet, number: int, folder: Path | str, **more: Any) -> str:
    session = f"s-{Path(folder).name}"
    call = {"session_id": session, "prompt_id": f"p{number}", "cwd": str(folder)}
    call |= {"last_assistant_message": f"Turn {number} is done.", **more}
    data = json.dumps(call).encode()
    return spool.put(str(fleet.home), "Stop", data, session, str(folder), str(folder))


def briefings(fleet: Fleet) -> set[str]:
    return {row[0] for row in fleet.rows("SELECT task_id FROM briefings")}


def run_drainer(fleet: Fleet, *arguments: str, timeout: float = 60) -> int:
    command = [sys.executable, "-I", drain.__file__, str(fleet.home), "--once", *arguments]
    return subprocess.run(command, env=fleet.env(), timeout=timeout, check=False).returncode


def fleet_command(fleet: Fleet, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """A process of its own, whose streams are pipes: what hangs must not keep them open."""
    command = [sys.executable, "-m", "commander", *arguments]
    return subprocess.run(
        command, env=fleet.env(), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def healthy(fleet: Fleet) -> Path:
    folder = fleet.folder / "healthy"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def dead(fleet: Fleet) -> Path:
    folder = fleet.folder / "dead"
    folder.mkdir()
    return folder


# --- folders that do not answer ---


@needs_fuse
def test_folder_on_a_dead_mount_stops_no_other_project(fleet: Fleet, dead: Path) -> None:
    alive = healthy(fleet)
    with dead_mount.dead_mount(dead):
        put(fleet, 1, dead / "a")
        put(fleet, 2, alive)
        put(fleet, 3, dead / "b")
        put(fleet, 4, alive, transcript_path=str(dead / "projects" / "p" / "s.jsonl"))
        put(fleet, 5, alive)
        assert run_drainer(fleet) == drain.DONE
        assert briefings(fleet) == {"p2", "p5"}
        (place,) = put_off.read(str(fleet.home))
        assert place.place == str(dead) and place.is_silent and len(place.hanging()) == 1
        # The next drain asks nothing there before its time, and leaves no other process behind.
        put(fleet, 6, dead / "c")
        put(fleet, 7, alive)
        place.next_try = time.time() + 60
        write_places(fleet, place)
        assert run_drainer(fleet) == drain.DONE
        assert briefings(fleet) == {"p2", "p5", "p7"}
        assert put_off.read(str(fleet.home))[0].hanging() == place.hanging()
        drained = fleet_command(fleet, "drain")
        assert drained.returncode == 1
        assert "4 entries wait" in drained.stderr and str(dead) in drained.stderr
        assert f"process {place.hanging()[0]}" in drained.stderr
        shown = fleet_command(fleet, "status")
        assert shown.returncode == 0 and f"waiting for {dead}" in " ".join(shown.stdout.split())
        waits = json.loads(fleet_command(fleet, "status", "--json").stdout)["capture"]["put_off"]
        assert [(one["place"], one["entries"]) for one in waits] == [(str(dead), 4)]
        assert str(dead) in " ".join(fleet_command(fleet, "doctor").stdout.split())
    assert fleet.quarantine() == {}
    assert fleet_command(fleet, "drain").returncode == 0
    assert briefings(fleet) == {f"p{number}" for number in range(1, 8)}
    assert put_off.read(str(fleet.home)) == []


@needs_fuse
def test_file_that_was_edited_on_a_dead_mount_does_not_hold_its_turn_up(
    fleet: Fleet, dead: Path
) -> None:
    edit = {"type": "tool_use", "id": "t", "name": "Edit", "input": {"file_path": f"{dead}/x.py"}}
    lines = [
        {"type": "user", "promptId": "p1", "message": {"content": "Do it."}, "uuid": "u"},
        {"type": "assistant", "message": {"content": [edit]}},
        {
            "type": "assistant",
            "message": {"content": [{"type": "text", "text": "Turn 1 is done."}]},
        },
    ]
    transcript = fleet.folder / "t.jsonl"
    transcript.write_text("".join(json.dumps(line) + "\n" for line in lines))
    put(fleet, 1, healthy(fleet), transcript_path=str(transcript))
    with dead_mount.dead_mount(dead):
        assert run_drainer(fleet) == drain.DONE
        assert briefings(fleet) == {"p1"}


@needs_fuse
@pytest.mark.slow
def test_import_asks_a_dead_mount_once_and_takes_in_the_rest(fleet: Fleet, dead: Path) -> None:
    folder = fleet.folder / "transcripts"
    folder.mkdir()
    for number, cwd in enumerate((dead / "a", dead / "b", healthy(fleet))):
        lines: list[dict[str, Any]] = [
            {"type": "user", "promptId": f"p{number}", "message": {"content": "Do it."}},
            {
                "type": "assistant",
                "message": {"content": [{"type": "text", "text": "It is done."}]},
            },
        ]
        lines[1]["message"] |= {"stop_reason": "end_turn", "model": "m", "role": "assistant"}
        common = {"cwd": str(cwd), "sessionId": f"s{number}", "timestamp": "2025-01-01T00:00:00Z"}
        file = folder / f"s{number}.jsonl"
        file.write_text(
            "".join(
                json.dumps({**line, **common, "uuid": f"{number}-{at}"}) + "\n"
                for at, line in enumerate(lines)
            )
        )
        os.utime(file, (1735689600 + number,) * 2)
    with dead_mount.dead_mount(dead):
        done = fleet_command(fleet, "import", str(folder))
        assert done.returncode == 0, done.stderr
    assert "p2" in briefings(fleet)
    assert "does not answer" in done.stderr


def test_reader_that_ignores_all_signals_is_abandoned(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, dead: Path
) -> None:
    """Without FUSE: a question that no signal but SIGKILL ends."""
    real = outside.is_folder

    def is_folder(path: str) -> bool:
        outside.asking(path)
        while path == str(dead):
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            time.sleep(1)
        return real(path)

    monkeypatch.setattr(outside, "is_folder", is_folder)
    monkeypatch.setattr(outside, "QUESTION_SECONDS", 0.5)
    monkeypatch.setattr(outside.asking, "__defaults__", (0.5,))
    put(fleet, 1, dead)
    put(fleet, 2, healthy(fleet))
    assert drainer.drain(str(fleet.home))
    assert briefings(fleet) == {"p2"}
    (place,) = put_off.read(str(fleet.home))
    assert place.place == str(dead) and place.hanging() == [] and len(place.entries) == 1
    monkeypatch.setattr(outside, "is_folder", real)
    assert drainer.drain(str(fleet.home))
    assert briefings(fleet) == {"p2"}, "it was tried before its time"
    assert drainer.drain(str(fleet.home), is_forced=True)
    assert briefings(fleet) == {"p1", "p2"} and fleet.quarantine() == {}


def test_entry_that_waits_for_most_of_its_time_is_put_off(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = reader_child.prepare
    slow = put(fleet, 1, healthy(fleet))
    put(fleet, 2, healthy(fleet))

    def prepare(entry: spool.Entry, *rest: Any) -> Any:
        if entry.name == slow:
            time.sleep(30)
        return real(entry, *rest)

    monkeypatch.setattr(reader_child, "prepare", prepare)
    monkeypatch.setattr(reader_child, "ENTRY_SECONDS", 1.0)
    assert drainer.drain(str(fleet.home))
    assert slow in put_off.names(str(fleet.home)) and fleet.quarantine() == {}


def test_entry_whose_git_does_not_answer_is_put_off(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = healthy(fleet)
    with monkeypatch.context() as patch:
        patch.setattr(repositories, "read_git_state", _git_is_silent)
        put(fleet, 1, folder)
        assert drainer.drain(str(fleet.home))
    (place,) = put_off.read(str(fleet.home))
    assert (place.place, place.is_silent) == (str(folder), False) and "git" in place.reason
    assert drainer.drain(str(fleet.home), is_forced=True)
    assert briefings(fleet) == {"p1"} and fleet.quarantine() == {}


def _git_is_silent(_: str) -> None:
    raise repositories.GitTimeout("git took too long")


def test_pause_before_a_place_is_asked_again_grows(fleet: Fleet) -> None:
    spool.make_folders(str(fleet.home))
    pauses = []
    for _ in range(14):
        places = put_off.PutOff(str(fleet.home), is_forced=True)
        place = places.note(NoAnswer("/dead", "it does not answer", is_silent=True), "an-entry")
        pauses.append(round(place.next_try - time.time()))
        places.save()
    assert pauses[:4] == [5, 10, 20, 40] and pauses[-1] == put_off.LONGEST_PAUSE_SECONDS
    assert [one.since for one in put_off.read(str(fleet.home))] == [place.since]


def test_no_place_that_is_noted_has_the_home_in_it(fleet: Fleet) -> None:
    home = str(fleet.home)
    assert put_off.place_to_note("/x", "/x", home) == "/x"
    assert put_off.place_to_note("/p/.git/HEAD", "/p", home) == "/p"
    assert put_off.place_to_note("/elsewhere/t.jsonl", "/p", home) == "/elsewhere"
    assert put_off.place_to_note("/t.jsonl", "/p", home) == "/t.jsonl"
    assert put_off.place_to_note(f"{home}/p/x", f"{home}/p", home) == f"{home}/p"


def write_places(fleet: Fleet, *places: put_off.Place) -> None:
    rows = [vars(place) for place in places]
    Path(paths.put_off(str(fleet.home))).write_text(json.dumps({"places": rows}))


# --- a disk in trouble ---


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EMFILE])
@pytest.mark.parametrize("what", ["entry", "transcript", "opening"])
def test_trouble_of_the_disk_is_tried_again(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, number: int, what: str
) -> None:
    monkeypatch.setattr(turn_transcript, "WAIT_SECONDS", 0.2)
    transcript = fleet.folder / "t.jsonl"
    transcript.write_text('{"type":"user","promptId":"p1","message":{"content":"Do it."}}\n')
    put(fleet, 1, healthy(fleet), transcript_path=str(transcript))

    def fail(*_: object, **__: object) -> Any:
        raise OSError(number, os.strerror(number))

    real_open = os.open

    def fail_to_open(path: Any, *rest: Any, **more: Any) -> int:
        return fail() if path == str(transcript) else real_open(path, *rest, **more)

    with monkeypatch.context() as patch:
        if what == "entry":
            patch.setattr(spool, "read", fail)
        elif what == "transcript":
            patch.setattr(os, "pread", fail)
        else:
            patch.setattr(os, "open", fail_to_open)
        assert drainer.drain(str(fleet.home))
    assert fleet.quarantine() == {} and len(fleet.waiting()) == 1
    (place,) = put_off.read(str(fleet.home))
    assert place.reason == os.strerror(number) and not place.is_silent
    assert drainer.drain(str(fleet.home), is_forced=True)
    assert briefings(fleet) == {"p1"} and fleet.waiting() == []


# --- the drainer's lock ---


def test_lock_names_the_drainer_that_holds_it_and_what_it_does(fleet: Fleet) -> None:
    spool.make_folders(str(fleet.home))
    file = Path(paths.lock(str(fleet.home)))
    descriptor = held.hold(file)
    assert descriptor is not None
    held.say(descriptor, "reading 3 entries\nof all")
    holder = held.named(file)
    assert holder and holder.pid == os.getpid() and holder.doing == "reading 3 entries?of all"
    assert abs(holder.since - time.time()) < 60 and holder.trouble() == ""
    os.utime(file, (0, time.time() - 300))
    stuck = held.named(file)
    assert stuck and f"kill -9 {os.getpid()}" in stuck.trouble()
    held.release(descriptor)
    assert held.named(file) is None
    os.close(descriptor)


def test_lock_file_of_a_killed_drainer_names_no_process(fleet: Fleet) -> None:
    spool.make_folders(str(fleet.home))
    file = Path(paths.lock(str(fleet.home)))
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path;"
        "from fleet_lib import held; held.hold(Path(sys.argv[2]))"
    )
    subprocess.run([sys.executable, "-c", script, str(ROOT), str(file)], check=True)
    assert file.read_text() and held.named(file) is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists locks")
def test_holder_that_does_not_name_itself_is_found(fleet: Fleet) -> None:
    descriptor = fleet.hold_lock()
    assert descriptor is not None
    holder = held.named(Path(paths.lock(str(fleet.home))))
    os.close(descriptor)
    assert holder and holder.pid == os.getpid()


def test_stopped_drainer_is_named_with_how_it_goes_on(fleet: Fleet) -> None:
    put(fleet, 1, healthy(fleet))
    assert run_drainer(fleet) == drain.DONE
    put(fleet, 2, healthy(fleet))
    stop_itself = (
        "import os, runpy, signal, sys; sys.path.insert(0, sys.argv[2]);"
        "from fleet_lib.drain import drainer; real = drainer.drain;"
        "drainer.drain = lambda *a, **k: (os.kill(os.getpid(), signal.SIGSTOP), real(*a, **k))[1];"
        f"runpy.run_path({drain.__file__!r}, run_name='__main__')"
    )
    command = [sys.executable, "-c", stop_itself, str(fleet.home), str(ROOT), "--once"]
    with subprocess.Popen(command, env=fleet.env()) as process:
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        began = time.monotonic()
        drained = fleet_command(fleet, "drain")
        assert drained.returncode == 1 and f"kill -CONT {process.pid}" in drained.stderr
        shown = fleet_command(fleet, "status")
        assert f"kill -CONT {process.pid}" in " ".join(shown.stdout.split())
        assert f"kill -9 {process.pid}" in " ".join(fleet_command(fleet, "doctor").stdout.split())
        assert time.monotonic() - began < 90
        process.send_signal(signal.SIGCONT)
    assert briefings(fleet) == {"p1", "p2"}


def test_file_system_without_locks_is_named_once(fleet: Fleet) -> None:
    put(fleet, 1, healthy(fleet))
    no_locks = (
        "import errno, fcntl, runpy, sys\n"
        "def flock(*_): raise OSError(errno.ENOLCK, 'No locks available')\n"
        "fcntl.flock = flock\n"
        f"runpy.run_path({drain.__file__!r}, run_name='__main__')"
    )
    for _ in range(3):
        command = [sys.executable, "-c", no_locks, str(fleet.home)]
        done = subprocess.run(command, env=fleet.env(), capture_output=True, check=False)
        assert done.returncode == drain.UNUSABLE and done.stderr == b""
    assert fleet.log().count("no working locks (No locks available)") == 1
    assert len(fleet.waiting()) == 1


# --- questions of the console ---


def test_check_of_doctor_that_gets_no_answer_is_a_finding(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(_: Installation) -> Any:
        yield Finding("ok", "hangs", "Not yet.")
        time.sleep(30)

    monkeypatch.setattr(checks, "CHECKS", {"hangs": hang})
    monkeypatch.setattr(checks, "CHECK_SECONDS", 0.5)
    (finding,) = checks.run_all(Installation(fleet.home, fleet.folder))
    assert (finding.level, finding.check) == ("warning", "hangs")
    assert "no answer within" in finding.found


def test_question_to_a_child_has_its_answer_or_its_error() -> None:
    assert apart.ask(lambda: ["x"] * 100_000, 20, "a folder") == ["x"] * 100_000
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        apart.ask(lambda: 1 // 0, 20, "a folder")
    with pytest.raises(NoAnswer, match="a folder: no answer within 0 s"):
        apart.ask(lambda: time.sleep(30), 0.3, "a folder")
