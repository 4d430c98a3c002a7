"""Several Claude Code processes in one Commander session: each has a cursor of its own. Questions
beside an open Commander, and a reset while it works."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import Fleet
from test_commander import add_briefing, call, cursor, start, stop

from fleet_lib.jobs.open_commander import commander_is_open
from fleet_lib.store import db
from fleet_lib.store.conversations import ConversationRepo


class Client:
    """One process that has the session open."""

    def __init__(self, fleet: Fleet, pid: int) -> None:
        self._fleet, self._pid = fleet, pid

    def _call(self, event: str, **payload: Any) -> str:
        done = self._fleet.hook(event, call(**payload), self._fleet.home, CLAUDE_PID=str(self._pid))
        self._fleet.drain()
        return self._fleet.context(done)

    def start(self, source: str, transcript: Path | None = None) -> str:
        # As if more than a second had passed: nearer starts are copies of one registered hook.
        for mark in (self._fleet.home / "spool" / "tmp").glob("printed.SessionStart.*"):
            mark.unlink()
        return self._call("session_start", source=source, transcript_path=str(transcript))

    def prompt(self, prompt_id: str) -> str:
        return self._call("user_prompt_submit", prompt_id=prompt_id, prompt="what is new?")

    def stop(self, prompt_id: str) -> None:
        self._call("stop", prompt_id=prompt_id, last_assistant_message="Two things.")

    def fail(self, prompt_id: str) -> None:
        self._call("stop_failure", prompt_id=prompt_id, error="unknown")


@pytest.fixture
def clients(fleet: Fleet) -> Iterator[tuple[Client, Client, Client]]:
    processes = [subprocess.Popen(["sleep", "600"]) for _ in range(3)]
    try:
        first, second, third = (Client(fleet, process.pid) for process in processes)
        yield first, second, third
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.skipif(
    not os.path.exists("/proc/self/stat"), reason="processes cannot be distinguished"
)
def test_each_client_of_a_session_is_shown_what_only_the_other_was_shown(
    fleet: Fleet, clients: tuple[Client, Client, Client]
) -> None:
    first, second, third = clients
    add_briefing(fleet, 1)
    first.start("startup")
    first.stop("p1")
    add_briefing(fleet, 2)
    assert "Turn 2" in second.start("resume")
    second.stop("p2")
    add_briefing(fleet, 3)
    at_first = first.prompt("p3")
    assert "Turn 2" in at_first and "Turn 3" in at_first and "Turn 1" not in at_first
    first.stop("p3")
    assert first.prompt("p4") == ""
    at_second = second.prompt("p5")
    assert "Turn 3" in at_second and "Turn 2" not in at_second
    second.stop("p5")

    # A resumed session goes on from the last turn, which was the second client's.
    add_briefing(fleet, 4)
    first.prompt("p6")
    first.stop("p6")
    add_briefing(fleet, 5)
    second.prompt("p7")
    at_third = third.start("resume")
    assert "Turn 5" in at_third and "Turn 4" not in at_third


@pytest.mark.skipif(
    not os.path.exists("/proc/self/stat"), reason="processes cannot be distinguished"
)
def test_start_of_a_second_client_confirms_nothing_for_the_first(
    fleet: Fleet, clients: tuple[Client, Client, Client]
) -> None:
    first, second, _ = clients
    add_briefing(fleet, 1)
    first.start("startup")
    first.stop("p1")
    add_briefing(fleet, 2)
    assert "Turn 2" in second.start("resume")
    first.stop("p2")
    assert "Turn 2" in first.prompt("p3")


@pytest.mark.parametrize("ends_with", ["an API error", "an answer", "nothing"])
def test_resume_after_a_failed_turn_repeats_only_what_is_not_sent_again(
    fleet: Fleet, clients: tuple[Client, Client, Client], tmp_path: Path, ends_with: str
) -> None:
    first, second, _ = clients
    add_briefing(fleet, 1)
    transcript = tmp_path / "transcript.jsonl"
    assert "Turn 1" in first.start("startup")
    first.fail("p1")
    lines: list[dict[str, Any]] = [{"type": "user", "promptId": "p1"}]
    if ends_with != "nothing":
        lines += [{"type": "assistant", "isApiErrorMessage": ends_with == "an API error"}]
    transcript.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    add_briefing(fleet, 2)
    shown = second.start("resume", transcript)
    assert "Turn 2" in shown
    assert ("Turn 1" in shown) is (ends_with != "an API error")
    assert cursor(fleet) == 0
    second.stop("p2")
    assert second.prompt("p3") == ""
    assert cursor(fleet) == fleet.rows("SELECT max(event_id) FROM outbox_events")[0][0]


def conversation_session(fleet: Fleet) -> str | None:
    ((session,),) = fleet.rows("SELECT claude_session_id FROM conversations")
    return session if session is None else str(session)


def test_reset_is_not_undone_by_a_turn_that_is_running(fleet: Fleet) -> None:
    add_briefing(fleet, 1)
    (fleet.home / "CLAUDE.md").touch()
    start(fleet)
    stop(fleet, "p1")
    assert conversation_session(fleet) == "commander-1"
    fleet.console("commander", "--reset")
    add_briefing(fleet, 2)
    fleet.hook("user_prompt_submit", call(prompt_id="p2", prompt="more"), fleet.home)
    stop(fleet, "p2")
    assert conversation_session(fleet) is None
    assert cursor(fleet) == fleet.rows("SELECT max(event_id) FROM outbox_events")[0][0]

    start(fleet, session="commander-2")
    stop(fleet, "p3", session="commander-2")
    assert conversation_session(fleet) == "commander-2"
    start(fleet, "resume")
    stop(fleet, "p4")
    assert conversation_session(fleet) == "commander-1", "it was resumed after the reset"


def test_question_beside_an_open_commander_moves_no_cursor_but_its_own(fleet: Fleet) -> None:
    add_briefing(fleet, 1)
    start(fleet)
    stop(fleet, "p1")
    before = fleet.rows("SELECT * FROM conversations")
    add_briefing(fleet, 2)
    connection = db.connect(str(fleet.home / "fleet.db"))
    with db.transaction(connection):
        conversations = ConversationRepo(connection)
        commander = conversations.get_or_create_commander(str(fleet.home))
        conversations.ask_beside(commander, "beside", "commander-1")
    connection.close()

    shown = start(fleet, "fork", "beside")
    assert "Turn 2" in shown
    stop(fleet, "p2", "beside")
    assert fleet.rows("SELECT * FROM conversations") == before
    sql = "SELECT cursor_event_id FROM commander_sessions WHERE session_id = ?"
    assert fleet.rows(sql, "beside") != fleet.rows(sql, "commander-1")


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="procStart is of Linux")
def test_commander_is_open_while_its_process_lives_in_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path))
    home, sessions = tmp_path / "commander", tmp_path / "sessions"
    assert not commander_is_open(str(home))
    home.mkdir()
    sessions.mkdir()
    started = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    living = {"pid": os.getpid(), "procStart": started, "cwd": str(home), "entrypoint": "cli"}
    for change, is_open in (
        ({}, True),
        ({"procStart": "1"}, False),
        ({"cwd": str(tmp_path)}, False),
        ({"cwd": 7}, False),
        ({"pid": "1"}, False),
        ({"entrypoint": "sdk-cli"}, False),
    ):
        (sessions / "1.json").write_text(json.dumps(living | change))
        assert commander_is_open(str(home)) is is_open, change
    (sessions / "1.json").write_text("{")
    assert not commander_is_open(str(home))
