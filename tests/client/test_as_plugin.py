"""Fleet as a plugin of the real client: validated, loaded from a folder, installed from a
marketplace, and beside the same hooks in the settings."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from claude_client import REPOSITORY, Turn, World
from fleet_world import Fleet, blocked_by, git
from scripted_model import ScriptedModel, Text, by_prompt, injected_context


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that a clone of the repository has, without this checkout's own environment."""
    copy = tmp_path_factory.mktemp("plugin") / "fleet"
    copy.mkdir()
    for name in git(REPOSITORY, "ls-files", "-co", "--exclude-standard").splitlines():
        if (REPOSITORY / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((REPOSITORY / name).read_bytes())
            (copy / name).chmod((REPOSITORY / name).stat().st_mode)
    return copy


@pytest.fixture
def clean_machine(tmp_path: Path, program: Path) -> Iterator[tuple[World, ScriptedModel]]:
    """A machine without Fleet."""
    with ScriptedModel(by_prompt({})) as model:
        yield World(tmp_path / "home", model.url, program), model


def claude(world: World, cwd: Path, *arguments: str) -> str:
    done = subprocess.run(
        [str(world.program), *arguments],
        env=world.environment(),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def repository(folder: Path) -> Path:
    path = folder / "shop-api"
    path.mkdir()
    git(path, "init", "-q")
    return path


def fleet(world: World, *arguments: str) -> str:
    """Run `fleet …` as in a terminal."""
    done = subprocess.run(
        [str(world.home / ".claude" / "commander" / "bin" / "fleet"), *arguments],
        env=world.environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def wait_for_environment(world: World) -> None:
    deadline = time.monotonic() + 240
    command = world.home / ".claude" / "commander" / "bin" / "fleet"
    states = world.home / ".claude" / "plugins" / "data"
    while not command.exists():
        assert time.monotonic() < deadline, [
            path.read_text() for path in states.glob("*/bootstrap.json")
        ]
        time.sleep(0.2)


def test_the_manifests_pass_strict_validation(
    plugin: Path, clean_machine: tuple[World, ScriptedModel]
) -> None:
    world, _ = clean_machine
    assert "Validation passed" in claude(world, plugin, "plugin", "validate", "--strict", ".")
    manifest = str(plugin / ".claude-plugin" / "plugin.json")
    assert "Validation passed" in claude(world, plugin, "plugin", "validate", "--strict", manifest)


def test_marketplace_plugin_captures_the_first_turn_and_builds_its_venv(
    plugin: Path, clean_machine: tuple[World, ScriptedModel], tmp_path: Path
) -> None:
    world, model = clean_machine
    folder = repository(tmp_path)
    claude(world, folder, "plugin", "marketplace", "add", str(plugin))
    claude(world, folder, "plugin", "install", "fleet@fleet")

    model.use_script(by_prompt({"pay": [blocked_by("credentials")]}))
    assert not world.run("pay", folder).is_error
    wait_for_environment(world)

    status = json.loads(fleet(world, "status", "--json"))
    assert [row["project"] for row in status["projects"]] == ["shop-api"]
    assert len(json.loads(fleet(world, "briefings", "list", "--json"))) == 1

    # The Commander's folder exists. Its prompts get a prelude, those of other sessions do not.
    answer = world.run("what is new", world.home / ".claude" / "commander")
    assert not answer.is_error
    (request,) = model.main_requests("what is new")
    assert "Stuck on credentials" in "\n".join(injected_context(request))
    world.run("and you", folder)
    (request,) = model.main_requests("and you")
    assert "fleet-prelude" not in json.dumps(request["messages"])

    # The slash command runs, and the skill is available.
    world.run("/fleet:status", folder)
    newest = json.dumps(model.main_requests()[-1]["messages"])
    assert "What `fleet status` prints" in newest and "shop-api" in newest
    assert "fleet:briefing" in newest


@pytest.mark.one_client
def test_plugin_from_a_folder_captures_and_injects_the_prelude(
    plugin: Path, clean_machine: tuple[World, ScriptedModel], tmp_path: Path
) -> None:
    world, model = clean_machine
    folder = repository(tmp_path)

    def run(prompt: str, cwd: Path) -> Turn:
        return world.run(prompt, cwd, extra_args=["--plugin-dir", str(plugin)])

    model.use_script(by_prompt({"pay": [Text("Paid.")]}))
    assert not run("pay", folder).is_error
    wait_for_environment(world)
    (briefing,) = json.loads(fleet(world, "briefings", "list", "--json"))
    assert briefing["raw_markdown"] == "Paid."
    (request,) = model.main_requests("pay")
    assert "This environment keeps a briefing" in "\n".join(injected_context(request))


def test_plugin_and_settings_hooks_together_store_one_briefing(fleet: Fleet, plugin: Path) -> None:
    both = ["--plugin-dir", str(plugin)]
    folder = fleet.repository("shop-api")
    fleet.script("pay", blocked_by("credentials"))
    assert not fleet.world.run("pay", folder, extra_args=both).is_error
    assert len(fleet.briefings()) == 1
    counts = fleet.event_counts()
    assert (counts["briefing_added"], counts["session_blocked"], counts["session_started"]) == (
        1,
        1,
        1,
    )

    fleet.script("what is new")
    fleet.world.run("what is new", fleet.home, extra_args=both)
    assert len(fleet.preludes_with("what is new") + fleet.preludes_up_to("what is new")) >= 1
    assert len(fleet.preludes_up_to("what is new")) == 1
    assert fleet.cursor() == fleet.last_event()
