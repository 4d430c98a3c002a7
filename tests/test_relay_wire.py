"""What goes over the relay's wire, and what does not: pure code, without a server."""

import asyncio
import contextlib
import json
import socket
import string
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from relay_world import wait_for
from support import Fleet

from fleet_lib import paths
from fleet_lib.machines import MARK, apart, at, marked
from fleet_lib.relay import (
    backoff,
    connection,
    incoming,
    keys,
    names,
    payloads,
    report,
    wire,
)
from fleet_lib.relay.consumer import Consumer, Message
from fleet_lib.relay.scrub import Scrubber
from fleet_lib.relay.sharing import is_address
from fleet_lib.relay.trouble import RelayTrouble
from fleet_lib.store import db
from fleet_lib.store.projects import ProjectRepo
from fleet_lib.store.relay import Member, RelayRepo
from fleet_lib.store.sessions import Session, SessionRepo

PROJECT = "web__12345678"
machines = st.from_regex(names.MACHINE, fullmatch=True).filter(lambda name: len(name) <= 32)
projects = st.builds(
    lambda slug, digest: f"{slug}__{digest}",
    st.text("abc-09", min_size=1, max_size=12),
    st.text("0123456789abcdef", min_size=8, max_size=8),
)


def matches(allowed: str, subject: str) -> bool:
    """Whether a subject of a permission allows one, as NATS compares them."""
    wanted, given = allowed.split("."), subject.split(".")
    for place, part in enumerate(wanted):
        if part == ">":
            return len(given) > place
        if place >= len(given) or part not in ("*", given[place]):
            return False
    return len(wanted) == len(given)


@settings(max_examples=25)
@given(machines, machines, projects, projects)
def test_no_machine_may_publish_read_or_delete_as_another(
    mine: str, other: str, granted: str, secret: str
) -> None:
    if mine == other or granted == secret:
        return
    allowed = names.allowed_subjects(mine, mine, [granted], is_owner=False)
    epoch = "0" * 16
    theirs = [
        names.events_of(other, "*"),
        names.events_of(other, granted),
        names.sent_events(other),
    ]
    theirs += [names.states_of(other, "*"), names.own_of(other, other), names.events_of(mine, "*")]
    refused = [
        names.event_subject(other, epoch, granted),
        names.event_subject(mine, epoch, secret),
        names.state_subject(other, epoch, granted, "s"),
        names.own_subject(other, mine, epoch, granted, "s"),
        names.own_subject(mine, other, epoch, granted, "s"),
        *(one.create_subject for one in theirs),
        *(one.next_subject for one in theirs),
        *(one.delete_subject for one in theirs),
        *(names.create_stream_subject(stream) for stream in (names.EVENTS, names.STATES)),
    ]
    for subject in refused:
        assert not any(matches(one, subject) for one in allowed), subject
    for subject in (names.event_subject(mine, epoch, granted), "$SYS.REQ.USER.INFO"):
        assert any(matches(one, subject) for one in allowed)
    assert names.rights_in(allowed) == (mine, mine, [granted])


@given(st.binary(max_size=400), st.sampled_from(["fleet.v1", "fleet.state.v1", "fleet.own.v1.p"]))
def test_no_body_raises(body: bytes, kind: str) -> None:
    session = "" if kind == "fleet.v1" else ".s"
    subject = f"{kind}.bob.{'0' * 16}.{PROJECT}{session}"
    found = incoming.received(Message(subject, 1, 1, 0, {}, body))
    assert found is not None and found.sender.machine == "bob"


def test_a_time_that_cannot_be_read_is_named() -> None:
    subject = f"fleet.state.v1.bob.{'0' * 16}.{PROJECT}.{names.HEARTBEAT}"
    body = {"v": 1, "sent_event_id": 1, "sent_event_at": "soon, perhaps"}
    found = incoming.received(Message(subject, 1, 1, 0, {}, json.dumps(body).encode()))
    assert found is not None and found.trouble == "this is no time: soon, perhaps"


@pytest.mark.parametrize(
    "subject",
    ["fleet.v1.bob.x.web__12345678", f"fleet.v1.Bob.{'0' * 16}.{PROJECT}", "fleet.v1", "", "a.b"],
)
def test_a_subject_of_another_form_is_nobody_s(subject: str) -> None:
    assert incoming.received(Message(subject, 1, 1, 0, {}, b"{}")) is None


def test_a_payload_keeps_only_what_is_listed() -> None:
    clean = incoming.clean_line
    job = {
        "jobId": 3,
        "type": "worker_task",
        "status": "failed",
        "summary": "output",
        "error": "output",
        "prompt": "a prompt",
    }
    payload = {"job": job, "summary": "output", "message": "output", "sessionId": "s1"}
    assert payloads.kept("job_completed", payload, clean) == {
        "job": {"jobId": 3, "type": "worker_task", "status": "failed"}
    }
    overlap = {"files": ["a.py"], "sessions": ["s2"], "isOtherWorktree": True}
    kept = payloads.kept("file_overlap", {"fileOverlap": overlap, "line": "by a title"}, clean)
    assert kept == {"fileOverlap": {"files": ["a.py"]}, "line": "a.py: touched by two sessions"}
    odd: dict[str, Any] = {
        "briefing": {"summary": {"a": 1}, "revision": True, "question": ["x", 1]}
    }
    assert payloads.kept("briefing_added", odd, clean) == {"briefing": {"question": ["x"]}}
    assert payloads.kept("error", {"error": "no object"}, clean) == {}


@pytest.mark.parametrize(
    "status", ["web@laptop", "done: all of it", "<b>", "x" * 40, 7, ["failed"]]
)
def test_a_status_that_is_no_word_is_dropped(status: object) -> None:
    payload = {"briefing": {"status": status, "summary": "It works."}, "status": status}
    found = payloads.kept("briefing_added", payload, lambda text, _: text)
    assert found == {"briefing": {"summary": "It works."}}
    known = payloads.kept(
        "briefing_added", {"briefing": {"status": "failed"}}, lambda text, _: text
    )
    assert known == {"briefing": {"status": "failed"}}


def test_local_folders_are_left_out_of_what_is_sent(fleet: Fleet) -> None:
    root = fleet.folder / "my web"
    with db.transaction(made := db.connect(fleet.home / "fleet.db")):
        project_id = ProjectRepo(made).ensure_project(
            repo_name="web", repo_root=str(root), git_remote="https://github.com/acme/web"
        )
        worktree = str(fleet.folder / "elsewhere" / "branch")
        SessionRepo(made).save(
            Session(
                *("s1", project_id, worktree, "working", "2026", "", None, None, "2026"),  # type: ignore[arg-type]
                *(None, None, None, None, None, None),
            )
        )
    scrubber = Scrubber(made, str(fleet.home), project_id)
    user = str(Path.home())
    text = (
        f"Edited {root}/src/app.py and `{worktree}/b.py`; see {fleet.home}/fleet.db,"
        f" {user}/notes.md, /home/someone/x, /etc/hosts and"
        f" {user}/.claude/projects/-x/1.jsonl. https://example.org/home/page stays."
    )
    assert scrubber.text(text) == (
        "Edited src/app.py and `b.py`; see ~/fleet.db, ~/notes.md, ~/x, /etc/hosts and"
        " (a file of Claude Code). https://example.org/home/page stays."
    )
    assert scrubber.file("/etc/passwd") == "passwd"
    assert scrubber.file(f"{root}/src/app.py") == "src/app.py"
    made.close()


def test_a_machine_s_mark_cannot_be_forged() -> None:
    assert apart(marked("s1", "laptop")) == ("s1", "laptop")
    assert apart("s1") == ("s1", "") and apart(None) == (None, "")
    assert apart(marked("", "laptop")) == (None, "laptop")
    assert at("web", "laptop") == "web@laptop" == at("web@laptop", "laptop")
    assert MARK not in str(incoming._id(f"s1{MARK}desk"))


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("github.com/acme/web", True),
        ("[::1]:2222/srv/git/web", True),
        ("/srv/git/web", False),
        ("../web", False),
        ("web", False),
    ],
)
def test_only_a_remote_with_a_host_is_sent(form: str, expected: bool) -> None:
    assert is_address(form) is expected


@given(st.text(string.printable, max_size=200))
def test_a_session_is_one_part_of_a_subject(session_id: str) -> None:
    token = wire.session_token(session_id)
    assert names.SESSION.fullmatch(token) and token != names.HEARTBEAT


def test_a_later_version_is_skipped_and_a_later_field_ignored() -> None:
    sender = names.Sender("own", "bob", "0" * 16, PROJECT, "s")
    with pytest.raises(wire.NewerVersion):
        wire.read_own(json.dumps({"v": 2, "session_id": 7}).encode())
    assert wire.read_own(b'{"v": 1, "of_later": []}').v == 1
    with pytest.raises(wire.Unreadable):
        wire.read_event(b'{"v": 1}', sender)


def test_work_that_swallows_its_cancellation_is_left_at_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "_END_SECONDS", 0.1)

    async def stubborn() -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)

    with pytest.raises(TimeoutError):
        connection.run(stubborn(), connection.Deadline(0.1))

    async def quick() -> int:
        return 7

    assert connection.run(quick()) == 7


def test_a_machine_that_names_many_epochs_fills_no_table_and_what_was_counted_stays(
    fleet: Fleet,
) -> None:
    with db.transaction(made := db.connect(fleet.home / "fleet.db")):
        repo = RelayRepo(made)
        for number in range(200):
            repo.hear("bob", f"{number:016x}", f"2026-01-01T00:00:{number % 60:02d}.000Z")
            repo.count("bob", f"{number:016x}", "set_aside", "no event")
        repo.hear("carol", "0" * 16, "2026-01-01T00:00:00.000Z")
        assert len(repo.peers()) < 30
        member = Member("box", "owner", "f" * 16, "", "nats://127.0.0.1", ("*",), "2026")
        (bob, _) = report.machine_records(repo, member)
    assert (bob["machine"], bob["set_aside"], bob["last_reason"]) == ("bob", 200, "no event")
    made.close()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:4222", "is no server's address"),
        ("nats://127.0.0.1:99999", "is no server's address"),
        ("nats://", "is no server's address"),
        ("nats://name:word@127.0.0.1", "is no server's address"),
        ("nats://127.0.0.1:1", "no server listens there"),
    ],
)
def test_joining_a_wrong_address_says_what_is_wrong(fleet: Fleet, url: str, reason: str) -> None:
    seed = fleet.folder / "laptop.seed"
    seed.write_text(keys.new_key()[0])
    done = fleet.console("relay", "join", url, "--seed-file", str(seed), check=False)
    assert done.returncode == 1 and reason in done.stderr


@contextlib.contextmanager
def answering(text: bytes) -> Iterator[str]:
    """A server that says this to everyone, and no more."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection = listening.accept()[0]
                    connection.sendall(text)
                    held.append(connection)

        held: list[socket.socket] = []
        threading.Thread(target=answer, daemon=True).start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize(
    ("scheme", "text", "reason"),
    [
        ("nats", b"HTTP/1.1 400 Bad Request\r\n", "is no NATS server"),
        ("nats", b"", "no answer within"),
        ("tls", b'INFO {"nonce": "x"}\r\n', "does not encrypt"),
        ("nats", b"INFO {}\r\n-ERR 'Authorization Violation'\r\n", "does not know this key"),
        ("nats", b"INFO 7\r\n", "cannot be reached"),
    ],
)
def test_the_status_says_why_there_is_no_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, text: bytes, reason: str
) -> None:
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 1.0)
    seed = Path(paths.relay(str(tmp_path), "seed"))
    seed.parent.mkdir()
    seed.write_text(keys.new_key()[0] + "\n")
    with answering(text) as address:
        url = f"{scheme}://{address}"
        member = Member("box", "owner", "f" * 16, "", url, ("*",), "2026")
        assert reason in report.connection_trouble(str(tmp_path), member)


def test_a_batch_that_is_as_large_as_may_be_is_not_the_last_one() -> None:
    """The server says so when the messages of the batch have been read already."""

    def message(number: int) -> Any:
        reply = f"$JS.ACK.FLEET.box--all.1.{number}.{number}.1.{2 - number}"
        return SimpleNamespace(subject="fleet.v1", reply=reply, headers=None, data=b"{}")

    def status(subject: str, code: str, words: str) -> Any:
        headers = {"Status": code, "Description": words}
        return SimpleNamespace(subject=subject, reply="", headers=headers, data=b"")

    class Client:
        pulls = 0
        _nuid = SimpleNamespace(next=lambda: b"x")

        async def publish(self, subject: str, body: bytes, reply: str) -> None:
            self.pulls += 1
            come = message(self.pulls) if self.pulls < 3 else status(reply, "404", "No Messages")
            made._queue.put_nowait(come)
            late = status(reply, "409", "Message Size Exceeds MaxBytes")
            asyncio.get_running_loop().call_later(0.1, made._queue.put_nowait, late)

    async def delete(filter: names.Filter) -> None:
        pass

    async def read() -> list[int]:
        found = []
        while batch := await made.fetch():
            found += [one.sequence for one in batch]
            await asyncio.sleep(0.3)
        return found

    client: Any = Client()
    made = Consumer(client, "box", names.events_of("box", names.ALL), 2, delete)
    assert asyncio.run(read()) == [1, 2]


@pytest.mark.parametrize(
    ("places", "is_shared"),
    [
        ([(1, 2), (2, 1), (3, 0)], False),
        ([(1, 3), (2, 3), (3, 2)], False),  # more came meanwhile
        ([(1, 2), (3, 0)], True),  # the other home took the second one
        ([(2, 1)], True),
        ([(1, 0)], True),  # it begins after messages that this home has not
    ],
)
def test_messages_of_a_consumer_that_another_home_made_anew_are_not_taken(
    places: list[tuple[int, int]], is_shared: bool
) -> None:
    """Both have the same name, and nothing else tells them apart."""

    class Client:
        _nuid = SimpleNamespace(next=lambda: b"x")

        async def publish(self, subject: str, body: bytes, reply: str) -> None:
            for number, pending in places:
                place = f"$JS.ACK.FLEET.box--all.1.{70 + number}.{number}.1.{pending}"
                made._queue.put_nowait(
                    SimpleNamespace(subject="s", reply=place, headers=None, data=b"{}")  # type: ignore[arg-type]
                )

    async def delete(filter: names.Filter) -> None:
        pass

    client: Any = Client()
    made = Consumer(client, "box", names.events_of("box", names.ALL), 3, delete)
    if is_shared:
        with pytest.raises(RelayTrouble, match="another home reads with this machine's key"):
            asyncio.run(made.fetch())
    else:
        assert [one.sequence for one in asyncio.run(made.fetch())] == [71, 72, 73]


def test_an_exchange_that_waited_for_another_one_keeps_the_pause_after_it(fleet: Fleet) -> None:
    home = str(fleet.home)
    (fleet.home / "relay").mkdir(parents=True)
    exchange, waiting = backoff.Lock(home, "exchange"), backoff.Lock(home, "waiting")
    assert exchange.take()
    command = [sys.executable, "-I", paths.RELAY, home]
    started = subprocess.Popen(command, env=fleet.env())

    def waits() -> bool:
        nonlocal started
        if started.poll() is not None:  # it met the next line's look, and took it for another one
            started = subprocess.Popen(command, env=fleet.env())
        if is_free := waiting.take():
            waiting.release()
        return not is_free

    wait_for(waits)
    backoff.set_next(home, failures=1)  # the other one failed
    exchange.close()
    # An exchange would fail, since this home has joined no relay.
    assert started.wait(60) == 0
    waiting.close()
