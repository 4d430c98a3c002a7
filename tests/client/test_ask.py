"""`fleet ask`: a question to the Commander, which sees new events exactly once and answers in the
terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet_world import Fleet, blocked_by
from job_world import Jobs, is_alive
from scripted_model import Fail, Text, ToolUse


@pytest.fixture
def jobs(fleet: Fleet, tmp_path: Path) -> Iterator[Jobs]:
    created = Jobs(fleet, tmp_path)
    fleet.worker(fleet.repository("alpha"), "get stuck", blocked_by("a key"))
    yield created
    created.kill_all()


def test_ask_prints_the_answer_and_shows_new_events_once(
    jobs: Jobs,
) -> None:
    fleet = jobs.fleet
    fleet.script("what needs me", Text("Alpha waits for a key.\n\nGive it one."))
    first = jobs.console("ask", "what needs me?")
    assert (first.returncode, first.stdout) == (0, "Alpha waits for a key.\n\nGive it one.\n")
    (prelude,) = fleet.preludes_with("what needs me")
    assert "Stuck on a key" in prelude

    fleet.worker(fleet.repository("beta"), "wait for the reviewer", blocked_by("a review"))
    fleet.script("and what else", Text("Beta waits for a review."))
    second = jobs.console("ask", "--json", "and what else?")
    answer = json.loads(second.stdout)
    assert answer["answer"] == "Beta waits for a review."
    (delta,) = fleet.preludes_with("and what else")
    assert "Stuck on a review" in delta and "Stuck on a key" not in delta
    assert len(fleet.preludes_up_to("and what else")) == 2, "it is not the same conversation"

    fleet.script("anything new", Text("No."))
    jobs.console("ask", "anything new?")
    assert fleet.preludes_with("anything new") == [], "it was shown an event of its own question"
    assert {event["level"] for event in jobs.events()} == {"silent"}
    assert len(fleet.briefings()) == 2
    sessions = fleet.rows("SELECT DISTINCT session_id FROM job_runs")
    assert sessions == fleet.rows("SELECT claude_session_id AS session_id FROM conversations")


def test_ask_has_the_read_permissions_of_the_commander(jobs: Jobs) -> None:
    fleet = jobs.fleet
    (fleet.home / "bin").mkdir(exist_ok=True)
    (fleet.home / "bin" / "fleet").write_text("#!/bin/sh\necho looked up $1 > ../looked\n")
    (fleet.home / "bin" / "fleet").chmod(0o755)
    fleet.script(
        "look it up",
        ToolUse("Bash", {"command": "fleet status"}),
        ToolUse("Bash", {"command": "fleet jobs submit x"}),
        Text("I looked."),
    )
    assert jobs.console("ask", "look it up").stdout == "I looked.\n"
    assert (fleet.home.parent / "looked").read_text() == "looked up status\n"


@pytest.mark.one_client
def test_concurrent_questions_are_answered_in_turn(jobs: Jobs) -> None:
    jobs.fleet.script("a long question", Text("The long answer."))
    may_end = jobs.fleet.hold_back("a long question")
    jobs.fleet.script("a short question", Text("The short answer."))
    first_process = jobs.start("ask", "a long question")
    jobs.until(jobs.started)
    second_process = jobs.start("ask", "a short question")
    jobs.fleet.wait_for_rows("SELECT 1 FROM jobs LIMIT 1 OFFSET 1")
    may_end.set()
    assert first_process.communicate(timeout=120)[0] == "The long answer.\n"
    assert second_process.communicate(timeout=120)[0] == "The short answer.\n"

    first, second = jobs.fleet.rows("SELECT * FROM jobs ORDER BY job_id")
    assert first["ts_finished"] <= second["ts_started"]
    preludes = jobs.fleet.preludes_with("a long question") + jobs.fleet.preludes_with(
        "a short question"
    )
    assert len(preludes) == 1, "the events were shown twice"


@pytest.mark.one_client
def test_a_question_does_not_wait_behind_the_queue(jobs: Jobs) -> None:
    jobs.fleet.drain()
    queued = [jobs.queue(f"task {number} of the queue") for number in range(4)]
    jobs.fleet.script("a question in between", Text("Here."))
    assert jobs.console("ask", "a question in between").stdout == "Here.\n"
    jobs.wait(*queued)
    turns = jobs.fleet.rows("SELECT ts_started FROM jobs WHERE type = 'commander_turn'")
    assert turns[0]["ts_started"] <= jobs.job(queued[1])["ts_started"]


@pytest.mark.one_client
def test_failed_question_prints_the_reason_and_repeats_its_events(jobs: Jobs) -> None:
    jobs.fleet.script("an unlucky question", Fail(400, "no such luck"))
    done = jobs.console("ask", "an unlucky question")
    assert done.returncode == 1
    assert "no answer: API Error: 400 no such luck" in done.stderr
    assert done.stdout == "", "the error is printed twice"
    assert jobs.fleet.cursor() == 0

    jobs.console("ask", "a better question")
    (prelude,) = jobs.fleet.preludes_with("a better question")
    assert "Stuck on a key" in prelude and "job" not in prelude
    assert {event["level"] for event in jobs.events()} == {"silent"}


@pytest.mark.one_client
def test_reset_starts_a_new_conversation_but_keeps_cursor_and_alerts(jobs: Jobs) -> None:
    fleet = jobs.fleet
    jobs.console("ask", "the first question")
    cursor = fleet.cursor()
    done = jobs.console("commander", "--reset")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Events up to e{cursor} are not repeated" in done.stdout
    assert fleet.cursor() == cursor > 0

    jobs.console("ask", "the second question")
    assert "the first question" not in json.dumps(
        fleet.model.main_requests("the second question")[0]["messages"]
    )
    (prelude,) = fleet.preludes_with("the second question")
    left_open = prelude.split("Left open:\n")[1]  # a headless session has ended
    assert re.search(r"alpha · blocked · .*a key", left_open)
    assert "Alerts:\n" not in left_open, "the delta was shown again"


def test_every_turn_of_a_conversation_uses_its_own_system_prompt(jobs: Jobs) -> None:
    """By default 2.1.332 sends the first system prompt with every later turn."""
    jobs.fleet.drain()
    system_prompts = {
        "turn one": "Talk like a stone.",
        "turn two": "Talk like a river.",
        "turn three": "",
    }
    for prompt, system in system_prompts.items():
        body = json.dumps({"prompt": prompt, "systemPrompt": system})
        job_id = jobs.queue(prompt, type="commander_turn", project_id=None, request_json=body)
        assert jobs.console("jobs", "run", "--once").returncode == 0
        assert jobs.wait(job_id) == ["completed"]

    received = {}
    for prompt in system_prompts:
        (request, *_) = jobs.fleet.model.main_requests(prompt)
        sent = json.dumps(request["system"])
        received[prompt] = [word for word in ("stone", "river") if f"Talk like a {word}." in sent]
    assert received == {"turn one": ["stone"], "turn two": ["river"], "turn three": []}
    assert "turn one" in json.dumps(request["messages"]), "it is not the same conversation"


@pytest.mark.one_client
@pytest.mark.usefixtures("terminal")
def test_beside_an_open_commander_a_question_moves_no_cursor_but_its_own(jobs: Jobs) -> None:
    fleet = jobs.fleet
    fleet.drain()
    with fleet.interactive_commander() as session:
        fleet.script("what is new", Text("Alpha waits."))
        session.send("what is new")
        session.wait_for("Alpha waits")
        fleet.wait_for_rows("SELECT 1 FROM conversations WHERE claude_session_id IS NOT NULL")
        before = fleet.rows("SELECT * FROM conversations")
        fleet.worker(fleet.repository("beta"), "wait for a review", blocked_by("a review"))
        fleet.script("a question beside", Text("Beta waits."))
        asked = jobs.console("ask", "a question beside")
        assert (asked.returncode, asked.stdout) == (0, "Beta waits.\n")
        assert "the open Commander will not see the answer" in asked.stderr
        assert "Stuck on a review" in str(fleet.preludes_with("a question beside"))
        assert "what is new" in json.dumps(
            fleet.model.main_requests("a question beside")[0]["messages"]
        ), "it was not asked in a fork of the conversation"
        fleet.drain()
        assert fleet.rows("SELECT * FROM conversations") == before

        fleet.script("and in the terminal", Text("Beta waits too."))
        session.send("and in the terminal")
        session.wait_for("Beta waits too")
        (shown_text,) = fleet.preludes_with("and in the terminal")
        assert "Stuck on a review" in shown_text and "Stuck on a key" not in shown_text

    fleet.drain()
    closed = jobs.console("ask", "after it was closed")
    assert closed.stderr == ""
    assert "and in the terminal" in json.dumps(
        fleet.model.main_requests("after it was closed")[0]["messages"]
    )


@pytest.mark.one_client
def test_ctrl_c_cancels_the_question(jobs: Jobs) -> None:
    import signal

    jobs.fleet.script("a question for an hour", Text("late", delay_seconds=250))
    process = jobs.start("ask", "a question for an hour")
    jobs.until(lambda: jobs.fleet.model.main_requests("a question for an hour"))
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 130 and "Cancelling" in error
    assert [row["status"] for row in jobs.fleet.rows("SELECT status FROM jobs")] == ["canceled"]
    assert not is_alive(jobs.started()[0]["pid"])


@pytest.mark.one_client
def test_ask_without_a_commander_folder_suggests_how_to_create_it(jobs: Jobs) -> None:
    (jobs.fleet.home / "CLAUDE.md").unlink()
    done = jobs.console("ask", "is anything new?")
    assert done.returncode == 1 and "./install.sh" in done.stderr
    assert jobs.fleet.rows("SELECT * FROM jobs") == []
