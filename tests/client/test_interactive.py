"""Interactive sessions in a terminal: /clear, /compact, queued prompts, a permission prompt."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import pytest
from claude_client import Interactive
from fleet_world import Fleet, blocked_by
from scripted_model import Text, ToolUse

pytestmark = pytest.mark.usefixtures("terminal")

COMMITTED = (
    "SELECT 1 FROM conversations WHERE last_outbox_event_id_seen ="
    " (SELECT max(event_id) FROM outbox_events) AND claude_session_id IS NOT NULL"
)


@pytest.fixture
def commander(fleet: Fleet) -> Iterator[Interactive]:
    """An interactive Commander that has nothing to be told when it starts but one alert."""
    fleet.worker(fleet.repository("alpha"), "get stuck", blocked_by("a key"))
    fleet.drain()
    with fleet.interactive_commander() as session:
        yield session


def _ask(fleet: Fleet, session: Interactive, prompt: str) -> None:
    """One prompt and its answer, to the very end: what it showed is committed."""
    answer = f"answer to {prompt}"
    fleet.script(prompt, Text(answer))
    session.send(prompt)
    session.wait_for(answer)
    fleet.wait_for_rows(COMMITTED)


def test_an_interactive_prompt_is_told_only_what_is_new(
    fleet: Fleet, commander: Interactive
) -> None:
    _ask(fleet, commander, "what is new")
    (recap,) = fleet.told("what is new")
    assert "Projects:" in recap
    assert "Stuck on a key" in recap

    _ask(fleet, commander, "nothing happened")
    assert fleet.told("nothing happened") == []

    fleet.worker(fleet.repository("beta"), "wait for somebody", blocked_by("a review"))
    fleet.drain()
    _ask(fleet, commander, "what happened since")
    (delta,) = fleet.told("what happened since")
    assert "Stuck on a review" in delta
    assert "Stuck on a key" not in delta
    assert "Projects:" not in delta
    assert len(fleet.held("what happened since")) == 2


def test_clear_gives_the_empty_context_a_recap_and_no_old_news(
    fleet: Fleet, commander: Interactive
) -> None:
    _ask(fleet, commander, "what is new")
    (before,) = fleet.rows("SELECT session_id FROM commander_sessions")
    commander.send("/clear")
    fleet.wait_for_rows(
        "SELECT 1 FROM commander_sessions WHERE session_id <> ?", before["session_id"]
    )
    _ask(fleet, commander, "who is there")

    (recap,) = fleet.told("who is there")
    assert "Projects:\n- #1 alpha · blocked · Stuck on a key" in recap
    assert "Alerts:" not in recap, "the alert was new twice"
    assert len(fleet.held("who is there")) == 1


def test_compact_gives_the_same_session_a_recap_again(fleet: Fleet, commander: Interactive) -> None:
    for prompt in ("what is new", "nothing happened"):
        _ask(fleet, commander, prompt)
    commander.send("/compact")
    commander.wait_for("Compacted|compacted")
    fleet.worker(fleet.repository("beta"), "wait for somebody", blocked_by("a review"))
    fleet.drain()
    _ask(fleet, commander, "who is there")

    recap, delta = fleet.told("who is there")
    assert "Projects:" in recap
    assert "Alerts:" not in recap, "the alert was new twice"
    assert "Stuck on a review" in delta
    assert len(fleet.rows("SELECT * FROM commander_sessions")) == 1
    _ask(fleet, commander, "quiet again")
    assert fleet.told("quiet again") == []


def test_an_interactive_resume_is_told_what_it_missed(fleet: Fleet, commander: Interactive) -> None:
    _ask(fleet, commander, "what is new")
    (known,) = fleet.rows("SELECT session_id FROM commander_sessions")
    commander.send("/exit")
    commander.wait_for_exit()
    fleet.worker(fleet.repository("beta"), "wait for somebody", blocked_by("a review"))
    fleet.drain()

    with fleet.interactive_commander("--resume", known["session_id"]) as resumed:
        _ask(fleet, resumed, "what did I miss")
        _ask(fleet, resumed, "nothing happened")

    (delta,) = fleet.told("what did I miss")
    assert "Stuck on a review" in delta
    assert "Stuck on a key" not in delta
    assert fleet.told("nothing happened") == []
    assert len(fleet.held("nothing happened")) == 2


def test_a_commander_that_was_only_opened_has_seen_nothing(
    fleet: Fleet, commander: Interactive
) -> None:
    fleet.wait_for_rows("SELECT 1 FROM commander_sessions")
    commander.send("/exit")
    commander.wait_for_exit()
    assert fleet.cursor() == 0

    fleet.commander("what is new")
    assert "Stuck on a key" in fleet.told("what is new")[0]


def test_two_clients_of_one_session_have_a_cursor_each(
    fleet: Fleet, commander: Interactive
) -> None:
    _ask(fleet, commander, "what is new")
    (known,) = fleet.rows("SELECT session_id FROM commander_sessions")
    alpha = fleet.repository("beta")
    fleet.worker(fleet.repository("beta"), "wait for somebody", blocked_by("a review"))
    fleet.commander("in another terminal", resume=known["session_id"])
    assert "Stuck on a review" in fleet.told("in another terminal")[0]
    fleet.drain()

    _ask(fleet, commander, "here again")
    (delta,) = fleet.told("here again")
    assert "Stuck on a review" in delta and "Stuck on a key" not in delta
    _ask(fleet, commander, "nothing happened")
    assert fleet.told("nothing happened") == []


def test_a_reset_is_not_undone_by_a_turn_that_is_running(
    fleet: Fleet, commander: Interactive
) -> None:
    _ask(fleet, commander, "what is new")
    fleet.script("a long turn", Text("at last", delay_seconds=4))
    commander.send("a long turn")
    fleet.wait_for_request("a long turn")
    fleet.console("commander", "--reset")
    commander.wait_for("at last")
    commander.send("/exit")
    commander.wait_for_exit()
    fleet.drain()
    (conversation,) = fleet.rows("SELECT * FROM conversations")
    assert conversation["claude_session_id"] is None
    assert conversation["last_outbox_event_id_seen"] == fleet.last_event()


def test_a_prompt_that_another_hook_erased_was_not_told_anything(fleet: Fleet) -> None:
    fleet.erase_prompts_with("forbidden")
    alpha = fleet.repository("alpha")
    fleet.worker(alpha, "get stuck", blocked_by("a key"))
    fleet.drain()
    with fleet.interactive_commander() as session:
        _ask(fleet, session, "what is new")
        fleet.worker(alpha, "wait for somebody", blocked_by("a review"))
        fleet.drain()
        session.send("a forbidden word")
        session.wait_for("blocked by hook")
        session.clear_input()
        _ask(fleet, session, "another word")

    assert fleet.model.main_requests("forbidden") == [], "the prompt was not erased"
    (delta,) = fleet.told("another word")
    assert "Stuck on a review" in delta


def test_what_a_crashed_turn_was_told_is_told_again(fleet: Fleet, commander: Interactive) -> None:
    fleet.script("what is new", Text("too late", delay_seconds=10))
    commander.send("what is new")
    fleet.wait_for_request("what is new")
    commander.kill()
    assert "Stuck on a key" in fleet.told("what is new")[0]
    assert fleet.cursor() == 0

    fleet.commander("once more")
    assert fleet.told("once more") == fleet.told("what is new")
    assert fleet.cursor() == fleet.last_event()


@pytest.mark.parametrize("drainer", ["at work", "late"])
def test_two_queued_prompts_are_not_told_the_same_twice(
    fleet: Fleet, commander: Interactive, drainer: str
) -> None:
    _ask(fleet, commander, "what is new")
    fleet.worker(fleet.repository("beta"), "wait for somebody", blocked_by("a review"))
    fleet.drain()
    fleet.script("the first of two", Text("answer one", delay_seconds=1))
    fleet.script("the second of two", Text("answer two"))

    with fleet.drainers_held_off() if drainer == "late" else nullcontext():
        commander.send("the first of two")
        fleet.wait_for_request("the first of two")
        commander.send("the second of two")
        commander.wait_for("answer two")

    (delta,) = fleet.told("the first of two")
    assert "Stuck on a review" in delta
    assert fleet.told("the second of two") == []
    assert fleet.held("the second of two") == fleet.held("the first of two")
    assert fleet.cursor() == fleet.last_event()


def test_twice_registered_hooks_tell_an_interactive_prompt_once(fleet: Fleet) -> None:
    fleet.register_hooks_once_more()
    alpha = fleet.repository("alpha")
    fleet.worker(alpha, "get stuck", blocked_by("a key"))
    fleet.drain()
    with fleet.interactive_commander() as session:
        _ask(fleet, session, "what is new")
        fleet.worker(alpha, "wait for somebody", blocked_by("a review"))
        fleet.drain()
        _ask(fleet, session, "what happened since")

    assert len(fleet.told("what is new")) == len(fleet.told("what happened since")) == 1
    assert len(fleet.held("what happened since")) == 2


def test_a_permission_prompt_is_an_alert_until_the_turn_is_done(fleet: Fleet) -> None:
    repository = fleet.repository("alpha")
    file = repository / "a.txt"
    fleet.script(
        "write the file",
        ToolUse("Write", {"file_path": str(file), "content": "x"}),
        Text("It is written."),
    )
    with fleet.world.interactive(repository) as session:
        session.send("write the file")
        session.wait_for("Do you want to create")
        fleet.wait_for_rows("SELECT 1 FROM outbox_events WHERE type = 'session_blocked'")
        (stuck,) = fleet.stuck_sessions()
        assert stuck[1] == "waiting_for_permission"
        assert not file.exists()
        fleet.commander("who needs me")

        session.keys("Enter")
        session.wait_for("It is written")
        fleet.wait_for_rows("SELECT 1 FROM briefings")
        assert fleet.stuck_sessions() == []

    (told,) = fleet.told("who needs me")
    assert "waiting for permission: " in told.split("Alerts:")[1]
    (briefing,) = fleet.briefings()
    assert (briefing["session_id"], briefing["files_touched"]) == (stuck[0], ["a.txt"])
    assert fleet.event_counts() == {
        "session_started": 1,
        "session_blocked": 1,
        "briefing_added": 1,
    }
    fleet.commander("and afterwards")
    assert "waiting for permission" not in fleet.told("and afterwards")[0]
    (alert,) = fleet.console("prelude", "--after", "0").split("Alerts:\n")[1].split("\n")[:1]
    assert "alpha · resolved · waiting for permission: " in alert
