"""Fleet as a plugin: its manifests, and its environment, which is built in the background without
losing a capture. tests/client/test_as_plugin.py has the tests with the real client."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import get_args

import pytest
from support import ROOT, Fleet, payload
from test_hooks import INTERPRETERS

from commander.setup import plugin as plugin_environment
from commander.setup.hook_entries import is_ours
from fleet_lib.ingest import sessions
from fleet_lib.levels import ImpactLevel
from fleet_lib.turn.briefing_parser import find_block, parse
from fleet_lib.turn.payload import EVENTS

PLUGIN = json.loads((ROOT / ".claude-plugin" / "plugin.json").read_text())
HOOKS = json.loads((ROOT / "hooks" / "hooks.json").read_text())["hooks"]


def test_every_hook_is_a_file_that_is_registered_captured_and_known_as_ours() -> None:
    files = {path.stem for path in (ROOT / "hooks").glob("[a-z]*.py")}
    assert {re.sub(r"(?<=[a-z])(?=[A-Z])", "_", event).lower() for event in EVENTS} == files
    assert set(HOOKS) == set(EVENTS)
    for event, groups in HOOKS.items():
        (entry,) = [entry for group in groups for entry in group["hooks"]]
        assert is_ours(entry), event
    foreign = ["-I", "-S", "/x/hooks/_hook.py"]
    assert not is_ours({"type": "command", "command": "python3", "args": foreign})


def test_every_kind_of_notification_that_is_registered_is_spooled_and_changes_a_session() -> None:
    (group,) = HOOKS["Notification"]
    registered = set(group["matcher"].split("|"))
    source = (ROOT / "hooks" / "notification.py").read_text()  # to import it would end the process
    (waiting,) = [
        ast.literal_eval(node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "WAITING"
    ]
    assert [kind for kind in registered if not kind.startswith(waiting)] == []
    assert [begin for begin in waiting if not any(k.startswith(begin) for k in registered)] == []
    # "elicitation" alone is understood too, but no matcher names it.
    assert sessions.KINDS - {"elicitation"} == registered


def test_plugin_registers_the_same_hooks_with_the_system_python() -> None:
    expected = {}
    for path in (ROOT / "settings.example.json", ROOT / "commander/home/.claude/settings.json"):
        expected |= json.loads(path.read_text())["hooks"]
    own = r"fleet_python=python3; fleet_root=\"${CLAUDE_PLUGIN_ROOT}\""
    text = json.dumps(expected).replace("@HOME@", own)
    text = text.replace("fleet_home=$CLAUDE_PROJECT_DIR", own)
    assert json.loads(text.replace("fleet_home/bin/hook.sh", "fleet_root/hooks/hook.sh")) == HOOKS


def test_plugin_description_is_the_package_description() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert PLUGIN["description"] == project["description"]


def test_skill_names_the_briefing_fields_and_values() -> None:
    skill = (ROOT / "skills" / "briefing" / "SKILL.md").read_text()
    for value in ("completed", "blocked", "failed", "waiting_for_input", *get_args(ImpactLevel)):
        assert f"`{value}`" in skill
    example = re.search(r"````\n(.*?)````", skill, re.DOTALL)
    assert example
    block = find_block(example[1])
    assert block
    parsed = parse(block)
    assert parsed.status == "blocked" and not parsed.warnings


@pytest.fixture
def plugin(fleet: Fleet, tmp_path: Path) -> Path:
    """The plugin's folder as Claude Code copies it, with only the repository's files."""
    folder = tmp_path / "plugin root"
    folder.mkdir()
    listed = ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "-z"]
    names = subprocess.run(listed, capture_output=True, check=True).stdout
    subprocess.run(
        ["tar", "-C", str(ROOT), "--null", "-T", "-", "-cf", str(tmp_path / "p.tar")],
        input=names,
        check=True,
    )
    subprocess.run(["tar", "-C", str(folder), "-xf", str(tmp_path / "p.tar")], check=True)
    fleet.environment["CLAUDE_PLUGIN_DATA"] = str(tmp_path / "plugin data")
    return folder


# The system's Python, which lacks Fleet's dependencies.
BARE_PYTHON = os.path.realpath(sys.executable)


def hook(fleet: Fleet, plugin: Path, name: str, python: str = BARE_PYTHON) -> None:
    done = subprocess.run(
        [python, "-I", "-S", str(plugin / "hooks" / f"{name}.py")],
        input=json.dumps(payload("Stop")).encode(),
        env=fleet.env(CLAUDE_PROJECT_DIR=str(fleet.folder)),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def wait_for_state(fleet: Fleet, state: str, seconds: float = 240) -> "dict[str, str]":
    deadline = time.monotonic() + seconds
    while True:
        current = plugin_environment.read_state(Path(fleet.environment["CLAUDE_PLUGIN_DATA"]))
        if current.get("state") == state:
            return current
        assert time.monotonic() < deadline, (current, fleet.log())
        time.sleep(0.1)


def wait_for_new_venv(fleet: Fleet, data: Path, before: Path) -> None:
    deadline = time.monotonic() + 240
    while (data / "venv").resolve() == before or plugin_environment.read_state(data)[
        "state"
    ] != "ready":
        assert time.monotonic() < deadline, (plugin_environment.read_state(data), fleet.log())
        time.sleep(0.2)


def console(fleet: Fleet, plugin: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(plugin / "bin" / "fleet"), *arguments],
        env=fleet.env(),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_plugin_venv_is_built_once_and_earlier_captures_are_applied(
    fleet: Fleet, plugin: Path
) -> None:
    # Each starts a drainer that cannot drain; one of them builds the environment.
    for _ in range(3):
        hook(fleet, plugin, "stop")
    output = console(fleet, plugin, "status")
    assert output.returncode == 1 and "wait safely in" in output.stderr
    wait_for_state(fleet, "ready")
    data = Path(fleet.environment["CLAUDE_PLUGIN_DATA"])
    assert len([path for path in (data / "versions").iterdir() if path.is_dir()]) == 1
    listed = console(fleet, plugin, "briefings", "list", "--json")
    assert len(json.loads(listed.stdout)) == 1, listed.stderr
    assert (fleet.home / "CLAUDE.md").exists()
    command = [fleet.home / "bin" / "fleet", "--version"]
    linked = subprocess.run(command, env=fleet.env(), capture_output=True, text=True)
    assert linked.stdout.split()[-1] == PLUGIN["version"]
    # The next turn builds nothing.
    built_at = (data / "bootstrap.json").stat().st_mtime_ns
    hook(fleet, plugin, "stop")
    fleet.wait_for_drainers()
    assert (data / "bootstrap.json").stat().st_mtime_ns == built_at
    assert fleet.waiting() == []
    # After an update it is built again, and the version that running hooks use stays.
    before = (data / "venv").resolve()
    os.utime(plugin / "pyproject.toml")
    hook(fleet, plugin, "stop")
    wait_for_new_venv(fleet, data, before)
    assert (before / "bin" / "python").exists()
    # A broken environment is built again too. Only the next drainer notices, because a running one
    # has already imported everything.
    while fleet.waiting():
        time.sleep(0.05)
    fleet.wait_for_drainers()
    before = (data / "venv").resolve()
    shutil.rmtree(before / "app" / "pydantic")
    os.utime(data / "bootstrap.json", (0, 0))
    hook(fleet, plugin, "stop")
    wait_for_new_venv(fleet, data, before)


@pytest.mark.slow
def test_build_without_a_package_index_loses_nothing_and_says_why(
    fleet: Fleet, plugin: Path, tmp_path: Path
) -> None:
    # The build finds the package index through the hook's environment variables.
    fleet.environment |= {
        **dict.fromkeys(("PIP_INDEX_URL", "UV_DEFAULT_INDEX"), "http://127.0.0.1:9/simple"),
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_FIND_LINKS": "",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_RETRIES": "0",
        "UV_OFFLINE": "1",
        "PIP_NO_CACHE_DIR": "1",
        "UV_NO_CACHE": "1",
    }
    hook(fleet, plugin, "stop")
    reason = wait_for_state(fleet, "failed")["reason"]
    assert reason and "\n" not in reason
    assert len(fleet.waiting()) == 1
    output = console(fleet, plugin, "doctor")
    assert output.returncode == 1
    assert reason in output.stderr and "tries again" in output.stderr
    # It is not tried again at every turn.
    tried_at = (Path(fleet.environment["CLAUDE_PLUGIN_DATA"]) / "bootstrap.json").stat().st_mtime_ns
    hook(fleet, plugin, "stop")
    fleet.wait_for_drainers()
    while subprocess.run(["pgrep", "-f", f"bootstrap.py --again {fleet.home}"]).returncode == 0:
        time.sleep(0.05)  # the drainer has become this process
    assert (
        Path(fleet.environment["CLAUDE_PLUGIN_DATA"]) / "bootstrap.json"
    ).stat().st_mtime_ns == tried_at
    assert len(fleet.waiting()) == 2


def test_plugin_beside_an_installed_fleet_builds_no_venv(fleet: Fleet, plugin: Path) -> None:
    fleet.home.mkdir()
    (fleet.home / "venv").symlink_to(sys.prefix)
    hook(fleet, plugin, "stop")
    deadline = time.monotonic() + 60
    while fleet.waiting():
        assert time.monotonic() < deadline, fleet.log()
        time.sleep(0.05)
    fleet.wait_for_drainers()
    assert not Path(fleet.environment["CLAUDE_PLUGIN_DATA"]).exists()


@pytest.mark.skipif("3.9" not in INTERPRETERS, reason="Python 3.9 is not installed")
def test_oldest_python_can_explain_the_missing_command(fleet: Fleet, plugin: Path) -> None:
    script = plugin / "commander" / "setup" / "plugin.py"
    done = subprocess.run(
        [INTERPRETERS["3.9"], "-I", str(script), "--explain", str(fleet.home)],
        env=fleet.env(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and done.stderr.startswith("fleet: The environment is built")


def test_command_before_the_first_turn_explains_what_will_happen(
    fleet: Fleet, plugin: Path
) -> None:
    output = console(fleet, plugin, "status")
    assert output.returncode == 1 and "after the first turn" in output.stderr
