"""What waits for a person, with the real client: headless runs that end with work left open, and a
session in a terminal that asks."""

from __future__ import annotations

import json
import shlex
import sys
from typing import Any

import pytest
from claude_client import Interactive
from fleet_world import Fleet, blocked_by
from scripted_model import Text

QUESTION = "Shall I use the table or the file?"


def waiting(fleet: Fleet) -> dict[str, list[tuple[str, str, str]]]:
    """{needs_you, left_open: [(session, reason, text)]} of `fleet status`."""
    fleet.drain()
    status: dict[str, Any] = json.loads(fleet.console("status", "--json"))
    return {
        name: [(row["session_id"], row["reason"], row["text"]) for row in status[name]]
        for name in ("needs_you", "left_open")
    }


@pytest.mark.one_client
def test_what_a_headless_run_left_open_is_shown_after_others_of_its_repository(
    fleet: Fleet,
) -> None:
    alpha = fleet.repository("alpha")
    blocked = fleet.worker(alpha, "deploy the service", blocked_by("the staging password"))
    asking = fleet.worker(alpha, "store the settings", Text(f"I read the code.\n\n{QUESTION}"))
    fleet.worker(alpha, "fix the parser", Text("The parser reads empty input now."))
    assert waiting(fleet) == {
        "needs_you": [],
        "left_open": [
            (asking.session_id, "question", QUESTION),
            (blocked.session_id, "blocked", "Waiting for the staging password"),
        ],
    }
    rows = fleet.rows("SELECT broadcast_level FROM briefings ORDER BY briefing_id")
    assert [row["broadcast_level"] for row in rows] == ["mention", "mention", "silent"]

    assert asking.session_id is not None and blocked.session_id is not None
    printed = fleet.console("resume", asking.session_id[:8], "--print").strip()
    assert printed == f"cd {shlex.quote(str(alpha))} && claude --resume {asking.session_id}"
    fleet.turn(alpha, "the table", Text("It is stored."), resume=asking.session_id)
    assert [session for session, _, _ in waiting(fleet)["left_open"]] == [blocked.session_id]
    fleet.console("dismiss", blocked.session_id)
    assert waiting(fleet) == {"needs_you": [], "left_open": []}
    fleet.turn(alpha, "try once more", blocked_by("another password"), resume=blocked.session_id)
    assert [text for _, _, text in waiting(fleet)["left_open"]] == ["Waiting for another password"]


def test_a_session_in_a_terminal_that_asks_needs_you_until_it_ends(fleet: Fleet) -> None:
    alpha = fleet.repository("alpha")
    fleet.script("store the settings", Text(f"I read the code.\n\n{QUESTION}"))
    with fleet.world.interactive(alpha) as session:
        session.send("store the settings")
        session.wait_for(QUESTION)
        fleet.wait_for_rows("SELECT 1 FROM briefings")
        ((session_id, reason, text),) = waiting(fleet)["needs_you"]
        assert (reason, text) == ("question", QUESTION)
        where = fleet.console("resume", session_id[:8])
        assert where.startswith("alpha is open in terminal /dev/"), "by Claude Code's own file"
        session.send("/exit")
        fleet.wait_for_rows("SELECT 1 FROM sessions WHERE ended_at IS NOT NULL")
    assert waiting(fleet) == {"needs_you": [], "left_open": [(session_id, "question", QUESTION)]}

    # One command opens it again, in its folder, with what was said.
    fleet.console("config", "set", "claude.program", str(fleet.world.program))
    command = [sys.executable, "-m", "commander.cli", "resume"]
    with Interactive(command, fleet.world.home, fleet.world.environment()) as session:
        session.wait_for(QUESTION)
        fleet.wait_for_rows("SELECT 1 FROM sessions WHERE ended_at IS NULL")
        assert [session for session, _, _ in waiting(fleet)["needs_you"]] == [session_id]
