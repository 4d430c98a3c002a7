"""A job, followed and canceled in the dashboard, and over the WebSocket by a program."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1]))

from browser import page
from gateway_world import Gateway, receive, send
from job_world import Jobs
from playwright.sync_api import expect
from scripted_model import Text, ToolUse
from support import Fleet as Home

pytestmark = pytest.mark.one_client


@pytest.fixture
def gateway(jobs: Jobs) -> Iterator[Gateway]:
    made = Gateway(Home(jobs.fleet.home, jobs.folder, environment=jobs.environment()))
    made.start()
    yield made
    made.stop()


def test_a_job_is_followed_live_and_canceled_in_the_browser(jobs: Jobs, gateway: Gateway) -> None:
    jobs.fleet.script(
        "work for a while", ToolUse("Bash", {"command": "echo midway"}), Text("The end.", 3)
    )
    jobs.fleet.script("work for ever", Text("never", 90))
    with page() as shown:
        shown.goto(gateway.link)
        job_id = jobs.submit("work for a while", "--allow-tool", "Bash")
        shown.goto(f"{gateway.base}/jobs/{job_id}")
        expect(shown.locator("#log")).to_contain_text("Bash echo midway")
        expect(shown.locator("#job-status")).to_have_text("running")
        expect(shown.locator("#log")).to_contain_text("The end.")
        expect(shown.locator("#job-status")).to_have_text("done")

        job_id = jobs.submit("work for ever")
        shown.keyboard.press("o")
        shown.click("#jobs a.row:has-text('work for ever')")
        expect(shown.locator("#job-status")).to_have_text("running")
        shown.click("#cancel")
        expect(shown.locator("#cancel")).to_have_text("Press again to cancel it")
        shown.click("#cancel")
        expect(shown.locator("#job-status")).to_have_text("canceled", timeout=15_000)
    assert jobs.wait(job_id) == ["canceled"]


def test_a_program_submits_a_job_and_is_told_how_it_goes(jobs: Jobs, gateway: Gateway) -> None:
    jobs.fleet.script("say it", Text("Said."))
    (project,) = jobs.fleet.rows("SELECT project_id FROM projects")
    with gateway.client() as client:
        wish = {"project_id": project["project_id"], "prompt": "say it", "model": "haiku"}
        send(client, type="job.create", job=wish)
        told = []
        while not told or told[-1]["type"] != "job.completed":
            told.append(receive(client, timeout=30))
    kinds = [message["type"] for message in told]
    assert kinds[:2] == ["job.queued", "job.started"] and set(kinds[2:-1]) == {"job.stream"}
    assert (told[-1]["status"], told[-1]["answer"]) == ("completed", "Said.")
    answered = gateway.post("/api/v1/jobs", wish | {"prompt": "say it"})
    assert answered.status_code == 200
    assert jobs.wait(answered.json()["job_id"]) == ["completed"]
