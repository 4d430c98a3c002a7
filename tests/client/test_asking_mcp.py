"""The real client asks `fleet mcp`, as a user would add it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from fleet_world import REPOSITORY, Fleet, blocked_by
from scripted_model import Text, ToolUse


def test_session_asks_which_sessions_need_the_person(fleet: Fleet, tmp_path: Path) -> None:
    fleet.worker(fleet.repository("alpha"), "get stuck", blocked_by("a key"))
    fleet.drain()
    asking = fleet.repository("beta")
    server = {
        "command": sys.executable,
        "args": ["-m", "commander.cli", "mcp"],
        "env": {"PYTHONPATH": str(REPOSITORY)},
    }
    file = tmp_path / "mcp.json"
    file.write_text(json.dumps({"mcpServers": {"fleet": server}}))
    fleet.script(
        "which sessions wait",
        # A client that still connects tells the model to call this; another one has no such tool.
        ToolUse("WaitForMcpServers", {}),
        ToolUse("mcp__fleet__needs_you", {}),
        ToolUse("mcp__fleet__whats_new", {}),
        Text("Alpha waits for a key."),
    )
    arguments = ["--mcp-config", str(file), "--allowed-tools", "mcp__fleet"]
    turn = fleet.world.run("which sessions wait", asking, None, arguments)
    assert not turn.is_error, turn.stdout + turn.stderr
    shown = json.dumps(fleet.model.main_requests("which sessions wait")[-1])
    assert "Stuck on a key" in shown and "left_open" in shown
    assert "<fleet-prelude>" in shown
