"""`fleet doctor`: finds what is wrong, suggests a fix, and changes nothing."""

import contextlib
import errno
import json
import os
import re
import shutil
import sqlite3
import sys
import time
import zipfile
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from support import ROOT, Fleet, cpu_seconds, is_fast, make_repository, payload

from commander.doctor import capture, data, hook_runs
from commander.doctor import registration as check_of_registration
from commander.doctor.checks import CHECKS
from commander.doctor.findings import Installation
from commander.setup.commander_folder import make_commander_folder, write_hook_file
from commander.setup.hook_entries import registration, settings_example
from fleet_lib import apart
from fleet_lib.store import verify

SECRET = "sk-ant-api03-" + "Qx7" * 30
MESSAGE = "the quarterly figures are in the drawer"


@pytest.fixture
def healthy(fleet: Fleet) -> Fleet:
    """An installation with nothing wrong: registered hooks, one captured turn, a Claude Code."""
    claude = fleet.home.parent / ".claude"
    claude.mkdir()
    example = registration(settings_example(), fleet.home, claude)
    (claude / "settings.json").write_text(json.dumps(example))
    make_commander_folder(fleet.home, with_hooks=True)
    write_hook_file(fleet.home, Path(sys.executable), ROOT)
    program = fleet.folder / "bin" / "claude"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho '2.1.330 (Claude Code)'\n")
    program.chmod(0o755)
    fleet.environment["PATH"] = f"{program.parent}:{os.environ['PATH']}"
    folder = make_repository(fleet.folder / "shop-api")
    fleet.hook("stop", payload("Stop") | {"last_assistant_message": MESSAGE}, folder)
    fleet.drain()
    return fleet


def doctor(fleet: Fleet, code: int) -> "list[dict[str, Any]]":
    """The findings of all checks, run in this process: forking it for each costs more than they do.
    test_put_off.py has checks that get no answer."""
    with mock.patch.object(apart, "ask", lambda check, _seconds, _what: check()):
        done = fleet.console("doctor", "--json", check=False)
    assert "Traceback" not in done.stderr
    report = json.loads(done.stdout)
    assert done.returncode == code, [row for row in report["findings"] if row["level"] == "failed"]
    findings: list[dict[str, Any]] = report["findings"]
    return findings


def findings_of(findings: "list[dict[str, Any]]", check: str) -> "list[dict[str, Any]]":
    return [row for row in findings if row["check"] == check]


def tree(folder: Path) -> "dict[str, tuple[int, int, bytes]]":
    return {
        str(path): (
            path.lstat().st_mtime_ns,
            path.lstat().st_mode,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in sorted(folder.rglob("*"))
    }


def test_hooks_of_another_configuration_folder_run_on_their_sample(
    healthy: Fleet, tmp_path: Path
) -> None:
    """The words of a registration find the home from the folder that they are registered in."""
    claude = tmp_path / "another claude"
    home = claude / "commander"
    write_hook_file(home, Path(sys.executable), ROOT)
    make_commander_folder(home, with_hooks=True)
    example = registration(settings_example(), home, claude)
    (claude / "settings.json").write_text(json.dumps(example))
    (finding,) = hook_runs.hooks(Installation(home, claude))
    assert finding.level != "failed", finding


def test_sessions_that_cannot_have_been_captured_are_not_reported(healthy: Fleet) -> None:
    def level() -> str:
        here = Installation(healthy.home, healthy.home.parent / ".claude")
        return list(capture.sessions(here))[-1].level

    sample = "2.1.332/transcript-interactive"
    add_transcript(healthy, "before-the-installation", sample, since=time.time() - 60)
    assert level() == "ok", "it ended before there were hooks"
    written = add_transcript(healthy, "before-the-installation", sample, since=time.time() - 7200)
    assert level() == "ok", "its last turn ended before there were hooks"
    written.unlink()
    add_transcript(healthy, "agent-abc", sample)
    assert level() == "ok", "it is an agent of another session"
    add_transcript(healthy, "missed", sample)
    assert level() == "warning"
    (healthy.home / "config.toml").write_text('[projects]\nignore = ["/home/dev/**"]\n')
    assert level() == "ok", "its folder is ignored"


def test_thousands_of_transcripts_do_not_make_the_look_at_sessions_slow(
    fleet: Fleet, tmp_path: Path
) -> None:
    here = Installation(fleet.home, tmp_path)
    folder = tmp_path / "projects" / "x"
    folder.mkdir(parents=True)
    sample = (ROOT / "tests/payloads/2.1.332/transcript-interactive.jsonl").read_bytes()
    for number in range(500):
        (folder / f"{number}.jsonl").write_bytes(sample)
        os.utime(folder / f"{number}.jsonl", (time.time() - 3600,) * 2)
    assert list(capture.sessions(here))[-1].found.startswith("490 more")
    assert is_fast(lambda: cpu_seconds(lambda: list(capture.sessions(here))) < 2)


def test_every_check_passes_on_a_healthy_installation_and_only_reads(healthy: Fleet) -> None:
    before = tree(healthy.home.parent)
    findings = doctor(healthy, 0)
    assert {row["level"] for row in findings} <= {"ok", "note"}, findings
    silent = {"other hooks", "managed settings", "gateway", "relay"}  # where there are none
    assert {row["check"] for row in findings} == set(CHECKS) - silent
    assert findings_of(findings, "hooks")[0]["found"].startswith("7 hooks ran on a sample")
    assert "1 briefing," in findings_of(findings, "database")[0]["found"]
    assert tree(healthy.home.parent) == before


def test_doctor_does_not_drain_the_spool(healthy: Fleet) -> None:
    healthy.hook("stop", payload("Stop") | {"prompt_id": "another"}, healthy.folder)
    findings = doctor(healthy, 0)
    assert findings_of(findings, "spool")[0]["found"].startswith("1 entry is waiting")
    assert len(healthy.waiting()) == 1


def test_terminal_report_has_a_line_per_check_and_its_fix(healthy: Fleet) -> None:
    assert healthy.console("doctor").stdout.rstrip().endswith("No problems found.")
    (healthy.home / "fleet.db").chmod(0o644)
    printed = healthy.console("doctor").stdout
    assert (
        f"warning modes             Other users can access {healthy.home}/fleet.db (mode 644)."
        in printed
    )
    assert f"fix: chmod 600 '{healthy.home}/fleet.db'" in printed
    assert printed.rstrip().endswith("0 failures, 1 warning.")


def break_settings(fleet: Fleet) -> None:
    (fleet.home.parent / ".claude" / "settings.json").write_text('{"hooks": }')


def disable_hooks(fleet: Fleet) -> None:
    edit_settings(fleet, lambda value: value | {"disableAllHooks": True})


def turn_hooks_off(fleet: Fleet) -> None:
    edit_settings(fleet, lambda value: value | {"env": {"FLEET_HOOKS": "off"}})


def replace_settings_with_a_list(fleet: Fleet) -> None:
    (fleet.home.parent / ".claude" / "settings.json").write_text("[]")


def put_hooks_in_a_list(fleet: Fleet) -> None:
    edit_settings(fleet, lambda value: value | {"hooks": []})


def turn_hooks_off_in_the_shell(fleet: Fleet) -> None:
    fleet.environment["FLEET_HOOKS"] = "off"


def set_another_home_in_the_settings(fleet: Fleet) -> None:
    edit_settings(fleet, lambda value: value | {"env": {"FLEET_HOME": "/srv/elsewhere"}})


def install_for_another_home(fleet: Fleet) -> None:
    elsewhere = fleet.folder / "elsewhere"
    write_hook_file(elsewhere, Path(sys.executable), ROOT)
    file = fleet.home.parent / ".claude" / "settings.json"
    file.write_text(json.dumps(registration(settings_example(), elsewhere, file.parent)))


def match_only_resumed_sessions(fleet: Fleet) -> None:
    change_group(fleet, "SessionStart", matcher="resume")


def match_no_notification(fleet: Fleet) -> None:
    change_group(fleet, "Notification", matcher="nothing")


def make_the_stop_hook_async(fleet: Fleet) -> None:
    change_entry(fleet, "Stop", {"async": True})


def make_the_stop_hook_a_prompt(fleet: Fleet) -> None:
    change_entry(fleet, "Stop", {"type": "prompt"})


def change_group(fleet: Fleet, event: str, **fields: Any) -> None:
    edit_settings(fleet, lambda value: value["hooks"][event][0].update(fields) or value)


def change_entry(fleet: Fleet, event: str, fields: "dict[str, Any]") -> None:
    edit_settings(fleet, lambda value: value["hooks"][event][0]["hooks"][0].update(fields) or value)


def unregister_a_hook(fleet: Fleet) -> None:
    edit_settings(fleet, lambda value: value["hooks"].pop("StopFailure") and value)


def remove_a_hook_file(fleet: Fleet) -> None:
    hooks = fleet.folder / "program" / "hooks"
    hooks.mkdir(parents=True)
    (hooks.parent / "fleet_lib").symlink_to(ROOT / "fleet_lib")
    for path in (ROOT / "hooks").iterdir():
        if path.name != "stop.py":
            (hooks / path.name).symlink_to(path)
    write_hook_file(fleet.home, Path(sys.executable), hooks.parent)


def remove_the_hook_interpreter(fleet: Fleet) -> None:
    write_hook_file(fleet.home, Path("/no/such/python"), ROOT)


def register_as_an_older_fleet(fleet: Fleet) -> None:
    old = {"command": sys.executable, "args": ["-I", "-S", str(ROOT / "hooks" / "stop.py")]}
    change_entry(fleet, "Stop", old)


def put_an_older_database_back(fleet: Fleet) -> None:
    fleet.hook("session_start", {"session_id": "c", "source": "startup"}, fleet.home)
    fleet.drain()
    with contextlib.closing(sqlite3.connect(fleet.home / "fleet.db")) as connection, connection:
        connection.execute("UPDATE conversations SET last_outbox_event_id_seen = 99")


def remove_the_commander_hook(fleet: Fleet) -> None:
    (fleet.home / ".claude" / "settings.json").unlink()


def register_twice(fleet: Fleet) -> None:
    edit_settings(
        fleet, lambda value: value["hooks"]["Stop"].append(value["hooks"]["Stop"][0]) or value
    )


def add_foreign_hooks(fleet: Fleet) -> None:
    foreign = {"hooks": [{"type": "command", "command": f"notify --token {SECRET} done"}]}
    edit_settings(fleet, lambda value: value["hooks"]["Stop"].append(foreign) or value)


def edit_settings(fleet: Fleet, change: Any) -> None:
    path = fleet.home.parent / ".claude" / "settings.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def damage_the_database(fleet: Fleet) -> None:
    for path in fleet.home.glob("fleet.db*"):
        path.unlink()
    (fleet.home / "fleet.db").write_bytes(b"not a database, only text\n" * 500)
    (fleet.home / "fleet.db").chmod(0o600)


def make_the_schema_newer(fleet: Fleet) -> None:
    fleet.rows("PRAGMA user_version = 99")


def make_the_schema_older(fleet: Fleet) -> None:
    for path in fleet.home.glob("fleet.db*"):
        path.unlink()
    old = sqlite3.connect(fleet.home / "fleet.db")
    old.executescript((ROOT / "fleet_lib/store/migrations/0001_reference.sql").read_text())
    old.close()
    (fleet.home / "fleet.db").chmod(0o600)


def delete_an_event(fleet: Fleet) -> None:
    fleet.rows("DELETE FROM outbox_events WHERE briefing_id = 1")


def leave_an_old_entry(fleet: Fleet) -> None:
    fleet.hook("stop", payload("Stop") | {"prompt_id": "p2"}, fleet.folder)
    (name,) = fleet.waiting()
    new = fleet.home / "spool" / "new"
    number = int(name.split(".")[0]) - 3600 * 10**9
    (new / name).rename(new / f"{number:020d}.{name.partition('.')[2]}")


def quarantine(fleet: Fleet) -> None:
    fleet.hook("stop", b"{}", fleet.folder)
    fleet.drain()


def leave_a_session_uncaptured(fleet: Fleet) -> None:
    add_transcript(fleet, "12345678-aaaa", "2.1.332/transcript-interactive")


def start_a_session_without_settings(fleet: Fleet) -> None:
    add_transcript(fleet, "87654321-bbbb", "2.1.197/transcript")


def add_transcript(fleet: Fleet, name: str, sample: str, since: float = 0) -> Path:
    """Add a session that was written to an hour ago. Fleet's hooks are there since `since`."""
    path = fleet.home.parent / ".claude" / "projects" / "x" / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "tests" / "payloads" / f"{sample}.jsonl", path)
    earlier = time.time() - 3600
    os.utime(path, (earlier, earlier))
    os.utime(fleet.home / "bin" / "hook.sh", (since, since))
    return path


def remove_claude(fleet: Fleet) -> None:
    fleet.environment["PATH"] = "/usr/bin:/bin"


def install_an_old_claude(fleet: Fleet) -> None:
    (fleet.folder / "bin" / "claude").write_text("#!/bin/sh\necho '2.0.5 (Claude Code)'\n")


def misspell_a_setting(fleet: Fleet) -> None:
    (fleet.home / "config.toml").write_text("[prelude]\nbuget = 5000\n")
    (fleet.home / "config.toml").chmod(0o600)


def leave_a_dead_runner(fleet: Fleet) -> None:
    fleet.rows(
        "INSERT INTO jobs VALUES (1, '', '', '', 'worker_task', 'p', '', 'haiku', 'running', '{}', '', '', '')"
    )
    fleet.rows(
        "INSERT INTO job_runs (job_id, attempt, runner, lease_until, budget_usd, started_at)"
        " VALUES (1, 1, 'here 1 1.0', '2026-01-01T00:00:00.000Z', 1, '2026-01-01T00:00:00.000Z')"
    )


def leave_a_job_queued(fleet: Fleet) -> None:
    fleet.rows(
        "INSERT INTO jobs (ts_created, type, model, status, request_json)"
        " VALUES ('2026-01-01T00:00:00.000Z', 'worker_task', 'haiku', 'queued', '{}')"
    )


def break_the_environment_link(fleet: Fleet) -> None:
    (fleet.home / "venv").symlink_to("versions/gone")


def fail_the_plugin_build(fleet: Fleet) -> None:
    folder = fleet.home.parent / ".claude" / "plugins" / "data" / "fleet-market"
    folder.mkdir(parents=True)
    state = {"state": "failed", "at": "2026-11-24T07:00:00Z", "reason": "no index in reach"}
    (folder / "bootstrap.json").write_text(json.dumps(state))


@pytest.mark.parametrize(
    ("problem", "check", "level", "message", "fix"),
    [
        (break_settings, "settings", "failed", "line 1 column 11", "edit /"),
        (replace_settings_with_a_list, "settings", "failed", "is not a JSON object", "is {}"),
        (put_hooks_in_a_list, "settings", "failed", "`hooks` is not an object", "edit /"),
        (
            put_hooks_in_a_list,
            "registration",
            "failed",
            "No hook is registered for",
            "settings.json first",
        ),
        (disable_hooks, "settings", "failed", "disableAllHooks", "remove that line"),
        (turn_hooks_off, "settings", "failed", "in the env of /", "remove FLEET_HOOKS from /"),
        (turn_hooks_off_in_the_shell, "settings", "failed", "this shell", "unset FLEET_HOOKS"),
        (
            set_another_home_in_the_settings,
            "settings",
            "failed",
            "FLEET_HOME is /srv/elsewhere",
            "remove FLEET_HOME from /",
        ),
        (install_for_another_home, "registration", "failed", "/elsewhere.", "set FLEET_HOME"),
        (match_only_resumed_sessions, "registration", "failed", "matcher 'resume'", "./install.sh"),
        (match_no_notification, "registration", "failed", "matcher 'nothing'", "./install.sh"),
        (
            make_the_stop_hook_async,
            "registration",
            "failed",
            "The Stop hook of the settings is async",
            "install",
        ),
        (
            make_the_stop_hook_a_prompt,
            "registration",
            "failed",
            "type prompt instead of command",
            "./install.sh",
        ),
        (
            unregister_a_hook,
            "registration",
            "failed",
            "No hook is registered for StopFailure",
            "./install.sh",
        ),
        (
            remove_a_hook_file,
            "hooks",
            "failed",
            "/program/hooks/stop.py is missing",
            "./install.sh",
        ),
        (
            remove_the_hook_interpreter,
            "hooks",
            "failed",
            "/no/such/python is missing",
            "./install.sh",
        ),
        (
            register_as_an_older_fleet,
            "registration",
            "warning",
            "The hooks for Stop are registered in the form of an older Fleet",
            "./install.sh",
        ),
        (remove_the_commander_hook, "registration", "failed", "UserPromptSubmit", "./install.sh"),
        (
            register_twice,
            "registration",
            "warning",
            "The Stop hook is registered 2 times",
            "./install.sh",
        ),
        (add_foreign_hooks, "other hooks", "note", "Stop: notify --token", ""),
        (damage_the_database, "database", "failed", "not a database", "backups"),
        (make_the_schema_newer, "database", "failed", "schema version 99", "upgrade"),
        (make_the_schema_older, "database", "warning", "schema version 0", "fleet db migrate"),
        (damage_the_database, "jobs", "note", "cannot be read: file is not a database", ""),
        (delete_an_event, "database", "failed", "have no briefing_added", "fleet db restore"),
        (put_an_older_database_back, "database", "warning", "cursor is past the newest event", ""),
        (
            leave_an_old_entry,
            "spool",
            "warning",
            "1 entry is waiting, the oldest for 1 h",
            "fleet drain",
        ),
        (quarantine, "quarantine", "warning", "no session_id", "fleet replay"),
        (quarantine, "log", "warning", "quarantined", "tail"),
        (
            leave_a_session_uncaptured,
            "capture",
            "warning",
            "12345678-aaaa of today was never captured, in '/home/dev/code/api-svc'",
            "claude --resume",
        ),
        (
            start_a_session_without_settings,
            "capture",
            "warning",
            "87654321-bbbb of today was never captured, in '/home/dev/code/api-svc'",
            "fleet import",
        ),
        (remove_claude, "claude", "warning", "not on PATH", ""),
        (install_an_old_claude, "claude", "warning", "2.0.5", "claude update"),
        (misspell_a_setting, "configuration", "failed", "line 2: there is no", "edit that line"),
        (
            leave_a_dead_runner,
            "jobs",
            "warning",
            "The runner of job 1 died",
            "fleet jobs run --once",
        ),
        (
            leave_a_job_queued,
            "jobs",
            "warning",
            "1 job is queued but no runner",
            "fleet jobs run --once",
        ),
        (break_the_environment_link, "environment", "failed", "points to nothing", "./install.sh"),
        (fail_the_plugin_build, "environment", "failed", "no index in reach", "./install.sh"),
    ],
)
def test_each_problem_is_found_and_its_fix_named(
    healthy: Fleet,
    monkeypatch: pytest.MonkeyPatch,
    problem: Any,
    check: str,
    level: str,
    message: str,
    fix: str,
) -> None:
    if check != "hooks":
        monkeypatch.setitem(CHECKS, "hooks", lambda _: ())  # runs each hook several times
    problem(healthy)
    before = tree(healthy.home.parent)
    findings = doctor(healthy, 1 if level == "failed" or problem is damage_the_database else 0)
    found = [row for row in findings_of(findings, check) if row["level"] == level]
    assert len(found) == 1, findings
    assert message in found[0]["found"] and fix in found[0]["fix"]
    assert SECRET not in json.dumps(findings)
    assert tree(healthy.home.parent) == before


@pytest.mark.parametrize(
    "name",
    [
        "gateway.token",
        "backups/fleet-1.db",
        "settings-record.json",
        "spool/tmp/",
        "log/fleet.log.1",
    ],
)
def test_private_files_that_are_open_to_others_are_named(healthy: Fleet, name: str) -> None:
    path = healthy.home / name
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if name.endswith("/"):
        path.mkdir(exist_ok=True)
    else:
        path.write_text("")
    path.chmod(0o755 if path.is_dir() else 0o644)
    (finding,) = data.modes(Installation(healthy.home, healthy.home.parent / ".claude"))
    assert finding.level == "warning" and f"Other users can access {path} (" in finding.found
    path.chmod(0o700 if path.is_dir() else 0o600)
    (finding,) = data.modes(Installation(healthy.home, healthy.home.parent / ".claude"))
    assert finding.level == "ok"


def test_replayed_entry_leaves_the_quarantine(healthy: Fleet) -> None:
    healthy.hook("stop", payload("Stop") | {"prompt_id": "later"}, healthy.folder)
    (name,) = healthy.waiting()
    quarantine_folder = healthy.home / "spool" / "bad"
    (healthy.home / "spool" / "new" / name).rename(quarantine_folder / name)
    (quarantine_folder / f"{name}.reason").write_text("the disk was full\n")
    healthy.console("replay", "--dry-run", str(quarantine_folder / name))
    assert (quarantine_folder / name).exists()
    healthy.console("replay", str(quarantine_folder / name))
    assert list(quarantine_folder.iterdir()) == []
    (finding,) = data.quarantine(Installation(healthy.home, healthy.home.parent / ".claude"))
    assert finding.level == "ok"
    elsewhere = healthy.folder / "payload.json"
    elsewhere.write_text(json.dumps(payload("Stop")))
    healthy.console("replay", str(elsewhere))
    assert elsewhere.exists()


def test_unused_home_is_reported(fleet: Fleet) -> None:
    findings = doctor(fleet, 1)  # no hook is registered
    assert "does not exist yet" in findings_of(findings, "home")[0]["found"]
    assert not fleet.home.exists()


def test_home_that_is_a_file_is_reported(fleet: Fleet) -> None:
    fleet.home.write_text("")
    assert "is not a folder" in findings_of(doctor(fleet, 1), "home")[0]["found"]


def test_crashing_check_is_reported_as_a_line(
    monkeypatch: pytest.MonkeyPatch, healthy: Fleet
) -> None:
    from commander.doctor import checks

    def broken(installation: Installation) -> Any:
        raise RuntimeError("a bug in the check")

    monkeypatch.setitem(checks.CHECKS, "disk", broken)
    (finding,) = [row for row in checks.run_all(Installation.here()) if row.check == "disk"]
    assert finding.level == "failed" and "a bug in the check" in finding.found


def test_report_contains_no_secrets_and_no_message_text(healthy: Fleet, tmp_path: Path) -> None:
    private = "/srv/clients/acme-merger"
    add_foreign_hooks(healthy)
    edit_settings(
        healthy,
        lambda value: value | {"env": {"API_KEY": SECRET}, "apiKeyHelper": f"echo {SECRET}"},
    )
    healthy.hook("stop", json.dumps({"session_id": 7, "x": MESSAGE}).encode(), healthy.folder)
    healthy.drain()
    for path in (healthy.home / "spool" / "bad").glob("*.reason"):
        path.write_text(f"ValueError: {MESSAGE!r} in {private}/plan.md")
    with (healthy.home / "log" / "fleet.log").open("a") as log:
        log.write(f"2026-11-24T07:00:00Z drain KeyError: '{MESSAGE}' {SECRET} {private}/plan.md\n")
        log.write(f"2026-11-24T07:00:01Z drain quarantined 1.Stop: acme wants {MESSAGE}\n")
        log.write(f"{MESSAGE} of acme, BadAcmeError\n2026-11-24T07:00:02Z jobs AcmeError: acme\n")
    healthy.environment["FLEET_EXTRA"] = SECRET
    target = tmp_path / "report.zip"
    done = healthy.console("doctor", "--report", str(target))
    assert "Look through it" in done.stdout and "settings.json" in done.stdout
    assert target.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(target) as bundle:
        text = "\n".join(bundle.read(name).decode() for name in bundle.namelist())
        report = bundle.read("log.txt").decode().splitlines()[-4:]
    assert report == [
        "2026-11-24T07:00:00Z drain KeyError",
        "2026-11-24T07:00:01Z drain",
        "…",
        "2026-11-24T07:00:02Z jobs",
    ]
    for excluded in (SECRET, MESSAGE, "acme", "quarterly", "shop-api", str(healthy.home.parent)):
        assert excluded not in text
    assert '"briefings": 1' in text and "KeyError" in text and "fleet_hook=stop" in text
    again = healthy.console("doctor", "--report", str(target), check=False)
    assert again.returncode == 1 and "already exists" in again.stderr


def test_report_hides_a_home_folder_with_a_space_in_its_name(fleet: Fleet) -> None:
    user = fleet.folder / "Jane Merger"
    fleet.home = user / ".claude" / "commander"
    fleet.home.mkdir(parents=True)
    fleet.environment |= {"HOME": str(user), "FLEET_HOME": str(fleet.home)}
    hook: dict[str, Any] = {"type": "command"}
    hook["command"] = str(fleet.home / "venv" / "bin" / "python")
    hook["args"] = ["-I", "-S", str(fleet.home / "venv" / "app" / "hooks" / "stop.py")]
    settings_file = user / ".claude" / "settings.json"
    settings_file.write_text(json.dumps({"hooks": {"Stop": [{"hooks": [hook]}]}}))
    target = fleet.folder / "report.zip"
    fleet.console("doctor", "--report", str(target))
    with zipfile.ZipFile(target) as bundle:
        text = "\n".join(bundle.read(name).decode() for name in bundle.namelist())
    assert "hooks/stop.py" in text
    assert "Jane" not in text and "Merger" not in text


def test_doctor_page_lists_every_check_in_order() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == list(CHECKS)


def test_doctor_checks_the_folder_that_install_sh_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, elsewhere = tmp_path / "fleet", tmp_path / "elsewhere"
    home.mkdir()
    record = {str(elsewhere / "settings.json"): {}}
    (home / "settings-record.json").write_text(json.dumps(record))
    monkeypatch.setenv("FLEET_HOME", str(home))
    monkeypatch.delenv("CLAUDE_CONFIG_DIR", raising=False)
    assert Installation.here().claude == elsewhere
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path / "named"))
    assert Installation.here().claude == tmp_path / "named"


def test_managed_settings_are_named_as_the_cause(
    healthy: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("commander.doctor.findings.MANAGED", tmp_path)
    here = Installation(healthy.home, healthy.home.parent / ".claude")
    assert list(capture.managed(here)) == []
    (tmp_path / "managed-settings.json").write_text('{"allowManagedHooksOnly": true}')
    here = Installation(healthy.home, healthy.home.parent / ".claude")
    (finding,) = capture.managed(here)
    assert finding.level == "failed" and "allowManagedHooksOnly" in finding.found


def test_hooks_in_the_managed_settings_are_enough(
    healthy: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("commander.doctor.findings.MANAGED", tmp_path)
    file = healthy.home.parent / ".claude" / "settings.json"
    hooks = json.loads(file.read_text()) | {"allowManagedHooksOnly": True}
    (tmp_path / "managed-settings.json").write_text(json.dumps(hooks))
    file.write_text("{}")
    here = Installation(healthy.home, file.parent)
    assert [one.level for one in capture.managed(here)] == ["ok"]
    assert {one.level for one in check_of_registration.registration(here)} == {"ok"}


def test_home_whose_file_system_has_no_locks_is_named(
    healthy: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fleet_lib.store.causes.fcntl.flock", refuse)
    (finding,) = data.home(Installation(healthy.home, healthy.home.parent / ".claude"))
    assert finding.level == "failed" and "no working locks" in finding.found


def test_large_database_is_looked_at_in_part_and_its_damage_is_found(
    healthy: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "WHOLE_BYTES", 0)
    (found,) = (row for row in doctor(healthy, 0) if row["check"] == "database")
    assert "`fleet db check` looks at all of it" in found["found"]
    database = healthy.home / "fleet.db"
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'jobs'"
        ).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with database.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    damaged = [row for row in doctor(healthy, 1) if row["level"] == "failed"]
    assert [row["found"][:16] for row in damaged] == ["integrity: jobs:"]
