"""What a user sees in the client: the status line, permissions of the Commander, and no error when
Fleet is uninstalled under a running session."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from claude_client import REPOSITORY
from fleet_world import Fleet, blocked_by
from scripted_model import Text, ToolUse, session_of

from commander.setup.commander_folder import write_command, write_hook_file

pytestmark = pytest.mark.usefixtures("terminal")


def test_status_line_names_sessions_that_need_attention(fleet: Fleet) -> None:
    file = fleet.world.settings_dir / "settings.json"
    command = shlex.join([sys.executable, "-m", "commander", "statusline"])
    line = {"type": "command", "command": f"cd {shlex.quote(str(REPOSITORY))} && {command}"}
    file.write_text(json.dumps(json.loads(file.read_text()) | {"statusLine": line}))
    fleet.add_project("docs")  # 2.1.332 does not refresh at once if there was no database before
    fleet.script("pay", blocked_by("credentials"))
    shop, web = fleet.repository("shop-api"), fleet.repository("web")
    fleet.world.trust(shop, web)  # at once: the first client writes the same file while it runs
    with fleet.world.interactive(shop) as session:
        session.wait_for("fleet: nothing")
        session.send("pay")
        fleet.wait_for_rows("SELECT 1 FROM sessions WHERE state = 'blocked'")
        with fleet.world.interactive(web) as second:
            second.wait_for("fleet: 1 needs you")


@pytest.mark.one_client
def test_session_continues_after_fleet_is_uninstalled_under_it(
    fleet: Fleet, tmp_path: Path
) -> None:
    """As after ./install.sh --uninstall: the settings have no entries and their program is gone."""
    file = fleet.world.settings_dir / "settings.json"
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    write_hook_file(fleet.home, python, REPOSITORY)
    fleet.script("first thing")
    fleet.script("second thing")
    with fleet.world.interactive(fleet.repository("web")) as session:
        session.send("first thing")
        fleet.wait_for_rows("SELECT 1 FROM briefings")
        (fleet.home / "bin" / "hook.sh").unlink()
        python.unlink()
        file.write_text("{}")
        session.send("second thing")
        fleet.wait_for_request("second thing")
        session.wait_for("(?s)second thing.*done")
        assert len(fleet.model.main_requests("second thing")) == 1
    fleet.drain()


def test_fleet_commander_continues_the_conversation(fleet: Fleet) -> None:
    first = fleet.commander("what is new")
    fleet.drain()
    fleet.script("and what next")
    arguments = ["commander", "-p", "and what next", "--model", "sonnet"]
    config = fleet.world.environment() | {"PATH": f"{fleet.world.program.parent}:/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-m", "commander", *arguments],
        env=config,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    (request,) = fleet.model.main_requests("and what next")
    assert "what is new" in json.dumps(request["messages"])
    assert session_of(request) == first.session_id


def test_commander_runs_only_read_commands_without_permission(fleet: Fleet) -> None:
    write_command(fleet.home, Path(sys.executable))
    command = f"{fleet.home}/bin/fleet"
    fleet.script(
        "look", ToolUse("Bash", {"command": f"{command} status"}), Text("Nothing is waiting.")
    )
    fleet.script(
        "archive it", ToolUse("Bash", {"command": f"{command} projects archive x"}), Text("Gone.")
    )
    with fleet.world.interactive(fleet.home) as session:
        session.send("look")
        session.wait_for("Nothing is waiting")
        session.send("archive it")
        session.wait_for("Do you want to proceed|requires approval|permission")
