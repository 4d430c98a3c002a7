"""What a job that is submitted through the gateway may do: the setting gateway.jobs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_world import Gateway, receive, send
from support import Fleet, make_repository

from commander.gateway.jobs import bounded
from commander.gateway.messages import JobWish
from fleet_lib import setting_checks
from fleet_lib.config import Config
from fleet_lib.errors import BadInput
from fleet_lib.store import db
from fleet_lib.store.projects import ProjectRepo

READING = {"Read", "Glob", "Grep", "LS", "NotebookRead", "TodoWrite"}
EDITING = {"Edit", "MultiEdit", "Write", "NotebookEdit"}


def wish(**fields: Any) -> JobWish:
    return JobWish(project_id="p", prompt="x", **fields)


def settings(most: str, **jobs: Any) -> Config:
    return setting_checks.checked({"gateway": {"jobs": most}, "jobs": jobs})


ALLOWED = {
    "read": [
        {},
        {"allowed_tools": ["Read", "Grep", "Glob(src/**)"]},
        {"permission_mode": "plan"},
        {"type": "doc_patch", "permission_mode": "default"},
    ],
    "edit": [
        {},
        {"allowed_tools": ["Edit", "Write", "Edit(src/**)", "Read(//etc/hosts)"]},
        {"permission_mode": "acceptEdits"},
        {"type": "skill_patch"},
    ],
}
TOO_MUCH = {
    "read": [
        {"allowed_tools": ["Edit"]},
        {"allowed_tools": ["Read", "Write(src/**)"]},
        {"permission_mode": "acceptEdits"},
        {"type": "doc_patch"},
        {"type": "skill_patch"},
    ],
    "edit": [
        {"allowed_tools": ["Bash"]},
        {"allowed_tools": ["Edit", "Bash(npm test:*)"]},
        {"allowed_tools": ["Read,Bash"]},
        {"allowed_tools": ["Read Bash"]},
        {"allowed_tools": ["Read(x) Bash(y)"]},
        {"allowed_tools": ["Read(x),Bash(y)"]},
        {"allowed_tools": ["bash"]},
        {"allowed_tools": ["*"]},
        {"allowed_tools": ["mcp__shell__run"]},
        {"allowed_tools": ["WebFetch"]},
        {"allowed_tools": ["Task"]},
        {"allowed_tools": ["Edit(//home/user/.bashrc)"]},
        {"allowed_tools": ["Write(~/.bashrc)"]},
        {"allowed_tools": ["Edit(src/../../other/**)"]},
        {"permission_mode": "bypassPermissions"},
    ],
}


@pytest.mark.parametrize("most", ALLOWED)
def test_job_within_the_setting_is_accepted_with_the_tools_of_the_setting(most: str) -> None:
    for fields in ALLOWED[most]:
        request = bounded(wish(**fields), settings(most))
        assert request.only_tools is not None
        assert set(request.only_tools) == READING | (EDITING if most == "edit" else set())
        assert not set(request.allowed_tools) & EDITING


@pytest.mark.parametrize(
    ("most", "fields"), [(most, fields) for most, cases in TOO_MUCH.items() for fields in cases]
)
def test_job_that_asks_for_more_is_refused_with_the_name_of_the_setting(
    most: str, fields: dict[str, Any]
) -> None:
    with pytest.raises(BadInput, match=rf"the setting gateway\.jobs = {most} does not allow"):
        bounded(wish(**fields), settings(most, allow_bypass=True))


@pytest.fixture
def gateway(fleet: Fleet, tmp_path: Path) -> Iterator[Gateway]:
    with db.connect(fleet.home / "fleet.db") as connection:
        repository = make_repository(tmp_path / "alpha")
        ProjectRepo(connection).ensure_project(repo_name="alpha", repo_root=str(repository))
    program = tmp_path / "claude"
    program.write_text(
        f'#!/bin/sh\ncat > /dev/null\nprintf "%s\\n" "$@" > {tmp_path}/words\n'
        """echo '{"type":"result","is_error":false,"result":"ok"}'\n"""
    )
    program.chmod(0o755)
    fleet.console("config", "set", "claude.program", str(program))
    started = Gateway(fleet)
    started.start()
    yield started
    started.stop()


def test_setting_bounds_the_api_and_the_websocket(gateway: Gateway, tmp_path: Path) -> None:
    fleet = gateway.fleet
    ((project,),) = fleet.rows("SELECT project_id FROM projects")
    job = {"project_id": project, "prompt": "x"}
    for most, asked in (("off", {}), ("read", {"type": "doc_patch"}), ("edit", BASH)):
        fleet.console("config", "set", "gateway.jobs", most)
        assert gateway.get("/api/v1/health").json()["jobs"] == most
        answer = gateway.post("/api/v1/jobs", job | asked)
        assert answer.status_code == 400
        assert f"gateway.jobs = {most}" in answer.json()["error"]["message"]
        with gateway.client() as client:
            send(client, type="job.create", job=job | asked)
            error = receive(client)
        assert error["code"] == "refused" and f"gateway.jobs = {most}" in error["message"]
    assert fleet.rows("SELECT * FROM jobs") == []
    with gateway.client() as client:
        send(client, type="job.create", job=job | {"allowed_tools": ["Edit"]})
        number = receive(client)["job_id"]
        while receive(client)["type"] != "job.completed":
            pass
    words = (tmp_path / "words").read_text().splitlines()
    assert "Bash" not in words[words.index("--tools") + 1].split(",")
    # A bare rule would allow every file of the user's, not only the project's.
    assert "--strict-mcp-config" in words and "acceptEdits" in words
    assert not any(word.startswith("--allowed-tools=Edit") for word in words)
    ((stored,),) = fleet.rows("SELECT request_json FROM jobs")
    assert set(json.loads(stored)["onlyTools"]) == READING | EDITING
    fleet.console("config", "set", "gateway.jobs", "off")
    answer = gateway.post(f"/api/v1/jobs/{number}/cancel")
    assert answer.status_code == 400 and "gateway.jobs = off" in answer.json()["error"]["message"]


BASH = {"allowed_tools": ["Bash(true)"]}


def test_unreadable_settings_allow_no_job(gateway: Gateway) -> None:
    (gateway.fleet.home / "config.toml").write_text('[gateway]\njobs = "everything"\n')
    assert gateway.get("/api/v1/health").json()["jobs"] == "off"
    ((project,),) = gateway.fleet.rows("SELECT project_id FROM projects")
    answer = gateway.post("/api/v1/jobs", {"project_id": project, "prompt": "x"})
    assert answer.status_code == 400 and "gateway.jobs" in answer.json()["error"]["message"]
