"""The queue of headless jobs and its runner: limits, dead runners, refused jobs, unusual clients.

All of it is about Fleet, so one version of the client is enough. Many of these tests replace the
client with another program."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from job_world import Jobs, is_alive
from scripted_model import Text, ToolUse

pytestmark = pytest.mark.one_client

SLEEPS = "import time; time.sleep(600)"


def test_missing_or_silent_client_fails_with_a_one_line_reason(jobs: Jobs) -> None:
    jobs.client(before="sys.exit('this is not a client')")
    job_id = jobs.submit("say something")
    assert jobs.wait(job_id) == ["failed"]
    assert (
        jobs.job(job_id)["error"] == "claude exited with code 1 and no result: this is not a client"
    )

    jobs.program.unlink()
    queued = jobs.queue("say something else")
    assert jobs.console("jobs", "run", "--once", PATH="/usr/bin:/bin").returncode == 0
    # The pinned client may be on the PATH of the user who runs the tests.
    if jobs.job(queued)["status"] == "failed":
        assert "claude is not on PATH" in jobs.job(queued)["error"]


def test_client_ignoring_sigterm_is_killed_after_the_grace_period(jobs: Jobs) -> None:
    ignores = jobs.folder / "ignores"
    ignoring = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    jobs.client(before=f"{ignoring}; open({str(ignores)!r}, 'w').close(); {SLEEPS}")
    job_id = jobs.submit("never mind")
    jobs.until(ignores.exists)
    began = time.monotonic()
    done = jobs.console("jobs", "cancel", str(job_id), "--json")
    assert json.loads(done.stdout) == [{"job_id": job_id, "status": "canceled"}]
    assert 4.5 < time.monotonic() - began < 110
    assert not is_alive(jobs.started()[0]["pid"])
    assert jobs.job(job_id)["status"] == "canceled" and jobs.job(job_id)["ts_finished"]


def test_canceled_queued_job_never_starts(jobs: Jobs) -> None:
    job_id = jobs.queue("too late")
    assert jobs.console("jobs", "cancel", str(job_id)).stdout == f"job {job_id} canceled\n"
    assert jobs.console("jobs", "run", "--once").returncode == 0
    assert jobs.started() == []
    again = jobs.console("jobs", "cancel", str(job_id))
    assert again.stdout == f"job {job_id} was already canceled\n"


def test_secret_printed_by_a_tool_is_not_stored(jobs: Jobs) -> None:
    token = "ghp_" + "a1B2" * 9
    jobs.fleet.script(
        "show the token", ToolUse("Bash", {"command": f"echo {token}"}), Text(f"It is {token}.")
    )
    job_id = jobs.submit("show the token", "--allow-tool", "Bash")
    assert jobs.wait(job_id) == ["completed"]
    assert token not in json.dumps(jobs.job(job_id)) and token not in json.dumps(jobs.events())


# --- limits ------------------------------------------------------------------------------------


def test_fifty_jobs_over_five_projects_respect_the_limits(jobs: Jobs) -> None:
    names = ["alpha", "beta", "gamma", "delta", "epsilon"]
    for name in names[1:]:
        jobs.fleet.add_project(name)
    # Ten jobs of one project come first; the other projects' jobs must not wait for them.
    order = ["alpha"] * 10 + [names[number % 4 + 1] for number in range(40)]
    ids = [jobs.queue(f"task {number} of many", name) for number, name in enumerate(order)]
    first, second = jobs.start("jobs", "run", "--once"), jobs.start("jobs", "run", "--once")
    for runner in (first, second):
        _, error = runner.communicate(timeout=280)
        assert runner.returncode == 0, error
    assert set(jobs.wait(*ids)) == {"completed"}

    rows = [jobs.job(job_id) for job_id in ids]
    assert max(_at_once(rows).values()) <= 3
    assert max(_at_once(rows).values()) == 3, "they did not run side by side"
    for name in names:
        own = [row for row in rows if row["project_id"].startswith(f"{name}__")]
        assert max(_at_once(own).values()) == 1
        began = [row["ts_started"] for row in own]
        assert began == sorted(began), "not the oldest first"
    others = min(row["ts_started"] for row in rows[10:])
    assert others < rows[1]["ts_started"], "a busy project held up the others"
    assert len(jobs.started()) == 50, "a job ran twice"
    assert len(jobs.events()) == 50


def test_daily_cap_refuses_further_jobs(jobs: Jobs) -> None:
    jobs.set("jobs.max_usd_per_day", "0.5")
    assert jobs.wait(jobs.submit("cheap enough")) == ["completed"]
    (started,) = jobs.started()
    assert 0 < float(started["argv"][started["argv"].index("--max-budget-usd") + 1]) <= 0.5
    jobs.runners_end()

    queued = jobs.queue("too dear")
    jobs.set("jobs.max_usd_per_day", "0.0001")
    refused = jobs.console("jobs", "submit", "--project", "alpha", "one more")
    assert refused.returncode == 1
    assert "the daily budget of $0.00 for jobs is used up" in refused.stderr
    assert jobs.console("jobs", "run", "--once").returncode == 0
    assert "jobs.max_usd_per_day" in jobs.job(queued)["error"]
    assert len(jobs.started()) == 1


def _at_once(rows: list[dict[str, str]]) -> dict[str, int]:
    """{start of a job: how many jobs were running then}."""
    return {
        row["ts_started"]: sum(
            other["ts_started"] <= row["ts_started"] < other["ts_finished"] for other in rows
        )
        for row in rows
    }


# --- when a runner dies --------------------------------------------------------------------------


def test_lost_job_that_no_client_received_is_requeued_and_runs_once(jobs: Jobs) -> None:
    """Its runner was killed between the claim and the start of a client."""
    jobs.fleet.script("begin at last", Text("Begun."))
    job_id = jobs.queue("begin at last", status="running")
    jobs.write(
        "INSERT INTO job_runs (job_id, attempt, runner, lease_until, budget_usd, started_at)"
        " VALUES (?, 1, ?, '9999-01-01T00:00:00.000Z', 1, '2026-01-01T00:00:00.000Z')",
        job_id,
        f"{os.uname().nodename} 999999 1.00",
    )
    done = jobs.console("jobs", "run", "--once")
    assert done.returncode == 0, done.stderr
    assert f"job {job_id}: its runner died; the job is now queued" in done.stdout
    assert jobs.job(job_id)["status"] == "completed" and jobs.run_of(job_id)["attempt"] == 2
    assert len(jobs.fleet.model.main_requests("begin at last")) == 1, "it ran twice"
    assert len(jobs.events()) == 1


def test_lost_job_with_a_silent_started_client_is_not_run_again(jobs: Jobs) -> None:
    jobs.client(before=SLEEPS)
    job_id = jobs.submit("say nothing")
    jobs.until(jobs.started)
    jobs.until(lambda: jobs.run_of(job_id)["process_id"])
    (runner,) = jobs.runners()
    os.kill(runner.pid, signal.SIGKILL)
    assert jobs.console("jobs", "run", "--once").returncode == 0
    assert jobs.job(job_id)["status"] == "failed"
    (started,) = jobs.started()
    assert not is_alive(started["pid"])


def test_process_that_reused_a_client_pid_is_not_killed(jobs: Jobs) -> None:
    job_id = jobs.queue("long gone", status="running")
    with subprocess.Popen([sys.executable, "-c", SLEEPS], start_new_session=True) as stranger:
        try:
            jobs.write(
                "INSERT INTO job_runs (job_id, attempt, runner, lease_until, budget_usd, process_id,"
                " process_started, started_at) VALUES (?, 1, ?, ?, 1, ?, ?, ?)",
                job_id, f"{os.uname().nodename} 999999 1.00", "2026-01-01T00:00:00.000Z",
                stranger.pid, 1000.0, "2026-01-01T00:00:00.000Z",
            )  # fmt: skip
            done = jobs.console("jobs", "run", "--once")
            assert done.returncode == 0, done.stderr
            assert stranger.poll() is None
            assert jobs.job(job_id)["status"] == "failed"
        finally:
            stranger.kill()


def test_first_ctrl_c_lets_the_runner_finish_and_the_second_ends_it(jobs: Jobs) -> None:
    jobs.fleet.script("take a moment", Text("done"))
    is_over = jobs.fleet.hold_back("take a moment")
    job_id = jobs.queue("take a moment")
    queued = jobs.queue("stay in the queue")
    runner = jobs.start("jobs", "run")
    jobs.until(lambda: jobs.job(job_id)["status"] == "running" and jobs.started())
    runner.send_signal(signal.SIGINT)
    assert runner.stdout is not None
    while "waiting for 1 running job to finish" not in (line := runner.stdout.readline()):
        assert line, "it ended"
    is_over.set()
    runner.communicate(timeout=120)
    assert runner.returncode == 0
    assert (jobs.job(job_id)["status"], jobs.job(queued)["status"]) == ("completed", "queued")

    jobs.fleet.script("take an hour", Text("done", delay_seconds=250))
    long = jobs.queue("take an hour")
    runner = jobs.start("jobs", "run")
    jobs.until(lambda: jobs.fleet.rows("SELECT 1 FROM job_stream_chunks WHERE job_id = ?", long))
    runner.send_signal(signal.SIGTERM)
    runner.communicate(timeout=120)
    assert jobs.job(long)["status"] == "failed" and "the runner" in jobs.job(long)["error"]
    assert not is_alive(jobs.started()[-1]["pid"])


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "prompt", "message"),
    [
        (("--project", "alhpa"), "x", "there is no project 'alhpa' (did you mean 'alpha'?)"),
        (("--project", "alpha", "--model", "gpt"), "x", "'gpt' is not one of"),
        (("--project", "alpha", "--type", "commander_turn"), "x", "is not one of"),
        (("--project", "alpha"), "  \n", "the prompt is empty"),
        (("--project", "alpha"), "x" * 10_000_000, "longer than 1,000,000 characters"),
        (("--project", "alpha", "--file", "/no/such"), None, "/no/such: No such file"),
        (("--project", "alpha", "--max-usd", "500"), "x", "jobs.max_usd"),
    ],
    ids=["project", "model", "type", "empty", "10 MB", "file", "budget"],
)
def test_invalid_input_prints_one_line_and_stores_no_row(
    jobs: Jobs, arguments: tuple[str, ...], prompt: str | None, message: str
) -> None:
    done = jobs.console("jobs", "submit", *arguments, input=prompt)
    assert done.returncode in (1, 2) and done.stdout == ""
    assert message in done.stderr and done.stderr.count("\n") == 1
    assert jobs.fleet.rows("SELECT * FROM jobs") == []


def test_without_a_client_nothing_is_queued(jobs: Jobs) -> None:
    jobs.set("claude.program", "/no/such/claude")
    done = jobs.console("jobs", "submit", "--project", "alpha", "hello")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "claude.program names /no/such/claude" in done.stderr
    assert jobs.fleet.rows("SELECT * FROM jobs") == []


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"model": "gpt"}, "the job's model 'gpt' is not one of opus, sonnet, haiku"),
        ({"type": "mystery"}, "the job's type 'mystery' is not one of"),
        ({"request_json": "{"}, "the request cannot be read"),
        ({"request_json": '{"prompt": " "}'}, "the prompt is empty"),
        ({"project_id": None}, "the job names no known project"),
        ({"project_id": None, "repo_root": "/no/such"}, "/no/such does not exist any more"),
    ],
    ids=["model", "type", "not JSON", "empty", "no project", "no folder"],
)
def test_unrunnable_row_of_another_program_fails_with_a_reason(
    jobs: Jobs, columns: dict[str, str | None], message: str
) -> None:
    job_id = jobs.queue("anything", **columns)
    after = jobs.queue("the one after it")
    assert jobs.console("jobs", "run", "--once").returncode == 0
    assert (jobs.job(job_id)["status"], jobs.job(after)["status"]) == ("failed", "completed")
    assert message in jobs.job(job_id)["error"]


@pytest.mark.parametrize(
    "rules",
    [
        ["Edit", "--dangerously-skip-permissions"],
        ["Edit", " --mcp-config", "{}"],
        ["-p"],
        [""],
        ["Edit\n--settings"],
    ],
)
def test_job_option_never_reaches_the_client_as_a_tool_rule(jobs: Jobs, rules: list[str]) -> None:
    row = jobs.queue("do it", request_json=json.dumps({"prompt": "do it", "allowedTools": rules}))
    tools = [word for rule in rules for word in ("--allow-tool", rule)]
    done = jobs.console("jobs", "submit", "--project", "alpha", *tools, "do it")
    assert done.returncode == 1 and "is not a permission rule" in done.stderr
    assert jobs.console("jobs", "run", "--once").returncode == 0
    assert "is not a permission rule" in jobs.job(row)["error"]
    assert jobs.started() == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("submit", "--project", "alpha", "--timeout", "nan", "hi"),
        ("submit", "--project", "alpha", "--max-usd", "nan", "hi"),
        ("cancel", "99999999999999999999"),
        ("show", "99999999999999999999"),
    ],
)
def test_invalid_number_prints_one_line(jobs: Jobs, arguments: tuple[str, ...]) -> None:
    done = jobs.console("jobs", *arguments)
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr
    assert jobs.fleet.rows("SELECT * FROM jobs") == []


# --- unusual clients: a program that does what the real client rarely does ---


_FAKE_CLIENT = """#!{python} -I
import json, os, sys, time
prompt = sys.stdin.read()
def say(**result):
    print(json.dumps({{"type": "result", "is_error": False, "session_id": "s", **result}}), flush=True)
{does}
"""


def _use_fake_client(jobs: Jobs, does: str) -> None:
    jobs.program.write_text(_FAKE_CLIENT.format(python=sys.executable, does=does))


def test_malformed_answer_does_not_end_other_jobs(jobs: Jobs) -> None:
    jobs.fleet.add_project("beta")
    _use_fake_client(jobs, 'say(result=prompt + ": a\\ud800b", total_cost_usd=-5); time.sleep(2)')
    ids = [jobs.queue(name, name) for name in ("alpha", "beta")]
    assert jobs.console("jobs", "run", "--once").returncode == 0
    assert jobs.wait(*ids) == ["completed", "completed"]
    assert json.loads(jobs.job(ids[0])["result_json"])["result"] == "alpha: a?b"
    assert jobs.run_of(ids[0])["cost_usd"] is None  # so it counts as its budget


def test_deeply_nested_or_very_expensive_result_is_stored(
    jobs: Jobs,
) -> None:
    _use_fake_client(
        jobs,
        "deep = []\nfor _ in range(900): deep = [deep]\n"
        'say(result="done", usage=deep, total_cost_usd=10**400)',
    )
    job = jobs.queue("alpha")
    assert jobs.console("jobs", "run", "--once").returncode == 0
    assert jobs.wait(job) == ["completed"]


def test_client_that_closes_its_output_still_has_a_time_limit(jobs: Jobs) -> None:
    _use_fake_client(jobs, 'say(result="done"); os.close(1); time.sleep(600)')
    began = time.monotonic()
    job = jobs.submit("hang", "--timeout", "2")
    assert jobs.wait(job) == ["completed"]  # it had returned its result
    assert time.monotonic() - began < 100
    again = jobs.submit("hang", "--timeout", "500")
    jobs.until(lambda: jobs.job(again)["status"] == "running")
    assert jobs.console("jobs", "cancel", str(again)).returncode == 0
    assert jobs.wait(again) == ["canceled"]


def test_exit_code_after_a_result_does_not_fail_the_job(jobs: Jobs) -> None:
    _use_fake_client(jobs, 'say(result="the answer"); sys.exit(3)')
    job = jobs.queue("alpha")
    jobs.console("jobs", "run", "--once")
    assert jobs.wait(job) == ["failed"]
    assert jobs.job(job)["error"] == "claude exited with code 3 after its result"


def test_cancel_leaves_other_jobs_with_expired_leases_alone(jobs: Jobs) -> None:
    jobs.fleet.add_project("beta")
    may_end = jobs.folder / "may end"
    waits = f"while not os.path.exists({str(may_end)!r}): time.sleep(0.05)"
    _use_fake_client(jobs, f'{waits}\nsay(result="done")')
    unaffected, canceled = jobs.submit("a", project="alpha"), jobs.submit("b", project="beta")
    jobs.until(lambda: jobs.job(unaffected)["status"] == jobs.job(canceled)["status"] == "running")
    jobs.write("UPDATE job_runs SET lease_until = '2020-01-01T00:00:00.000Z'")  # the machine slept
    jobs.console("jobs", "cancel", str(canceled))
    may_end.touch()
    assert jobs.wait(unaffected, canceled) == ["completed", "canceled"]
