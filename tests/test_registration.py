"""The commands that Claude Code's settings and the plugin register, run as it runs them: by `/bin/sh -c`.
Whatever is missing, none ends in 2, which would erase a prompt or force a turn."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import ROOT, Fleet, payload
from test_hooks import HOOKS

from commander.setup import install, settings, uninstall
from commander.setup.commander_folder import HOME_TEMPLATE, write_hook_file
from commander.setup.hook_entries import (
    chosen_homes,
    is_current_form,
    is_ours,
    program,
    registration,
    settings_example,
)

PRINTING = ("SessionStart", "UserPromptSubmit")
PLACES = [
    *(("settings", event) for event in HOOKS if event != "UserPromptSubmit"),
    ("commander", "UserPromptSubmit"),
    *(("plugin", event) for event in HOOKS),
]
SAMPLES = {
    "SessionStart": "SessionStart-startup",
    "UserPromptSubmit": "UserPromptSubmit",
    "Stop": "Stop",
    "StopFailure": "StopFailure-unknown",
    "PermissionRequest": "2.1.332/PermissionRequest-Bash",
    "Notification": "Notification-permission_prompt",
    "SessionEnd": "SessionEnd-other",
}
every_entry = pytest.mark.parametrize(("place", "event"), PLACES)


class Registered:
    """A home with the hooks' program, in a folder with a name that a shell could misread."""

    def __init__(self, folder: Path, fleet: Fleet) -> None:
        self.claude = folder / 'it\'s a $HOME `x` "y" folder'
        self.home = self.claude / "commander"
        self.program = self.home / "venv" / "app"
        self.program.mkdir(parents=True)
        for name in ("hooks", "fleet_lib"):
            (self.program / name).symlink_to(ROOT / name)
        self.python = self.program / "python3"
        self.python.symlink_to(sys.executable)
        write_hook_file(self.home, self.python)
        self._fleet = fleet

    def entry(self, place: str, event: str) -> dict[str, Any]:
        if place == "plugin":
            value = json.loads((ROOT / "hooks" / "hooks.json").read_text())
        else:
            template = HOME_TEMPLATE / ".claude" / "settings.json"
            if place == "settings":
                template = settings_example()
            value = registration(template, self.home, self.claude)
        (group,) = value["hooks"][event]
        (entry,) = group["hooks"]
        assert set(entry) == {"type", "command", "timeout"}
        return dict(entry)

    def run(
        self, place: str, event: str, path: str = "", command: str = "", **variables: str
    ) -> "subprocess.CompletedProcess[bytes]":
        environment = self._fleet.env(
            CLAUDE_PROJECT_DIR=str(self._fleet.home if event in PRINTING else self._fleet.folder),
            CLAUDE_PLUGIN_ROOT=str(self.program),
            CLAUDE_CONFIG_DIR=str(self.claude),
            PATH=path or f"{self.program}:{os.environ['PATH']}",
        )
        if place == "commander":  # whose project folder is the home
            environment |= dict.fromkeys(("CLAUDE_PROJECT_DIR", "FLEET_HOME"), str(self.home))
        return subprocess.run(
            ["/bin/sh", "-c", command or self.entry(place, event)["command"]],
            input=json.dumps(payload(SAMPLES[event])).encode(),
            env=environment | variables,
            capture_output=True,
            cwd=self._fleet.folder,
            timeout=60,
            check=False,
        )


@pytest.fixture
def registered(fleet: Fleet, tmp_path: Path) -> Registered:
    fleet.replace_drainer()
    return Registered(tmp_path, fleet)


@every_entry
def test_a_registered_command_runs_its_hook(
    registered: Registered, fleet: Fleet, place: str, event: str
) -> None:
    done = registered.run(place, event)

    assert (done.returncode, done.stderr) == (0, b"")
    # A Commander that has no database yet is shown nothing, and so nothing is spooled of its prompt.
    assert len(fleet.waiting()) == (event != "UserPromptSubmit")


@every_entry
@pytest.mark.parametrize("missing", ["the interpreter", "the hook", "the program"])
def test_a_command_whose_files_are_missing_does_nothing_and_ends_well(
    registered: Registered, fleet: Fleet, place: str, event: str, missing: str
) -> None:
    if missing == "the interpreter":
        registered.python.unlink()
    elif missing == "the hook":
        hooks = registered.program / "hooks"
        hooks.unlink()
        hooks.mkdir()
        for path in (ROOT / "hooks").glob("*.py"):
            if path.stem != HOOKS[event]:
                (hooks / path.name).symlink_to(path)
    else:
        registered.program.rename(registered.program.with_name("elsewhere"))

    done = registered.run(place, event, path="/nowhere")

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert fleet.waiting() == []


@every_entry
@pytest.mark.parametrize("missing", ["hooks/_hook.py", "fleet_lib/spool.py"])
def test_a_hook_whose_own_modules_are_missing_ends_well(
    registered: Registered, place: str, event: str, missing: str
) -> None:
    for name in ("hooks", "fleet_lib"):
        folder = registered.program / name
        folder.unlink()
        folder.mkdir()
        for path in (ROOT / name).iterdir():
            if f"{name}/{path.name}" != missing and path.name != "__pycache__":
                (folder / path.name).symlink_to(path)
    # The hook finds its packages by its own path, which must not be a link's target.
    hook = registered.program / "hooks" / f"{HOOKS[event]}.py"
    text = hook.read_text()
    hook.unlink()
    hook.write_text(text)

    assert registered.run(place, event).returncode == 0


@every_entry
def test_a_command_ignores_signals_first_and_cannot_end_in_two(
    registered: Registered, place: str, event: str
) -> None:
    command = registered.entry(place, event)["command"]

    assert command.startswith("trap '' TERM HUP INT; : fleet-hook; ")
    assert "trap 'exit 0' EXIT" in command


@pytest.mark.parametrize("event", [event for event in HOOKS if event != "UserPromptSubmit"])
def test_a_command_that_is_terminated_before_python_is_up_keeps_the_turn(
    registered: Registered, fleet: Fleet, event: str
) -> None:
    registered.python.unlink()
    up = fleet.folder / "up"
    registered.python.write_text(f'#!/bin/sh\n: >{up}\nsleep 0.5\nexec {sys.executable} "$@"\n')
    registered.python.chmod(0o755)
    with subprocess.Popen(
        ["/bin/sh", "-c", registered.entry("settings", event)["command"]],
        stdin=subprocess.PIPE,
        env=fleet.env(
            CLAUDE_PROJECT_DIR=str(fleet.folder), CLAUDE_CONFIG_DIR=str(registered.claude)
        ),
        start_new_session=True,
    ) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(payload(SAMPLES[event])).encode())
        process.stdin.close()
        while not up.exists():  # the trap comes before it
            assert process.poll() is None
        for _ in range(10):
            os.killpg(process.pid, 15)
            subprocess.run(["sleep", "0.03"], check=True)
        assert process.wait(20) == 0

    assert len(fleet.waiting()) == 1


def test_the_plugin_names_only_events_that_the_oldest_client_knows() -> None:
    """2.1.197 drops the whole file for one that it does not know."""
    known = {*HOOKS, "PermissionRequest", "PreToolUse", "PostToolUse", "SubagentStop", "PreCompact"}

    assert set(json.loads((ROOT / "hooks" / "hooks.json").read_text())["hooks"]) <= known


@every_entry
def test_what_an_entry_runs_can_be_read_back(
    registered: Registered, place: str, event: str
) -> None:
    entry = registered.entry(place, event)

    assert is_ours(entry) and is_current_form(entry)
    if place != "plugin":
        hook = registered.program / "hooks" / f"{HOOKS[event]}.py"
        assert program(entry, registered.home) == (str(registered.python), str(hook))


def test_what_an_older_fleets_entry_runs_can_be_read_back() -> None:
    entry = {"command": "/a b/python", "args": ["-I", "-S", "/a b/hooks/stop.py"]}

    assert is_ours(entry) and not is_current_form(entry)
    assert program(entry, Path("/c")) == ("/a b/python", "/a b/hooks/stop.py")


@pytest.mark.parametrize(
    "command", ["", "x 'unclosed", "fleet_python", "echo fleet-hook", ": fleet_hook;", "a=b c=d"]
)
def test_another_programs_command_is_not_fleets_and_names_nothing(command: str) -> None:
    entry = {"type": "command", "command": command}

    assert not is_ours(entry)
    assert program(entry, Path("/c")) == ("", "")


def entry_of_an_older_fleet(event: str, form: str) -> dict[str, Any]:
    python, hook = "/old home/venv/bin/python", f"/old home/venv/app/hooks/{HOOKS[event]}.py"
    if form == "exec form":
        return {"type": "command", "command": python, "args": ["-I", "-S", hook], "timeout": 10}
    command = shlex.join([python, "-I", "-S", hook])
    return {"type": "command", "command": command, "timeout": 10}


@pytest.mark.parametrize("form", ["exec form", "shell form"])
@pytest.mark.parametrize("others", ["", '{"hooks": [{"type": "command", "command": "beep"}]}'])
def test_an_entry_of_an_older_fleet_is_replaced_and_undone_to_the_byte(
    tmp_path: Path, form: str, others: str
) -> None:
    file = tmp_path / "settings.json"
    text = f'{{\n  "theme": "dark",\n  "hooks": {{\n    "Stop": [{others}]\n  }}\n}}\n'
    file.write_text(text)
    old = {
        event: [{"hooks": [entry_of_an_older_fleet(event, form)]}]
        for event in ("Stop", "StopFailure")
    }
    registering = settings.with_hooks(file, old, {})
    settings.write(registering)

    ours = registration(settings_example(), Path("/p"), Path("/h"))["hooks"]
    upgrading = settings.with_hooks(file, ours, registering.was)
    settings.write(upgrading)

    found = [entry for *_, entry in settings.our_entries(json.loads(file.read_text()))]
    wanted = [group["hooks"][0] for groups in ours.values() for group in groups]
    assert sorted(map(str, found)) == sorted(map(str, wanted))
    settings.write(settings.without_hooks(file, upgrading.was))
    assert file.read_text() == text


# --- one text for every machine --------------------------------------------------------------------


def commands(home: Path, claude: Path) -> list[str]:
    every = registration(settings_example(), home, claude)["hooks"].values()
    return [entry["command"] for groups in every for group in groups for entry in group["hooks"]]


def test_usual_home_is_registered_without_an_absolute_path() -> None:
    one, other = Path("/home/ada/.claude"), Path("/Users/ada/.claude")
    assert commands(one / "commander", one) == commands(other / "commander", other)
    assert "/home" not in "".join(commands(one / "commander", one))


@pytest.mark.parametrize(("place", "event"), [one for one in PLACES if one[0] != "plugin"])
def test_settings_without_fleet_on_the_machine_do_nothing(
    registered: Registered, fleet: Fleet, place: str, event: str, tmp_path: Path
) -> None:
    """As in a container that the settings were copied into."""
    nowhere = str(tmp_path / "another user" / ".claude")
    done = registered.run(place, event, CLAUDE_CONFIG_DIR=nowhere)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert fleet.waiting() == []


@pytest.mark.parametrize("event", ["Stop", "SessionStart"])
def test_interpreter_that_disappeared_is_replaced_by_another_python(
    registered: Registered, fleet: Fleet, tmp_path: Path, event: str
) -> None:
    registered.python.unlink()
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in (
        ("python3", "exit 1"),  # too old
        ("python3.13", f'exec {sys.executable} "$@"'),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    done = registered.run("settings", event, path=f"{programs}:/bin")
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(fleet.waiting()) == 1


@every_entry
@pytest.mark.parametrize("damage", ["if [", "exit 2", "", "\x00\xff", "return 2"])
def test_damaged_file_of_the_home_does_not_end_in_two(
    registered: Registered, place: str, event: str, damage: str
) -> None:
    if place == "plugin":
        hook = registered.program / "hooks"
        hook.unlink()
        hook.mkdir()
        (hook / "hook.sh").write_text(damage, "latin-1")
    else:
        (registered.home / "bin" / "hook.sh").write_text(damage, "latin-1")
    assert registered.run(place, event).returncode in (0, 1)


def test_commanders_hook_finds_its_home_with_any_configuration_folder(
    registered: Registered,
) -> None:
    """Two configuration folders may share a home, and only one of them has it inside."""
    (registered.home / "bin" / "hook.sh").write_text("echo sourced")
    done = registered.run("commander", "UserPromptSubmit", CLAUDE_CONFIG_DIR="/elsewhere")
    assert done.stdout == b"sourced\n"


MODULES = [
    pytest.param(
        path.relative_to(ROOT).as_posix(), marks=() if folder == "hooks" else pytest.mark.slow
    )
    for folder in ("hooks", "fleet_lib", "fleet_lib/prelude")
    for path in sorted((ROOT / folder).glob("*.*"))
]


@pytest.mark.parametrize("file", MODULES)
def test_no_file_of_the_program_that_is_missing_or_damaged_makes_a_command_end_in_two(
    registered: Registered, file: str
) -> None:
    for name in ("hooks", "fleet_lib"):
        (registered.program / name).unlink()
        shutil.copytree(ROOT / name, registered.program / name)
    (registered.program / file).unlink()
    every = [event for event in HOOKS if file == f"hooks/{HOOKS[event]}.py"] or [*PRINTING, "Stop"]
    for damage in ("exit 2\nif (\n", "\0"):
        for event in every:
            done = registered.run("plugin", event)
            assert done.returncode in (0, 1) and done.stdout == b"", (damage, event)
        (registered.program / file).write_text(damage)
    for event in every:
        assert registered.run("plugin", event).returncode in (0, 1), event


@every_entry
@pytest.mark.parametrize("interpreter", ["#!/nowhere\n", "\x7fELF\x02 half a file", "exit 2\n"])
def test_broken_interpreter_erases_no_prompt(
    registered: Registered, place: str, event: str, interpreter: str
) -> None:
    registered.python.unlink()
    registered.python.write_text(interpreter, "latin-1")
    registered.python.chmod(0o755)
    done = registered.run(place, event)
    assert done.stdout == b""
    if event in PRINTING:
        assert done.returncode == 0
    elif interpreter != "exit 2\n":  # a capturing hook is in the shell's place
        assert done.returncode != 2


def test_each_of_two_machines_finds_the_home_that_it_chose_in_the_same_settings(
    registered: Registered, fleet: Fleet, tmp_path: Path
) -> None:
    """The file travels between the machines; each has only its own home."""
    file = registered.claude / "settings.json"
    one, other = tmp_path / "one's home", tmp_path / "other's home"
    for machine in (one, other):
        machine.mkdir()
        settings.write(install._registration(registered.claude, machine))
        machine.rmdir()
    (group,) = json.loads(file.read_text())["hooks"]["Stop"]
    (entry,) = group["hooks"]
    assert chosen_homes(entry) == [other, one]
    for machine in (one, other):
        write_hook_file(machine, registered.python, registered.program)
        assert not install._registration(registered.claude, machine).has_effect
        assert uninstall.installed_home(registered.claude) == machine
        done = registered.run("settings", "Stop", command=entry["command"], FLEET_HOME="")
        assert (done.returncode, done.stderr) == (0, b"")
        assert len(list((machine / "spool" / "new").iterdir())) == 1
        machine.rename(tmp_path / f"{machine.name} elsewhere")
    # A home that is left for another one on the same machine is not named any more.
    one.mkdir()
    settings.write(install._registration(registered.claude, tmp_path / "third"))
    assert settings.named_homes(file) == [tmp_path / "third", other]


@pytest.mark.parametrize("is_here", [True, False])
def test_home_that_was_chosen_on_another_machine_gives_way_to_the_usual_one(
    registered: Registered, fleet: Fleet, tmp_path: Path, is_here: bool
) -> None:
    chosen = tmp_path / "chosen on another machine"
    if is_here:
        write_hook_file(chosen, registered.python, registered.program)
    command = registration(settings_example(), chosen, registered.claude)["hooks"]["Stop"][0]
    entry = command["hooks"][0]
    done = registered.run("settings", "Stop", command=entry["command"], FLEET_HOME="")
    assert (done.returncode, done.stderr) == (0, b"")
    home = chosen if is_here else registered.home
    assert len(list((home / "spool" / "new").iterdir())) == 1
    assert chosen_homes(entry) == [chosen]
    assert Path(program(entry, registered.home)[1]).exists()
