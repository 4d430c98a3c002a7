"""Headless jobs with the real client: start, output, end and results."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter

import pytest
from job_world import Jobs, is_alive
from scripted_model import Fail, Text, ToolUse


def test_job_runs_in_its_project_and_reports_its_outcome(jobs: Jobs) -> None:
    repository = jobs.fleet.home.parents[2] / "repositories" / "alpha"
    jobs.fleet.script(
        "write the note",
        ToolUse("Bash", {"command": "echo written > note.txt"}),
        Text("The note is written."),
    )
    job_id = jobs.submit("write the note", "--allow-tool", "Bash")
    assert jobs.wait(job_id) == ["completed"]

    assert (repository / "note.txt").read_text() == "written\n"
    job = jobs.job(job_id)
    assert json.loads(job["result_json"])["result"] == "The note is written."
    kinds = [json.loads(chunk)["type"] for chunk in json.loads(job["stream_chunks_json"])]
    assert kinds[0] == "system"  # 2.1.332 has more than one line of that type
    assert [kind for kind in kinds if kind != "system"] == [
        *("assistant", "user", "assistant", "result")
    ]
    assert jobs.fleet.rows("SELECT * FROM job_stream_chunks") == []
    run = jobs.run_of(job_id)
    assert run["cost_usd"] > 0 and run["input_tokens"] == 20 and run["output_tokens"] == 10
    (event,) = jobs.events()
    assert (event["jobId"], event["status"], event["level"]) == (job_id, "completed", "mention")
    assert "The note is written." in jobs.console("jobs", "show", str(job_id)).stdout

    jobs.fleet.commander("what is new")
    (prelude,) = jobs.fleet.preludes_with("what is new")
    assert f"alpha · job {job_id} done: The note is written." in prelude


@pytest.mark.one_client
def test_job_gets_its_prompt_on_stdin_and_no_session_environment(
    jobs: Jobs,
) -> None:
    jobs.queue(
        "a very secret prompt",
        request_json=json.dumps(
            {"prompt": "a very secret prompt", "systemPrompt": "Be as brief as a stone."}
        ),
    )
    jobs.fleet.script("a very secret prompt", Text("ok"))
    done = jobs.console(
        "jobs", "run", "--once",
        CLAUDECODE="1", CLAUDE_CODE_SESSION_ID="outer", CLAUDE_CODE_ENTRYPOINT="cli",
        CLAUDE_PROJECT_DIR="/outer", GIT_DIR="/outer/.git", CLAUDE_CODE_MAX_OUTPUT_TOKENS="9000",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

    (started,) = jobs.started()
    command_line = " ".join(started["argv"])
    assert "secret" not in command_line and "stone" not in command_line
    (request, *_) = jobs.fleet.model.main_requests("a very secret prompt")
    assert "Be as brief as a stone." in json.dumps(request["system"])
    removed = {"CLAUDECODE", "CLAUDE_CODE_SESSION_ID", "CLAUDE_CODE_ENTRYPOINT", "GIT_DIR"}
    assert not removed & set(started["env"]) and started["env"].get("CLAUDE_PROJECT_DIR") is None
    assert started["env"]["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] == "9000"
    assert os.path.basename(started["cwd"]) == "alpha"


def test_job_fires_no_hooks(jobs: Jobs) -> None:
    settings = json.loads((jobs.fleet.world.settings_dir / "settings.json").read_text())
    marker = jobs.folder / "fired"
    settings["hooks"]["Stop"].append({"hooks": [{"type": "command", "command": f"touch {marker}"}]})
    jobs.fleet.world.write_settings(settings)
    before = jobs.fleet.event_counts()

    assert jobs.wait(jobs.submit("do a little")) == ["completed"]
    (started,) = jobs.started()
    assert json.loads(started["argv"][started["argv"].index("--settings") + 1]) == {
        "disableAllHooks": True
    }
    assert started["env"]["FLEET_HOOKS"] == "off"
    assert not marker.exists()
    assert jobs.fleet.event_counts() - before == Counter(job_completed=1)


def test_api_error_fails_the_job_and_raises_an_alert(jobs: Jobs) -> None:
    jobs.fleet.script("ask for trouble", Fail(400, "no such luck"))
    job_id = jobs.submit("ask for trouble")
    assert jobs.wait(job_id) == ["failed"]

    assert "no such luck" in jobs.job(job_id)["error"]
    jobs.fleet.commander("what is new")
    alerts = jobs.fleet.preludes_with("what is new")[0].split("Alerts:\n")[1]
    assert f"alpha · job {job_id} failed: API Error: 400 no such luck" in alerts


@pytest.mark.one_client
def test_running_job_can_be_watched(jobs: Jobs) -> None:
    jobs.fleet.script("work for a while", ToolUse("Bash", {"command": "echo midway"}), Text("End."))
    may_end = jobs.fleet.hold_back("work for a while", rounds=1)
    job_id = jobs.submit("work for a while", "--allow-tool", "Bash")
    watcher = jobs.start("jobs", "logs", str(job_id), "--follow")
    jobs.until(lambda: jobs.fleet.rows("SELECT 1 FROM job_stream_chunks LIMIT 1"))
    assert jobs.job(job_id)["status"] == "running"
    may_end.set()
    out, err = watcher.communicate(timeout=120)
    assert "Bash echo midway" in out and out.count("End.") == 1
    assert f"job {job_id} completed" in err
    assert jobs.console("jobs", "logs", str(job_id)).stdout == out
    lines = jobs.console("jobs", "logs", str(job_id), "--json").stdout.splitlines()
    assert [json.loads(line)["type"] for line in lines][-1] == "result"


def test_job_over_its_own_cap_fails_with_that_reason(jobs: Jobs) -> None:
    job_id = jobs.queue("cost a lot", request_json='{"prompt": "cost a lot", "maxUsd": 0.000001}')
    assert jobs.console("jobs", "run", "--once").returncode == 0
    assert jobs.job(job_id)["status"] == "failed"
    assert "the job reached its budget" in jobs.job(job_id)["error"]


@pytest.mark.one_client
def test_permission_bypass_needs_both_job_and_configuration(jobs: Jobs) -> None:
    bypass = ("--permission-mode", "bypassPermissions")
    refused = jobs.console("jobs", "submit", "--project", "alpha", *bypass, "do anything")
    assert refused.returncode == 1 and "jobs.allow_bypass" in refused.stderr
    foreign = {"prompt": "do anything", "permissionMode": "bypassPermissions"}
    job_id = jobs.queue("do anything", request_json=json.dumps(foreign))
    assert jobs.console("jobs", "run", "--once").returncode == 0
    assert "jobs.allow_bypass" in jobs.job(job_id)["error"]
    assert jobs.started() == []

    assert jobs.wait(jobs.submit("do little")) == ["completed"]
    argv = jobs.started()[0]["argv"]
    assert argv[argv.index("--permission-mode") + 1] == "default"
    jobs.runners_end()
    jobs.set("jobs.allow_bypass", "true")
    jobs.wait(jobs.submit("do anything", *bypass))
    argv = jobs.started()[1]["argv"]
    assert argv[argv.index("--permission-mode") + 1] == "bypassPermissions"


@pytest.mark.one_client
def test_hanging_job_is_ended_at_its_time_limit(jobs: Jobs) -> None:
    jobs.fleet.script("think for ever", Text("late", delay_seconds=250))
    job_id = jobs.submit("think for ever", "--timeout", "2")
    began = time.monotonic()
    assert jobs.wait(job_id) == ["failed"]

    assert time.monotonic() - began < 100
    assert jobs.job(job_id)["error"] == "timed out after 2 s"
    (started,) = jobs.started()
    assert not is_alive(started["pid"])
    run = jobs.run_of(job_id)
    assert run["ended_at"] and (run["cost_usd"] is None or run["cost_usd"] == 0)


@pytest.mark.one_client
def test_processes_started_by_a_job_end_with_it(jobs: Jobs) -> None:
    """Claude Code's Bash tool runs in its own session, which a signal to the process group
    does not reach."""
    command = _endless_command(jobs)
    jobs.fleet.script("wait for nothing", ToolUse("Bash", {"command": command}), Text("ok"))
    job_id = jobs.submit("wait for nothing", "--allow-tool", "Bash")
    jobs.until(lambda: _running(command))
    done = jobs.console("jobs", "cancel", str(job_id))
    assert (done.returncode, done.stdout) == (0, f"job {job_id} canceled\n"), done.stderr
    assert not _running(command)
    (event,) = jobs.events()
    assert (event["status"], event["level"]) == ("canceled", "mention")


@pytest.mark.one_client
def test_started_job_of_a_killed_runner_fails_and_its_client_ends(
    jobs: Jobs,
) -> None:
    command = _endless_command(jobs)
    jobs.fleet.script("work very long", ToolUse("Bash", {"command": command}), Text("never said"))
    job_id = jobs.submit("work very long", "--allow-tool", "Bash")
    jobs.until(lambda: _running(command))
    (runner,) = jobs.runners()
    os.kill(runner.pid, signal.SIGKILL)
    client = jobs.started()[0]["pid"]
    jobs.until(lambda: not is_alive(client) and not _running(command))  # without another runner
    assert jobs.job(job_id)["status"] == "running"

    next_job = jobs.submit("something else")
    assert jobs.wait(job_id, next_job) == ["failed", "completed"]
    assert "the runner died" in jobs.job(job_id)["error"]
    assert not is_alive(client) and not _running(command)
    assert len(jobs.started()) == 2, "the job ran again"
    assert sorted(event["status"] for event in jobs.events()) == ["completed", "failed"]


def _endless_command(jobs: Jobs) -> str:
    """2.1.332 refuses a plain `sleep`. The file's name makes the command unique."""
    file = jobs.folder / "nothing.log"
    file.touch()
    return f"tail -f {file}"


def _running(command: str) -> list[str]:
    done = subprocess.run(["pgrep", "-xf", command], capture_output=True, text=True, check=False)
    return done.stdout.split()
