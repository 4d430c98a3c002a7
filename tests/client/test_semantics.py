"""Classification of briefings by a model: only if enabled, only for briefings without a
classification, and never over what a worker or user wrote."""

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
    created = Jobs(fleet, tmp_path)
    fleet.repository("alpha")
    yield created
    created.kill_all()


def change_file(
    jobs: Jobs,
    prompt: str,
    text: str = "I changed it.",
    *,
    file: str = "a.txt",
    drained: bool = True,
) -> None:
    """A worker's turn that changes a file."""
    repository = jobs.fleet.home.parents[2] / "repositories" / "alpha"
    write = ToolUse("Write", {"file_path": str(repository / file), "content": prompt})
    jobs.fleet.worker(repository, prompt, write, Text(text))
    if drained:
        jobs.fleet.drain()


def script_answers(jobs: Jobs, *results: dict[str, Any] | Reply) -> list[Request]:
    """Script the model's answers to questions about briefings; returns the requests it receives."""
    requests: list[Request] = []
    scripted = jobs.fleet.model._script

    def script(request: Request) -> Reply:
        names = [tool["name"] for tool in request.get("tools", [])]
        if "StructuredOutput" not in names:
            return scripted(request)
        requests.append(request)
        if len(results) == 1 and not isinstance(results[0], dict):
            return results[0]
        full = [
            {
                "status": "completed",
                "impact_level": "minor",
                "doc_drift_risk": "low",
                "blockers": [],
                "next_steps": [],
            }
            | result
            for result in results
            if isinstance(result, dict)
        ]
        return ToolUse("StructuredOutput", {"briefings": full})

    jobs.fleet.model.use_script(script)
    return requests


def run(jobs: Jobs) -> None:
    done = jobs.console("jobs", "run", "--once")
    assert done.returncode == 0, done.stderr


@pytest.mark.one_client
def test_semantics_are_off_by_default(jobs: Jobs) -> None:
    requests = script_answers(jobs, {"briefing_id": 1, "impact_level": "major"})
    change_file(jobs, "change something")
    run(jobs)
    notice = jobs.console("config", "set", "semantics.enabled", "true").stderr
    assert "tokens" in notice and "max_usd_per_day" in notice, "the costs are not mentioned"
    jobs.set("semantics.enabled", "false")
    assert requests == [] and jobs.fleet.rows("SELECT * FROM jobs") == []


def test_model_result_and_its_event_are_stored_in_one_transaction(jobs: Jobs) -> None:
    change_file(jobs, "move the payment")
    before = jobs.fleet.briefings()[0]
    assert (before["status"], before["impact_level"]) == ("completed", "minor")
    jobs.set("semantics.enabled", "true")
    requests = script_answers(
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
    assert after["broadcast_level"] == "highlight", "the level must follow from the impact"
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
    briefing = json.loads(events[2]["payload_json"])["briefing"]
    assert (briefing["revision"], briefing["impactLevel"], briefing["status"]) == (
        2,
        "major",
        "blocked",
    )
    (job,) = jobs.events()
    assert (job["status"], job["level"]) == ("completed", "silent")

    # The request is only the question: no tools, no hooks, no session left behind, text as data.
    (request,) = requests
    # 2.1.332 adds a placeholder tool.
    tools = {tool["name"] for tool in request["tools"]} - {"DeferredToolPlaceholder"}
    assert tools == {"StructuredOutput"}
    assert "I changed it." in newest_prompt(request)
    assert len(json.dumps(request)) < 8000
    (session,) = jobs.fleet.rows("SELECT session_id FROM job_runs")
    assert not list(jobs.fleet.world.settings_dir.glob(f"projects/*/{session['session_id']}*"))
    assert len(requests) == 1
    run(jobs)
    assert len(requests) == 1, "the model was called twice"


@pytest.mark.one_client
def test_worker_briefing_is_not_overwritten_by_the_model(jobs: Jobs) -> None:
    jobs.set("semantics.enabled", "true")
    block = "```briefing\n---\nsummary: Mine\nimpact_level: moderate\n---\n```"
    change_file(jobs, "write it yourself", f"Done.\n\n{block}")
    half = "```briefing\n---\nsummary: Half\nstatus: completed\n---\n```"
    change_file(jobs, "write the half of it", f"Done.\n\n{half}", file="b.txt")
    requests = script_answers(jobs, {"briefing_id": 2, "status": "failed", "impact_level": "major"})
    run(jobs)

    complete, partial = jobs.fleet.briefings()
    assert complete["impact_level"] == "moderate"
    assert (partial["status"], partial["impact_level"]) == ("completed", "major")
    assert '"briefing_id": 1' not in newest_prompt(requests[0])


@pytest.mark.one_client
def test_user_changes_before_or_during_analysis_are_kept(jobs: Jobs) -> None:
    jobs.set("semantics.enabled", "true")
    change_file(jobs, "change a first thing")
    change_file(jobs, "change a second thing", file="b.txt")
    with db.transaction(connection := db.connect(jobs.fleet.home / "fleet.db")):
        BriefingRepo(connection).update_semantic_fields(1, impact_level="minor")
    connection.close()
    result = {"status": "failed", "impact_level": "major", "doc_drift_risk": "high"}
    requests = script_answers(jobs, {"briefing_id": 1} | result, {"briefing_id": 2} | result)
    jobs.fleet.before_answer = lambda request: None
    scripted = jobs.fleet.model._script

    def change_during_analysis(request: Request) -> Reply:
        reply = scripted(request)
        if requests:  # another program, by SQL
            jobs.write("UPDATE briefings SET doc_drift_risk = 'medium' WHERE briefing_id = 2")
        return reply

    jobs.fleet.model.use_script(change_during_analysis)
    run(jobs)
    first, second = jobs.fleet.briefings()
    assert first["impact_level"] == "minor", "what a user wrote was overwritten"
    assert (second["impact_level"], second["doc_drift_risk"]) == ("major", "medium")


@pytest.mark.one_client
def test_turn_without_changes_is_not_sent_to_the_model(jobs: Jobs) -> None:
    jobs.set("semantics.enabled", "true")
    requests = script_answers(jobs, {"briefing_id": 1})
    repository = jobs.fleet.home.parents[2] / "repositories" / "alpha"
    jobs.fleet.worker(repository, "only a question", Text("It is so."))
    run(jobs)
    assert requests == []


@pytest.mark.one_client
@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Text("No, I would rather not."), "the model returned no structured output"),
        (Fail(400, "no such luck"), "no such luck"),
        (ToolUse("StructuredOutput", {"briefings": "all fine"}), ""),
    ],
    ids=["refused", "API error", "another shape"],
)
def test_failed_analysis_changes_nothing_and_is_reported(
    jobs: Jobs, reply: Reply, message: str
) -> None:
    change_file(jobs, "change something")
    before = jobs.fleet.briefings()
    jobs.set("semantics.enabled", "true")
    script_answers(jobs, reply)
    if not message:
        jobs.set("jobs.timeout_seconds", "20")  # the client asks again and again
    run(jobs)
    (job,) = jobs.fleet.rows("SELECT * FROM jobs")
    assert job["status"] == "failed" and message in job["error"]
    assert jobs.fleet.briefings() == before
    assert jobs.fleet.event_counts() == {
        "session_started": 1,
        "briefing_added": 1,
        "job_completed": 1,
    }


@pytest.mark.one_client
def test_briefings_are_analyzed_in_one_background_batch(jobs: Jobs) -> None:
    """Without any command: a drainer starts the runner, with the environment to reach the model."""
    jobs.set("claude.program", str(jobs.program))
    jobs.set("semantics.wait_minutes", "0")
    change_file(jobs, "change a first thing")
    change_file(jobs, "change a second thing", file="b.txt")
    jobs.set("semantics.enabled", "true")
    results = [{"briefing_id": number, "impact_level": "moderate"} for number in (1, 2, 3)]
    requests = script_answers(jobs, *results)
    with jobs.fleet.drainers_held_off():
        change_file(jobs, "change a third thing", file="c.txt", drained=False)
    # The hooks of this turn start the drainer.
    jobs.fleet.turn(jobs.fleet.home.parents[2] / "repositories" / "alpha", "only a question")
    jobs.fleet.wait_for_rows("SELECT 1 FROM jobs WHERE status = 'completed'")

    levels = [briefing["impact_level"] for briefing in jobs.fleet.briefings()]
    assert levels[:3] == ["moderate"] * 3
    assert len(requests) == 1
    jobs.runners_end()


@pytest.mark.one_client
def test_no_model_is_called_over_the_daily_cap(jobs: Jobs) -> None:
    change_file(jobs, "change something")
    jobs.set("semantics.enabled", "true")
    jobs.set("jobs.max_usd_per_day", "0")
    requests = script_answers(jobs, {"briefing_id": 1})
    run(jobs)
    assert requests == [] and jobs.fleet.rows("SELECT * FROM jobs") == []


@pytest.mark.one_client
def test_later_stop_of_the_turn_keeps_the_model_result(jobs: Jobs) -> None:
    jobs.set("semantics.enabled", "true")
    change_file(jobs, "change something")
    script_answers(jobs, {"briefing_id": 1, "impact_level": "major"})
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
