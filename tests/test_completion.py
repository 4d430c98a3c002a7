"""TAB completion: in real shells, without a drain, and uninstalled without a trace."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import Fleet, make_repository

from commander.cli import completion

BIN = Path(sys.executable).parent
BASH_WORDS = """
. "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
_fleet_completion fleet
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def captured(fleet: Fleet) -> Fleet:
    for number, name in enumerate(("shop-api", "shop-web"), start=1):
        folder = make_repository(fleet.folder / name)
        message = f"```briefing\nsummary: What {name}, did\n```"
        call = {"session_id": f"s{number}", "prompt_id": "p", "last_assistant_message": message}
        fleet.hook("stop", call, folder)
    fleet.drain()
    fleet.environment["PATH"] = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return fleet


def bash(fleet: Fleet, *words: str) -> list[str]:
    """The completions that bash offers after these words."""
    script = fleet.folder / "completion.bash"
    script.write_text(fleet.console("completion", "show", "bash").stdout)
    done = subprocess.run(
        ["bash", "--norc", "-c", BASH_WORDS, "bash", str(script), *words],
        env=fleet.env(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.split()


def protocol(fleet: Fleet, shell: str, words: str, current: str) -> str:
    """Click's answer to a shell's completion script."""
    done = subprocess.run(
        [str(BIN / "fleet")],
        env=fleet.env(_FLEET_COMPLETE=f"{shell}_complete", COMP_WORDS=words, COMP_CWORD=current),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


def test_bash_completes_commands_projects_briefings_and_statuses(captured: Fleet) -> None:
    assert bash(captured, "fleet", "brief") == ["briefings"]
    assert bash(captured, "fleet", "projects", "archive", "shop-w") == ["shop-web"]
    assert sorted(bash(captured, "fleet", "briefings", "list", "--project", "")) == [
        "shop-api",
        "shop-web",
    ]
    assert bash(captured, "fleet", "briefings", "show", "") == ["2", "1"]
    assert bash(captured, "fleet", "briefings", "list", "--status", "bl") == ["blocked"]


def test_zsh_and_fish_get_briefing_descriptions(captured: Fleet) -> None:
    assert "shop-api: What shop-api, did" in protocol(
        captured, "zsh", "fleet briefings show 1", "3"
    )
    assert "shop-web: What shop-web" in protocol(captured, "fish", "fleet briefings show ", "")


def test_completion_does_not_drain_and_hides_errors(captured: Fleet) -> None:
    call = {"session_id": "s9", "prompt_id": "p", "last_assistant_message": "Waits."}
    captured.hook("stop", call, captured.folder / "shop-api")
    assert bash(captured, "fleet", "briefings", "show", "") == ["2", "1"]
    assert len(captured.waiting()) == 1
    (captured.home / "fleet.db").write_bytes(b"garbage" * 999)
    assert bash(captured, "fleet", "briefings", "show", "") == []
    shutil.rmtree(captured.home)
    captured.home.write_text("a file")
    assert bash(captured, "fleet", "projects", "archive", "") == []


def test_names_with_spaces_are_completed_by_id(fleet: Fleet) -> None:
    folder = make_repository(fleet.folder / "two words $(touch pwned)")
    call = {"session_id": "s1", "prompt_id": "p", "last_assistant_message": "Done."}
    fleet.hook("stop", call, folder)
    fleet.drain()
    fleet.environment["PATH"] = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    (offered,) = bash(fleet, "fleet", "projects", "archive", "")
    assert offered.startswith("two-words-touch-pwned__")


def test_interactive_bash_completes_after_install(
    captured: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    captured.environment["SHELL"] = shutil.which("bash") or "bash"
    assert (
        "To undo: fleet completion uninstall bash"
        in captured.console("completion", "install").stdout
    )
    script = captured.home.parent / ".local/share/bash-completion/completions/fleet"
    monkeypatch.setattr(completion, "_BASH_COMPLETION", ())
    rc, line = completion._start_line("bash", script)
    assert rc == captured.home.parent / ".bashrc"
    completion._set_start_line(rc, line)
    done = subprocess.run(
        ["bash", "-ic", "complete -p fleet"],
        env=captured.env(),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert "_fleet_completion fleet" in done.stdout


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_completion_install_is_idempotent_and_uninstall_leaves_no_trace(
    fleet: Fleet, shell: str
) -> None:
    user = fleet.home.parent
    (user / ".bashrc").write_bytes(b"export A=1 # \xff\n")
    dotfiles = fleet.folder / "dotfiles"
    dotfiles.mkdir()
    (dotfiles / "zshrc").write_bytes(b"setopt nobeep\n")
    (dotfiles / "zshrc").chmod(0o600)
    (user / ".zshrc").symlink_to(dotfiles / "zshrc")

    def files() -> dict[str, bytes]:
        return {str(p): p.read_bytes() for p in user.rglob("*") if p.is_file()}

    before = files()
    fleet.console("completion", "install", shell)
    installed_files = files()
    assert installed_files != before
    fleet.console("completion", "install", shell)
    assert files() == installed_files
    assert (user / ".zshrc").is_symlink()
    assert (dotfiles / "zshrc").stat().st_mode & 0o777 == 0o600
    assert "Removed" in fleet.console("completion", "uninstall").stdout
    assert files() == before
    assert "Completion is not installed." in fleet.console("completion", "uninstall").stdout


def test_start_file_created_by_install_is_removed_on_uninstall(fleet: Fleet) -> None:
    fleet.console("completion", "install", "zsh")
    assert (fleet.home.parent / ".zshrc").exists()
    fleet.console("completion", "uninstall", "zsh")
    assert not (fleet.home.parent / ".zshrc").exists()


def test_file_of_another_program_is_left_alone(fleet: Fleet) -> None:
    foreign = fleet.home.parent / ".config/fish/completions/fleet.fish"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("complete -c fleet")
    done = fleet.console("completion", "install", "fish", check=False)
    assert done.returncode == 1 and "is not Fleet's" in done.stderr
    fleet.console("completion", "uninstall")
    assert foreign.read_text() == "complete -c fleet"


def test_old_bash_is_reported_with_a_suggestion(fleet: Fleet) -> None:
    old = fleet.folder / "old" / "bash"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho 3 2\n")
    old.chmod(0o755)
    fleet.environment["SHELL"] = str(old)
    done = fleet.console("completion", "install", check=False)
    assert done.returncode == 1
    assert "is version 3.2" in done.stderr and "fleet completion install zsh" in done.stderr


def test_unknown_shell_must_be_named_by_the_user(fleet: Fleet) -> None:
    fleet.environment["SHELL"] = "/bin/tcsh"
    done = fleet.console("completion", "install", check=False)
    assert done.returncode == 1 and "fleet completion install bash" in done.stderr


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_script_is_valid_for_the_real_shell(fleet: Fleet, shell: str) -> None:
    if shutil.which(shell) is None:
        assert not os.environ.get("CI"), f"{shell} is needed"
        pytest.skip(f"{shell} is not installed")
    script = fleet.folder / "script"
    script.write_text(fleet.console("completion", "show", shell).stdout)
    done = subprocess.run([shell, "-n", str(script)], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
