"""What refuses every job alike (a usage limit, an expired login) holds the queue and is charged to
no job, with the real clients' own messages."""

from __future__ import annotations

import json
import time

import pytest
from job_world import Jobs
from scripted_model import Fail, Text, ToolUse

from fleet_lib import clock

# With a subscription's login the client neither retries a used-up limit nor a refused login for long.
SUBSCRIPTION = (
    "os.environ.pop('ANTHROPIC_API_KEY', None);"
    f" os.environ['CLAUDE_CODE_OAUTH_TOKEN'] = 'sk-ant-oat01-{'a' * 40}'"
)


def used_up(seconds: float) -> Fail:
    """A subscription's limit that ends in so many seconds."""
    return Fail(
        429,
        "This request would exceed your account's rate limit.",
        {
            "anthropic-ratelimit-unified-status": "rejected",
            "anthropic-ratelimit-unified-reset": str(int(time.time() + seconds)),
            "anthropic-ratelimit-unified-representative-claim": "five_hour",
        },
    )


def test_usage_limit_holds_the_queue_with_one_alert_until_the_time_that_the_client_names(
    jobs: Jobs,
) -> None:
    jobs.client(before=SUBSCRIPTION)
    ids = [jobs.queue(f"task {number} of four") for number in range(4)]
    jobs.fleet.script("of four", used_up(7200))
    done = jobs.console("jobs", "run", "--once")
    assert done.returncode == 1 and "Jobs wait until" in done.stderr, done.stderr
    assert "the usage limit is reached" in done.stderr
    assert [jobs.job(number)["status"] for number in ids] == ["queued"] * 4
    assert len(jobs.started()) == 1, "no other job was tried"
    (hold,) = jobs.fleet.rows("SELECT held_until FROM job_hold")
    status = json.loads(jobs.console("status", "--json").stdout)["jobs"]
    assert status["queued"] == 4 and status["held"]["until"] == hold["held_until"]
    seconds_left = clock.nanoseconds(hold["held_until"]) / 1e9 - time.time()
    assert 7000 < seconds_left < 7300
    (alert,) = jobs.fleet.rows("SELECT payload_json FROM outbox_events WHERE type = 'error'")
    assert "the usage limit is reached" in json.loads(alert["payload_json"])["error"]["message"]
    assert jobs.events() == [], "no job has failed"
    shown = json.loads(jobs.console("jobs", "list", "--json").stdout)
    assert [one["counted_usd"] for one in shown] == [0.0] * 4
    assert "Jobs wait until" in jobs.console("doctor").stdout

    # The limit is over: a person tries at once, and one answer releases all of them.
    jobs.fleet.script("of four", Text("done"))
    assert jobs.console("jobs", "run", "--once").returncode == 0
    assert [jobs.job(number)["status"] for number in ids] == ["completed"] * 4
    assert jobs.fleet.rows("SELECT * FROM job_hold") == []


@pytest.mark.one_client
def test_waiting_runner_tries_again_when_the_limit_is_over(jobs: Jobs) -> None:
    jobs.client(before=SUBSCRIPTION)
    # The limit ends two seconds after the first request, however late that comes.
    replies = (used_up(2) if number == 0 else Text("done") for number in range(9))
    jobs.fleet.before_answer = lambda _: jobs.fleet.script("soon", next(replies, Text("done")))
    job_id = jobs.submit("soon again")
    assert jobs.wait(job_id) == ["completed"]
    assert jobs.fleet.rows("SELECT * FROM outbox_events WHERE type = 'error'"), "it was held"
    assert len(jobs.started()) == 2


def test_expired_login_is_named_and_holds_the_queue(jobs: Jobs) -> None:
    ids = [jobs.queue("log in first"), jobs.queue("log in second")]
    jobs.fleet.script("log in", Fail(401, "OAuth token has expired."))
    began = time.monotonic()
    done = jobs.console("jobs", "run", "--once")
    assert done.returncode == 1 and "the login is not valid; run `claude` and log in" in done.stderr
    assert time.monotonic() - began < 90, "it does not wait for ten attempts"
    assert [jobs.job(number)["status"] for number in ids] == ["queued"] * 2


@pytest.mark.one_client
def test_question_to_the_commander_is_answered_with_the_reason(jobs: Jobs) -> None:
    jobs.client(before=SUBSCRIPTION)
    jobs.fleet.script("what needs me", used_up(7200))
    if not (jobs.fleet.home / "CLAUDE.md").exists():
        (jobs.fleet.home / "CLAUDE.md").write_text("Be short.\n")
    done = jobs.console("ask", "what needs me?")
    assert done.returncode == 1 and "the usage limit is reached" in done.stderr


def test_limit_in_the_middle_of_a_job_fails_it_with_the_reason_and_its_cost(jobs: Jobs) -> None:
    jobs.client(before=SUBSCRIPTION)
    first, second = jobs.queue("half way"), jobs.queue("half way too")
    jobs.fleet.script("half way", ToolUse("Bash", {"command": "ls"}), used_up(7200))
    assert jobs.console("jobs", "run", "--once").returncode == 1
    assert (
        jobs.job(first)["status"] == "failed"
        and "the usage limit is reached" in jobs.job(first)["error"]
    )
    assert jobs.run_of(first)["cost_usd"] > 0
    assert jobs.job(second)["status"] == "queued"


@pytest.mark.one_client
def test_client_that_never_began_has_cost_nothing(jobs: Jobs) -> None:
    jobs.client(before="sys.exit('this is not a client')")
    ids = [jobs.queue(f"task {number}") for number in range(12)]
    assert jobs.console("jobs", "run", "--once").returncode == 0
    assert [jobs.job(number)["status"] for number in ids] == ["failed"] * 12
    shown = json.loads(jobs.console("jobs", "list", "--json").stdout)
    assert [(one["cost_usd"], one["counted_usd"]) for one in shown] == [(0.0, 0.0)] * 12
    assert len(jobs.started()) == 12, "the daily budget is not used up"
