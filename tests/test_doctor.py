"""`fleet doctor`: finds what is wrong, suggests a fix, and changes nothing."""

import contextlib
import json
import os
import re
import sqlite3
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from support import ROOT, Fleet, make_repository, payload

from commander.doctor import data
from commander.doctor.checks import CHECKS
from commander.doctor.findings import Installation
from commander.setup import settings
from commander.setup.commander_folder import make_commander_folder

SECRET = "sk-ant-api03-" + "Qx7" * 30
SAID = "the quarterly figures are in the drawer"


@pytest.fixture
def well(fleet: Fleet) -> Fleet:
    """An installation with nothing wrong: registered hooks, one captured turn, a Claude Code."""
    claude = fleet.home.parent / ".claude"
    claude.mkdir()
    example = settings.registration(
        settings.settings_example(), Path(sys.executable), ROOT / "hooks"
    )
    (claude / "settings.json").write_text(json.dumps(example))
    make_commander_folder(fleet.home, Path(sys.executable), ROOT / "hooks")
    program = fleet.folder / "bin" / "claude"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho '2.1.330 (Claude Code)'\n")
    program.chmod(0o755)
    fleet.environment["PATH"] = f"{program.parent}:{os.environ['PATH']}"
    folder = make_repository(fleet.folder / "shop-api")
    fleet.hook("stop", payload("Stop") | {"last_assistant_message": SAID}, folder)
    fleet.drain()
    return fleet


def doctor(fleet: Fleet, code: int) -> "list[dict[str, Any]]":
    done = fleet.console("doctor", "--json", check=False)
    assert "Traceback" not in done.stderr
    told = json.loads(done.stdout)
    assert done.returncode == code, [row for row in told["findings"] if row["level"] == "failed"]
    findings: list[dict[str, Any]] = told["findings"]
    return findings


def of(findings: "list[dict[str, Any]]", check: str) -> "list[dict[str, Any]]":
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


def test_of_a_well_installation_every_check_is_well_and_nothing_is_touched(well: Fleet) -> None:
    before = tree(well.home.parent)
    findings = doctor(well, 0)
    assert {row["level"] for row in findings} <= {"ok", "note"}, findings
    assert {row["check"] for row in findings} == set(CHECKS) - {"other hooks"}
    assert of(findings, "hooks")[0]["found"].startswith("6 hooks ran on a sample")
    assert "1 briefing," in of(findings, "database")[0]["found"]
    assert tree(well.home.parent) == before


def test_what_waits_in_the_spool_is_not_drained(well: Fleet) -> None:
    well.hook("stop", payload("Stop") | {"prompt_id": "another"}, well.folder)
    findings = doctor(well, 0)
    assert of(findings, "spool")[0]["found"].startswith("1 entry is waiting")
    assert len(well.waiting()) == 1


def test_a_person_sees_a_line_a_check_and_what_mends_it(well: Fleet) -> None:
    assert well.console("doctor").stdout.rstrip().endswith("No problems found.")
    (well.home / "fleet.db").chmod(0o644)
    printed = well.console("doctor").stdout
    assert (
        f"warning modes         Other users can access {well.home}/fleet.db (mode 644)." in printed
    )
    assert f"fix: chmod 600 '{well.home}/fleet.db'" in printed
    assert printed.rstrip().endswith("0 failures, 1 warning.")


def break_settings(fleet: Fleet) -> None:
    (fleet.home.parent / ".claude" / "settings.json").write_text('{"hooks": }')


def disable_hooks(fleet: Fleet) -> None:
    edit_settings(fleet, lambda value: value | {"disableAllHooks": True})


def turn_hooks_off(fleet: Fleet) -> None:
    edit_settings(fleet, lambda value: value | {"env": {"FLEET_HOOKS": "off"}})


def hold_no_settings(fleet: Fleet) -> None:
    (fleet.home.parent / ".claude" / "settings.json").write_text("[]")


def hold_hooks_in_a_list(fleet: Fleet) -> None:
    edit_settings(fleet, lambda value: value | {"hooks": []})


def turn_hooks_off_in_the_shell(fleet: Fleet) -> None:
    fleet.environment["FLEET_HOOKS"] = "off"


def name_another_home(fleet: Fleet) -> None:
    edit_settings(fleet, lambda value: value | {"env": {"FLEET_HOME": "/srv/elsewhere"}})


def install_for_another_home(fleet: Fleet) -> None:
    app = fleet.folder / "app"
    app.mkdir()
    (app / "fleet-home.txt").write_text("/srv/elsewhere")
    for name in ("hooks", "fleet_lib"):
        (app / name).symlink_to(ROOT / name)

    def change(value: Any) -> Any:
        return json.loads(json.dumps(value).replace(str(ROOT / "hooks"), str(app / "hooks")))

    edit_settings(fleet, change)


def start_only_when_resumed(fleet: Fleet) -> None:
    change_group(fleet, "SessionStart", matcher="resume")


def notify_of_nothing(fleet: Fleet) -> None:
    change_group(fleet, "Notification", matcher="nothing")


def make_it_async(fleet: Fleet) -> None:
    change_entry(fleet, "Stop", {"async": True})


def make_it_a_prompt(fleet: Fleet) -> None:
    change_entry(fleet, "Stop", {"type": "prompt"})


def change_group(fleet: Fleet, event: str, **fields: Any) -> None:
    edit_settings(fleet, lambda value: value["hooks"][event][0].update(fields) or value)


def change_entry(fleet: Fleet, event: str, fields: "dict[str, Any]") -> None:
    edit_settings(fleet, lambda value: value["hooks"][event][0]["hooks"][0].update(fields) or value)


def take_a_hook_out(fleet: Fleet) -> None:
    edit_settings(fleet, lambda value: value["hooks"].pop("StopFailure") and value)


def lose_a_hooks_file(fleet: Fleet) -> None:
    def change(value: Any) -> Any:
        entry = value["hooks"]["Stop"][0]["hooks"][0]
        entry["command"] = entry["command"].replace(str(ROOT / "hooks"), "/no/such/hooks")
        return value

    edit_settings(fleet, change)


def lose_the_hooks_interpreter(fleet: Fleet) -> None:
    def change(value: Any) -> Any:
        entry = value["hooks"]["Stop"][0]["hooks"][0]
        entry["command"] = entry["command"].replace(sys.executable, "/no/such/python")
        return value

    edit_settings(fleet, change)


def register_as_an_older_fleet(fleet: Fleet) -> None:
    old = {"command": sys.executable, "args": ["-I", "-S", str(ROOT / "hooks" / "stop.py")]}
    change_entry(fleet, "Stop", old)


def put_an_older_database_back(fleet: Fleet) -> None:
    fleet.hook("session_start", {"session_id": "c", "source": "startup"}, fleet.home)
    fleet.drain()
    with contextlib.closing(sqlite3.connect(fleet.home / "fleet.db")) as connection, connection:
        connection.execute("UPDATE conversations SET last_outbox_event_id_seen = 99")


def lose_the_commanders_hook(fleet: Fleet) -> None:
    (fleet.home / ".claude" / "settings.json").unlink()


def register_twice(fleet: Fleet) -> None:
    edit_settings(
        fleet, lambda value: value["hooks"]["Stop"].append(value["hooks"]["Stop"][0]) or value
    )


def have_other_hooks(fleet: Fleet) -> None:
    theirs = {"hooks": [{"type": "command", "command": f"notify --token {SECRET} done"}]}
    edit_settings(fleet, lambda value: value["hooks"]["Stop"].append(theirs) or value)


def edit_settings(fleet: Fleet, change: Any) -> None:
    path = fleet.home.parent / ".claude" / "settings.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def spoil_the_database(fleet: Fleet) -> None:
    for path in fleet.home.glob("fleet.db*"):
        path.unlink()
    (fleet.home / "fleet.db").write_bytes(b"no database, only words\n" * 500)
    (fleet.home / "fleet.db").chmod(0o600)


def make_it_newer(fleet: Fleet) -> None:
    fleet.rows("PRAGMA user_version = 99")


def make_it_older(fleet: Fleet) -> None:
    for path in fleet.home.glob("fleet.db*"):
        path.unlink()
    old = sqlite3.connect(fleet.home / "fleet.db")
    old.executescript((ROOT / "fleet_lib/store/migrations/0001_reference.sql").read_text())
    old.close()
    (fleet.home / "fleet.db").chmod(0o600)


def lose_an_event(fleet: Fleet) -> None:
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


def write_a_transcript(fleet: Fleet) -> None:
    path = fleet.home.parent / ".claude" / "projects" / "x" / "s.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    late = path.stat().st_mtime + 3600
    os.utime(path, (late, late))


def lose_claude(fleet: Fleet) -> None:
    fleet.environment["PATH"] = "/usr/bin:/bin"


def have_an_old_claude(fleet: Fleet) -> None:
    (fleet.folder / "bin" / "claude").write_text("#!/bin/sh\necho '2.0.5 (Claude Code)'\n")


def misspell_a_setting(fleet: Fleet) -> None:
    (fleet.home / "config.toml").write_text("[prelude]\nbuget = 5000\n")
    (fleet.home / "config.toml").chmod(0o600)


def lose_a_runner(fleet: Fleet) -> None:
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


def lose_the_environment(fleet: Fleet) -> None:
    (fleet.home / "venv").symlink_to("versions/gone")


def fail_as_a_plugin(fleet: Fleet) -> None:
    folder = fleet.home.parent / ".claude" / "plugins" / "data" / "fleet-market"
    folder.mkdir(parents=True)
    state = {"state": "failed", "at": "2026-11-24T07:00:00Z", "reason": "no index in reach"}
    (folder / "bootstrap.json").write_text(json.dumps(state))


@pytest.mark.parametrize(
    ("trouble", "check", "level", "words", "fix"),
    [
        (break_settings, "settings", "failed", "line 1 column 11", "edit /"),
        (hold_no_settings, "settings", "failed", "is not a JSON object", "is {}"),
        (hold_hooks_in_a_list, "settings", "failed", "`hooks` is not an object", "edit /"),
        (
            hold_hooks_in_a_list,
            "registration",
            "failed",
            "No hook is registered for",
            "settings.json first",
        ),
        (disable_hooks, "settings", "failed", "disableAllHooks", "remove that line"),
        (turn_hooks_off, "settings", "failed", "in the env of /", "remove FLEET_HOOKS from /"),
        (turn_hooks_off_in_the_shell, "settings", "failed", "this shell", "unset FLEET_HOOKS"),
        (
            name_another_home,
            "settings",
            "failed",
            "FLEET_HOME is /srv/elsewhere",
            "remove FLEET_HOME from /",
        ),
        (install_for_another_home, "registration", "failed", "/srv/elsewhere", "set FLEET_HOME"),
        (start_only_when_resumed, "registration", "failed", "matcher 'resume'", "./install.sh"),
        (notify_of_nothing, "registration", "failed", "matcher 'nothing'", "./install.sh"),
        (
            make_it_async,
            "registration",
            "failed",
            "The Stop hook of the settings is async",
            "install",
        ),
        (
            make_it_a_prompt,
            "registration",
            "failed",
            "type prompt instead of command",
            "./install.sh",
        ),
        (
            take_a_hook_out,
            "registration",
            "failed",
            "No hook is registered for StopFailure",
            "./install.sh",
        ),
        (
            lose_a_hooks_file,
            "hooks",
            "failed",
            "/no/such/hooks/stop.py is missing",
            "./install.sh",
        ),
        (
            lose_the_hooks_interpreter,
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
        (lose_the_commanders_hook, "registration", "failed", "UserPromptSubmit", "./install.sh"),
        (
            register_twice,
            "registration",
            "warning",
            "The Stop hook is registered 2 times",
            "./install.sh",
        ),
        (have_other_hooks, "other hooks", "note", "Stop: notify --token", ""),
        (spoil_the_database, "database", "failed", "not a database", "backups"),
        (make_it_newer, "database", "failed", "schema version 99", "upgrade"),
        (make_it_older, "database", "warning", "schema version 0", "fleet db migrate"),
        (spoil_the_database, "jobs", "note", "cannot be read: file is not a database", ""),
        (lose_an_event, "database", "failed", "have no briefing_added", "fleet db restore"),
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
        (write_a_transcript, "capture", "warning", "wrote its transcript", "claude --resume"),
        (lose_claude, "claude", "warning", "not on PATH", ""),
        (have_an_old_claude, "claude", "warning", "2.0.5", "claude update"),
        (misspell_a_setting, "configuration", "failed", "line 2: there is no", "edit that line"),
        (lose_a_runner, "jobs", "warning", "The runner of job 1 died", "fleet jobs run --once"),
        (
            leave_a_job_queued,
            "jobs",
            "warning",
            "1 job is queued but no runner",
            "fleet jobs run --once",
        ),
        (lose_the_environment, "environment", "failed", "points to nothing", "./install.sh"),
        (fail_as_a_plugin, "environment", "failed", "no index in reach", "./install.sh"),
    ],
)
def test_each_trouble_is_seen_and_its_mending_named(
    well: Fleet,
    monkeypatch: pytest.MonkeyPatch,
    trouble: Any,
    check: str,
    level: str,
    words: str,
    fix: str,
) -> None:
    if check != "hooks":
        monkeypatch.setitem(CHECKS, "hooks", lambda _: ())  # runs each hook several times
    trouble(well)
    before = tree(well.home.parent)
    findings = doctor(well, 1 if level == "failed" or trouble is spoil_the_database else 0)
    found = [row for row in of(findings, check) if row["level"] == level]
    assert len(found) == 1, findings
    assert words in found[0]["found"] and fix in found[0]["fix"]
    assert SECRET not in json.dumps(findings)
    assert tree(well.home.parent) == before


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
def test_whatever_is_private_and_open_to_others_is_named(well: Fleet, name: str) -> None:
    path = well.home / name
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if name.endswith("/"):
        path.mkdir(exist_ok=True)
    else:
        path.write_text("")
    path.chmod(0o755 if path.is_dir() else 0o644)
    (finding,) = data.modes(Installation(well.home, well.home.parent / ".claude"))
    assert finding.level == "warning" and f"Other users can access {path} (" in finding.found
    path.chmod(0o700 if path.is_dir() else 0o600)
    (finding,) = data.modes(Installation(well.home, well.home.parent / ".claude"))
    assert finding.level == "ok"


def test_what_was_replayed_from_quarantine_is_gone_from_it(well: Fleet) -> None:
    well.hook("stop", payload("Stop") | {"prompt_id": "later"}, well.folder)
    (name,) = well.waiting()
    bad = well.home / "spool" / "bad"
    (well.home / "spool" / "new" / name).rename(bad / name)
    (bad / f"{name}.reason").write_text("the disk was full\n")
    well.console("replay", "--dry-run", str(bad / name))
    assert (bad / name).exists()
    well.console("replay", str(bad / name))
    assert list(bad.iterdir()) == []
    (finding,) = data.quarantine(Installation(well.home, well.home.parent / ".claude"))
    assert finding.level == "ok"
    elsewhere = well.folder / "payload.json"
    elsewhere.write_text(json.dumps(payload("Stop")))
    well.console("replay", str(elsewhere))
    assert elsewhere.exists()


def test_a_home_that_was_never_used_is_said(fleet: Fleet) -> None:
    findings = doctor(fleet, 1)  # no hook is registered
    assert "does not exist yet" in of(findings, "home")[0]["found"]
    assert not fleet.home.exists()


def test_a_home_that_is_a_file_is_said(fleet: Fleet) -> None:
    fleet.home.write_text("")
    assert "is not a folder" in of(doctor(fleet, 1), "home")[0]["found"]


def test_a_check_that_fails_itself_is_a_line(monkeypatch: pytest.MonkeyPatch, well: Fleet) -> None:
    from commander.doctor import checks

    def broken(installation: Installation) -> Any:
        raise RuntimeError("a bug of ours")

    monkeypatch.setitem(checks.CHECKS, "disk", broken)
    (finding,) = [row for row in checks.run_all(Installation.here()) if row.check == "disk"]
    assert finding.level == "failed" and "a bug of ours" in finding.found


def test_the_report_holds_no_secret_and_nothing_that_was_said(well: Fleet, tmp_path: Path) -> None:
    private = "/srv/clients/acme-merger"
    have_other_hooks(well)
    edit_settings(
        well,
        lambda value: value | {"env": {"API_KEY": SECRET}, "apiKeyHelper": f"echo {SECRET}"},
    )
    well.hook("stop", json.dumps({"session_id": 7, "x": SAID}).encode(), well.folder)
    well.drain()
    for path in (well.home / "spool" / "bad").glob("*.reason"):
        path.write_text(f"ValueError: {SAID!r} in {private}/plan.md")
    with (well.home / "log" / "fleet.log").open("a") as log:
        log.write(f"2026-11-24T07:00:00Z drain KeyError: '{SAID}' {SECRET} {private}/plan.md\n")
        log.write(f"2026-11-24T07:00:01Z drain quarantined 1.Stop: acme wants {SAID}\n")
        log.write(f"{SAID} of acme, BadAcmeError\n2026-11-24T07:00:02Z jobs AcmeError: acme\n")
    well.environment["FLEET_EXTRA"] = SECRET
    target = tmp_path / "report.zip"
    done = well.console("doctor", "--report", str(target))
    assert "Look through it" in done.stdout and "settings.json" in done.stdout
    assert target.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(target) as bundle:
        text = "\n".join(bundle.read(name).decode() for name in bundle.namelist())
        told = bundle.read("log.txt").decode().splitlines()[-4:]
    assert told == [
        "2026-11-24T07:00:00Z drain KeyError",
        "2026-11-24T07:00:01Z drain",
        "…",
        "2026-11-24T07:00:02Z jobs",
    ]
    for kept_out in (SECRET, SAID, "acme", "quarterly", "shop-api", str(well.home.parent)):
        assert kept_out not in text
    assert '"briefings": 1' in text and "KeyError" in text and "stop.py" in text
    again = well.console("doctor", "--report", str(target), check=False)
    assert again.returncode == 1 and "already exists" in again.stderr


def test_the_report_hides_a_home_folder_with_a_space_in_its_name(fleet: Fleet) -> None:
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


def test_every_check_is_on_the_page_in_order() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == list(CHECKS)


def test_doctor_looks_where_install_sh_was_told_to_install(
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
