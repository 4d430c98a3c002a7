"""install.sh: a real installation into a temporary user's folder, upgraded, interrupted and
uninstalled."""

import contextlib
import glob
import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import pytest
from support import ROOT, Fleet, path_with_uv
from support_transcripts import Conversation

from commander.setup import environment, install
from commander.setup.hook_entries import program, registration, settings_example
from commander.setup.selfcheck import SelfCheckFailed, show_main_job
from fleet_lib.store import migrate

USER_SETTINGS = """{
    "model": "opus",
    "hooks": {
        "Stop": [
            {"hooks": [{"type": "command", "command": "afplay done.aiff"}]}
        ]
    },
    "permissions": {"allow": [ "Bash(ls:*)" ]}
}
"""


def run(home: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(ROOT / "install.sh"), *arguments],
        env=environment_of(home) | variables,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )


def environment_of(home: Path) -> "dict[str, str]":
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CLAUDE", "FLEET", "HOME"))
    }
    return {**inherited, "HOME": str(home)}


def new_user(folder: Path, settings: "str | None" = USER_SETTINGS) -> Path:
    home = folder / "a user's $HOME ü"
    (home / ".claude").mkdir(parents=True)
    if settings is not None:
        (home / ".claude" / "settings.json").write_text(settings)
    return home


def tree(folder: Path) -> "dict[str, bytes | None]":
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def matching_files(folder: Path, pattern: str) -> "set[tuple[Path, int]]":
    """The matching files with their inodes, so that a replaced link counts as new."""
    found = set()
    # Not Path.glob, which fails on a folder that is removed meanwhile.
    for name in glob.glob(pattern, root_dir=folder):
        with contextlib.suppress(FileNotFoundError):
            found.add((folder / name, (folder / name).lstat().st_ino))
    return found


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> "tuple[Path, str]":
    """One real installation: (the user's home, what install.sh printed)."""
    home = new_user(tmp_path_factory.mktemp("installed"))
    done = run(home)
    assert done.returncode == 0, done.stdout + done.stderr
    return home, done.stdout


@pytest.mark.slow
def test_install_ends_with_a_sample_run_and_the_next_steps(
    installed: "tuple[Path, str]",
) -> None:
    _, printed = installed
    assert "captured  a finished turn in shop-api" in printed
    assert "blocked: Payment tests need the staging credentials" in printed
    assert "bin/fleet' commander" in printed


@pytest.mark.slow
def test_installed_hooks_capture_into_the_installed_home(installed: "tuple[Path, str]") -> None:
    home, _ = installed
    settings = json.loads((home / ".claude" / "settings.json").read_text())
    entry = settings["hooks"]["Stop"][-1]["hooks"][0]
    call = {"session_id": "s", "prompt_id": "p", "cwd": "/", "last_assistant_message": "Hello."}
    env = {"HOME": str(home), "PATH": os.environ["PATH"], "CLAUDE_PROJECT_DIR": str(home)}
    done = subprocess.run(
        ["sh", "-c", entry["command"]],
        input=json.dumps(call).encode(),
        env=env,
        check=True,
        capture_output=True,
    )
    assert done.stdout == b""
    fleet = home / ".claude" / "commander" / "bin" / "fleet"
    listed = subprocess.run(
        [fleet, "briefings", "list", "--json"], env=env, capture_output=True, check=True
    )
    assert [row["raw_markdown"] for row in json.loads(listed.stdout)] == ["Hello."]


@pytest.mark.slow
def test_reinstall_keeps_settings_and_the_previous_version_for_hooks(
    installed: "tuple[Path, str]",
) -> None:
    home, _ = installed
    commander = home / ".claude" / "commander"
    (commander / "CLAUDE.md").write_text("mine")
    database = commander / "fleet.db"
    for path in commander.glob("fleet.db*"):
        path.unlink()
    old = sqlite3.connect(database)
    old.executescript((ROOT / "fleet_lib/store/migrations/0001_reference.sql").read_text())
    old.close()
    before = (home / ".claude" / "settings.json").read_bytes()
    version = (commander / "venv").resolve()
    assert environment.extras_of(commander / "venv") == []
    again = run(home, "--with", "gateway", PATH=path_with_uv(home.parent))
    assert again.returncode == 0, again.stderr
    assert environment.extras_of(commander / "venv") == ["gateway"]
    assert (commander / "venv/app/commander/gateway/static/app.js").exists()
    assert f"You edited {commander / 'CLAUDE.md'}, so it was not changed." in again.stdout
    assert f"from schema version 0 to {migrate.latest_version()}. Backup: " in again.stdout
    assert (commander / "CLAUDE.md").read_text() == "mine"
    assert (home / ".claude" / "settings.json").read_bytes() == before
    assert (commander / "venv").resolve() != version
    assert (version / "bin" / "python").exists()
    assert commander.stat().st_mode & 0o777 == 0o700


@pytest.mark.slow
def test_uninstall_restores_settings_and_keeps_data_until_purge(
    installed: "tuple[Path, str]",
) -> None:
    home, _ = installed
    commander = home / ".claude" / "commander"
    (commander / "notes.txt").write_text("not Fleet's")
    for arguments in (("db", "migrate"), ("completion", "install", "fish")):
        command = [str(commander / "bin" / "fleet"), *arguments]
        subprocess.run(command, env=environment_of(home), check=True, capture_output=True)
    (script,) = home.glob(".config/fish/completions/*")
    done = run(home, "--uninstall")
    assert not script.exists()
    assert done.returncode == 0, done.stderr
    assert (home / ".claude" / "settings.json").read_text() == USER_SETTINGS
    assert "captured is still in" in done.stdout and (commander / "fleet.db").exists()
    assert not (commander / "venv").is_symlink() and not (commander / "versions").exists()
    folder_settings = commander / ".claude" / "settings.json"
    assert "hooks" not in json.loads(folder_settings.read_text())
    written = json.loads((commander / ".claude" / "fleet-written.json").read_text())
    # A later installation must recognise the file as Fleet's, not as edited by the user.
    assert (
        written[".claude/settings.json"] == hashlib.sha256(folder_settings.read_bytes()).hexdigest()
    )
    done = run(home, "--uninstall", "--purge")
    assert done.returncode == 0, done.stderr
    assert "not Fleet's: notes.txt" in done.stdout
    assert [path.name for path in commander.iterdir()] == ["notes.txt"]
    (commander / "notes.txt").unlink()
    assert run(home, "--uninstall", "--purge").returncode == 1  # Fleet is no longer installed there
    remaining = {name for name in tree(home / ".claude") if name != "commander"}
    assert remaining == {"settings.json"}


def test_install_dry_run_shows_the_diff_and_changes_nothing(tmp_path: Path) -> None:
    home = new_user(tmp_path)
    before = tree(home)
    done = run(home, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert '+        "SessionStart": [' in done.stdout
    assert "nothing was changed" in done.stdout
    assert tree(home) == before
    done = run(home, "--uninstall", "--purge", "--dry-run")
    assert tree(home) == before


def test_invalid_settings_json_stops_install_before_any_change(tmp_path: Path) -> None:
    home = new_user(tmp_path, '{"a": 1,}')
    before = tree(home)
    done = run(home)
    assert done.returncode == 1
    assert "line 1 column 9" in done.stderr and len(done.stderr.splitlines()) == 1
    assert tree(home) == before


def test_uninstall_works_without_the_installed_files(tmp_path: Path) -> None:
    """Fleet's home may be deleted, and may not be the default one."""
    home = new_user(tmp_path, None)
    settings = home / ".claude" / "settings.json"
    fleet_hooks = registration(settings_example(), tmp_path / "gone", home / ".claude")
    settings.write_text(json.dumps({"theme": "dark", **fleet_hooks}))
    done = run(home, "--uninstall")
    assert done.returncode == 0, done.stderr
    assert json.loads(settings.read_text()) == {"theme": "dark"}


@pytest.mark.parametrize("at", ["", ".claude", "projects"])
def test_purge_removes_only_fleets_own_folder(tmp_path: Path, at: str) -> None:
    home = new_user(tmp_path)
    (home / "projects").mkdir()
    (home / "projects" / "work.txt").write_text("mine")
    (home / "fleet.db").write_text("a name that any file may have")
    before = tree(home)
    done = run(home, "--uninstall", "--purge", "--fleet-home", str(home / at))
    assert done.returncode == 1 and "nothing was removed" in done.stderr
    assert tree(home) == before


@pytest.mark.parametrize(
    "arguments", [("--nonsense",), ("--purge",), ("--claude-dir", ""), ("--fleet-home",)]
)
def test_wrong_usage_prints_an_error_and_creates_nothing(
    tmp_path: Path, arguments: "tuple[str, ...]"
) -> None:
    home = new_user(tmp_path)
    done = run(home, *arguments)
    assert done.returncode == 2 and "usage: install.sh" in done.stderr
    assert not (home / ".claude" / "commander").exists()


@pytest.mark.slow
def test_install_reports_disabled_hooks_and_obeys_config_dir_and_quiet(
    tmp_path: Path,
) -> None:
    home = new_user(tmp_path)
    other = tmp_path / "other claude"
    other.mkdir()
    (other / "settings.json").write_text('{"disableAllHooks": true}')
    environment_variables = {"CLAUDE_CONFIG_DIR": str(other), "PATH": path_with_uv(tmp_path)}
    done = run(home, **environment_variables)
    assert done.returncode == 0, done.stderr
    assert "Nothing is captured until you remove it" in done.stdout
    assert (other / "commander" / "CLAUDE.md").exists()
    assert (home / ".claude" / "settings.json").read_text() == USER_SETTINGS
    # Interrupted at any stage: the settings stay valid, the hooks run, and the next run repairs
    # everything.
    for number, stage in (
        (signal.SIGKILL, "versions/*/pyvenv.cfg"),
        (signal.SIGINT, "versions/*/lib/*/site-packages/click"),
        (signal.SIGTERM, "versions/*/app"),
        (signal.SIGKILL, "venv"),
    ):
        before = matching_files(other / "commander", stage)
        process = subprocess.Popen(
            [str(ROOT / "install.sh"), "--quiet"],
            env=environment_of(home) | environment_variables,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        while matching_files(other / "commander", stage) <= before:
            assert process.poll() is None, f"it ended before {stage}"
            time.sleep(0.005)
        os.killpg(process.pid, number)
        process.wait(30)
        entry = json.loads((other / "settings.json").read_text())["hooks"]["Stop"][0]["hooks"][0]
        call = subprocess.run(
            ["sh", "-c", entry["command"]], input=b"{}", env=environment_of(home), check=False
        )
        assert call.returncode == 0, stage
    done = run(home, "--quiet", **environment_variables)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = run(home, "--uninstall", CLAUDE_CONFIG_DIR=str(other))
    assert (other / "settings.json").read_text() == '{"disableAllHooks": true}'


def test_too_old_python_is_reported_in_one_line(tmp_path: Path) -> None:
    old = tmp_path / "bin"
    old.mkdir()
    for name in ("python3", "python3.11", "python3.12", "python3.13", "python3.14"):
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
    assert "needs Python 3.11 or later, but Python 3.8.1 was found" in done.stderr
    assert not (tmp_path / ".claude").exists()


@pytest.mark.slow
def test_failed_build_prints_one_line_and_keeps_the_old_version(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    (tmp_path / "venv").symlink_to("before")
    broken = tmp_path / "source"
    broken.mkdir()
    (broken / "pyproject.toml").write_text("[project]\nname = 'x'\nversion = '1'\n[build-system]\n")
    with pytest.raises(environment.BuildFailed) as caught:
        environment.build(tmp_path / "envs", tmp_path / "venv", broken, sys.executable)
    assert str(caught.value) and "\n" not in str(caught.value)
    assert (tmp_path / "venv").resolve() == tmp_path / "before"
    assert [path.name for path in (tmp_path / "envs").iterdir()] == ["lock"]


@pytest.mark.slow
def test_second_build_waits_for_the_first(tmp_path: Path) -> None:
    import fcntl

    envs = tmp_path / "envs"
    envs.mkdir()
    output: list[str] = []
    with (envs / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        def say(line: str) -> None:
            output.append(line)
            fcntl.flock(lock, fcntl.LOCK_UN)

        with pytest.raises(environment.BuildFailed):
            environment.build(envs, tmp_path / "venv", tmp_path / "no", sys.executable, say=say)
    assert output[0] == "Another installation is running. Waiting for it to finish ..."


def test_the_self_check_fails_loudly_when_the_hooks_do_not_work(
    fleet: Fleet, tmp_path: Path
) -> None:
    empty = tmp_path / "hooks"
    empty.mkdir()
    with pytest.raises(SelfCheckFailed):
        show_main_job(Path(sys.executable), empty)


@pytest.mark.slow
def test_uv_is_used_when_available(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", path_with_uv(tmp_path))
    version = environment.build(tmp_path / "envs", tmp_path / "venv", ROOT, sys.executable)
    assert (tmp_path / "venv" / "bin" / "fleet").exists()
    assert "uv = " in (version / "pyvenv.cfg").read_text()


@pytest.mark.slow
def test_shared_home_serves_two_config_dirs_until_the_last_uninstall(
    tmp_path: Path,
) -> None:
    home = new_user(tmp_path, None)
    shared = ("--fleet-home", str(home / "shared"))
    for name in ("one", "two"):
        (home / name).mkdir()
        done = run(home, "--claude-dir", str(home / name), *shared, PATH=path_with_uv(tmp_path))
        assert done.returncode == 0, done.stderr
    refused = run(home, "--uninstall", "--purge", "--claude-dir", str(home / "one"), *shared)
    assert refused.returncode == 1 and "two/settings.json has hooks of" in refused.stderr
    done = run(home, "--uninstall", "--claude-dir", str(home / "one"), *shared)
    assert "The program stays" in done.stdout
    assert list((home / "one").iterdir()) == []
    entry = json.loads((home / "two" / "settings.json").read_text())["hooks"]["Stop"][0]["hooks"][0]
    assert [os.access(file, os.R_OK) for file in program(entry, home / "two" / "commander")] == [
        True,
        True,
    ]
    done = run(home, "--uninstall", "--purge", "--claude-dir", str(home / "two"), *shared)
    assert done.returncode == 0, done.stderr
    assert list((home / "two").iterdir()) == [] and not (home / "shared").exists()


@pytest.mark.slow
def test_purge_after_a_failed_build_removes_its_leftovers(tmp_path: Path) -> None:
    home = new_user(tmp_path)
    before = tree(home / ".claude")
    failed = run(
        home,
        PIP_INDEX_URL="http://127.0.0.1:9/simple",
        UV_INDEX_URL="http://127.0.0.1:9",
        PIP_RETRIES="0",
    )
    assert failed.returncode == 1
    done = run(home, "--uninstall", "--purge")
    assert done.returncode == 0, done.stderr
    assert tree(home / ".claude") == before


@pytest.mark.slow
def test_import_takes_in_what_the_transcripts_hold(tmp_path: Path) -> None:
    home = new_user(tmp_path)
    conversation = Conversation(tmp_path).turn("What was done before.")
    conversation.write(home / ".claude" / "projects")
    done = run(home, "--import", PATH=path_with_uv(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Imported 1 turn of 1 folder from 1 transcript.\n" in done.stdout
    fleet = home / ".claude" / "commander" / "bin" / "fleet"
    status = subprocess.run(
        [fleet, "status"], env=environment_of(home), capture_output=True, text=True, check=True
    )
    assert "What was done before." in status.stdout


@pytest.mark.parametrize(
    ("answer", "is_quiet", "is_terminal", "wanted"),
    [
        *(("", False, True, True), ("y", False, True, True), ("n", False, True, False)),
        *(("y", True, True, False), ("y", False, False, False), (None, False, True, False)),
    ],
)
def test_a_person_at_a_terminal_is_asked_whether_to_import(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: str | None,
    is_quiet: bool,
    is_terminal: bool,
    wanted: bool,
) -> None:
    asked: list[str] = []

    def ask(question: str) -> str:
        asked.append(question)
        if answer is None:
            raise EOFError
        return answer

    for stream in ("stdin", "stdout"):
        monkeypatch.setattr(f"sys.{stream}", mock.Mock(isatty=lambda: is_terminal))
    monkeypatch.setattr("builtins.input", ask)
    assert not install.wants_history(tmp_path, is_quiet)
    assert asked == []  # without transcripts there is nothing to ask
    Conversation(tmp_path).turn().write(tmp_path / "projects")
    assert install.wants_history(tmp_path, is_quiet) is wanted
    assert len(asked) == (is_terminal and not is_quiet)
