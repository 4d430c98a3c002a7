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
    """An interactive Commander that is shown exactly one alert when it starts."""
    fleet.worker(fleet.repository("alpha"), "get stuck", blocked_by("a key"))
    fleet.drain()
    with fleet.interactive_commander() as session:
        yield session


def _ask(fleet: Fleet, session: Interactive, prompt: str) -> None:
    """Send one prompt and wait until its answer is complete and what it was shown is committed."""
    answer = f"answer to {prompt}"
    fleet.script(prompt, Text(answer))
    session.send(prompt)
    session.wait_for(answer)
    fleet.wait_for_rows(COMMITTED)


def test_interactive_prompt_is_shown_only_new_events(fleet: Fleet, commander: Interactive) -> None:
    _ask(fleet, commander, "what is new")
    (recap,) = fleet.preludes_with("what is new")
    assert "Projects:" in recap
    assert "Stuck on a key" in recap

    _ask(fleet, commander, "nothing happened")
    assert fleet.preludes_with("nothing happened") == []

    fleet.worker(fleet.repository("beta"), "wait for the reviewer", blocked_by("a review"))
    fleet.drain()
    _ask(fleet, commander, "what happened since")
    (delta,) = fleet.preludes_with("what happened since")
    assert "Stuck on a review" in delta
    assert "Stuck on a key" not in delta
    assert "Projects:" not in delta
    assert len(fleet.preludes_up_to("what happened since")) == 2


def test_clear_adds_a_recap_without_old_events(fleet: Fleet, commander: Interactive) -> None:
    _ask(fleet, commander, "what is new")
    (before,) = fleet.rows("SELECT session_id FROM commander_sessions")
    commander.send("/clear")
    fleet.wait_for_rows(
        "SELECT 1 FROM commander_sessions WHERE session_id <> ?", before["session_id"]
    )
    _ask(fleet, commander, "who is there")

    (recap,) = fleet.preludes_with("who is there")
    assert "Projects:\n- #1 alpha · blocked · Stuck on a key" in recap
    assert "Alerts:" not in recap, "the alert was shown as new twice"
    assert len(fleet.preludes_up_to("who is there")) == 1


def test_compact_adds_the_recap_to_the_same_session_again(
    fleet: Fleet, commander: Interactive
) -> None:
    for prompt in ("what is new", "nothing happened"):
        _ask(fleet, commander, prompt)
    commander.send("/compact")
    commander.wait_for("Compacted|compacted")
    fleet.worker(fleet.repository("beta"), "wait for the reviewer", blocked_by("a review"))
    fleet.drain()
    _ask(fleet, commander, "who is there")

    recap, delta = fleet.preludes_with("who is there")
    assert "Projects:" in recap
    assert "Alerts:" not in recap, "the alert was shown as new twice"
    assert "Stuck on a review" in delta
    assert len(fleet.rows("SELECT * FROM commander_sessions")) == 1
    _ask(fleet, commander, "quiet again")
    assert fleet.preludes_with("quiet again") == []


def test_interactive_resume_shows_the_missed_events(fleet: Fleet, commander: Interactive) -> None:
    _ask(fleet, commander, "what is new")
    (session_row,) = fleet.rows("SELECT session_id FROM commander_sessions")
    commander.send("/exit")
    commander.wait_for_exit()
    fleet.worker(fleet.repository("beta"), "wait for the reviewer", blocked_by("a review"))
    fleet.drain()

    with fleet.interactive_commander("--resume", session_row["session_id"]) as resumed:
        _ask(fleet, resumed, "what did I miss")
        _ask(fleet, resumed, "nothing happened")

    (delta,) = fleet.preludes_with("what did I miss")
    assert "Stuck on a review" in delta
    assert "Stuck on a key" not in delta
    assert fleet.preludes_with("nothing happened") == []
    assert len(fleet.preludes_up_to("nothing happened")) == 2


@pytest.mark.one_client
def test_opening_the_commander_does_not_move_its_cursor(
    fleet: Fleet, commander: Interactive
) -> None:
    fleet.wait_for_rows("SELECT 1 FROM commander_sessions")
    commander.send("/exit")
    commander.wait_for_exit()
    assert fleet.cursor() == 0

    fleet.commander("what is new")
    assert "Stuck on a key" in fleet.preludes_with("what is new")[0]


@pytest.mark.one_client
def test_two_clients_of_one_session_have_a_cursor_each(
    fleet: Fleet, commander: Interactive
) -> None:
    _ask(fleet, commander, "what is new")
    (known,) = fleet.rows("SELECT session_id FROM commander_sessions")
    fleet.worker(fleet.repository("beta"), "wait for a review", blocked_by("a review"))
    fleet.commander("in another terminal", resume=known["session_id"])
    assert "Stuck on a review" in fleet.preludes_with("in another terminal")[0]
    fleet.drain()

    _ask(fleet, commander, "here again")
    (delta,) = fleet.preludes_with("here again")
    assert "Stuck on a review" in delta and "Stuck on a key" not in delta
    _ask(fleet, commander, "nothing happened")
    assert fleet.preludes_with("nothing happened") == []


@pytest.mark.one_client
def test_a_reset_is_not_undone_by_a_turn_that_is_running(
    fleet: Fleet, commander: Interactive
) -> None:
    _ask(fleet, commander, "what is new")
    fleet.script("a long turn", Text("at last"))
    is_over = fleet.hold_back("a long turn")
    commander.send("a long turn")
    fleet.wait_for_request("a long turn")
    fleet.console("commander", "--reset")
    is_over.set()
    commander.wait_for("at last")
    commander.send("/exit")
    commander.wait_for_exit()
    fleet.drain()
    (conversation,) = fleet.rows("SELECT * FROM conversations")
    assert conversation["claude_session_id"] is None
    assert conversation["last_outbox_event_id_seen"] == fleet.last_event()


def test_prompt_erased_by_another_hook_does_not_move_the_cursor(fleet: Fleet) -> None:
    fleet.erase_prompts_with("forbidden")
    alpha = fleet.repository("alpha")
    fleet.worker(alpha, "get stuck", blocked_by("a key"))
    fleet.drain()
    with fleet.interactive_commander() as session:
        _ask(fleet, session, "what is new")
        fleet.worker(alpha, "wait for the reviewer", blocked_by("a review"))
        fleet.drain()
        session.send("a forbidden word")
        session.wait_for("blocked by hook")
        session.clear_input()
        _ask(fleet, session, "another word")

    assert fleet.model.main_requests("forbidden") == [], "the prompt was not erased"
    (delta,) = fleet.preludes_with("another word")
    assert "Stuck on a review" in delta


@pytest.mark.one_client
def test_events_of_a_crashed_turn_are_shown_again(fleet: Fleet, commander: Interactive) -> None:
    fleet.script("what is new", Text("too late"))
    may_answer = fleet.hold_back("what is new")
    commander.send("what is new")
    fleet.wait_for_request("what is new")
    commander.kill()
    may_answer.set()
    assert "Stuck on a key" in fleet.preludes_with("what is new")[0]
    assert fleet.cursor() == 0

    fleet.commander("once more")
    assert fleet.preludes_with("once more") == fleet.preludes_with("what is new")
    assert fleet.cursor() == fleet.last_event()


@pytest.mark.parametrize("drainer", ["at work", "late"])
def test_two_queued_prompts_do_not_show_the_same_events_twice(
    fleet: Fleet, commander: Interactive, drainer: str
) -> None:
    _ask(fleet, commander, "what is new")
    fleet.worker(fleet.repository("beta"), "wait for the reviewer", blocked_by("a review"))
    fleet.drain()
    fleet.script("the first of two", Text("answer one"))
    fleet.script("the second of two", Text("answer two"))
    first_is_over = fleet.hold_back("the first of two")

    with fleet.drainers_held_off() if drainer == "late" else nullcontext():
        commander.send("the first of two")
        fleet.wait_for_request("the first of two")
        commander.send("the second of two")
        first_is_over.set()
        commander.wait_for("answer two")

    (delta,) = fleet.preludes_with("the first of two")
    assert "Stuck on a review" in delta
    assert fleet.preludes_with("the second of two") == []
    assert fleet.preludes_up_to("the second of two") == fleet.preludes_up_to("the first of two")
    assert fleet.cursor() == fleet.last_event()


def test_hooks_registered_twice_inject_once_into_an_interactive_prompt(fleet: Fleet) -> None:
    fleet.register_hooks_once_more()
    alpha = fleet.repository("alpha")
    fleet.worker(alpha, "get stuck", blocked_by("a key"))
    fleet.drain()
    with fleet.interactive_commander() as session:
        _ask(fleet, session, "what is new")
        fleet.worker(alpha, "wait for the reviewer", blocked_by("a review"))
        fleet.drain()
        _ask(fleet, session, "what happened since")

    assert (
        len(fleet.preludes_with("what is new"))
        == len(fleet.preludes_with("what happened since"))
        == 1
    )
    assert len(fleet.preludes_up_to("what happened since")) == 2


def test_permission_prompt_is_an_alert_until_the_turn_ends(fleet: Fleet) -> None:
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
        (stuck_session,) = fleet.stuck_sessions()
        assert stuck_session[1] == "permission"
        assert not file.exists()
        fleet.commander("who needs me")

        session.keys("Enter")
        session.wait_for("It is written")
        fleet.wait_for_rows("SELECT 1 FROM briefings")
        assert fleet.stuck_sessions() == []

    (prelude,) = fleet.preludes_with("who needs me")
    assert "needs permission: " in prelude.split("Alerts:")[1]
    (briefing,) = fleet.briefings()
    assert (briefing["session_id"], briefing["files_touched"]) == (stuck_session[0], ["a.txt"])
    assert fleet.event_counts() == {
        "session_started": 1,
        "session_blocked": 1,
        "briefing_added": 1,
    }
    fleet.commander("and afterwards")
    assert "needs permission" not in fleet.preludes_with("and afterwards")[0]
    (alert,) = fleet.console("prelude", "--after", "0").split("Alerts:\n")[1].split("\n")[:1]
    assert "alpha · resolved · needs permission: " in alert
