"""Turns that no hook reported, with the real client: hooks that are not registered, or that it kills."""

from __future__ import annotations

import json
import os

import pytest
from fleet_world import Fleet, blocked_by
from scripted_model import Fail, Text, ToolUse


@pytest.mark.one_client
def test_what_was_done_before_fleet_was_installed_is_imported(fleet: Fleet) -> None:
    fleet.world.write_settings({})
    repository = fleet.repository("alpha")
    source = str(repository / "a.txt")
    write = ToolUse("Write", {"file_path": source, "content": "x"})
    first = fleet.worker(repository, "write a file", write, Text("Wrote it."))
    fleet.turn(repository, "go on with it", blocked_by("a key"), resume=first.session_id)
    fleet.turn(repository, "try it", Fail(400))
    assert fleet.briefings() == []

    place = str(fleet.world.settings_dir / "projects")
    report = json.loads(fleet.console("import", "--json"))
    assert (report["imported"], report["left_alone"]) == (1, 2)  # what ended just now
    _look_old(fleet)
    assert json.loads(fleet.console("import", "--json", place))["imported"] == 2
    assert json.loads(fleet.console("import", "--json"))["imported"] == 0
    found = [(b["session_id"], b["status"], b["files_touched"]) for b in fleet.briefings()]
    assert found[0] == (first.session_id, "completed", ["a.txt"])
    assert sorted(status for _, status, _ in found[1:]) == ["blocked", "failed"]
    assert fleet.event_counts() == {}
    assert fleet.stuck_sessions() == []


def test_a_failure_whose_hook_never_ran_is_found_when_the_session_ends(fleet: Fleet) -> None:
    file = fleet.world.settings_dir / "settings.json"
    settings = json.loads(file.read_text())
    del settings["hooks"]["StopFailure"]
    file.write_text(json.dumps(settings))
    turn = fleet.turn(fleet.repository("alpha"), "try it", Fail(400))

    (briefing,) = fleet.briefings()
    assert (briefing["session_id"], briefing["status"]) == (turn.session_id, "failed")
    assert fleet.event_counts() == {"session_started": 1, "briefing_added": 1, "error": 1}


def _look_old(fleet: Fleet) -> None:
    """Let every transcript be an hour older than it is."""
    for file in fleet.world.settings_dir.glob("projects/*/*.jsonl"):
        moment = file.stat().st_mtime - 3600
        os.utime(file, (moment, moment))
