"""The Commander's folder: it is created and updated, and the user's edits stay. Also the command
`fleet commander`."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT, Fleet, payload

from commander.setup import commander_folder as folder
from commander.setup.commander_folder import make_commander_folder, write_hook_file
from commander.setup.hook_entries import program
from fleet_lib.jobs.program import knows_option

CLAUDE = Path("/home/user/.claude")


@pytest.fixture
def template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the template, as a later version of Fleet would have it. The test may change it."""
    later = tmp_path / "template"
    subprocess.run(["cp", "-r", str(folder.HOME_TEMPLATE), str(later)], check=True)
    monkeypatch.setattr(folder, "HOME_TEMPLATE", later)
    return later


def test_folder_has_instructions_a_skill_permissions_and_the_prompt_hook(tmp_path: Path) -> None:
    home = tmp_path / "my home"
    write_hook_file(home, Path("/opt/python"))
    assert make_commander_folder(home, with_hooks=True) == []
    assert (home / ".gitignore").read_text() == "*\n"
    fleet = f"'{home}/bin/fleet'"
    assert f"{fleet} show 12" in (home / "CLAUDE.md").read_text()
    assert fleet in (home / ".claude" / "skills" / "fleet" / "SKILL.md").read_text()
    settings = json.loads((home / ".claude" / "settings.json").read_text())
    (group,) = settings["hooks"]["UserPromptSubmit"]
    entry = group["hooks"][0]
    hook = home / "venv" / "app" / "hooks" / "user_prompt_submit.py"
    assert program(entry, home) == ("/opt/python", str(hook))
    assert f"Bash({fleet} status:*)" in settings["permissions"]["allow"]


def test_only_reading_commands_are_permitted(tmp_path: Path) -> None:
    make_commander_folder(tmp_path, with_hooks=True)
    settings = json.loads((tmp_path / ".claude" / "settings.json").read_text())
    for rule in settings["permissions"]["allow"]:
        words = rule.removeprefix("Bash(").removesuffix(")").removesuffix(":*").split()[1:]
        assert words in (
            ["status"],
            ["projects", "list"],
            ["briefings"],
            ["events", "list"],
            ["prelude"],
            ["jobs", "list"],
            ["jobs", "show"],
            ["doctor"],
            ["show"],
            ["sessions"],
            ["digest"],
            ["usage"],
        )


def test_upgrade_replaces_an_unchanged_file_and_keeps_an_edited_one(
    tmp_path: Path, template: Path
) -> None:
    home = tmp_path / "home"
    make_commander_folder(home, with_hooks=True)
    (home / ".claude" / "skills" / "fleet" / "SKILL.md").write_text("mine")
    (template / "CLAUDE.md").write_text("new words")
    (template / ".claude" / "skills" / "fleet" / "SKILL.md").write_text("new skill")
    assert make_commander_folder(home, with_hooks=True) == [".claude/skills/fleet/SKILL.md"]
    assert (home / "CLAUDE.md").read_text() == "new words"
    assert (home / ".claude" / "skills" / "fleet" / "SKILL.md").read_text() == "mine"


def test_edited_settings_keep_their_edits_and_get_the_hook(tmp_path: Path) -> None:
    settings = tmp_path / ".claude" / "settings.json"
    settings.parent.mkdir()
    settings.write_text('{"model": "opus"}')
    make_commander_folder(tmp_path, with_hooks=True)
    merged = json.loads(settings.read_text())
    assert merged["model"] == "opus"
    assert "UserPromptSubmit" in merged["hooks"]


def test_plugin_adds_no_hook_to_the_folders_settings(tmp_path: Path) -> None:
    make_commander_folder(tmp_path, with_hooks=False)
    settings = json.loads((tmp_path / ".claude" / "settings.json").read_text())
    assert list(settings) == ["permissions"]


@pytest.fixture
def claude(fleet: Fleet, tmp_path: Path) -> Path:
    """A program in place of Claude Code that prints its folder and arguments."""
    program = tmp_path / "bin" / "claude"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\npwd\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    fleet.environment["PATH"] = f"{program.parent}:{os.environ['PATH']}"
    make_commander_folder(fleet.home, with_hooks=True)
    return program


def commander_turn(fleet: Fleet, session: str) -> None:
    start = payload("SessionStart-startup") | {"session_id": session, "cwd": str(fleet.home)}
    fleet.hook("session_start", start, fleet.home)
    fleet.hook("stop", {"session_id": session, "prompt_id": "1"}, fleet.home)
    fleet.drain()
    transcript = fleet.home.parent / ".claude" / "projects" / "x" / f"{session}.jsonl"
    transcript.parent.mkdir(parents=True, exist_ok=True)
    transcript.write_text("")


def test_commander_resumes_its_conversation_in_its_folder(fleet: Fleet, claude: Path) -> None:
    assert fleet.console_process("commander").stdout.split("\n")[:2] == [str(fleet.home), ""]
    commander_turn(fleet, "c-1")
    command = fleet.console_process("commander", "--model", "opus").stdout.splitlines()
    assert command == [str(fleet.home), "--resume", "c-1", "--model", "opus"]
    assert "--resume" not in fleet.console_process("commander", "--new").stdout


def test_conversation_without_its_transcript_is_started_anew(fleet: Fleet, claude: Path) -> None:
    commander_turn(fleet, "c-1")
    (fleet.home.parent / ".claude" / "projects" / "x" / "c-1.jsonl").unlink()
    assert "--resume" not in fleet.console_process("commander").stdout


def test_missing_client_is_reported_with_a_fix(fleet: Fleet, claude: Path) -> None:
    fleet.environment["PATH"] = "/usr/bin:/bin"
    done = fleet.console_process("commander", check=False)
    assert done.returncode == 1 and "install Claude Code" in done.stderr
    fleet.console("config", "set", "claude.program", str(claude))
    assert fleet.console_process("commander").stdout.startswith(str(fleet.home))
    claude.chmod(stat.S_IRUSR)
    done = fleet.console_process("commander", check=False)
    assert done.returncode == 1 and "claude.program" in done.stderr


@pytest.mark.parametrize(
    ("help_text", "is_known"),
    [
        ("Usage: claude\n  --system-prompt-snapshot <on|off>  Record it", True),
        ("Usage: claude\n  --system-prompt <prompt>  Use it", False),
        ("Usage: claude\n  --system-prompt-snapshots  All of them", False),
        ("\udcff", False),
        ("", False),
    ],
)
def test_option_is_known_if_the_help_names_it(claude: Path, help_text: str, is_known: bool) -> None:
    text = claude.with_name("help")
    text.write_text(help_text, errors="surrogateescape")
    claude.write_text(f'#!/bin/sh\n[ "$*" = --help ] && cat "{text}"\n')
    assert knows_option(str(claude), "--system-prompt-snapshot") is is_known


def test_client_whose_help_fails_knows_no_option(
    tmp_path: Path, claude: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not knows_option(str(tmp_path / "none"), "--help")
    monkeypatch.setattr("fleet_lib.jobs.program.HELP_SECONDS", 0.2)
    claude.write_text("#!/bin/sh\nexec sleep 20\n")
    assert not knows_option(str(claude), "--help")


def test_missing_folder_is_reported_with_a_fix(fleet: Fleet) -> None:
    done = fleet.console_process("commander", check=False)
    assert done.returncode == 1 and "./install.sh" in done.stderr


def test_broken_environment_is_reported_in_one_line_with_a_fix(tmp_path: Path) -> None:
    python = tmp_path / "my $venv" / "python"
    folder.write_command(tmp_path, python)
    command = tmp_path / "bin" / "fleet"
    failed = subprocess.run([command, "doctor"], capture_output=True, text=True)
    assert failed.returncode == 1
    assert (
        failed.stderr.startswith("Fleet's environment is broken") and str(python) in failed.stderr
    )
    assert failed.stderr.endswith("run ./install.sh in Fleet's checkout\n")
    # The interpreter exists but a package is missing.
    start = "import sys; sys.modules['click'] = None; import commander.__main__ as m; m.main()"
    for arguments in (["doctor"], ["status", "--json"]):
        done = subprocess.run(
            [sys.executable, "-c", start, *arguments], capture_output=True, text=True, cwd=ROOT
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.count("\n") == 1 and "run ./install.sh" in done.stderr
        assert "click" in done.stderr


def test_status_line_starts_without_site_as_long_as_the_program_is_where_it_was(
    fleet: Fleet, tmp_path: Path
) -> None:
    folder.write_command(fleet.home, Path(sys.executable))
    command = [str(fleet.home / "bin" / "fleet"), "statusline"]
    done = subprocess.run(command, env=fleet.env(), capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("fleet: nothing yet\n", "")

    python = tmp_path / "my $venv" / "bin" / "python"  # one that says what it is started with
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    python.chmod(0o755)
    (tmp_path / "my $venv" / "app").symlink_to(ROOT)
    folder.write_command(fleet.home, python)

    def started(*arguments: str) -> list[str]:
        run = [str(fleet.home / "bin" / "fleet"), *arguments]
        return subprocess.run(run, capture_output=True, text=True, check=True).stdout.split("|")

    app = str(tmp_path / "my $venv" / "app")
    assert started("statusline")[:2] == ["-I", "-S"]
    assert started("statusline")[-3:] == [app, "statusline", ""]
    for arguments in (["status"], ["statusline", "--help"], []):
        assert started(*arguments)[:2] == ["-I", "-c"] and started(*arguments)[3:-1] == arguments
    Path(app).unlink()
    assert started("statusline")[:2] == ["-I", "-c"]
