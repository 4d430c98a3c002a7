"""What a model says of a briefing that nobody classified: asked only where wanted, and never over anybody's
word."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fleet_world import Fleet
from job_world import Jobs
from scripted_model import Fail, Reply, Request, Text, ToolUse, newest_prompt

from fleet_lib.store import db
from fleet_lib.store.briefings import BriefingRepo


@pytest.fixture
def jobs(fleet: Fleet, tmp_path: Path) -> Iterator[Jobs]:
    made = Jobs(fleet, tmp_path)
    fleet.repository("alpha")
    yield made
    made.kill_all()


def work(
    jobs: Jobs,
    prompt: str,
    words: str = "I changed it.",
    *,
    file: str = "a.txt",
    drained: bool = True,
) -> None:
    """A worker's turn that changes a file."""
    repository = jobs.fleet.home.parents[2] / "repositories" / "alpha"
    write = ToolUse("Write", {"file_path": str(repository / file), "content": prompt})
    jobs.fleet.worker(repository, prompt, write, Text(words))
    if drained:
        jobs.fleet.drain()


def answer(jobs: Jobs, *meanings: dict[str, Any] | Reply) -> list[Request]:
    """Let the model answer questions about briefings so; the requests that it was asked."""
    asked: list[Request] = []
    scripted = jobs.fleet.model._script

    def script(request: Request) -> Reply:
        names = [tool["name"] for tool in request.get("tools", [])]
        if "StructuredOutput" not in names:
            return scripted(request)
        asked.append(request)
        if len(meanings) == 1 and not isinstance(meanings[0], dict):
            return meanings[0]
        full = [
            {
                "status": "completed",
                "impact_level": "minor",
                "doc_drift_risk": "low",
                "blockers": [],
                "next_steps": [],
            }
            | meaning
            for meaning in meanings
            if isinstance(meaning, dict)
        ]
        return ToolUse("StructuredOutput", {"briefings": full})

    jobs.fleet.model.say(script)
    return asked


def run(jobs: Jobs) -> None:
    done = jobs.console("jobs", "run", "--once")
    assert done.returncode == 0, done.stderr


@pytest.mark.one_client
def test_it_is_off_until_the_user_turns_it_on(jobs: Jobs) -> None:
    asked = answer(jobs, {"briefing_id": 1, "impact_level": "major"})
    work(jobs, "change something")
    run(jobs)
    told = jobs.console("config", "set", "semantics.enabled", "true").stderr
    assert "tokens" in told and "max_usd_per_day" in told, "it does not say what it costs"
    jobs.set("semantics.enabled", "false")
    assert asked == [] and jobs.fleet.rows("SELECT * FROM jobs") == []


def test_a_models_word_is_stored_with_its_event_in_one_transaction(jobs: Jobs) -> None:
    work(jobs, "move the payment")
    before = jobs.fleet.briefings()[0]
    assert (before["status"], before["impact_level"]) == ("completed", "minor")
    jobs.set("semantics.enabled", "true")
    asked = answer(
        jobs,
        {
            "briefing_id": 1,
            "status": "blocked",
            "impact_level": "major",
            "blockers": ["the staging <password>"],
            "next_steps": ["deploy"],
        },
    )
    run(jobs)

    (after,) = jobs.fleet.briefings()
    assert (after["status"], after["impact_level"]) == ("blocked", "major")
    assert after["broadcast_level"] == "highlight", "it follows from the impact"
    assert after["blockers"] == ["the staging ‹password›"]
    assert after["raw_markdown"] == before["raw_markdown"]
    events = jobs.fleet.rows("SELECT type, payload_json FROM outbox_events ORDER BY event_id")
    assert [event["type"] for event in events] == [
        "session_started",
        "briefing_added",
        "briefing_added",
        "session_blocked",
        "job_completed",
    ]
    told = json.loads(events[2]["payload_json"])["briefing"]
    assert (told["revision"], told["impactLevel"], told["status"]) == (2, "major", "blocked")
    (job,) = jobs.events()
    assert (job["status"], job["level"]) == ("completed", "silent")

    # Nothing but the question: no tools, no hooks, no session left behind, the text as data.
    (request,) = asked
    # 2.1.332 has a tool without a use beside it.
    tools = {tool["name"] for tool in request["tools"]} - {"DeferredToolPlaceholder"}
    assert tools == {"StructuredOutput"}
    assert "I changed it." in newest_prompt(request)
    assert len(json.dumps(request)) < 8000
    (session,) = jobs.fleet.rows("SELECT session_id FROM job_runs")
    assert not list(jobs.fleet.world.settings_dir.glob(f"projects/*/{session['session_id']}*"))
    assert len(asked) == 1
    run(jobs)
    assert len(asked) == 1, "it was asked twice"


@pytest.mark.one_client
def test_what_the_worker_wrote_stays(jobs: Jobs) -> None:
    jobs.set("semantics.enabled", "true")
    block = "```briefing\n---\nsummary: Mine\nimpact_level: moderate\n---\n```"
    work(jobs, "write it yourself", f"Done.\n\n{block}")
    half = "```briefing\n---\nsummary: Half\nstatus: completed\n---\n```"
    work(jobs, "write the half of it", f"Done.\n\n{half}", file="b.txt")
    asked = answer(jobs, {"briefing_id": 2, "status": "failed", "impact_level": "major"})
    run(jobs)

    whole, half_written = jobs.fleet.briefings()
    assert whole["impact_level"] == "moderate"
    assert (half_written["status"], half_written["impact_level"]) == ("completed", "major")
    assert '"briefing_id": 1' not in newest_prompt(asked[0])


@pytest.mark.one_client
def test_what_a_person_wrote_before_or_meanwhile_stays(jobs: Jobs) -> None:
    jobs.set("semantics.enabled", "true")
    work(jobs, "change a first thing")
    work(jobs, "change a second thing", file="b.txt")
    with db.transaction(connection := db.connect(jobs.fleet.home / "fleet.db")):
        BriefingRepo(connection).update_semantic_fields(1, impact_level="minor")
    connection.close()
    meaning = {"status": "failed", "impact_level": "major", "doc_drift_risk": "high"}
    asked = answer(jobs, {"briefing_id": 1} | meaning, {"briefing_id": 2} | meaning)
    jobs.fleet.before_answer = lambda request: None
    scripted = jobs.fleet.model._script

    def meanwhile(request: Request) -> Reply:
        reply = scripted(request)
        if asked:  # another program, by SQL
            jobs.write("UPDATE briefings SET doc_drift_risk = 'medium' WHERE briefing_id = 2")
        return reply

    jobs.fleet.model.say(meanwhile)
    run(jobs)
    first, second = jobs.fleet.briefings()
    assert first["impact_level"] == "minor", "what a person said was overwritten"
    assert (second["impact_level"], second["doc_drift_risk"]) == ("major", "medium")


@pytest.mark.one_client
def test_a_turn_that_changed_nothing_is_not_worth_a_model(jobs: Jobs) -> None:
    jobs.set("semantics.enabled", "true")
    asked = answer(jobs, {"briefing_id": 1})
    repository = jobs.fleet.home.parents[2] / "repositories" / "alpha"
    jobs.fleet.worker(repository, "only a question", Text("It is so."))
    run(jobs)
    assert asked == []


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Text("No, I would rather not."), "the model returned no structured output"),
        (Fail(400, "no such luck"), "no such luck"),
        (ToolUse("StructuredOutput", {"briefings": "all fine"}), ""),
    ],
    ids=["refused", "API error", "another shape"],
)
def test_a_failure_changes_nothing_and_says_so(jobs: Jobs, reply: Reply, said: str) -> None:
    work(jobs, "change something")
    before = jobs.fleet.briefings()
    jobs.set("semantics.enabled", "true")
    answer(jobs, reply)
    jobs.set("jobs.timeout_seconds", "20")
    run(jobs)
    (job,) = jobs.fleet.rows("SELECT * FROM jobs")
    assert job["status"] == "failed" and said in job["error"]
    assert jobs.fleet.briefings() == before
    assert jobs.fleet.event_counts() == {
        "session_started": 1,
        "briefing_added": 1,
        "job_completed": 1,
    }


@pytest.mark.one_client
def test_briefings_are_asked_about_together_in_the_background(jobs: Jobs) -> None:
    """Nobody runs anything: a drainer starts the runner, with what the model is reached with."""
    jobs.set("claude.program", str(jobs.program))
    jobs.set("semantics.wait_minutes", "0")
    work(jobs, "change a first thing")
    work(jobs, "change a second thing", file="b.txt")
    jobs.set("semantics.enabled", "true")
    meanings = [{"briefing_id": number, "impact_level": "moderate"} for number in (1, 2, 3)]
    asked = answer(jobs, *meanings)
    with jobs.fleet.drainers_held_off():
        work(jobs, "change a third thing", file="c.txt", drained=False)
    # What hooks do at the end of a turn, as one of them does it.
    jobs.fleet.turn(jobs.fleet.home.parents[2] / "repositories" / "alpha", "only a question")
    jobs.fleet.wait_for_rows("SELECT 1 FROM jobs WHERE status = 'completed'")

    levels = [briefing["impact_level"] for briefing in jobs.fleet.briefings()]
    assert levels[:3] == ["moderate"] * 3
    assert len(asked) == 1
    jobs.runners_end()


@pytest.mark.one_client
def test_no_model_is_asked_over_the_days_cap(jobs: Jobs) -> None:
    work(jobs, "change something")
    jobs.set("semantics.enabled", "true")
    jobs.set("jobs.max_usd_per_day", "0")
    asked = answer(jobs, {"briefing_id": 1})
    run(jobs)
    assert asked == [] and jobs.fleet.rows("SELECT * FROM jobs") == []


@pytest.mark.one_client
def test_a_later_stop_of_the_turn_keeps_what_was_said_of_it(jobs: Jobs) -> None:
    jobs.set("semantics.enabled", "true")
    work(jobs, "change something")
    answer(jobs, {"briefing_id": 1, "impact_level": "major"})
    run(jobs)
    (session, prompt) = jobs.fleet.rows("SELECT session_id, turn_key FROM turns")[0].values()
    stop = {
        "hook_event_name": "Stop",
        "session_id": session,
        "prompt_id": prompt,
        "cwd": str(jobs.fleet.home.parents[2] / "repositories" / "alpha"),
        "last_assistant_message": "And a little more.",
    }
    file = jobs.folder / "stop.json"
    file.write_text(json.dumps(stop))
    assert jobs.console("replay", str(file)).returncode == 0
    (briefing,) = jobs.fleet.briefings()
    assert (briefing["impact_level"], briefing["raw_markdown"]) == ("major", "And a little more.")
