"""Permission prompts from the hooks alone: their words, their alerts, and when they are over."""

import contextlib
import json
import os
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support import Fleet, payload

from fleet_lib.turn.permission import words_of

REQUEST = payload("2.1.332/PermissionRequest-Bash")
OF_AGENT = payload("2.1.332/PermissionRequest-Bash-subagent")
NOTIFICATION = payload("2.1.332/Notification-permission_prompt")
STOP = payload("2.1.332/Stop")
RUNNING = [{"id": OF_AGENT["agent_id"], "type": "subagent", "status": "running"}]


class Hooks:
    """Calls hooks for one session, each applied at once."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.project = fleet.folder / "api-svc"
        self.project.mkdir()

    def __call__(self, event: str, given: dict[str, Any], **more: object) -> None:
        call = given | {"session_id": "s", "cwd": str(self.project)} | more
        self.fleet.hook(event, call, self.project)
        self.fleet.drain()

    def state(self) -> tuple[str, str]:
        ((state, detail),) = self.fleet.rows("SELECT state, detail FROM sessions")
        return state, detail

    def alerts(self) -> list[str]:
        sql = "SELECT json_extract(payload_json, '$.line') FROM outbox_events WHERE type = ?"
        with contextlib.closing(sqlite3.connect(self.fleet.home / "fleet.db")) as connection:
            return [row[0] for row in connection.execute(sql, ("session_blocked",))]

    def wait(self, seconds: int) -> None:
        """Let all that is stored be older."""
        back = f"strftime('%Y-%m-%dT%H:%M:%fZ', {{}}, '-{seconds} seconds')"
        with contextlib.closing(sqlite3.connect(self.fleet.home / "fleet.db")) as connection:
            connection.execute(
                f"UPDATE sessions SET state_at = {back.format('state_at')},"
                f" last_seen_at = {back.format('last_seen_at')}"
            )
            connection.execute(
                f"UPDATE permission_requests SET asked_at = {back.format('asked_at')}"
            )
            connection.commit()


@pytest.fixture
def hooks(fleet: Fleet) -> Hooks:
    return Hooks(fleet)


@pytest.mark.parametrize(
    ("tool", "given", "words"),
    [
        ("Bash", {"command": "rm -rf build", "description": "clean"}, "Bash: rm -rf build"),
        ("Bash", {"command": "for f in *; do\n  rm $f\ndone"}, "Bash: for f in *; do rm $f done"),
        ("Edit", {"file_path": "/work/api/src/app.py", "old_string": "a"}, "Edit: src/app.py"),
        ("Write", {"file_path": "/elsewhere/app.py"}, "Write: /elsewhere/app.py"),
        ("NotebookEdit", {"notebook_path": "/work/api/n.ipynb"}, "NotebookEdit: n.ipynb"),
        ("WebFetch", {"url": "https://example.org/", "prompt": "x"}, "WebFetch: https://example.org/"),
        ("mcp__db__query", {"rows": 3}, "mcp__db__query"),
        ("Bash", {"command": ["ls"]}, "Bash"),
        (None, {}, "a tool"),
        ("AskUserQuestion", {"questions": [{"question": "Really?"}]}, "Really?"),
        (
            "AskUserQuestion",
            {
                "questions": [
                    {"question": "Which?", "options": [{"label": "a"}, {"label": "b"}, 7]},
                    {"question": "When?", "options": [{"label": "now"}]},
                ]
            },
            "Which? (a, b) When? (now)",
        ),
        ("AskUserQuestion", {"questions": "?"}, "AskUserQuestion"),
    ],
)  # fmt: skip
def test_a_request_is_said_in_one_line(
    tool: "str | None", given: dict[str, Any], words: str
) -> None:
    assert words_of(tool, given, "/work/api") == words


def test_the_words_are_redacted_and_cut(hooks: Hooks) -> None:
    secret = "ghp_" + "a1B2" * 9
    command = f"curl -H 'Authorization: Bearer {secret}' https://example.org/{'x' * 5000}"
    hooks("permission_request", REQUEST, tool_input={"command": command})

    ((text,),) = hooks.fleet.rows("SELECT text FROM permission_requests")
    assert secret not in text
    assert text.startswith("Bash: curl")
    assert len(text) <= 300


def test_a_request_alone_is_no_event_and_no_new_state(hooks: Hooks) -> None:
    hooks("permission_request", REQUEST)

    assert hooks.fleet.events() == []
    assert hooks.state()[0] == "working"


def test_the_alert_waits_for_the_notification_and_has_the_requests_words(hooks: Hooks) -> None:
    hooks("permission_request", REQUEST)
    hooks("notification", NOTIFICATION)
    hooks("notification", NOTIFICATION)  # a second registered copy

    assert hooks.alerts() == ["Bash: touch made.txt"]
    assert hooks.state() == ("waiting_for_permission", "Bash: touch made.txt")


def test_without_a_request_the_notifications_words_are_shown(hooks: Hooks) -> None:
    hooks("notification", NOTIFICATION)

    assert hooks.alerts() == ["Claude needs your permission"]


def test_each_prompt_is_an_alert_of_its_own(hooks: Hooks) -> None:
    for _ in range(2):  # the same command, asked again after it was refused
        hooks("permission_request", REQUEST)
        hooks("notification", NOTIFICATION)
    assert hooks.alerts() == ["Bash: touch made.txt"] * 2


def test_each_prompt_is_an_alert_of_its_own_without_requests_too(hooks: Hooks) -> None:
    hooks("notification", NOTIFICATION)
    hooks.wait(10)
    hooks("notification", NOTIFICATION)

    assert hooks.alerts() == ["Claude needs your permission"] * 2


def test_a_question_asks_and_needs_no_permission(hooks: Hooks) -> None:
    hooks("permission_request", payload("2.1.332/PermissionRequest-AskUserQuestion"))
    hooks("notification", NOTIFICATION)

    assert hooks.state() == ("waiting_for_input", "Which database? (SQLite, Postgres)")
    assert hooks.alerts() == ["Which database? (SQLite, Postgres)"]


def test_the_end_of_a_turn_is_the_end_of_its_own_prompts(hooks: Hooks) -> None:
    hooks("permission_request", REQUEST)
    hooks("notification", NOTIFICATION)
    hooks("stop", STOP)

    assert hooks.state()[0] == "completed"
    assert hooks.fleet.rows("SELECT * FROM permission_requests") == []


@pytest.mark.parametrize("says_tasks", [True, False])
def test_a_background_agents_prompt_outlasts_the_stop_that_follows_it(
    hooks: Hooks, says_tasks: bool
) -> None:
    tasks: dict[str, Any] = {"background_tasks": RUNNING} if says_tasks else {}
    first = {key: value for key, value in STOP.items() if key != "background_tasks"} | tasks
    hooks("permission_request", OF_AGENT)
    hooks("stop", first)
    assert hooks.state()[0] == ("working" if says_tasks else "completed")

    hooks("notification", NOTIFICATION)
    assert hooks.state() == ("waiting_for_permission", "Bash: touch subperm.txt")
    assert hooks.alerts() == ["Bash: touch subperm.txt"]


def test_a_background_agents_prompt_lasts_until_the_agents_end(hooks: Hooks) -> None:
    hooks("permission_request", OF_AGENT)
    hooks("stop", STOP | {"background_tasks": RUNNING})
    hooks("notification", NOTIFICATION)
    hooks.wait(60)
    hooks("stop", STOP | {"prompt_id": "p2", "background_tasks": RUNNING})
    assert hooks.state() == ("waiting_for_permission", "Bash: touch subperm.txt")

    hooks("stop", STOP | {"prompt_id": "p3", "background_tasks": []})
    assert hooks.state()[0] == "completed"
    assert hooks.fleet.rows("SELECT * FROM permission_requests") == []


def test_the_end_of_a_turn_leaves_an_agents_prompt_and_ends_its_own(hooks: Hooks) -> None:
    hooks("permission_request", REQUEST)
    hooks("permission_request", OF_AGENT)
    hooks("stop", STOP | {"background_tasks": RUNNING})

    assert hooks.fleet.rows("SELECT text FROM permission_requests") == [
        ("Bash: touch subperm.txt",)
    ]


@pytest.mark.parametrize("event", ["session_end", "session_start"])
def test_no_prompt_outlasts_its_client(hooks: Hooks, event: str) -> None:
    given = "SessionEnd-other" if event == "session_end" else "SessionStart-resume"
    hooks("permission_request", OF_AGENT)
    hooks(event, payload(f"2.1.332/{given}"))

    assert hooks.fleet.rows("SELECT * FROM permission_requests") == []


def test_a_subagents_first_word_finds_its_project(hooks: Hooks) -> None:
    hooks("permission_request", OF_AGENT)

    assert hooks.fleet.rows("SELECT repo_name FROM projects") == [("api-svc",)]


@pytest.mark.parametrize(
    ("entrypoint", "alerts"), [("sdk-cli", []), ("cli", ["Claude needs your permission"])]
)
def test_claude_p_asks_no_person(hooks: Hooks, entrypoint: str, alerts: list[str]) -> None:
    folder = hooks.fleet.folder / "claude"
    (folder / "sessions").mkdir(parents=True)
    with subprocess.Popen(["sleep", "60"]) as client:
        start = Path(f"/proc/{client.pid}/stat").read_text().rpartition(")")[2].split()[19]
        content = {"pid": client.pid, "procStart": start, "sessionId": "s"}
        file = folder / "sessions" / f"{client.pid}.json"
        file.write_text(json.dumps(content | {"entrypoint": entrypoint}))
        transcript = os.path.join(folder, "projects", "p", "s.jsonl")
        hooks("notification", NOTIFICATION, transcript_path=transcript)
        client.kill()

    assert hooks.alerts() == alerts


def test_the_folders_of_claude_code_are_known_by_their_transcripts(hooks: Hooks) -> None:
    folder = hooks.fleet.folder / "claude"
    folder.mkdir()
    for path in (folder / "projects/p/s.jsonl", folder / "x/p/s.jsonl", "projects/p/s.jsonl"):
        hooks("notification", NOTIFICATION, transcript_path=str(path))
    hooks("notification", NOTIFICATION, transcript_path="/not/there/projects/p/s.jsonl")

    assert hooks.fleet.rows("SELECT folder FROM client_folders") == [(str(folder),)]
