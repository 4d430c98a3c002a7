"""The spool: entries come back byte for byte, and a process that is killed never leaves half an
entry."""

import fcntl
import multiprocessing
import os
import random
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support import ROOT, Fleet

from fleet_lib import paths, spool
from fleet_lib.drain import quarantine

STOP = [sys.executable, "-I", "-S", str(ROOT / "hooks" / "stop.py")]


@pytest.fixture
def home(tmp_path: Path) -> str:
    return str(tmp_path / "home")


@pytest.fixture
def undrained(fleet: Fleet) -> Fleet:
    """A new home whose hooks start no real drainer."""
    fleet.replace_drainer()
    return fleet


def folder_of(home: str, name: str) -> Path:
    return Path(paths.spool(home, name))


def entries(home: "str | Path") -> list[spool.Entry]:
    return [spool.read_pending(str(home), name) for name in spool.pending(str(home))]


# Values of environment variables: any bytes but NUL, as Python decodes them.
environment_text = st.binary(max_size=60).map(lambda raw: os.fsdecode(raw.replace(b"\0", b"")))
payload_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


# --- round trip --------------------------------------------------------------------------------


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    payload=st.binary(max_size=2000),
    status=st.none() | st.binary(max_size=500),
    project=environment_text,
    cwd=payload_text,
    shown=st.none() | st.tuples(st.integers(0, 2**63), st.integers(0, 2**63)),
)
@example(b"\n\n", b"\n\n", "/a\n\nfleet-spool 2\n\n", "%0A%25%", None)
@example(b"", b"", "", "", (0, 0))
@example(b"{}", None, os.fsdecode(b"/srv/\xff\xfe"), "/x\r\n", None)
def test_any_bytes_and_any_folder_come_back_unchanged(
    home: str,
    payload: bytes,
    status: bytes | None,
    project: str,
    cwd: str,
    shown: tuple[int, int] | None,
) -> None:
    before = time.time_ns()
    name = spool.put(
        home, "Stop", payload, "s-1", project, cwd, status, shown, worktree="/w" + project
    )
    entry = spool.read_pending(home, name)
    spool.acknowledge(home, [name])

    assert (entry.name, entry.event) == (name, "Stop")
    assert (entry.payload, entry.status) == (payload, status)
    assert (entry.project, entry.cwd, entry.shown) == (project, cwd, shown)
    assert entry.worktree == "/w" + project
    assert before <= entry.received_ns <= time.time_ns()
    assert spool.pending(home) == []


def test_entry_name_has_time_event_and_session_and_sorts_by_time(home: str) -> None:
    names = [spool.put(home, "Stop", b"%d" % number, f"session-{number}") for number in range(20)]

    assert spool.pending(home) == names
    assert [entry.payload for entry in entries(home)] == [b"%d" % number for number in range(20)]
    when, event, session, _ = names[7].split(".")
    assert (len(when), event, session) == (20, "Stop", "session-7")


@pytest.mark.parametrize(
    "session_id",
    ["../../etc/passwd", "a/b", "a.b", ".", "", "a\nb", "a\0b", "é", "x" * 65, "a b", "\ud800"],
)
def test_session_id_that_could_be_a_path_is_not_in_the_entry_name(
    home: str, session_id: str
) -> None:
    name = spool.put(home, "Stop", b"{}", session_id)

    assert name.split(".")[2] == "-"
    assert os.listdir(folder_of(home, "new")) == [name]


def test_pending_returns_the_entries_of_one_session_in_order(home: str) -> None:
    first = spool.put(home, "SessionStart", b"1", "aaa")
    spool.put(home, "Stop", b"2", "aaa-b")
    spool.put(home, "Stop", b"3", "b-aaa")
    nameless = spool.put(home, "Stop", b"4", "../aaa")
    last = spool.put(home, "Stop", b"5", "aaa")

    assert spool.pending(home, "aaa") == [first, last]
    assert spool.pending(home, "../other") == [nameless]
    assert spool.pending(home, "aa") == []


def test_session_named_like_an_event_gets_only_its_own_entries(home: str) -> None:
    spool.put(home, "Stop", b"1", "aaa")
    own = spool.put(home, "SessionEnd", b"2", "Stop")

    assert spool.pending(home, "Stop") == [own]


def test_nothing_is_pending_without_a_spool(home: str) -> None:
    assert spool.pending(home) == []
    assert not Path(home).exists()


# --- durability --------------------------------------------------------------------------------


def test_file_is_synced_before_the_rename_and_the_folder_after(
    home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.make_folders(home)
    order: list[str] = []

    def recording(function: Callable[..., Any], label: Callable[..., str]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            order.append(label(*arguments))
            return function(*arguments)

        return call

    def kind(descriptor: int) -> str:
        facts = os.fstat(descriptor)
        if stat.S_ISDIR(facts.st_mode):
            same = os.path.samestat(facts, os.stat(folder_of(home, "new")))
            return "sync new/" if same else "sync another folder"
        return f"sync {facts.st_size > 100000} file"

    monkeypatch.setattr(os, "fsync", recording(os.fsync, kind))
    monkeypatch.setattr(os, "rename", recording(os.rename, lambda old, new: "rename"))
    spool.put(home, "Stop", b"x" * 100001)

    # The file was complete when it was synced.
    assert order == ["sync True file", "rename", "sync new/"]


def test_failed_write_leaves_nothing_behind(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        spool.put(home, "Stop", b"x")

    assert os.listdir(folder_of(home, "tmp")) == os.listdir(folder_of(home, "new")) == []


# Runs the Stop hook and kills it at its sys.argv[1]th function call. With 0 it runs to its end and
# prints the number of calls.
KILLED_AT_A_CALL = f"""
import os, sys
left = int(sys.argv[1])
def count(frame, event, argument):
    global left
    if event in ("call", "c_call") and frame.f_code.co_filename.startswith({str(ROOT)!r}):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), 9)
def print_calls(code):
    sys.setprofile(None)
    os.write(1, b"%d" % -left)
    really_exit(code)
really_exit, os._exit = os._exit, print_calls
path = {STOP[-1]!r}
code = compile(open(path).read(), path, "exec")
sys.setprofile(count)
exec(code, {{"__name__": "__main__", "__file__": path}})
"""


def test_hook_killed_at_any_call_leaves_a_whole_entry_or_none(undrained: Fleet) -> None:
    """Killed before each function call, including calls into C. Torture kills it within calls. Once
    all bytes are written, the entry is kept."""
    data = b'{"session_id":"s-1","x":"' + random.Random(1).randbytes(50_000).hex().encode()

    (undrained.folder / "payload").write_bytes(data)

    def hook(killed_at: int) -> "subprocess.CompletedProcess[bytes]":
        command = [*STOP[:-1], "-c", KILLED_AT_A_CALL, str(killed_at)]
        # From a file, because the number of reads from a pipe varies.
        with (undrained.folder / "payload").open("rb") as stdin:
            return subprocess.run(
                command, stdin=stdin, env=undrained.env(), stdout=subprocess.PIPE, check=False
            )

    hook(0)  # creates the folders
    calls = int(hook(0).stdout)
    assert [entry.payload for entry in entries(undrained.home)] == [data] * 2
    for number in range(1, calls + 1):
        assert hook(number).returncode == -signal.SIGKILL, "it ended before it was killed"
    found = entries(undrained.home)
    assert {entry.payload for entry in found} == {data}
    assert 2 < len(found) < calls, "some left an entry, and some left none"

    left = folder_of(str(undrained.home), "tmp")
    whole = [path.name for path in left.iterdir() if path.read_bytes().endswith(data)]
    assert len(whole) > 1, "some were killed between the last byte and the move"
    assert len(os.listdir(left)) > len(whole) + 1, "some left half of one"
    assert sorted(spool.recover(str(undrained.home))) == sorted(whole)
    assert [entry.payload for entry in entries(undrained.home)] == [data] * (
        len(found) + len(whole)
    )
    for path in left.iterdir():
        with pytest.raises(spool.Malformed):
            spool.read(str(path))


def kept_in_tmp(home: str, monkeypatch: pytest.MonkeyPatch, payload: bytes = b"{}") -> Path:
    """The file of an entry whose writer was killed before it could move it in."""
    spool.make_folders(home)
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", lambda old, new: None)
        name = spool.put(home, "Stop", payload, "s-1")
    return folder_of(home, "tmp") / name


def test_a_whole_entry_without_a_writer_is_applied_by_the_next_drain(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = b'{"session_id":"s","prompt_id":"p","cwd":"/nowhere/repo"}'
    kept_in_tmp(str(fleet.home), monkeypatch, given)

    fleet.drain()

    assert fleet.rows("SELECT task_id FROM briefings") == [("p",)]
    assert os.listdir(folder_of(str(fleet.home), "tmp")) == []


def test_a_reading_command_applies_a_whole_entry_without_a_writer(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = b'{"session_id":"s","prompt_id":"p","cwd":"/nowhere/repo"}'
    kept_in_tmp(str(fleet.home), monkeypatch, given)

    fleet.console("drain")

    assert fleet.rows("SELECT task_id FROM briefings") == [("p",)]


def test_what_has_a_writer_or_is_cut_short_or_is_no_entry_stays_in_tmp(
    home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, cut = kept_in_tmp(home, monkeypatch), kept_in_tmp(home, monkeypatch)
    cut.write_bytes(cut.read_bytes()[:-1])
    (folder_of(home, "tmp") / "printed.SessionStart.s-1").write_bytes(b"1 call")
    os.mkfifo(folder_of(home, "tmp") / "00000000000000000001.Stop.s-1.1")
    before = sorted(os.listdir(folder_of(home, "tmp")))
    with held.open() as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)

        assert spool.recover(home) == []
        assert sorted(os.listdir(folder_of(home, "tmp"))) == before

    assert spool.recover(home) == [held.name]
    assert spool.pending(home) == [held.name]


def test_a_writer_holds_its_lock_until_the_entry_is_moved_in(
    home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, seen = os.rename, []

    def look(old: str, new: str) -> None:
        seen.append(spool.recover(home))
        rename(old, new)

    monkeypatch.setattr(os, "rename", look)
    name = spool.put(home, "Stop", b"{}")

    assert seen == [[]]
    assert spool.pending(home) == [name]


@pytest.mark.parametrize("is_applied", [False, True])
def test_a_hook_whose_entry_was_moved_in_by_another_has_succeeded(
    home: str, monkeypatch: pytest.MonkeyPatch, is_applied: bool
) -> None:
    """On a file system without locks the drainer may be faster."""
    rename = os.rename

    def moved_by_another(old: str, new: str) -> None:
        rename(old, new)
        if is_applied:
            os.unlink(new)
        rename(old, new)

    monkeypatch.setattr(os, "rename", moved_by_another)
    name = spool.put(home, "Stop", b"{}")

    assert spool.pending(home) == ([] if is_applied else [name])


def test_an_entry_that_cannot_be_moved_in_has_failed(
    home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.make_folders(home)
    fsync = os.fsync

    def remove_new(descriptor: int) -> None:
        fsync(descriptor)
        folder_of(home, "new").rmdir()

    monkeypatch.setattr(os, "fsync", remove_new)
    with pytest.raises(FileNotFoundError):
        spool.put(home, "Stop", b"{}")


def test_a_file_system_without_locks_stops_no_capture(
    home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)

    name = spool.put(home, "Stop", b"{}")

    assert spool.pending(home) == [name]


def test_64_concurrent_hooks_lose_no_payload(undrained: Fleet) -> None:
    sent = [b'{"session_id":"s-%d"}' % number for number in range(64)]
    hooks = [
        subprocess.Popen(STOP, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=undrained.env())
        for _ in sent
    ]
    for hook, data in zip(hooks, sent, strict=True):
        assert hook.stdin is not None
        hook.stdin.write(data)
        hook.stdin.close()
    printed = [hook.stdout.read() for hook in hooks if hook.stdout is not None]
    assert {hook.wait() for hook in hooks} == {0}

    assert sorted(entry.payload for entry in entries(undrained.home)) == sorted(sent)
    assert set(printed) == {b""}


def _put_with_others(barrier: Any, home: str, failures: Any) -> None:
    barrier.wait()
    try:
        spool.put(home, "Stop", b"{}", "s-1")
        failures.put(None)
    except OSError as error:
        failures.put(repr(error))


def test_concurrent_first_captures_of_a_new_home_all_succeed(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for attempt in range(8):
        home = str(tmp_path / f"home-{attempt}")
        barrier, failures = context.Barrier(8), context.SimpleQueue()
        writers = [
            context.Process(target=_put_with_others, args=(barrier, home, failures))
            for _ in range(8)
        ]
        for writer in writers:
            writer.start()
        results = [failures.get() for _ in writers]
        for writer in writers:
            writer.join()

        assert [failure for failure in results if failure] == []
        assert len(spool.pending(home)) == 8


@pytest.mark.parametrize("folder", ["tmp", "new"])
def test_removed_spool_folder_is_recreated_by_the_next_capture(home: str, folder: str) -> None:
    spool.put(home, "Stop", b"1")
    for path in folder_of(home, folder).iterdir():
        path.unlink()
    folder_of(home, folder).rmdir()

    name = spool.put(home, "Stop", b"2")

    assert spool.read_pending(home, name).payload == b"2"


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_spool_is_private_with_any_umask(home: str, umask: int) -> None:
    before = os.umask(umask)
    try:
        spool.put(home, "Stop", b"{}", status=b"s")
        quarantine.move(home, {spool.put(home, "Stop", b"secret"): "secret reason"})
    finally:
        os.umask(before)

    modes = {
        str(path.relative_to(home)): stat.S_IMODE(path.stat().st_mode)
        for path in [Path(home), *Path(home).rglob("*")]
    }
    for path, mode in modes.items():
        assert mode == (0o700 if (Path(home) / path).is_dir() else 0o600), path


# --- damaged entries ---------------------------------------------------------------------------

HEAD = b"fleet-spool 1\nevent Stop\nreceived 1\nproject /p\ncwd /c\n"


def test_header_used_by_these_tests_is_valid(tmp_path: Path) -> None:
    (tmp_path / "entry").write_bytes(HEAD + b"payload 2\n\n{}")

    assert spool.read(str(tmp_path / "entry")).payload == b"{}"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n",
        b"{}",
        HEAD,
        HEAD + b"payload 2\n",
        HEAD + b"payload 2\n\n{",
        HEAD + b"payload 2\n\n{}}",
        HEAD + b"payload 2\nstatus 1\n\n{}",
        HEAD + b"payload two\n\n{}",
        pytest.param(HEAD + b"payload " + b"9" * 5000 + b"\n\n{}", id="a number of 5000 digits"),
        HEAD + b"payload -2\nstatus 4\n\n{}",
        HEAD + b"payload 2\nshown 1\n\n{}",
        HEAD + b"payload 2\nshown a b\n\n{}",
        HEAD.replace(b"fleet-spool 1", b"fleet-spool 2") + b"payload 2\n\n{}",
        HEAD.replace(b"event Stop\n", b"") + b"payload 2\n\n{}",
        HEAD.replace(b"received 1", b"received now") + b"payload 2\n\n{}",
        pytest.param(random.Random(1).randbytes(4096), id="noise"),
        pytest.param(b"\0" * 4096, id="zeros, like a lost disk block"),
    ],
)
def test_damaged_entry_raises_only_malformed(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "entry").write_bytes(data)

    with pytest.raises(spool.Malformed):
        spool.read(str(tmp_path / "entry"))


def test_entry_truncated_anywhere_is_malformed(home: str) -> None:
    name = spool.put(home, "Stop", b'{"a": 1}', "s-1", "/p", "/c", b"status", (3, 9))
    path = folder_of(home, "new") / name
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(spool.Malformed):
            spool.read_pending(home, name)


def test_unknown_header_key_of_a_later_version_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "entry").write_bytes(HEAD + b"colour blue\npayload 2\n\n{}")

    assert spool.read(str(tmp_path / "entry")).project == "/p"


def test_entry_that_was_acknowledged_is_not_found(home: str) -> None:
    name = spool.put(home, "Stop", b"{}")
    spool.acknowledge(home, [name, name])

    with pytest.raises(FileNotFoundError):
        spool.read_pending(home, name)


# --- quarantine --------------------------------------------------------------------------------


def test_quarantine_keeps_the_entry_and_its_reason(home: str) -> None:
    name = spool.put(home, "Stop", b"not JSON")
    quarantine.move(home, {name: "no JSON: \ud800 at 0"})

    assert spool.pending(home) == []
    bad = folder_of(home, "bad")
    assert spool.read(str(bad / name)).payload == b"not JSON"
    assert (bad / f"{name}.reason").read_text() == "no JSON: ? at 0\n"


def test_quarantine_of_a_missing_entry_leaves_no_reason_file(home: str) -> None:
    name = spool.put(home, "Stop", b"{}")
    spool.acknowledge(home, [name])
    quarantine.move(home, {name: "too late"})

    assert os.listdir(folder_of(home, "bad")) == []


def test_drain_works_after_the_quarantine_folder_was_deleted(fleet: Fleet) -> None:
    fleet.hook("stop", b"not JSON")
    folder_of(str(fleet.home), "bad").rmdir()

    fleet.drain()

    assert len(fleet.quarantine()) == 1
    assert fleet.waiting() == []


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _folder(path: Path) -> None:
    path.mkdir()


def _too_large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(70 * 1024 * 1024)


@pytest.mark.parametrize("plant", [_pipe, _device, _folder, _too_large])
def test_irregular_file_in_the_spool_delays_neither_drainer_nor_prompt(
    undrained: Fleet, plant: Callable[[Path], None]
) -> None:
    fleet = undrained
    spool.make_folders(str(fleet.home))
    plant(folder_of(str(fleet.home), "new") / "00000000000000000001.Stop.commander.1")
    spool.put(str(fleet.home), "Stop", b'{"session_id":"s","prompt_id":"p"}', "s", "/no/where")
    began = time.monotonic()
    prompt = {"session_id": "commander", "prompt_id": "p1"}
    assert fleet.hook("user_prompt_submit", prompt, fleet.home).returncode == 0
    fleet.drain()
    assert time.monotonic() - began < 30
    assert fleet.waiting() == []
    assert ["not a spool entry" in reason for reason in fleet.quarantine().values()] == [True]
    assert fleet.rows("SELECT count(*) FROM briefings") == [(1,)]
