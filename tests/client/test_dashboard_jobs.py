"""A job, followed and canceled in the dashboard, and over the WebSocket by a program."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1]))

from browser import open_page, press_both
from gateway_world import Gateway, receive, send
from job_world import Jobs
from playwright.sync_api import expect
from scripted_model import Text, ToolUse
from support import Fleet as Home

pytestmark = pytest.mark.one_client


@pytest.fixture
def gateway(jobs: Jobs) -> Iterator[Gateway]:
    started = Gateway(Home(jobs.fleet.home, jobs.folder, environment=jobs.environment()))
    started.start()
    yield started
    started.stop()


def test_browser_follows_a_job_live_and_cancels_it(jobs: Jobs, gateway: Gateway) -> None:
    jobs.fleet.script(
        "work for a while", ToolUse("Bash", {"command": "echo midway"}), Text("The end.")
    )
    may_end = jobs.fleet.hold_back("work for a while", rounds=1)
    jobs.fleet.script("work for ever", Text("never", 90))
    with open_page() as page:
        page.goto(gateway.link)
        expect(page.locator("#connection")).to_have_attribute("data-state", "live")
        job_id = jobs.submit("work for a while", "--allow-tool", "Bash")
        page.goto(f"{gateway.page}/jobs/{job_id}")
        expect(page.locator("#log")).to_contain_text("Bash echo midway")
        expect(page.locator("#job-status")).to_have_text("running")
        may_end.set()
        expect(page.locator("#log")).to_contain_text("The end.")
        expect(page.locator("#job-status")).to_have_text("done")

        job_id = jobs.submit("work for ever")
        press_both(page, "g", "j")
        page.click("#jobs .row:has-text('work for ever') [data-row]")
        expect(page.locator("#job-status")).to_have_text("running")
        page.click("#cancel")
        expect(page.locator("#cancel")).to_have_text("Press again to cancel it")
        page.click("#cancel")
        expect(page.locator("#job-status")).to_have_text("canceled")
    assert jobs.wait(job_id) == ["canceled"]


def test_api_client_submits_a_job_and_receives_its_progress(jobs: Jobs, gateway: Gateway) -> None:
    jobs.fleet.script("say it", Text("Said."))
    (project,) = jobs.fleet.rows("SELECT project_id FROM projects")
    with gateway.client() as client:
        request = {"project_id": project["project_id"], "prompt": "say it", "model": "haiku"}
        send(client, type="job.create", job=request)
        messages = []
        while not messages or messages[-1]["type"] != "job.completed":
            messages.append(receive(client))
    kinds = [message["type"] for message in messages]
    assert kinds[:2] == ["job.queued", "job.started"] and set(kinds[2:-1]) == {"job.stream"}
    assert (messages[-1]["status"], messages[-1]["answer"]) == ("completed", "Said.")
    answer = gateway.post("/api/v1/jobs", request | {"prompt": "say it"})
    assert answer.status_code == 200
    assert jobs.wait(answer.json()["job_id"]) == ["completed"]


def test_job_of_the_gateway_edits_in_its_project_only_and_runs_nothing(
    jobs: Jobs, gateway: Gateway
) -> None:
    """Whatever the user's own settings allow to every session."""
    settings = Path(jobs.environment()["HOME"]) / ".claude" / "settings.json"
    own = json.loads(settings.read_text())
    settings.write_text(json.dumps(own | {"permissions": {"allow": ["Bash"]}}))
    ((project, root),) = [
        (row["project_id"], Path(row["repo_root"]))
        for row in jobs.fleet.rows("SELECT project_id, repo_root FROM projects")
    ]
    outside, hook = jobs.folder / "outside.txt", root / ".git" / "hooks" / "pre-commit"
    jobs.fleet.script(
        "try it all",
        ToolUse("Bash", {"command": f"touch {root / 'ran'}"}),
        ToolUse("Write", {"file_path": str(outside), "content": "x"}),
        ToolUse("Write", {"file_path": str(root / "inside.txt"), "content": "x"}),
        ToolUse("Write", {"file_path": str(root / ".claude" / "settings.json"), "content": "{}"}),
        ToolUse("Write", {"file_path": str(hook), "content": "x"}),
        Text("Tried."),
    )
    request = {"project_id": project, "prompt": "try it all", "allowed_tools": ["Write", "Edit"]}
    answer = gateway.post("/api/v1/jobs", request)
    assert answer.status_code == 200, answer.text
    assert jobs.wait(answer.json()["job_id"]) == ["completed"]
    assert (root / "inside.txt").read_text() == "x"
    for refused in (root / "ran", outside, root / ".claude" / "settings.json", hook):
        assert not refused.exists(), refused
