"""Several machines over a real server: nothing is lost and nothing comes twice, whatever is killed,
lost, copied or set back."""

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from gateway_world import Gateway
from relay_world import Machine, Server, as_peer, joined, wait_for
from support import make_repository
from test_live import DIALOG, NOTIFICATION, REQUEST, Sessions

from fleet_lib import clock
from fleet_lib.relay import exchange, names, server
from fleet_lib.relay.link import Link
from fleet_lib.relay.trouble import RelayTrouble
from fleet_lib.store.migrate import backup
from fleet_lib.views import tailer

pytestmark = pytest.mark.slow


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path / "server", ("laptop", "box", "desk"))
    made.start()
    yield made
    made.stop(signal.SIGKILL)


@pytest.fixture
def laptop(tmp_path: Path, relay: Server) -> Machine:
    return joined(tmp_path, relay, "laptop")


@pytest.fixture
def box(tmp_path: Path, relay: Server) -> Machine:
    return joined(tmp_path, relay, "box")


@pytest.fixture
def client() -> Iterator["subprocess.Popen[bytes]"]:
    """A Claude Code that lives until the test's end."""
    with subprocess.Popen(["sleep", "600"]) as made:
        try:
            yield made
        finally:
            made.kill()


def turns(first: int, last: int) -> list[str]:
    return [f"turn {number}" for number in range(first, last + 1)]


def test_an_alert_of_one_machine_is_shown_on_the_other_as_its_own(
    laptop: Machine, box: Machine
) -> None:
    repository = make_repository(laptop.folder / "web", "https://github.com/acme/web.git")
    text = (
        "```briefing\n---\nstatus: blocked\nsummary: waiting for the key\nblockers: [a key]\n---\n"
        f"```\nSee {repository}/app.py and {laptop.home}."
    )
    payload = {
        "hook_event_name": "Stop",
        "session_id": "s1",
        "prompt_id": "p1",
        "cwd": str(repository),
        "last_assistant_message": text,
    }
    laptop.hook("stop", payload, repository)
    laptop.drain()
    laptop.console("relay", "share", "web")
    assert laptop.json("relay", "once") == {"sent": 2, "received": 0}
    box.console("relay", "once")

    status = box.json("status")
    (row,) = status["needs_you"]
    assert (row["session_id"], row["machine"], row["project"]) == ("s1", "laptop", "web")
    assert (row["reason"], row["text"], row["folder"]) == ("blocked", "a key", "")
    assert status["projects"][0]["machine"] == "laptop"
    assert "web@laptop" in box.console("status").stdout
    assert "web@laptop · blocked: waiting for the key — a key" in box.console("prelude").stdout
    assert "web@laptop" in box.console("prelude", "--recap").stdout
    (briefing,) = box.json("briefings", "list", "--machine", "laptop")
    assert (briefing["machine"], briefing["session_id"]) == ("laptop", "s1")
    assert briefing["summary"] == "waiting for the key"
    assert str(laptop.folder) not in briefing["raw_markdown"]
    assert box.json("briefings", "list", "--machine", "box") == []
    for command in (("briefings", "search", "key"), ("projects", "list"), ("sessions", "list")):
        assert len(box.json(*command, "--machine", "laptop")) == 1
        assert box.json(*command, "--machine", "box") == []
    for name, number in (("laptop", 1), ("box", 0)):
        report = box.json("status", "--machine", name)
        assert [len(report[part]) for part in ("needs_you", "projects")] == [number, number]
        report = box.json("digest", "--machine", name)
        assert [len(report[part]) for part in ("needs_you", "days")] == [number, number]
    digest = box.console("digest").stdout
    assert "  web@laptop  1 turn" in digest and "- web@laptop blocked: a key" in digest
    assert box.json("digest")["days"][0]["projects"][0]["machine"] == "laptop"
    events = box.json("events", "list", "--machine", "laptop")
    assert [(one["type"], one["machine"]) for one in events] == [
        ("briefing_added", "laptop"),
        ("session_blocked", "laptop"),
    ]
    assert all(one["payload"]["sessionId"] == "s1" for one in events)
    # Of this machine's own rows none has a machine.
    assert "machine" not in laptop.json("status")["needs_you"][0]
    assert "machine" not in laptop.json("events", "list")[0]
    resumed = box.console("resume", "s1", check=False)
    assert resumed.returncode == 1 and "on laptop" in resumed.stderr
    unknown = box.console("events", "list", "--machine", "nowhere", check=False)
    assert unknown.returncode == 1 and "laptop" in unknown.stderr
    # The session goes on: the other machine does not show it any more.
    laptop.hook(
        "stop", payload | {"prompt_id": "p2", "last_assistant_message": "Done."}, repository
    )
    laptop.drain()
    laptop.once()
    box.once()
    assert box.json("status")["needs_you"] == []
    assert "resolved" in box.console("prelude").stdout
    # A machine that sleeps for a day keeps its alerts, and the screen says how old they are.
    laptop.hook("stop", payload | {"prompt_id": "p3"}, repository)
    laptop.drain()
    laptop.once()
    box.once()
    day_ago = clock.ago(1.5 * 86400)
    with box.writing() as made:
        made.execute("UPDATE relay_machines SET heard_at = ?", (day_ago,))
        made.execute("UPDATE sessions SET state_at = ?1, last_seen_at = ?1", (day_ago,))
    box.hook("stop", payload | {"session_id": "other"}, make_repository(box.folder / "api"))
    box.drain()
    assert [row.get("machine") for row in box.json("status")["needs_you"]] == [None, "laptop"]
    assert "laptop 1d ago" in box.console("status").stdout
    # Nothing that came from a machine is sent by another one.
    box.project("web")
    box.share("web__3bd96ff6")
    assert box.once().sent == 0


def test_titles_and_dismissals_travel_between_ones_own_machines(
    tmp_path: Path, relay: Server, laptop: Machine, box: Machine
) -> None:
    project = laptop.project("web")
    laptop.share(project)
    laptop.turn(project, 1, status="blocked")
    with laptop.writing() as made:
        made.execute("UPDATE turns SET title = 'Fix the login'")
    other = box.project("other")
    box.share(other)
    laptop.once()
    box.once()
    assert box.json("status")["needs_you"][0]["title"] == "Fix the login"
    box.console("dismiss", "s1")
    assert box.json("status")["needs_you"] == []
    box.once()
    laptop.once()
    assert laptop.json("status")["needs_you"] == []
    desk = joined(tmp_path, relay, "desk")
    desk.once()
    assert desk.json("status")["needs_you"] == []
    laptop.turn(project, 2, status="blocked")
    laptop.once()
    box.once()
    assert len(box.json("status")["needs_you"]) == 1
    # Nothing leaves a machine that shares nothing, and that is said.
    desk.once()
    assert "Other machines do not learn of this" in desk.console("dismiss", "s1").stdout
    assert "Other machines" not in box.console("dismiss", "s1").stdout


@pytest.mark.parametrize("is_late", [False, True])
def test_a_prompt_that_only_the_client_s_file_shows_can_be_dismissed_on_another_machine(
    laptop: Machine, box: Machine, client: "subprocess.Popen[bytes]", is_late: bool
) -> None:
    """The laptop learns of it before the prompt's notification, or after it."""
    sessions = Sessions(laptop)
    sessions.hook("permission_request", REQUEST)
    sessions.file(client.pid, **DIALOG)
    sessions.age()
    laptop.console("relay", "share", "p")
    box.share(box.project("other"))
    laptop.once()
    box.once()
    assert [one["text"] for one in box.json("status")["needs_you"]] == ["Bash: touch made.txt"]
    box.console("dismiss", "s1")
    box.once()
    assert box.json("status")["needs_you"] == []
    if is_late:
        sessions.hook("notification", NOTIFICATION)
    laptop.once()
    assert sessions.needs_you() == []
    if not is_late:
        sessions.hook("notification", NOTIFICATION)
    for home in (laptop, box, laptop):
        home.once()
    assert box.json("status")["needs_you"] == laptop.json("status")["needs_you"] == []
    assert box.json("status")["hidden"]["dismissed"] == 1
    # The next prompt is shown on both, in the same words.
    sessions.hook("permission_request", REQUEST)
    sessions.file(client.pid, **DIALOG)
    sessions.hook("notification", NOTIFICATION)
    laptop.once()
    box.once()
    for home in (laptop, box):
        (row,) = home.json("status")["needs_you"]
        assert row["text"] == "Bash: touch made.txt"


def test_a_kill_between_acknowledgement_and_cursor_or_inside_a_transaction_loses_nothing(
    laptop: Machine, box: Machine
) -> None:
    project = laptop.project("web")
    laptop.share(project)
    laptop.turns(project, 1, 50)
    laptop.exchange_that_dies("note_sent")
    laptop.turn(project, 51)
    assert laptop.once().sent == 1
    box.exchange_that_dies("save_position")
    assert box.heard() == []
    box.once()
    assert box.heard() == turns(1, 51)
    box.once()
    assert box.heard() == turns(1, 51)


def test_a_stream_that_an_earlier_fleet_made_takes_the_events_one_by_one(
    relay: Server, laptop: Machine, box: Machine
) -> None:
    async def make(link: Link) -> None:
        for stream in (names.EVENTS, names.STATES):
            config = names.stream_config(stream)
            del config["allow_atomic"]
            subject = names.create_stream_subject(stream)
            assert "error" not in await link._ask(subject, json.dumps(config).encode())

    as_peer(relay, "laptop", make)
    project = laptop.project("web")
    laptop.share(project)
    laptop.turns(project, 1, 20)
    assert laptop.once().sent == 20
    box.once()
    assert box.heard() == turns(1, 20)


def test_a_server_that_is_killed_under_load_and_one_that_loses_its_disk_lose_nothing(
    tmp_path: Path, relay: Server, laptop: Machine, box: Machine
) -> None:
    project = laptop.project("web")
    laptop.share(project)
    laptop.turns(project, 1, 300)
    killer = threading.Timer(0.35, lambda: relay.stop(signal.SIGKILL))
    killer.start()
    with contextlib.suppress(RelayTrouble):
        laptop.once()
    killer.join()
    relay.start()
    laptop.once()
    box.once()
    assert box.heard() == turns(1, 300)
    relay.lose_disk()
    laptop.turn(project, 301)
    box.once()  # nothing is there, not even the streams
    laptop.once()
    box.once()
    assert box.heard() == turns(1, 301)
    desk = joined(tmp_path, relay, "desk")
    desk.once()
    assert desk.heard() == turns(1, 301)
    # Another stream that has grown past the place to which it was read before.
    relay.lose_disk()
    other = laptop.project("api")
    laptop.share(other)
    laptop.turns(other, 0, 399, "s2")
    laptop.once()
    box.once()
    assert len(box.heard()) == 701
    assert box.heard()[301:] == turns(0, 399)


def test_a_server_that_is_full_says_so_and_nothing_is_lost(
    relay: Server, laptop: Machine, box: Machine
) -> None:
    configuration = relay.folder / server.CONFIG
    text = configuration.read_text()
    relay.stop()
    configuration.write_text(text.replace('"store_dir"', '"max_file_store": 30000, "store_dir"', 1))
    relay.start()
    project = laptop.project("web")
    laptop.share(project)
    for number in range(1, 6):
        laptop.turn(project, number, raw_markdown="The login works again. " * 500)
    for _ in range(2):
        with pytest.raises(RelayTrouble, match="the server is full"):
            laptop.once()
    relay.stop()
    configuration.write_text(text)
    relay.start()
    laptop.once()
    box.once()
    assert box.heard() == turns(1, 5)


def test_copied_homes_keep_their_rows_apart_and_lose_none(
    tmp_path: Path, relay: Server, laptop: Machine, box: Machine
) -> None:
    project = laptop.project("web")
    laptop.share(project)
    laptop.turn(project, 1)
    laptop.once()
    laptop.turn(project, 2)  # not sent before the copy is made
    shutil.copytree(laptop.home, tmp_path / "copy" / "fleet home")
    copy = Machine(tmp_path / "copy" / "fleet home", tmp_path / "copy")
    laptop.turn(project, 3, text="of the laptop")
    copy.turn(project, 3, text="of the copy")
    laptop.once()
    copy.once()
    box.once()
    assert sorted(box.heard("laptop")) == ["of the copy", "of the laptop", "turn 1", "turn 2"]
    assert copy.member().epoch != laptop.member().epoch
    laptop.turn(project, 4, text="later on the laptop")
    laptop.once()
    copy.once()
    laptop.once()
    # The two see each other's news, and not what both have.
    assert copy.heard() == ["of the laptop", "later on the laptop"]
    assert laptop.heard() == ["of the copy"]
    desk = joined(tmp_path, relay, "desk")
    desk.once()
    assert sorted(desk.heard()) == sorted([*box.heard(), "later on the laptop"])
    assert "Another home uses the key" in laptop.console("doctor", check=False).stdout
    for home in (laptop, copy):
        assert "Another home uses the key" in home.console("status").stdout


def test_a_database_that_is_set_back_begins_a_new_epoch(
    tmp_path: Path, laptop: Machine, box: Machine
) -> None:
    project = laptop.project("web")
    laptop.share(project)
    laptop.turn(project, 1)
    laptop.once()
    saved = backup(Path(laptop.database), tmp_path / "backups")
    laptop.turn(project, 2)
    laptop.turn(project, 3)
    laptop.once()
    epoch = laptop.member().epoch
    laptop.console("db", "restore", str(saved))
    laptop.turn(project, 2, text="another turn 2")
    laptop.once()
    assert laptop.member().epoch != epoch
    laptop.turn(project, 3, text="another turn 3")
    laptop.once()
    box.once()
    assert box.heard() == ["turn 1", "turn 2", "turn 3", "another turn 2", "another turn 3"]
    # What the home has lost comes back from the server.
    assert laptop.heard() == ["turn 2", "turn 3"]
    laptop.once()
    box.once()
    assert len(box.heard()) == 5


def test_a_project_that_is_shared_late_comes_from_its_beginning_and_an_old_event_never(
    tmp_path: Path, relay: Server, laptop: Machine, box: Machine
) -> None:
    web, api = laptop.project("web"), laptop.project("api")
    laptop.share(web)
    for number in range(1, 6):
        laptop.turn(web, number, session="s1")
        laptop.turn(api, number + 10, session="s2")
    with laptop.writing() as made:
        made.execute("UPDATE outbox_events SET ts = ? WHERE event_id = 1", (clock.ago(91 * 86400),))
    laptop.once()
    box.once()
    assert box.heard() == turns(2, 5)
    laptop.share(api)
    laptop.once()
    box.once()
    assert box.heard() == [*turns(2, 5), *turns(11, 15)]
    # The setting shares by address, and `unshare` takes precedence.
    other = laptop.project("other")
    laptop.turn(other, 21, session="s3")
    laptop.console("config", "set", "relay.share", "github.com/acme/*")
    laptop.console("relay", "unshare", "api")
    laptop.turn(api, 16, session="s2")
    laptop.once()
    box.once()
    assert box.heard() == [*turns(2, 5), *turns(11, 15), "turn 21"]
    laptop.console("config", "unset", "relay.share")
    laptop.turn(other, 22, session="s3")
    assert laptop.once().sent == 0
    # A project without a remote is another one on each machine.
    mine, theirs = laptop.project("notes", None), box.project("notes", None)
    laptop.share(mine)
    laptop.turn(mine, 31, session="s4")
    box.turn(theirs, 41, session="s5")
    laptop.once()
    box.once()
    ids = {
        row["project_id"] for row in box.json("briefings", "list") if "note" in row["project_id"]
    }
    assert ids == {theirs, f"{mine}@laptop"}
    assert "notes@laptop" in box.console("status").stdout
    assert box.json("projects", "list")
    # Cloned here later, under another folder's name, a project stays the same one.
    repository = make_repository(box.folder / "elsewhere", "git@github.com:acme/web.git")
    payload = {"hook_event_name": "Stop", "session_id": "s9", "prompt_id": "p9"}
    box.hook(
        "stop", payload | {"cwd": str(repository), "last_assistant_message": "Done."}, repository
    )
    box.drain()
    (row,) = box.json("briefings", "list", "--session", "s9")
    assert row["project_id"] == web
    assert box.rows("SELECT repo_root FROM projects WHERE project_id = ?", web) == [
        (str(repository),)
    ]


def test_ten_homes_see_each_other_s_news_in_order(tmp_path: Path) -> None:
    names = tuple(f"m{number}" for number in range(10))
    relay = Server(tmp_path / "server", names)
    relay.start()
    try:
        homes = [joined(tmp_path, relay, name) for name in names]
        for number, home in enumerate(homes):
            project = home.project("web")
            home.share(project)
            for turn in range(3):
                home.turn(project, turn, session=f"s{number}", text=f"{number}.{turn}")
        for home in homes:
            home.once()
        for number, home in enumerate(homes):
            home.once()
            others = [each for each in range(10) if each != number]
            assert sorted(home.heard()) == [
                f"{each}.{turn}" for each in others for turn in range(3)
            ]
            for each in others:
                assert home.heard(f"m{each}") == [f"{each}.{turn}" for turn in range(3)]
    finally:
        relay.stop(signal.SIGKILL)


def test_news_arrive_within_a_second_while_both_run_and_a_partition_heals(
    tmp_path: Path, relay: Server, laptop: Machine, box: Machine
) -> None:
    project = laptop.project("web")
    laptop.share(project)
    # The gateway exchanges as `fleet relay run` does.
    box.console("config", "set", "relay.auto", "true")
    gateway = Gateway(box)
    gateway.start()
    running = [laptop.running()]
    try:
        for home in (laptop, box):
            wait_for(lambda home=home: home.member().connected_at)
        times = []
        for number in range(10):
            laptop.turn(project, number, status="blocked", session=f"s{number}")
            times.append(wait_for(lambda number=number: len(box.heard()) == 2 * (number + 1)))
            time.sleep(0.05)
        assert min(times) < 1.0, times
        wait_for(lambda: len(box.json("status")["needs_you"]) == 10)
        overview = gateway.get("/api/v1/overview").json()
        assert {row["machine"] for row in overview["needs_you"]} == {"laptop"}
        assert {row["machine"] for row in overview["projects"]} == {"laptop"}
        events = gateway.get("/api/v1/events").json()["events"]
        assert {(one["machine"], one["event"]["data"]["machine"]) for one in events} == {
            ("laptop", "laptop")
        }
        briefing = gateway.get("/api/v1/briefings?machine=laptop&limit=1").json()[0]
        assert (briefing["machine"], briefing["session_id"]) == ("laptop", "s9")
        page = gateway.get(f"/api/v1/briefings/{briefing['briefing_id']}").json()
        assert (page["machine"], page["briefing"]["session_id"]) == ("laptop", "s9")
        # It does not grow with what comes, or with what is sent.
        laptop.turns(project, 200, 1699, "many")
        wait_for(lambda: "turn 1699" in box.heard("laptop")[-1])
        assert psutil.Process(running[0].pid).memory_info().rss < 58e6
        (child,) = psutil.Process(gateway.process.pid).children()
        assert child.memory_info().rss < 58e6
        relay.stop(signal.SIGKILL)
        laptop.turn(project, 100)
        time.sleep(0.3)
        relay.start()
        wait_for(lambda: len(box.heard()) == 1521)
        assert box.heard("laptop")[-1] == "turn 100"
        # A database that is put back while it runs: it goes on with that one.
        saved = backup(Path(laptop.database), tmp_path / "backups")
        laptop.turn(project, 101)
        wait_for(lambda: "turn 101" in box.heard())
        laptop.console("db", "restore", str(saved))
        laptop.turn(project, 102)
        wait_for(lambda: "turn 102" in box.heard() and laptop.heard() == ["turn 101"])
        # A home that has left ends it, and SIGTERM does.
        laptop.console("relay", "leave")
        assert running[0].wait(60) == 1
        (child,) = psutil.Process(gateway.process.pid).children()
        gateway.stop(signal.SIGKILL)
        wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    finally:
        gateway.stop(signal.SIGKILL)
        for process in running:
            process.send_signal(signal.SIGKILL)
            process.wait()


def test_a_commit_that_can_be_read_long_after_the_file_changed_is_sent_at_once(
    laptop: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy disk takes its time to sync a commit, and then no further change of the file says that
    it can be read."""
    project = laptop.project("web")
    laptop.share(project)
    changes: list[Any] = []
    connected = threading.Event()

    @contextlib.contextmanager
    def by_hand(folder: Path, is_wanted: Any, changed: Any) -> Iterator[bool]:
        changes.append(changed)
        yield True

    monkeypatch.setattr(exchange, "watching", by_hand)
    monkeypatch.setattr(exchange, "_LOOK_SECONDS", 600.0)
    monkeypatch.setattr(tailer, "_SLOW_POLL_SECONDS", 600.0)
    runner = exchange.Runner(str(laptop.home), lambda _: connected.set())
    running = threading.Thread(target=runner.run, daemon=True)
    running.start()
    try:
        assert connected.wait(60)
        time.sleep(0.2)  # it has looked, and waits
        changes[0]()
        time.sleep(0.4)
        laptop.turn(project, 1)
        wait_for(lambda: laptop.rows("SELECT 1 FROM relay_shares WHERE sent_through > 0"))
    finally:
        runner.stop(at_once_after=600)
        running.join(60)


def test_a_server_that_does_not_answer_costs_three_seconds_and_is_left_alone_for_a_while(
    tmp_path: Path, relay: Server, laptop: Machine
) -> None:
    relay.stop()
    silent = socket.socket()
    silent.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    silent.bind(("127.0.0.1", relay.port))
    silent.listen()
    began = time.monotonic()
    with pytest.raises(RelayTrouble):
        laptop.once()
    assert time.monotonic() - began < 30
    silent.close()
    assert laptop.member().failing_since
    status = laptop.console("status").stdout
    assert "Not connected since" in status
    findings = laptop.console("doctor", check=False).stdout
    assert "It fails since" in findings
    # A drain starts no further attempt before its time.
    from fleet_lib import wake

    laptop.console("config", "set", "relay.auto", "true")
    started: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "Popen", lambda *_, **__: started.append(1))
        wake.start_relay(str(laptop.home))
    assert started == []
    relay.start()
    laptop.once()
    assert laptop.member().failing_since is None


def test_a_drain_starts_an_exchange_by_itself(laptop: Machine, box: Machine) -> None:
    repository = make_repository(laptop.folder / "web", "https://github.com/acme/web.git")
    laptop.share(laptop.project("web"))
    laptop.console("config", "set", "relay.auto", "true")
    payload = {"hook_event_name": "Stop", "session_id": "s1", "cwd": str(repository)}
    laptop.hook("stop", payload | {"prompt_id": "p1", "last_assistant_message": "One."}, repository)
    laptop.drain_process()

    def came() -> bool:
        box.once()
        return box.heard() == ["One."]

    wait_for(came)
    laptop.console("config", "set", "relay.auto", "false")
    laptop.hook("stop", payload | {"prompt_id": "p2", "last_assistant_message": "Two."}, repository)
    laptop.drain_process()
    time.sleep(0.5)
    box.once()
    assert box.heard() == ["One."]
