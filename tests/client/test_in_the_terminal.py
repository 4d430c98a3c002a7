"""What a person sees in the client: the status line, and nothing when Fleet is taken out under a session."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest
from claude_client import REPOSITORY
from fleet_world import Fleet, blocked_by

from commander import settings

pytestmark = pytest.mark.usefixtures("terminal")


def test_the_status_line_says_who_needs_you(fleet: Fleet) -> None:
    file = fleet.world.settings_dir / "settings.json"
    command = shlex.join([sys.executable, "-m", "commander", "statusline"])
    line = {"type": "command", "command": f"cd {shlex.quote(str(REPOSITORY))} && {command}"}
    file.write_text(json.dumps(json.loads(file.read_text()) | {"statusLine": line}))
    fleet.script("pay", blocked_by("credentials"))
    with fleet.world.interactive(fleet.repository("shop-api")) as stuck:
        stuck.wait_for("fleet: nothing")
        stuck.send("pay")
        fleet.wait_for_rows("SELECT 1 FROM sessions WHERE state = 'blocked'")
        with fleet.world.interactive(fleet.repository("web")) as other:
            other.wait_for("fleet: 1 needs you")


def test_a_session_goes_on_when_fleet_is_taken_out_under_it(fleet: Fleet, tmp_path: Path) -> None:
    """As ./install.sh --uninstall leaves it: the entries are out of the settings, their program is gone."""
    file = fleet.world.settings_dir / "settings.json"
    venv = tmp_path / "venv" / "bin"
    venv.mkdir(parents=True)
    (venv / "python").symlink_to(sys.executable)
    ours = settings.registration(settings.settings_example(), venv / "python", REPOSITORY / "hooks")
    file.write_text(json.dumps(ours))
    fleet.script("first thing")
    fleet.script("second thing")
    with fleet.world.interactive(fleet.repository("web")) as session:
        session.send("first thing")
        fleet.wait_for_rows("SELECT 1 FROM briefings")
        (venv / "python").unlink()
        file.write_text("{}")
        session.send("second thing")
        fleet.wait_for_request("second thing")
        session.wait_for("(?s)second thing.*done")
        assert len(fleet.model.main_requests("second thing")) == 1
    fleet.drain()
