"""Agents that go on in the background after their turn's Stop, as the newest client starts them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence

import pytest
from claude_client import Interactive
from fleet_world import Fleet
from scripted_model import Reply, Request, Text, ToolUse, by_prompt, newest_prompt

pytestmark = [pytest.mark.usefixtures("terminal"), pytest.mark.one_client]

ANNOUNCED = "SELECT 1 FROM outbox_events WHERE type = 'briefing_added' AND payload_json LIKE ?"


class Helpers:
    """The agents `one` and `two` of a session: each writes a file, and answers when it is let go."""

    def __init__(self, fleet: Fleet) -> None:
        self.repository = fleet.repository("alpha")
        self._may_end = {name: threading.Event() for name in ("one", "two")}
        steps: dict[str, Sequence[Reply]] = {
            "ask the helpers": [
                [_agent(name) for name in self._may_end],
                Text("Both are at work."),
            ],
            "what is this": [Text("This is something else.")],
        }
        for name in self._may_end:
            file = str(self.repository / f"by_{name}.py")
            write = ToolUse("Write", {"file_path": file, "content": "x"})
            steps[f"look into {name}"] = [write, Text(f"{name} is ready.")]
        self._steps = by_prompt(steps)
        fleet.model.use_script(self._answer)

    def _answer(self, request: Request) -> Reply:
        for name, event in self._may_end.items():
            if f"look into {name}" in newest_prompt(request):
                event.wait(250)
        # The client hands a notification on as a reminder, not as a prompt.
        last = json.dumps(
            [message for message in request["messages"] if message["role"] == "user"][-1]
        )
        if "<task-notification>" in last:
            return Text(
                "One is done, two is not." if "helper one" in last else "All of it is done."
            )
        return self._steps(request)

    def let_go(self, *names: str) -> None:
        for name in names or tuple(self._may_end):
            self._may_end[name].set()

    def session(self, fleet: Fleet) -> Interactive:
        return fleet.world.interactive(self.repository, ["--allowed-tools", "Write,Agent"])


def _agent(name: str) -> ToolUse:
    given = {"description": f"helper {name}", "prompt": f"look into {name}"}
    return ToolUse("Agent", {**given, "subagent_type": "general-purpose"})


@pytest.fixture
def helpers(fleet: Fleet) -> Iterator[Helpers]:
    made = Helpers(fleet)
    yield made
    made.let_go()


def test_two_agents_end_one_after_the_other_and_a_person_asks_between(
    fleet: Fleet, helpers: Helpers
) -> None:
    with helpers.session(fleet) as session:
        session.send("ask the helpers")
        fleet.wait_for_rows("SELECT 1 FROM sessions WHERE state = 'working' AND briefing_id > 0")
        assert fleet.rows(ANNOUNCED, "%") == [], "an event says that the turn has ended"
        session.send("what is this")
        fleet.wait_for_rows(ANNOUNCED, "%This is something else.%")
        helpers.let_go("one")
        fleet.wait_for_rows("SELECT 1 FROM follow_ups")
        fleet.wait_for_rows("SELECT 1 FROM sessions WHERE state = 'working'")
        helpers.let_go("two")
        fleet.wait_for_rows(ANNOUNCED, "%All of it is done.%")
        assert fleet.rows("SELECT state FROM sessions") == [{"state": "completed"}]

    asked, between = fleet.briefings()
    assert asked["raw_markdown"] == "All of it is done."
    assert set(asked["files_touched"]) == {"by_one.py", "by_two.py"}
    assert (between["raw_markdown"], between["files_touched"]) == ("This is something else.", [])
    assert fleet.event_counts() == {"session_started": 1, "briefing_added": 2}


def test_an_agent_that_never_ends_leaves_the_last_words_when_the_session_ends(
    fleet: Fleet, helpers: Helpers
) -> None:
    with helpers.session(fleet) as session:
        session.send("ask the helpers")
        fleet.wait_for_rows("SELECT 1 FROM sessions WHERE state = 'working' AND briefing_id > 0")
        assert fleet.event_counts() == {"session_started": 1}
    fleet.wait_for_rows("SELECT 1 FROM sessions WHERE ended_at IS NOT NULL")

    (briefing,) = fleet.briefings()
    assert briefing["raw_markdown"] == "Both are at work."
    ((event),) = fleet.rows("SELECT payload_json FROM outbox_events WHERE type = 'briefing_added'")
    assert json.loads(event["payload_json"])["briefing"]["status"] == "completed"
    assert fleet.rows("SELECT state FROM sessions") == [{"state": "completed"}]
