"""Fleet's files are removed and damaged under the real client: every turn of a session goes on as
if there were no Fleet. tests/test_registration.py does the same to every file, without a client."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from claude_client import REPOSITORY, World
from scripted_model import ScriptedModel, Text, by_prompt

from commander.setup.commander_folder import make_commander_folder, write_hook_file
from commander.setup.hook_entries import registration, settings_example


class Installed:
    """Fleet in a home of its own, all of whose files may be damaged."""

    def __init__(self, world: World) -> None:
        self.home = world.settings_dir / "commander"
        self.program = self.home / "venv" / "app"
        self.python = self.home / "venv" / "python"
        make_commander_folder(self.home, with_hooks=True)
        world.write_settings(registration(settings_example(), self.home, world.settings_dir))
        self.repair()

    def repair(self) -> None:
        shutil.rmtree(self.home / "venv", ignore_errors=True)
        for name in ("hooks", "fleet_lib"):
            shutil.copytree(REPOSITORY / name, self.program / name)
        self.python.symlink_to(sys.executable)
        write_hook_file(self.home, self.python)

    def each(self, pattern: str) -> Iterator[Path]:
        return (file for file in (self.home / "venv").glob(pattern) if file.is_file())


def remove(file: Path) -> None:
    file.unlink()


def damage(file: Path) -> None:
    """The same bytes are wrong for a shell and for Python, and each would end in 2."""
    file.unlink()
    file.write_text("exit 2\nif (\n")
    file.chmod(0o755)


@pytest.mark.parametrize("harm", [remove, damage])
def test_no_turn_is_disturbed_by_a_broken_installation(
    tmp_path: Path, program: Path, harm: Callable[[Path], None]
) -> None:
    with ScriptedModel(by_prompt({})) as model:
        world = World(tmp_path / "home", model.url, program)
        installed = Installed(world)
        for number, pattern in enumerate(
            ("../bin/hook.sh", "app/hooks/hook.sh", "app/hooks/*.py", "app/fleet_lib/*")
        ):
            for file in list(installed.each(pattern)):
                harm(file)
            prompt = f"prompt {number}"
            model.use_script(by_prompt({prompt: [Text(f"answer {number}")]}))
            # All of Fleet's hooks are registered in the Commander's folder.
            turn = world.run(prompt, installed.home)
            assert (turn.exit_code, turn.text) == (0, f"answer {number}"), (pattern, turn.stderr)
            # A refused prompt never arrives there, and a refused stop is one more request.
            requests = model.main_requests(prompt)
            assert len(requests) == 1, pattern
            assert "hook feedback" not in json.dumps(requests[0]["messages"]), pattern
            installed.repair()
