"""Installing and uninstalling under unusual conditions: other machines' settings, other users'
folders, files that cannot be written, and programs of Fleet that are running."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import ROOT

from commander.doctor import programs
from commander.doctor.findings import Installation
from commander.setup import (
    environment,
    install,
    preconditions,
    settings,
    settings_record,
    uninstall,
)
from commander.setup.commander_folder import write_hook_file
from commander.setup.hook_entries import registration, settings_example
from fleet_lib import held, paths
from fleet_lib.errors import BadInput


@pytest.fixture
def claude(tmp_path: Path) -> Path:
    folder = tmp_path / "user" / ".claude"
    folder.mkdir(parents=True)
    (folder / "settings.json").write_text('{"theme": "dark"}')
    return folder


def register(claude: Path, home: Path) -> None:
    entries = registration(settings_example(), home, claude)
    (claude / "settings.json").write_text(json.dumps(entries, indent=2))


def run(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    names = ("CLAUDE", "FLEET", "HOME")
    inherited = {name: text for name, text in os.environ.items() if not name.startswith(names)}
    return subprocess.run(
        [str(ROOT / "install.sh"), *arguments],
        env=inherited | variables,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        timeout=120,
    )


# --- which home ------------------------------------------------------------------------------------


def test_running_it_again_keeps_the_home_that_was_chosen(claude: Path, tmp_path: Path) -> None:
    chosen = tmp_path / "chosen home"
    write_hook_file(chosen, Path(sys.executable))
    register(claude, chosen)
    for arguments in ((), ("--uninstall",)):
        done = run("--dry-run", "--claude-dir", str(claude), *arguments, HOME=str(claude.parent))
        assert done.returncode == 0, done.stderr
        assert str(chosen) in done.stdout and str(claude / "commander") not in done.stdout


def test_home_chosen_on_another_machine_stays_in_shared_settings(
    claude: Path, tmp_path: Path
) -> None:
    register(claude, tmp_path / "only on the other machine")
    before = (claude / "settings.json").read_text()
    done = run("--dry-run", "--claude-dir", str(claude), HOME=str(claude.parent))
    assert f"already registered in {claude / 'settings.json'}" in done.stdout
    assert f"would be installed into {claude / 'commander'}" in done.stdout
    named = ("--fleet-home", str(tmp_path / "third"))
    done = run("--dry-run", "--claude-dir", str(claude), *named, HOME=str(claude.parent))
    assert "+" in done.stdout and str(tmp_path / "third") in done.stdout
    assert (claude / "settings.json").read_text() == before


# --- what is checked before the work -----------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can install into another user's folder")
def test_root_does_not_take_another_users_settings_away(claude: Path) -> None:
    for path in (claude.parent, claude, claude / "settings.json"):
        os.chown(path, 12345, 12345)
    done = run("--claude-dir", str(claude), HOME=str(claude.parent))
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "belongs to another user (uid 12345)" in done.stderr and "as that user" in done.stderr
    assert [path.name for path in claude.iterdir()] == ["settings.json"]
    assert (claude / "settings.json").stat().st_uid == 12345


def test_settings_that_cannot_be_written_are_found_first_with_what_to_do(
    claude: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = claude / "settings.json"
    real = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: Path(path) != file.resolve() and real(path, mode)
    )
    with pytest.raises(BadInput, match=r"cannot be written.*--dry-run"):
        install.install(claude, claude / "commander", [], print, quiet=True)
    assert not (claude / "commander").exists()
    register(claude, claude / "commander")
    change = install._registration(claude, claude / "commander")
    preconditions.check(
        claude, claude / "commander", [change]
    )  # nothing has to be written any more


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can install into another user's folder")
@pytest.mark.parametrize("owned", ["the folder", "the file that the settings link to"])
def test_uninstalling_as_root_takes_no_settings_away_either(
    claude: Path, tmp_path: Path, owned: str
) -> None:
    register(claude, claude / "commander")
    file = claude / "settings.json"
    if owned == "the folder":
        os.chown(claude, 12345, 12345)
    else:
        file = file.rename(tmp_path / "dotfiles.json")
        (claude / "settings.json").symlink_to(file)
    os.chown(file, 12345, 12345)
    before = file.read_bytes()
    done = run("--uninstall", "--claude-dir", str(claude), HOME=str(claude.parent))
    assert done.returncode == 1 and "belongs to another user (uid 12345)" in done.stderr
    assert file.read_bytes() == before and file.stat().st_uid == 12345


def test_entry_in_a_group_of_the_users_own_file_counts_as_registered(claude: Path) -> None:
    """A program that makes the settings file may gather hooks in its own way."""
    file = claude / "settings.json"
    register(claude, claude / "commander")
    value = json.loads(file.read_text())
    value["hooks"]["Stop"][0]["hooks"].insert(0, {"type": "command", "command": "beep"})
    file.write_text(json.dumps(value))
    assert not install._registration(claude, claude / "commander").has_effect
    value["hooks"]["Notification"][0]["matcher"] = "idle_prompt"
    file.write_text(json.dumps(value))
    assert install._registration(claude, claude / "commander").has_effect


def test_settings_file_that_is_a_mount_point_is_written_in_place(
    claude: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one file that a container was given: nothing can be renamed over it."""

    def busy(target: Path, change: settings.Change) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(settings, "_replace", busy)
    file = claude / "settings.json"
    number = file.stat().st_ino
    (claude / "commander").mkdir()
    install._register(claude, claude / "commander", print)
    assert "Stop" in json.loads(file.read_text())["hooks"] and file.stat().st_ino == number


def test_write_between_the_look_and_the_rename_is_not_lost(
    claude: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = claude / "settings.json"
    real, number = settings.write_whole, iter(range(2))

    def write_whole(path: Path, *arguments: Any) -> None:
        real(path, *arguments)
        if next(number, 9) == 1:  # the new text is ready aside
            file.write_text('{"theme": "another program\'s"}')

    monkeypatch.setattr(settings, "write_whole", write_whole)
    (claude / "commander").mkdir()
    install._register(claude, claude / "commander", print)
    written = json.loads(file.read_text())
    assert written["theme"] == "another program's" and "Stop" in written["hooks"]
    assert len(settings.backups(file)) == 1
    assert not list(claude.glob(".settings.json*"))


def test_half_written_settings_are_read_again(claude: Path) -> None:
    file = claude / "settings.json"
    text = file.read_text()
    file.write_text(text[:5])
    writer = threading.Timer(0.2, file.write_text, (text,))
    writer.start()
    (claude / "commander").mkdir()
    install._register(claude, claude / "commander", print)
    writer.join()
    assert json.loads(file.read_text())["theme"] == "dark"


def test_failed_self_check_leaves_the_earlier_environment_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "before").mkdir()
    (tmp_path / "venv").symlink_to("before")

    def fill(new: Path, *_: object) -> None:
        (new / "bin").mkdir(parents=True)
        python = new / "bin" / "python"
        python.write_text(f"#!/bin/sh\necho {new}\n")
        python.chmod(0o755)
        (new / "commander").mkdir()

    def check(python: Path) -> None:
        assert python.exists()
        raise BadInput("The self-check failed.")

    monkeypatch.setattr(environment, "_fill", fill)
    with pytest.raises(BadInput):
        environment.build(tmp_path / "envs", tmp_path / "venv", ROOT, sys.executable, check=check)
    assert (tmp_path / "venv").resolve() == tmp_path / "before"
    assert [path.name for path in (tmp_path / "envs").iterdir()] == ["lock"]


def test_nothing_of_pips_files_says_where_our_packages_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "pip.conf"
    file.write_text(
        "[global]\nindex-url = https://index.example/simple\ntarget = /elsewhere\nuser = true\n"
        "timeout = 5\n[install]\nprefix = /prefix\nroot = /root\nrequire-hashes = true\n"
        "find-links =\n    /one\n    /two\n"
    )
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    monkeypatch.setenv("PIP_TIMEOUT", "7")
    found = environment._pip_settings([sys.executable, "-m", "pip"])
    assert found["PIP_INDEX_URL"] == "https://index.example/simple"
    assert found["PIP_FIND_LINKS"].split() == ["/one", "/two"]
    assert found["PIP_CONFIG_FILE"] == os.devnull
    misleading = ("PIP_TARGET", "PIP_USER", "PIP_PREFIX", "PIP_ROOT", "PIP_REQUIRE_HASHES")
    assert not set(misleading) & set(found) and "PIP_TIMEOUT" not in found


def test_user_without_a_home_folder_gets_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no home folder\. Set HOME"):
        install._folder("~no-such-user/.claude")


def test_what_another_program_writes_meanwhile_is_not_lost(
    claude: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = claude / "settings.json"
    stale = install._registration(claude, claude / "commander")
    file.write_text('{"theme": "light"}')
    with pytest.raises(settings.ChangedMeanwhile):
        settings.write(stale)
    assert file.read_text() == '{"theme": "light"}'

    real, writes = settings.write, iter([True, True, False])

    def write(change: settings.Change) -> "Path | None":
        if next(writes, False):
            file.write_text(json.dumps({"theme": f"written at {time.time_ns()}"}))
        return real(change)

    monkeypatch.setattr(settings, "write", write)
    (claude / "commander").mkdir()
    install._register(claude, claude / "commander", print)
    written = json.loads(file.read_text())
    assert written["theme"].startswith("written at") and "Stop" in written["hooks"]


def test_variables_of_pip_for_other_environments_do_not_reach_ours(tmp_path: Path) -> None:
    script = "import json, os; print(json.dumps(dict(os.environ)))"
    names = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_HASHES", "UV_SYSTEM_PYTHON")
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); from commander.setup import environment as e;"
        "import subprocess; run = subprocess.run;"
        "e.subprocess.run = lambda c, **k: run(c, **{**k, 'capture_output': False});"
        "e._run([sys.executable, '-c', sys.argv[2]])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(ROOT), script],
        env={**os.environ, **dict.fromkeys(names, "1"), "PIP_INDEX_URL": "https://index.example"},
        capture_output=True,
        text=True,
        check=True,
    )
    seen = json.loads(done.stdout)
    assert {name: seen.get(name) for name in names} == {
        "PIP_USER": None,
        "PIP_TARGET": None,
        "PIP_PREFIX": None,
        "PIP_REQUIRE_HASHES": None,
        "UV_SYSTEM_PYTHON": None,
    }
    assert seen["PIP_INDEX_URL"] == "https://index.example"


# --- programs of Fleet that are running ----------------------------------------------------------------


def test_uninstall_refuses_while_a_job_runs(claude: Path) -> None:
    home = claude / "commander"
    register(claude, home)
    fleet = home / "bin" / "fleet"
    fleet.parent.mkdir(parents=True)
    fleet.write_text('#!/bin/sh\necho \'[{"job_id": 3}, {"job_id": 7}]\'\n')
    fleet.chmod(0o755)
    done = run("--uninstall", "--claude-dir", str(claude), HOME=str(claude.parent))
    assert done.returncode == 1 and "Jobs are running (3 7)." in done.stderr
    assert "jobs cancel 3 7" in done.stderr
    assert "hooks" in json.loads((claude / "settings.json").read_text()) and fleet.exists()


@pytest.mark.parametrize(
    ("lock_of", "what"),
    [(paths.gateway_lock, "the gateway"), (paths.notify_lock, "the sender of messages")],
)
def test_uninstall_names_and_ends_what_runs(
    claude: Path, lock_of: Callable[[str], str], what: str
) -> None:
    home = claude / "commander"
    register(claude, home)
    home.mkdir()
    lock = Path(lock_of(str(home)))
    program = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); from pathlib import Path;"
        "from fleet_lib import held; held.hold(Path(sys.argv[2])); print('up', flush=True);"
        "time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(ROOT), str(lock)], stdout=subprocess.PIPE
    ) as gateway:
        assert gateway.stdout is not None and gateway.stdout.readline() == b"up\n"
        found = held.holder(lock)
        assert found is not None and found.pid == gateway.pid
        assert found.environment == os.path.realpath(sys.prefix)
        done = run("--uninstall", "--claude-dir", str(claude), HOME=str(claude.parent))
        assert done.returncode == 0, done.stderr
        assert f"Ending {what} (process {gateway.pid})." in done.stdout
        assert gateway.wait(20) == -signal.SIGTERM
    assert held.holder(lock) is None


def test_uninstall_waits_for_a_drainer_only_so_long(
    claude: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = claude / "commander"
    register(claude, home)
    (home / "spool").mkdir(parents=True)
    (home / "bin").mkdir()
    monkeypatch.setattr(uninstall, "_LOCK_SECONDS", 0.3)
    said: list[str] = []
    program = (
        "import fcntl, sys, time; f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_EX);"
        "print('up', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, paths.lock(str(home))], stdout=subprocess.PIPE
    ) as drainer:
        assert drainer.stdout is not None and drainer.stdout.readline() == b"up\n"
        try:
            with pytest.raises(BadInput, match="run this again later"):
                uninstall.uninstall(claude, home, said.append, purge=False, dry_run=False)
        finally:
            drainer.kill()
    assert any("Waiting for it to finish" in line for line in said)
    assert (home / "bin").exists() and "hooks" not in (claude / "settings.json").read_text()


def test_one_of_two_folders_that_share_a_home_leaves_the_commander_its_hook(
    claude: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    home = claude / "commander"
    (home / "bin").mkdir(parents=True)
    for folder in (claude, other):
        (folder / "settings.json").write_text("{}")
        install._register(folder, home, print)
    commander_file = home / ".claude" / "settings.json"
    commander_file.parent.mkdir()
    commander_file.write_text(json.dumps(registration(settings_example(), home, claude)))
    before = commander_file.read_text()
    uninstall.uninstall(other, home, print, purge=False, dry_run=False)
    assert commander_file.read_text() == before and (home / "bin").exists()
    uninstall.uninstall(claude, home, print, purge=False, dry_run=False)
    assert "fleet-hook" not in commander_file.read_text() and not (home / "bin").exists()


def test_home_knows_the_folders_that_share_it_where_their_settings_are_links(
    claude: Path, tmp_path: Path
) -> None:
    """Dotfile managers keep the files elsewhere, and one machine's entries may be there already."""
    home = claude / "commander"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "hook.sh").touch()
    other = tmp_path / "other"
    other.mkdir()
    for folder in (claude, other):
        kept = tmp_path / "dotfiles" / folder.name / "any name.json"
        kept.parent.mkdir(parents=True)
        kept.write_text("{}")
        (folder / "settings.json").unlink(missing_ok=True)
        (folder / "settings.json").symlink_to(kept)
    register(claude, home)
    for folder in (claude, other):
        install._register(folder, home, print)
    assert settings_record.other_files(home, other / "settings.json") == [claude / "settings.json"]
    uninstall.uninstall(other, home, print, purge=False, dry_run=False)
    assert (home / "bin" / "hook.sh").exists()
    uninstall.uninstall(claude, home, print, purge=False, dry_run=False)
    assert not (home / "bin").exists() and (claude / "settings.json").is_symlink()


def test_hooks_of_running_sessions_do_nothing_before_the_program_goes(
    claude: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = claude / "commander"
    register(claude, home)
    write_hook_file(home, Path(sys.executable))
    (home / "venv").mkdir()
    seen: list[tuple[bool, bool]] = []

    def sleep(_seconds: float) -> None:
        seen.append(((home / "bin" / "hook.sh").exists(), (home / "venv").exists()))

    monkeypatch.setattr(uninstall.time, "sleep", sleep)
    uninstall.uninstall(claude, home, print, purge=False, dry_run=False)
    assert seen == [(False, True)] and not (home / "venv").exists()


def test_environment_that_is_in_use_outlives_two_upgrades(tmp_path: Path) -> None:
    for name in ("used", "unused"):
        (tmp_path / name / "app").mkdir(parents=True)
    program = (
        "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_SH);"
        "print('up', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "used" / "in-use")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == b"up\n"
        for name in ("used", "unused"):
            os.utime(tmp_path / name, (0, 0))
        environment._remove_old(tmp_path, set())
        assert [path.name for path in tmp_path.iterdir()] == ["used"]
    os.utime(tmp_path / "used", (0, 0))
    environment._remove_old(tmp_path, set())
    assert list(tmp_path.iterdir()) == []


def test_doctor_says_that_a_running_gateway_is_older_than_the_installed_fleet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / "versions" / "new").mkdir(parents=True)
    (home / "venv").symlink_to("versions/new")
    here = Installation(home, tmp_path)
    assert list(programs.gateway(here)) == [], "none is running"
    descriptor = held.hold(Path(paths.gateway_lock(str(home))))
    assert descriptor is not None
    (finding,) = programs.gateway(here)
    assert finding.level == "warning" and "not of the installed Fleet" in finding.found
    monkeypatch.setattr(sys, "prefix", str(home / "venv"))
    os.close(descriptor)
    descriptor = held.hold(Path(paths.gateway_lock(str(home))))
    (finding,) = programs.gateway(here)
    assert finding.level == "ok"
    os.close(descriptor or 0)
