"""The real client's permission prompt becomes one message, and one that is answered none."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from claude_client import Interactive
from fleet_world import Fleet
from scripted_model import Text, ToolUse
from test_notify_sending import Server, senders, wait_for

pytestmark = pytest.mark.usefixtures("terminal")

NEVER = "600"  # seconds of grace


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def session(fleet: Fleet, server: Server) -> Iterator[Interactive]:
    fleet.console("config", "set", "notify.grace_seconds", NEVER)
    fleet.console("notify", "add", f"http://{server.place}/hook")
    with fleet.world.interactive(fleet.repository("alpha")) as interactive:
        yield interactive


def prompt_for(fleet: Fleet, session: Interactive, command: str) -> None:
    fleet.script(f"please run {command}", ToolUse("Bash", {"command": command}), Text("All done."))
    session.send(f"please run {command}")
    session.wait_for("Do you want to proceed")


@pytest.mark.one_client
def test_an_unanswered_prompt_is_one_message_and_an_answered_one_none(
    fleet: Fleet, session: Interactive, server: Server
) -> None:
    prompt_for(fleet, session, "touch one")
    fleet.wait_for_rows("SELECT 1 FROM outbox_events WHERE type = 'session_blocked'")
    session.keys("Enter")
    session.wait_for("All done")
    fleet.wait_for_rows("SELECT 1 FROM briefings")
    fleet.console("config", "set", "notify.grace_seconds", "1")
    fleet.console("status")
    wait_for(lambda: not senders(fleet))  # nothing is left to send
    assert server.requests == [], "it was answered within the grace"

    prompt_for(fleet, session, "touch two")
    fleet.wait_for_rows("SELECT 1 FROM notifications WHERE state = 'sent'")
    (message,) = server.messages()
    assert message["title"] == "alpha needs permission"
    assert message["message"].startswith("Bash: touch two\nOn ")
    session.keys("Enter")
    fleet.wait_for_rows("SELECT 1 FROM briefings LIMIT 1 OFFSET 1")
    assert len(server.requests) == 1


@pytest.mark.one_client
def test_a_headless_turn_that_asks_sends_nothing(fleet: Fleet, server: Server) -> None:
    fleet.console("config", "set", "notify.grace_seconds", "0")
    fleet.console("notify", "add", f"http://{server.place}/hook")
    fleet.worker(fleet.repository("alpha"), "which one", Text("Which of the two do you want?"))
    fleet.drain()
    assert [row["state"] for row in fleet.rows("SELECT state FROM sessions")] == [
        "waiting_for_input"
    ]
    time.sleep(1.5)
    fleet.console("status")
    assert server.requests == []
