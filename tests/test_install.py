"""install.sh, and what it does to a person's settings."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import ROOT, Fleet

from commander import install

PYTHON, HOOKS = Path("/opt/python"), Path("/opt/hooks")
EVENTS = {"SessionStart", "Stop", "StopFailure", "Notification", "SessionEnd"}
THEIRS: dict[str, Any] = {
    "model": "opus",
    "hooks": {
        "Stop": [{"hooks": [{"type": "command", "command": "say done"}]}],
        "PreToolUse": [{"matcher": "Bash", "hooks": [{"type": "command", "command": "x"}]}],
    },
    "unknownKey": {"é": [1, 2]},
}


def ours() -> dict[str, Any]:
    return install.registration(install.settings_example(), PYTHON, HOOKS)


def test_every_worker_event_is_registered_with_an_isolated_interpreter() -> None:
    registered = ours()["hooks"]
    assert set(registered) == EVENTS
    for groups in registered.values():
        ((entry,),) = (group["hooks"] for group in groups)
        assert entry["command"] == str(PYTHON)
        assert entry["args"][:2] == ["-I", "-S"]
        assert (ROOT / "hooks" / Path(entry["args"][2]).name).is_file()
        assert "async" not in entry and 0 < entry["timeout"] <= 30


def test_a_merge_adds_our_hooks_and_touches_nothing_else() -> None:
    merged = install.merged_settings(THEIRS, ours())
    assert list(merged) == list(THEIRS)
    assert merged["hooks"]["Stop"][0] == THEIRS["hooks"]["Stop"][0]
    assert merged["hooks"]["PreToolUse"] == THEIRS["hooks"]["PreToolUse"]
    assert install.merged_settings(merged, ours()) == merged
    assert install.without_ours(merged) == THEIRS


def test_an_older_installs_entries_are_replaced() -> None:
    older = install.registration(
        install.settings_example(), Path("/old/python"), Path("/old/hooks")
    )
    merged = install.merged_settings(install.merged_settings(THEIRS, older), ours())
    assert "/old/" not in json.dumps(merged)
    assert merged == install.merged_settings(THEIRS, ours())


def test_a_settings_file_keeps_its_indentation_its_link_and_a_backup(tmp_path: Path) -> None:
    real, link = tmp_path / "dotfiles.json", tmp_path / "settings.json"
    text = json.dumps(THEIRS, indent="\t", ensure_ascii=False) + "\n"
    real.write_text(text)
    real.chmod(0o640)
    link.symlink_to(real)
    assert install.update_json(link, lambda given: install.merged_settings(given, ours()))
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert '\n\t"model": "opus"' in real.read_text()
    (backup,) = tmp_path.glob("*.fleet-backup-*")
    assert backup.read_text() == text
    assert not install.update_json(link, lambda given: install.merged_settings(given, ours()))
    assert install.update_json(link, install.without_ours)
    assert real.read_text() == text


@pytest.mark.parametrize("text", ['{"hooks": {', "[]", '{"hooks": []}', '{"hooks": {"Stop": 5}}'])
def test_settings_that_cannot_be_merged_are_refused_and_left_alone(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "settings.json"
    path.write_text(text)
    with pytest.raises(install.BadInput, match="mend it"):
        install.update_json(path, lambda given: install.merged_settings(given, ours()))
    assert path.read_text() == text
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """One real installation: (the user's home, what install.sh printed)."""
    home = tmp_path_factory.mktemp("user home")
    (home / ".claude").mkdir()
    (home / ".claude" / "settings.json").write_text(json.dumps(THEIRS))
    done = run_installer(home)
    assert done.returncode == 0, done.stdout + done.stderr
    return home, done.stdout


def run_installer(home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CLAUDE", "FLEET", "HOME"))
    }
    return subprocess.run(
        [str(ROOT / "install.sh"), *arguments],
        env={**kept, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )


def test_install_ends_with_the_main_job_on_a_sample(installed: tuple[Path, str]) -> None:
    _, printed = installed
    assert "captured  a finished turn in shop-api" in printed
    assert "blocked: Payment tests need the staging credentials" in printed
    assert printed.rstrip().endswith("the Commander")


def test_installed_hooks_capture_into_the_installed_home(installed: tuple[Path, str]) -> None:
    home, _ = installed
    settings = json.loads((home / ".claude" / "settings.json").read_text())
    entry = settings["hooks"]["Stop"][-1]["hooks"][0]
    call = {"session_id": "s", "prompt_id": "p", "cwd": "/", "last_assistant_message": "Hello."}
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "CLAUDE_PROJECT_DIR": str(home)}
    done = subprocess.run(
        [entry["command"], *entry["args"]],
        input=json.dumps(call).encode(),
        env=environment,
        check=True,
        capture_output=True,
    )
    assert done.stdout == b""
    fleet = home / ".claude" / "commander" / "venv" / "bin" / "fleet"
    listed = subprocess.run(
        [fleet, "briefings", "list", "--json"], env=environment, capture_output=True, check=True
    )
    assert [row["raw_markdown"] for row in json.loads(listed.stdout)] == ["Hello."]


def test_the_commanders_folder_has_its_prompt_hook_and_keeps_a_users_edits(
    installed: tuple[Path, str],
) -> None:
    home, _ = installed
    commander = home / ".claude" / "commander"
    settings = json.loads((commander / ".claude" / "settings.json").read_text())
    assert list(settings["hooks"]) == ["UserPromptSubmit"]
    (commander / "CLAUDE.md").write_text("mine")
    before = (home / ".claude" / "settings.json").read_text()
    again = run_installer(home)
    assert again.returncode == 0, again.stderr
    assert (commander / "CLAUDE.md").read_text() == "mine"
    assert (home / ".claude" / "settings.json").read_text() == before


def test_uninstall_takes_every_hook_out_and_keeps_the_data(installed: tuple[Path, str]) -> None:
    home, _ = installed
    done = run_installer(home, "--uninstall")
    assert done.returncode == 0, done.stderr
    assert json.loads((home / ".claude" / "settings.json").read_text()) == THEIRS
    assert "The data is still in" in done.stdout


def test_a_python_that_is_too_old_is_said_in_one_line(tmp_path: Path) -> None:
    old = tmp_path / "bin"
    old.mkdir()
    for name in ("python3", "python3.11", "python3.12", "python3.13"):
        (old / name).write_text('#!/bin/sh\n[ "$1" = --version ] || exit 1\necho Python 3.8.1\n')
        (old / name).chmod(0o755)
    done = subprocess.run(
        [str(ROOT / "install.sh")],
        env={"HOME": str(tmp_path), "PATH": f"{old}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "needs Python 3.11 or later; Python 3.8.1 was found" in done.stderr
    assert not (tmp_path / ".claude").exists()


def test_the_self_check_fails_loudly_when_the_hooks_do_not_work(
    fleet: Fleet, tmp_path: Path
) -> None:
    from commander.selfcheck import SelfCheckFailed, show_main_job

    empty = tmp_path / "hooks"
    empty.mkdir()
    with pytest.raises(SelfCheckFailed):
        show_main_job(Path(sys.executable), empty)
