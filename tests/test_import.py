"""Turns that no hook reported: imported by `fleet import`, and looked up when their session ends."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import PAYLOADS, ROOT, Fleet, make_repository
from support_transcripts import Conversation

from fleet_lib import clock, spool
from fleet_lib.history_import import run as history_import
from fleet_lib.history_import.transcripts import find
from fleet_lib.ingest.ingest import apply_one
from fleet_lib.store import db
from fleet_lib.turn import git_process
from fleet_lib.turn.prepare import prepare
from fleet_lib.turn.repositories import Repositories

BLOCKED = "Stuck.\n\n```briefing\nstatus: blocked\nsummary: Waits for keys\nblockers: [keys]\n```"


@pytest.fixture
def projects(fleet: Fleet) -> Path:
    """Claude Code's folder of transcripts."""
    return fleet.home.parent / ".claude" / "projects"


@pytest.fixture
def shop(fleet: Fleet) -> Path:
    return make_repository(fleet.folder / "shop")


def imports(fleet: Fleet, *arguments: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(fleet.console("import", "--json", *arguments).stdout)
    return report


def briefings(fleet: Fleet) -> list[tuple[Any, ...]]:
    return fleet.rows("SELECT raw_markdown, status FROM briefings ORDER BY ended_at")


def stop(conversation: Conversation, message: str = "Done.", **more: Any) -> dict[str, Any]:
    """The Stop of a conversation's newest turn."""
    call = {"hook_event_name": "Stop", "session_id": conversation.session}
    call |= {"prompt_id": conversation.prompt_id, "cwd": conversation.folder}
    return {**call, "last_assistant_message": message, **more}


# --- fleet import ---


def test_a_turn_becomes_one_silent_briefing_without_an_event(
    fleet: Fleet, projects: Path, shop: Path
) -> None:
    conversation = Conversation(shop)
    conversation.prompt("go").edit(str(shop / "app.py")).answer("Changed it.")
    conversation.write(projects)
    assert imports(fleet)["imported"] == 1
    ((project, session, task, started, ended, created, level, impact, files, branch),) = fleet.rows(
        "SELECT project_id, session_id, task_id, started_at, ended_at, created_at, broadcast_level,"
        " impact_level, files_touched_json, branch FROM briefings"
    )
    assert project.startswith("shop__")
    assert (session, task) == (conversation.session, conversation.prompt_id)
    assert started < ended == created < clock.iso(time.time_ns() - 86400 * 10**9)
    assert (level, impact, json.loads(files), branch) == ("silent", "minor", ["app.py"], "main")
    assert fleet.events() == []
    assert fleet.rows("SELECT count(*) FROM imported_turns") == [(1,)]


def test_it_is_never_an_alert_left_open_or_at_work(
    fleet: Fleet, projects: Path, shop: Path
) -> None:
    Conversation(shop, "s1", 0.1).turn(BLOCKED).write(projects)
    Conversation(shop, "s2", 0.1).prompt("go").fail().write(projects)
    Conversation(shop, "s3", 0.1).turn("Which one do you want?").write(projects)
    assert imports(fleet)["imported"] == 3
    assert {status for _, status in briefings(fleet)} == {
        *("blocked", "failed", "waiting_for_input")
    }
    status = json.loads(fleet.console("status", "--json").stdout)
    assert not any(
        status.get(name) for name in ("needs_you", "needs_human", "left_open", "working")
    )
    assert status["projects"][0]["status"] == "waiting_for_input"
    assert fleet.rows("SELECT count(*) FROM sessions WHERE ended_at IS NULL") == [(0,)]
    assert fleet.rows("SELECT count(*) FROM briefing_derived WHERE changed_something") == [(0,)]


@pytest.mark.parametrize("client", ["2.1.197", "2.1.332"])
def test_captured_transcripts_are_taken_in_once(fleet: Fleet, client: str) -> None:
    folder = str(PAYLOADS / client)
    first = imports(fleet, folder)
    found = fleet.rows("SELECT count(DISTINCT task_id), count(*) FROM briefings")
    assert first["imported"] + first["left_alone"] == {"2.1.197": 2, "2.1.332": 7}[client]
    assert found == [(first["imported"], first["imported"])]
    again = imports(fleet, folder)
    assert (again["imported"], again["known"]) == (0, first["imported"])
    assert fleet.events() == []


def test_a_second_run_and_a_dry_run_change_nothing_and_say_so(
    fleet: Fleet, projects: Path, shop: Path
) -> None:
    Conversation(shop).turn("One.").turn("Two.").write(projects)
    would = fleet.console("import", "--dry-run").stdout
    assert would == "Would import 2 turns of 1 folder from 1 transcript.\n"
    assert not (fleet.home / "fleet.db").exists()
    assert fleet.console("import").stdout == would.replace("Would import", "Imported")
    before = fleet.rows("SELECT * FROM briefings"), fleet.rows("SELECT * FROM sessions")
    nothing = "Nothing new to import from 1 transcript; 2 turns already known.\n"
    assert fleet.console("import").stdout == nothing
    assert fleet.console("import", "--dry-run").stdout == nothing
    assert before == (fleet.rows("SELECT * FROM briefings"), fleet.rows("SELECT * FROM sessions"))


def test_only_what_ended_since_then_is_taken_in(fleet: Fleet, projects: Path, shop: Path) -> None:
    assert fleet.console("import").stdout == "Nothing to import: no transcripts were found.\n"
    Conversation(shop, "old", 45).turn("Long ago.").write(projects)
    Conversation(shop, "new", 5).turn("Lately.").write(projects)
    Conversation(shop, "newest", 1).turn("Yesterday.").write(projects)
    assert imports(fleet, "--since", "2d")["imported"] == 1
    assert imports(fleet)["imported"] == 1
    assert [text for text, _ in briefings(fleet)] == ["Lately.", "Yesterday."]
    # What a person names is imported whole.
    assert imports(fleet, str(projects))["imported"] == 1


def test_the_last_turn_of_a_session_that_may_go_on_is_left_alone(
    fleet: Fleet, projects: Path, shop: Path
) -> None:
    Conversation(shop, "young").turn("One.").turn("Two.").write(projects, written_seconds_ago=60)
    living = {"pid": os.getpid(), "sessionId": "living", "status": "idle"}
    sessions = projects.parent / "sessions"
    sessions.mkdir(parents=True)
    (sessions / "1.json").write_text(json.dumps(living))
    (sessions / "2.json").write_text("no JSON")
    (sessions / "3.json").write_text(json.dumps({"pid": 2**31, "sessionId": "dead"}))
    Conversation(shop, "living").turn("Three.").turn("Four.").command("/model").write(projects)
    Conversation(shop, "dead").turn("Five.").write(projects)
    report = imports(fleet)
    assert (report["imported"], report["left_alone"]) == (3, 2)
    assert sorted(text for text, _ in briefings(fleet)) == ["Five.", "One.", "Three."]
    # One that nothing has open has ended, also where its last words are a minute old.
    sql = "SELECT session_id FROM sessions WHERE ended_at {} ORDER BY session_id"
    assert fleet.rows(sql.format("IS NOT NULL")) == [("dead",), ("young",)]
    assert fleet.rows(sql.format("IS NULL")) == [("living",)]
    for name in ("young", "living"):
        assert f"--resume {name}" in fleet.console("resume", name, "--print").stdout
    (sessions / "1.json").unlink()
    Conversation(shop, "other").turn("Six.").write(projects)
    assert imports(fleet)["imported"] == 2


def test_the_commanders_own_turns_and_those_of_jobs_are_not_taken_in(
    fleet: Fleet, projects: Path, shop: Path
) -> None:
    fleet.home.mkdir()
    Conversation(fleet.home, "commander").turn().write(projects)
    Conversation(shop, "job").turn().write(projects)
    with contextlib.closing(db.connect(fleet.home / "fleet.db")) as connection:
        connection.execute(
            "INSERT INTO jobs VALUES (1, '', '', '', 't', '', '', 'm', 'd', '{}', '', '', '')"
        )
        connection.execute(
            "INSERT INTO job_runs (job_id, attempt, runner, lease_until, budget_usd, session_id,"
            " started_at) VALUES (1, 1, 'r', '', 1, 'job', '')"
        )
    assert imports(fleet)["imported"] == 0


def test_a_conversation_that_was_forked_is_taken_in_once(
    fleet: Fleet, projects: Path, shop: Path
) -> None:
    """Old clients repeat a conversation in the file of its fork, under the fork's own session id."""
    original = Conversation(shop, "original").turn("One.")
    fork = Conversation(shop, "fork")
    fork.lines = [line.replace('"original"', '"fork"') for line in original.lines]
    fork.at = original.at
    fork.turn("Two.").write(projects, written_seconds_ago=3000)
    original.turn("Three.").write(projects, written_seconds_ago=4000)
    assert imports(fleet)["imported"] == 3
    assert sorted(fleet.rows("SELECT session_id, raw_markdown FROM briefings")) == [
        *(("fork", "Two."), ("original", "One."), ("original", "Three."))
    ]


def test_a_follow_up_belongs_to_the_turn_that_started_its_agent(
    fleet: Fleet, projects: Path, shop: Path
) -> None:
    """A person has asked something else meanwhile."""

    def ended(agent: str) -> str:
        return f"<task-notification>\n<task-id>{agent}</task-id>\n</task-notification>"

    conversation = Conversation(shop).turn("Started two agents.")
    first, file = conversation.prompt_id, conversation.write(projects)
    conversation.turn("Something else.").prompt(ended("a1"), turnOrigin="task_notification")
    conversation.edit(str(shop / "app.py")).answer("One is done.")
    conversation.prompt(ended("a2")).answer("Both are done.")
    conversation.prompt(ended("unknown")).answer("It belongs to the turn before.").write(projects)
    subagents = file.with_suffix("") / "subagents"
    subagents.mkdir(parents=True)
    for agent in ("a1", "a2"):
        work = Conversation(shop)
        work.prompt_id = first
        work.user("work", isSidechain=True).edit(str(shop / f"{agent}.py"), isSidechain=True)
        (subagents / f"agent-{agent}.jsonl").write_text("\n".join(work.lines))
    assert imports(fleet)["imported"] == 2
    found = fleet.rows("SELECT task_id, raw_markdown, files_touched_json FROM briefings ORDER BY 2")
    assert found[0] == (first, "It belongs to the turn before.", '["app.py", "a1.py", "a2.py"]')
    assert found[1][1:] == ("Something else.", "[]")
    assert imports(fleet)["known"] == 2


def test_a_folder_that_is_gone(fleet: Fleet, projects: Path, shop: Path) -> None:
    """A worktree that was removed belongs to its repository; a folder of none is a project of its own."""
    Conversation(shop / "worktrees" / "x", "s1").turn("Was in the repository.").write(projects)
    Conversation(fleet.folder / "gone" / "notes", "s2").turn("Was not.").write(projects)
    Conversation(shop, "s3").turn("Still is.").write(projects)
    assert imports(fleet)["imported"] == 3
    found = fleet.rows("SELECT project_id FROM briefings ORDER BY raw_markdown")
    assert [row[0].partition("__")[0] for row in found] == ["shop", "shop", "notes"]
    assert len({row[0] for row in found}) == 2


def test_a_folder_of_windows_is_not_looked_for_below_the_own_one(
    fleet: Fleet, projects: Path
) -> None:
    Conversation("C:\\work\\api", "s1").turn("Was elsewhere.").write(projects)
    assert imports(fleet)["imported"] == 1
    assert fleet.rows("SELECT repo_root FROM projects") == [("C:\\work\\api",)]


def test_git_is_asked_once_for_each_folder(
    fleet: Fleet, projects: Path, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = fleet.folder / "asked"
    real = git_process.run

    def run(command: list[str], *rest: Any) -> Any:
        with asked.open("a") as file:  # a folder is asked by a child
            file.write(f"{command[0]}\n")
        return real(command, *rest)

    monkeypatch.setattr(git_process, "run", run)
    for number in range(3):
        conversation = Conversation(shop, f"s{number}")
        for _ in range(20):
            conversation.prompt("go").edit(str(shop / "app.py")).answer("Done.")
        conversation.write(projects)
    assert imports(fleet)["imported"] == 60
    assert 0 < asked.read_text().split().count("git") < 15


def test_secrets_are_masked(fleet: Fleet, projects: Path, shop: Path) -> None:
    key = "ghp_" + "a1B2" * 9
    Conversation(shop).prompt("go").fail(f"Error: {key}").turn(f"The token is {key}.").write(
        projects
    )
    assert imports(fleet)["imported"] == 2
    with contextlib.closing(db.connect(fleet.home / "fleet.db")) as connection:
        assert key not in "\n".join(connection.iterdump())


def test_what_was_pruned_is_not_brought_back(fleet: Fleet, projects: Path, shop: Path) -> None:
    conversation = Conversation(shop)
    for number in range(4):
        conversation.turn(f"Turn {number}.")
    conversation.write(projects)
    assert imports(fleet)["imported"] == 4
    pruned = json.loads(fleet.console("db", "prune", "--older-than", "1d", "--json").stdout)
    assert pruned["deleted"]["briefings"] == 3  # the newest of a project stays
    assert imports(fleet)["known"] == 4
    assert briefings(fleet) == [("Turn 3.", "completed")]
    assert "ok" in fleet.console("db", "check").stdout


def test_newest_is_what_ended_last_whatever_its_id(
    fleet: Fleet, projects: Path, shop: Path
) -> None:
    fleet.hook("stop", stop(Conversation(shop, "now").turn(), "The newest."), shop)
    Conversation(shop, "then", 20).turn("An old one.").write(projects)
    assert imports(fleet)["imported"] == 1
    (newest, old) = json.loads(fleet.console("briefings", "list", "--json").stdout)
    assert newest["briefing_id"] < old["briefing_id"]
    assert (newest["summary"], old["summary"]) == ("The newest.", "An old one.")
    (project,) = json.loads(fleet.console("status", "--json").stdout)["projects"]
    assert project["summary"] == "The newest."
    recap = fleet.context(
        fleet.hook("session_start", {"session_id": "c", "source": "startup"}, fleet.home)
    )
    assert "The newest." in recap and "An old one." not in recap


@pytest.mark.parametrize(
    "sql",
    [
        "project_id = 'p' ORDER BY {end} DESC, briefing_id DESC LIMIT 1",
        "1 ORDER BY {end} DESC, briefing_id DESC LIMIT 20",
        "created_at >= '2026' ORDER BY {end} DESC, briefing_id DESC LIMIT 20",
        "status = 'blocked' AND project_id = 'p' ORDER BY {end} DESC, briefing_id DESC LIMIT 20",
    ],
)
def test_the_order_by_time_comes_from_an_index(fleet: Fleet, sql: str) -> None:
    query = sql.format(end="ifnull(ended_at, created_at)")
    plan = [
        row[3] for row in fleet.rows(f"EXPLAIN QUERY PLAN SELECT * FROM briefings WHERE {query}")
    ]
    assert len(plan) == 1 and "USING INDEX briefings_by_" in plan[0], plan


def test_an_entry_that_waits_in_the_spool_is_the_better_source(
    fleet: Fleet, projects: Path, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = Conversation(shop).turn(BLOCKED)
    conversation.write(projects)
    monkeypatch.setattr("commander.cli.importing.drain_spool", lambda home: "")
    fleet.hook("stop", stop(conversation, BLOCKED), shop)
    assert imports(fleet)["left_alone"] == 1
    fleet.drain()
    assert "session_blocked" in dict(fleet.events())
    assert imports(fleet)["known"] == 1


def test_a_batch_waits_for_the_drainer_and_holds_it_off(
    fleet: Fleet, projects: Path, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Conversation(shop).turn().write(projects)
    monkeypatch.setattr(history_import, "LOCK_SECONDS", 0.1)
    lock = fleet.hold_lock()
    assert lock is not None
    done = fleet.console("import", check=False)
    os.close(lock)
    assert done.returncode == 1 and "the drainer is still at work" in done.stderr
    locked: list[bool] = []
    real = db.transaction

    def transaction(*arguments: Any) -> Any:
        locked.append(fleet.is_being_drained())
        return real(*arguments)

    monkeypatch.setattr(history_import.db, "transaction", transaction)
    assert imports(fleet)["imported"] == 1
    assert locked and all(locked)  # storing the turn, and indexing it
    assert not fleet.is_being_drained()


def test_an_interrupted_run_keeps_what_it_stored_and_the_next_does_the_rest(
    fleet: Fleet, projects: Path, shop: Path
) -> None:
    for number in range(60):
        conversation = Conversation(shop, f"s{number}")
        for turn in range(10):
            conversation.turn(f"Turn {turn} of {number}. " + "word " * 300)
        conversation.write(projects)
    importer = subprocess.Popen(
        [sys.executable, "-m", "commander.cli", "import"],
        env=fleet.env(),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while importer.poll() is None:
        with contextlib.suppress(Exception):
            if fleet.rows("SELECT count(*) FROM briefings")[0][0] >= 100:
                break
        time.sleep(0.01)
    importer.send_signal(signal.SIGINT)
    _, said = importer.communicate(timeout=60)
    stored = fleet.rows("SELECT count(*) FROM briefings")[0][0]
    if importer.returncode:
        assert said == "fleet: interrupted; run it again to import the rest\n"
        assert 100 <= stored < 600
    assert imports(fleet)["imported"] == 600 - stored
    assert fleet.rows("SELECT count(*), count(DISTINCT task_id) FROM briefings") == [(600, 600)]
    assert "ok" in fleet.console("db", "check").stdout


# --- an import and the real hooks ---


def seconds_after(moment: str, seconds: float) -> int:
    return clock.nanoseconds(moment) + int(seconds * 1e9)


class History:
    """Three turns with their transcript and Stops, applied to a database in any order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shop = make_repository(folder / "shop", README="See app.py.")
        conversation = Conversation(self.shop)
        self.stops: list[spool.Entry] = []
        for text in ("Done.", "Shall I go on?", BLOCKED):
            conversation.prompt("go").edit(str(self.shop / "app.py")).answer(text)
            payload = stop(conversation, text)
            payload["transcript_path"] = str(folder / "projects/-code-project/session-1.jsonl")
            at = conversation.at.isoformat()
            entry = ("e", "Stop", seconds_after(at, 0.2), str(self.shop), "", None)
            self.stops.append(spool.Entry(*entry, json.dumps(payload).encode(), None))
        self.file = conversation.write(folder / "projects")
        self.numbers = itertools.count()

    def after(self, steps: "list[int | None]") -> "tuple[list[Any], list[str]]":
        """(the briefings, the types of the events) after these Stops, None being an import."""
        home = str(self.folder / f"home {next(self.numbers)}")
        repositories = Repositories()
        with contextlib.closing(db.connect(Path(home) / "fleet.db")) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            for step in steps:
                if step is None:
                    history_import.run(
                        *(home, find([self.file], 0), 0, connection),
                        dry_run=False,
                        report=history_import.Report(),
                    )
                else:
                    prepared = prepare(self.stops[step], home, repositories)
                    apply_one(connection, home, prepared, repositories)
            rows = connection.execute(
                "SELECT b.*, t.revision, t.summary, t.meaning, t.source, d.fields_json"
                " FROM briefings b JOIN turns t USING (briefing_id)"
                " LEFT JOIN briefing_derived d USING (briefing_id) ORDER BY b.started_at"
            ).fetchall()
            events = connection.execute("SELECT type FROM outbox_events ORDER BY 1").fetchall()
        left_out = ("briefing_id", "created_at")
        names = rows[0].keys() if rows else ()
        found = [{name: row[name] for name in names if name not in left_out} for row in rows]
        return found, [row[0] for row in events]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
        yield History(tmp_path_factory.mktemp("history"))


@settings(max_examples=15)
@given(
    order=st.permutations([0, 1, 2]),
    places=st.lists(st.integers(0, 3), max_size=3),
)
def test_an_import_before_after_and_between_the_stops_gives_the_same_briefings(
    history: History, order: list[int], places: list[int]
) -> None:
    steps: list[int | None] = list(order)
    for place in sorted(places, reverse=True):
        steps.insert(place, None)
    expected, events = history.after(list(order))
    found, event_types = history.after(steps)
    assert found == expected
    # A turn that was history when its Stop came is not announced; every other one is.
    announced = order[: min(places)] if places else order
    assert event_types.count("briefing_added") == len(announced)
    assert event_types.count("session_blocked") == (2 in announced)
    assert events.count("briefing_added") == 3


# --- at a session's end ---


class Session:
    """A session as `claude -p` leaves it: its hooks, and a transcript with one turn."""

    def __init__(self, fleet: Fleet, projects: Path, shop: Path) -> None:
        self.fleet, self.projects, self.shop = fleet, projects, shop
        self.conversation = Conversation(shop, age_days=0)
        self.file = projects / "-code-project" / "session-1.jsonl"

    def hook(self, name: str, **more: Any) -> None:
        call = {"session_id": "session-1", "cwd": str(self.shop), "transcript_path": str(self.file)}
        self.fleet.hook(name, {**call, **more}, self.shop)

    def start(self) -> "Session":
        """A start a minute ago; what the transcript has comes after it."""
        self.hook("session_start", source="startup")
        new = self.fleet.home / "spool" / "new"
        (name,) = self.fleet.waiting()
        received, _, rest = name.partition(".")
        moment = int(received) - 60 * 10**9
        text = (new / name).read_bytes().replace(str(int(received)).encode(), b"%d" % moment, 1)
        (new / name).unlink()
        (new / f"{moment:020d}.{rest}").write_bytes(text)
        self.conversation.at = datetime.now(UTC) - timedelta(seconds=50)
        return self

    def end(self) -> None:
        self.conversation.write(self.projects)
        self.hook("session_end", reason="other")
        self.fleet.drain()

    def failed_hook(self) -> None:
        self.hook(
            "stop_failure",
            prompt_id=self.conversation.prompt_id,
            error="unknown",
            last_assistant_message="API Error: 400 scripted failure",
        )


@pytest.fixture
def session(fleet: Fleet, projects: Path, shop: Path) -> Session:
    return Session(fleet, projects, shop)


def test_a_failure_whose_hook_was_killed_is_found_at_the_sessions_end(
    fleet: Fleet, session: Session, shop: Path
) -> None:
    session.start().conversation.prompt("go").edit(str(shop / "app.py")).fail()
    session.end()
    expected = [("API Error: 400 scripted failure", "failed")]
    events = ["session_started", "briefing_added", "error"]
    assert briefings(fleet) == expected
    assert [kind for kind, _ in fleet.events()] == events
    assert fleet.rows("SELECT files_touched_json FROM briefings") == [('["app.py"]',)]
    ((error,),) = fleet.rows("SELECT payload_json FROM outbox_events WHERE type = 'error'")
    assert json.loads(error)["error"] == {
        "message": "API Error: 400 scripted failure",
        "code": "unknown",
    }
    assert fleet.rows("SELECT state, ended_at IS NOT NULL FROM sessions") == [("failed", 1)]
    # Neither the hook, if it comes after all, nor the same end again, nor an import changes anything.
    before = [fleet.rows(f"SELECT * FROM {table}") for table in ("briefings", "sessions", "turns")]
    session.failed_hook()
    fleet.drain()
    session.hook("session_end", reason="other")
    fleet.drain()
    assert imports(fleet)["imported"] == 0
    after = [fleet.rows(f"SELECT * FROM {table}") for table in ("briefings", "sessions", "turns")]
    assert (after[0], after[2]) == (before[0], before[2])
    assert [kind for kind, _ in fleet.events()] == events
    assert "ok" in fleet.console("db", "check").stdout


def test_a_turn_whose_stop_was_lost_is_found_at_the_sessions_end(
    fleet: Fleet, session: Session
) -> None:
    session.start().conversation.turn(BLOCKED).command("/exit")
    session.end()
    assert [kind for kind, _ in fleet.events()] == [
        *("session_started", "briefing_added", "session_blocked")
    ]


def test_a_turn_that_its_hook_reported_is_not_looked_up(fleet: Fleet, session: Session) -> None:
    session.start().conversation.prompt("go").fail()
    session.failed_hook()
    session.end()
    assert [kind for kind, _ in fleet.events()] == ["session_started", "briefing_added", "error"]
    assert briefings(fleet) == [("API Error: 400 scripted failure", "failed")]


def test_a_session_that_ends_without_a_new_turn_makes_no_news_of_an_old_one(
    fleet: Fleet, session: Session
) -> None:
    session.conversation = Conversation(session.shop, age_days=3).prompt("go").fail()
    session.hook("session_start", source="resume")
    session.conversation.write(session.projects)
    session.hook("session_end", reason="other")
    fleet.drain()
    assert briefings(fleet) == []
    assert imports(fleet)["imported"] == 1
    assert fleet.events() == [("session_started", "silent")]


@pytest.mark.parametrize("make", [Conversation.interrupt, Conversation.prompt])
def test_a_turn_without_an_end_leaves_nothing(fleet: Fleet, session: Session, make: Any) -> None:
    session.start().conversation.turn("One.").prompt("go").answer("Well", None)
    arguments = ("more",) if make is Conversation.prompt else ()
    make(session.conversation, *arguments)
    session.end()
    assert briefings(fleet) == []
