"""What a session is doing, as `fleet status` and the status line say it, one second after a person
has answered: allowed, refused, escaped, interrupted, asked again, or killed the client."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from claude_client import Interactive
from fleet_world import Fleet
from scripted_model import Text, ToolUse

pytestmark = pytest.mark.usefixtures("terminal")

WAIT = "tail -f /dev/null"  # a tool that runs until it is ended
ASK = {
    "questions": [
        {
            "question": "Which database?",
            "header": "DB",
            "multiSelect": False,
            "options": [
                {"label": "SQLite", "description": "one file"},
                {"label": "Postgres", "description": "a server"},
            ],
        }
    ]
}


@pytest.fixture
def repository(fleet: Fleet) -> Path:
    return fleet.repository("alpha")


@pytest.fixture
def session(fleet: Fleet, repository: Path) -> Iterator[Interactive]:
    with fleet.world.interactive(repository) as interactive:
        yield interactive


Seen = tuple[list[tuple[str, str]], int, str]


def look(fleet: Fleet) -> Seen:
    """(who needs a person and why, how many sessions work, the status line)."""
    status: dict[str, Any] = json.loads(fleet.console("status", "--json"))
    needs = [(one["reason"], one["text"]) for one in status["needs_you"]]
    return needs, len(status["working"]), fleet.console("statusline").strip()


def shows(fleet: Fleet, *expected: object) -> None:
    """It is shown a second after the act, or as soon as a busy machine has run the client."""
    deadline = time.monotonic() + 60
    time.sleep(1)
    while (seen := look(fleet)) != expected and time.monotonic() < deadline:
        time.sleep(0.2)
    assert seen == expected


def prompt_for(fleet: Fleet, session: Interactive, command: str) -> None:
    """A prompt whose answer is this command and some words; returns when the dialog is shown."""
    fleet.script(f"please run {command}", ToolUse("Bash", {"command": command}), Text("All done."))
    session.send(f"please run {command}")
    session.wait_for("Do you want to proceed")


def quiet(fleet: Fleet) -> None:
    shows(fleet, [], 0, "fleet: nothing new")


def test_a_permission_prompt_is_shown_with_its_words_and_over_once_allowed(
    fleet: Fleet, session: Interactive
) -> None:
    prompt_for(fleet, session, WAIT)
    needs = [("permission", f"Bash: {WAIT}")]
    shows(fleet, needs, 0, "fleet: 1 needs you")
    fleet.wait_for_rows("SELECT 1 FROM outbox_events WHERE type = 'session_blocked'")
    shows(fleet, needs, 0, "fleet: 1 needs you")
    assert f"needs permission: Bash: {WAIT}" in fleet.console("prelude", "--after", "0")

    session.keys("Enter")  # yes, and the tool runs
    shows(fleet, [], 1, "fleet: nothing new")
    assert "resolved · needs permission" in fleet.console("prelude", "--after", "0")

    session.keys("Escape")  # an interrupt
    quiet(fleet)


@pytest.mark.parametrize("answer", ["Esc", "No"])
def test_a_refused_prompt_is_over_and_a_second_one_is_an_alert_of_its_own(
    fleet: Fleet, session: Interactive, answer: str
) -> None:
    alerts = "SELECT 1 FROM outbox_events WHERE type = 'session_blocked' LIMIT 1 OFFSET {}"
    prompt_for(fleet, session, "touch one")
    fleet.wait_for_rows(alerts.format(0))
    no = re.search(r"(\d)\. No", session.screen())
    assert no is not None
    session.keys("Escape" if answer == "Esc" else no[1])
    session.wait_for("Interrupted|interrupted|rejected|declined|What should Claude do")
    quiet(fleet)
    assert "resolved · needs permission" in fleet.console("prelude", "--after", "0")

    prompt_for(fleet, session, "touch two")
    shows(fleet, [("permission", "Bash: touch two")], 0, "fleet: 1 needs you")
    fleet.wait_for_rows(alerts.format(1))
    shows(fleet, [("permission", "Bash: touch two")], 0, "fleet: 1 needs you")


@pytest.mark.one_client
def test_a_killed_client_needs_no_person(fleet: Fleet, session: Interactive) -> None:
    prompt_for(fleet, session, "touch one")
    fleet.wait_for_rows("SELECT 1 FROM outbox_events WHERE type = 'session_blocked'")
    shows(fleet, [("permission", "Bash: touch one")], 0, "fleet: 1 needs you")
    session.kill()
    quiet(fleet)
    assert "resolved · needs permission" in fleet.console("prelude", "--after", "0")


def test_a_question_is_shown_with_its_options_until_it_is_answered(
    fleet: Fleet, session: Interactive
) -> None:
    fleet.script("choose one", ToolUse("AskUserQuestion", ASK), Text("SQLite it is."))
    session.send("choose one")
    session.wait_for("Which database")
    needs = [("question", "Which database? (SQLite, Postgres)")]
    shows(fleet, needs, 0, "fleet: 1 needs you")
    fleet.wait_for_rows("SELECT 1 FROM outbox_events WHERE type = 'session_blocked'")
    shows(fleet, needs, 0, "fleet: 1 needs you")

    session.keys("Escape")
    quiet(fleet)


def test_a_later_turn_is_work_and_its_end_is_none(fleet: Fleet, session: Interactive) -> None:
    fleet.script("the first turn", Text("Done with it."))
    session.send("the first turn")
    session.wait_for("Done with it")
    fleet.wait_for_rows("SELECT 1 FROM briefings")
    quiet(fleet)
    fleet.script("the second turn", Text("And with this."))
    is_over = fleet.hold_back("the second turn")
    session.send("the second turn")
    fleet.wait_for_request("the second turn")
    shows(fleet, [], 1, "fleet: nothing new")
    is_over.set()
    session.wait_for("And with this")
    quiet(fleet)


@pytest.mark.one_client
def test_without_the_clients_file_the_hooks_last_word_holds(
    fleet: Fleet, session: Interactive
) -> None:
    prompt_for(fleet, session, "touch one")
    for file in (fleet.world.settings_dir / "sessions").glob("*.json"):
        file.unlink()
    fleet.wait_for_rows("SELECT 1 FROM outbox_events WHERE type = 'session_blocked'")
    shows(fleet, [("permission", "Bash: touch one")], 0, "fleet: 1 needs you")


@pytest.mark.one_client
def test_a_headless_session_asks_no_person(fleet: Fleet, repository: Path) -> None:
    fleet.script("please do", ToolUse("Bash", {"command": "touch one"}), Text("It was denied."))
    fleet.world.run("please do", repository, extra_args=["--disallowed-tools", "none"])
    fleet.drain()
    assert fleet.event_counts()["session_blocked"] == 0
    quiet(fleet)
