"""The console: what a person and a program get from each command, and that each one is documented."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys

import pytest
from click.testing import CliRunner
from support import ROOT, Fleet, make_repository

from commander.cli import _database, main

READING = [
    ("status",),
    ("projects", "list"),
    ("briefings", "list"),
    ("briefings", "show", "1"),
    ("briefings", "search", "credentials"),
    ("events", "list"),
    ("prelude",),
    ("db", "status"),
    ("db", "check"),
]


@pytest.fixture
def used(fleet: Fleet) -> Fleet:
    """A home with a blocked and a completed briefing that still wait in the spool."""
    api, web = make_repository(fleet.folder / "shop-api"), make_repository(fleet.folder / "web")
    blocked = "```briefing\nstatus: blocked\nsummary: Tests wait for credentials\n```"
    done = "```briefing\nsummary: The \x1b[31mform\x1b[0m works\nfiles_touched: [a.py]\n```"
    for number, (folder, message) in enumerate(((api, blocked), (web, done)), start=1):
        call = {"session_id": f"s{number}", "prompt_id": "p", "last_assistant_message": message}
        fleet.hook("stop", call, folder)
    return fleet


def test_status_says_who_needs_a_human_first(used: Fleet) -> None:
    lines = used.console("status").stdout.splitlines()
    assert lines[0] == "Needs you: 1"
    assert "shop-api" in lines[1] and "Tests wait for credentials" in lines[1]
    text = "\n".join(lines)
    assert re.search(r"web +#2 +done +just now +The form works", text)
    assert "Last capture: just now; 0 waiting, 0 in quarantine." in text
    assert "Commander: not started. " in text  # and nobody is behind, as in the status line
    assert used.console("statusline").stdout == "fleet: 1 needs you\n"
    used.rows(
        "INSERT INTO conversations (conversation_id, kind, cwd, model, created_at, updated_at,"
        " last_outbox_event_id_seen) VALUES ('c', 'commander', '', '', '', '', 0)"
    )
    assert "Commander: 3 events behind" in used.console("status").stdout
    assert used.console("statusline").stdout == "fleet: 1 needs you, 3 new\n"
    used.rows("UPDATE conversations SET last_outbox_event_id_seen = 3")
    assert "Commander: up to date" in used.console("status").stdout
    assert used.console("statusline").stdout == "fleet: 1 needs you\n"


@pytest.mark.parametrize("noun", ["projects", "briefings", "events", "jobs"])
def test_before_the_first_capture_a_program_gets_an_empty_list(fleet: Fleet, noun: str) -> None:
    assert json.loads(fleet.console(noun, "list", "--json").stdout) == []
    assert not fleet.home.exists()
    person = fleet.console(noun, "list", check=False)
    assert person.returncode == 1 and "nothing was captured yet" in person.stderr


def test_captures_that_cannot_be_applied_are_not_called_no_captures(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEET_HOME", str(fleet.home))
    monkeypatch.setattr(_database, "drain_spool", lambda home: "the disk is full")
    for arguments in (["briefings", "list"], ["briefings", "list", "--json"]):
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 1
        assert "could not be applied: the disk is full; run `fleet doctor`" in done.output
        assert "nothing was captured" not in done.output


def test_projects_are_listed_by_their_latest_briefing(used: Fleet) -> None:
    used.drain()
    used.rows("UPDATE briefings SET ended_at = '2099-01-01T00:00:00.000Z' WHERE briefing_id = 1")
    used.rows("UPDATE projects SET updated_at = '2098-01-01T00:00:00.000Z' WHERE repo_name = 'web'")
    used.rows(
        "INSERT INTO projects VALUES ('new__1', 'new', '/new', NULL, 'active', '2099', '2099')"
    )
    listed = json.loads(used.console("projects", "list", "--json").stdout)
    assert [row["repo_name"] for row in listed] == ["shop-api", "web", "new"]


def test_status_of_a_new_home_says_what_to_do(fleet: Fleet) -> None:
    assert "Finish a turn in any Claude Code session" in fleet.console("status").stdout
    assert json.loads(fleet.console("status", "--json").stdout)["projects"] == []


def test_reading_commands_drain_first(used: Fleet) -> None:
    assert len(used.waiting()) == 2
    assert len(json.loads(used.console("briefings", "list", "--json").stdout)) == 2
    assert used.waiting() == []


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_reading_commands_print_json_for_programs(used: Fleet, command: tuple[str, ...]) -> None:
    used.drain()
    assert json.loads(used.console(*command, "--json").stdout)


# Escape sequences in 7 and in 8 bits, an operating system command, DEL, a change of direction.
STEERING = "\x1b[2J|\x9b2J|\x9d0;title\x07|\x7f|\u202e|\u2066|\u2028|\U000e0001"


@pytest.fixture
def steering(used: Fleet) -> Fleet:
    """What another program may have written, past our own cleaning."""
    used.drain()
    for column in ("turns.summary", "briefings.raw_markdown", "projects.repo_root"):
        table, name = column.split(".")
        used.rows(f"UPDATE {table} SET {name} = {name} || ?", STEERING)
    used.rows(
        "UPDATE briefings SET blockers_json = ?, branch = ?", json.dumps([STEERING]), STEERING
    )
    used.rows(
        "UPDATE outbox_events SET payload_json ="
        " json_set(payload_json, '$.briefing.summary', ?1, '$.line', ?1)",
        STEERING,
    )
    used.rows(
        "INSERT INTO jobs (ts_created, type, model, status, request_json, result_json, error)"
        " VALUES ('2026-01-01T00:00:00.000Z', ?1, ?1, 'failed', ?2, '{}', ?1)",
        STEERING,
        json.dumps({"prompt": STEERING}),
    )
    line = json.dumps({"type": "result", "result": STEERING}, ensure_ascii=False)
    used.rows("UPDATE jobs SET stream_chunks_json = ?", json.dumps([line]))
    return used


@pytest.mark.parametrize(
    "command",
    [
        *READING,
        *(("briefings", "show", "e2"), ("jobs", "list"), ("jobs", "show", "1")),
        *(("jobs", "logs", "1"), ("doctor",), ("config", "list"), ("export",)),
    ],
    ids=" ".join,
)
def test_no_terminal_escape_of_a_briefing_reaches_the_terminal(
    steering: Fleet, command: tuple[str, ...]
) -> None:
    for form in ([], ["--json"]) if command != ("export",) else ([],):
        done = steering.console(
            *command, *form, check=command not in (("doctor",), ("jobs", "logs", "1"))
        )
        for printed in (done.stdout, done.stderr):
            unprintable = [char for char in printed if not char.isprintable() and char != "\n"]
            assert unprintable == [], (form, unprintable)


def test_json_escapes_what_is_not_printable_and_holds_the_same_value(steering: Fleet) -> None:
    shown = json.loads(steering.console("briefings", "show", "1", "--json").stdout)
    exported = [json.loads(line) for line in steering.console("export").stdout.splitlines()]
    (same,) = [row for row in exported if row.get("briefing_id") == 1 and row["kind"] == "briefing"]
    for told in (shown, same):
        assert told["raw_markdown"].endswith(STEERING) and told["branch"] == STEERING


def test_an_exported_file_of_markdown_steers_no_terminal(steering: Fleet) -> None:
    folder = steering.folder / "notes"
    steering.console("export", "--format", "markdown", "--output", str(folder))
    for path in folder.iterdir():
        text = path.read_text()
        assert [char for char in text if not char.isprintable() and char != "\n"] == []


def test_briefings_are_found_by_what_they_say_and_shown_by_the_preludes_ids(used: Fleet) -> None:
    (found,) = json.loads(used.console("briefings", "search", "wait", "creden", "--json").stdout)
    assert found["project_id"].startswith("shop-api__")
    for id in ("1", "#1", "e1", "#e2"):
        shown = json.loads(used.console("briefings", "show", id, "--json").stdout)
        assert shown["briefing_id"] == 1
    listed = json.loads(
        used.console(
            "briefings", "list", "--project", "web", "--status", "completed", "--json"
        ).stdout
    )
    assert [row["briefing_id"] for row in listed] == [2]


def test_events_are_listed_after_an_id_and_followed(used: Fleet) -> None:
    used.drain()
    events = json.loads(used.console("events", "list", "--after", "1", "--json").stdout)
    assert [event["event_id"] for event in events] == [2, 3]
    tail = subprocess.Popen(
        [sys.executable, "-m", "commander.cli", "events", "tail", "--after", "2", "--json"],
        stdout=subprocess.PIPE,
        env=used.env(PYTHONUNBUFFERED="1"),
        cwd=ROOT,
        text=True,
    )
    assert tail.stdout is not None
    try:
        assert json.loads(tail.stdout.readline())["event_id"] == 3
        call = {"session_id": "s3", "prompt_id": "p", "last_assistant_message": "More."}
        used.hook("stop", call, used.folder / "web")
        used.drain()
        assert json.loads(tail.stdout.readline())["type"] == "briefing_added"
    finally:
        tail.terminate()
        tail.wait(10)


def test_replay_says_what_each_file_became_and_a_dry_run_stores_nothing(fleet: Fleet) -> None:
    good, bad = ROOT / "tests/payloads/2.1.197/Stop.json", fleet.folder / "bad.json"
    bad.write_text("{")
    dry = fleet.console("replay", "--dry-run", str(good))
    assert "briefing #1 (new, completed) of api-svc__" in dry.stdout
    assert not (fleet.home / "fleet.db").exists()
    done = fleet.console("replay", str(good), str(bad), "--json", check=False)
    assert done.returncode == 1
    assert [row["ok"] for row in json.loads(done.stdout)] == [True, False]
    assert fleet.rows("SELECT count(*) FROM briefings") == [(1,)]
    again = fleet.console("replay", "--dry-run", str(good))
    assert "unchanged" in again.stdout


def test_an_original_systems_database_is_read_at_once_and_a_dry_run_leaves_it_alone(
    fleet: Fleet,
) -> None:
    fleet.home.mkdir()
    database = sqlite3.connect(fleet.home / "fleet.db")
    database.executescript((ROOT / "fleet_lib/store/migrations/0001_reference.sql").read_text())
    database.execute("ALTER TABLE outbox_events DROP COLUMN broadcast_level")
    database.execute(
        "INSERT INTO projects VALUES ('api__1', 'api', '/api', NULL, 'active', '', '')"
    )
    database.commit()
    database.close()
    before = (fleet.home / "fleet.db").read_bytes()
    fleet.console("replay", "--dry-run", str(ROOT / "tests/payloads/2.1.197/Stop.json"))
    assert (fleet.home / "fleet.db").read_bytes() == before
    assert "api" in fleet.console("status").stdout
    assert len(list((fleet.home / "backups").iterdir())) == 1


def test_quarantine_is_said_and_can_be_replayed(fleet: Fleet) -> None:
    fleet.hook("stop", b"{}")
    assert "1 quarantined" in fleet.console("drain").stdout
    (name,) = fleet.quarantine()
    done = fleet.console("replay", str(fleet.home / "spool" / "bad" / name), check=False)
    assert done.returncode == 1 and "no session_id" in done.stdout
    assert "1 in quarantine" in fleet.console("status").stdout


def test_backup_and_check_work_while_the_database_is_written(used: Fleet) -> None:
    used.drain()
    copy = json.loads(used.console("db", "backup", "--json").stdout)
    assert os.stat(copy["path"]).st_mode & 0o777 == 0o600
    assert "ok" in used.console("db", "check").stdout


def test_check_finds_a_briefing_without_its_event(used: Fleet) -> None:
    used.drain()
    used.rows("DELETE FROM outbox_events WHERE briefing_id = 1")
    done = used.console("db", "check", check=False)
    assert done.returncode == 1
    assert "1 briefings have no briefing_added event" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("briefings", "show", "99"), 1, "fleet briefings list"),
        (("briefings", "show", "x y"), 1, "is not an id"),
        (("briefings", "list", "--project", "nope"), 1, "fleet projects list"),
        (("briefings", "list", "--status", "nope"), 2, "blocked"),
        (("events", "list", "--after", "-1"), 2, "--after"),
        (("events", "list", "--after", "x"), 2, "40 or e40"),
        (("nonsense",), 2, "No such command"),
        (("statsu",), 2, "did you mean `fleet status`?"),
        (("briefings", "lits"), 2, "did you mean `fleet briefings list`?"),
        (("briefings", "list", "--project", "shop-ap"), 1, "did you mean 'shop-api'?"),
        (("briefings", "list", "--since", "soon"), 2, "2026-01-31"),
        (("briefings", "show"), 2, "fleet briefings show --help"),
        (("status", "--watch"), 2, "needs a terminal"),
        (("status", "--watch", "--json"), 2, "fleet events tail --json"),
        (("replay", "/no/such/file"), 2, "does not exist"),
        (("export", "--output", "/nope/x"), 1, "cannot write /nope/x: /nope: No such file"),
    ],
)
def test_an_error_is_one_line_that_says_what_to_do(
    used: Fleet, arguments: tuple[str, ...], code: int, words: str
) -> None:
    done = used.console(*arguments, check=False)
    assert done.returncode == code
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_debug_lets_the_traceback_through(used: Fleet) -> None:
    done = used.console_process("--debug", "briefings", "show", "99", check=False)
    assert "Traceback" in done.stderr


def test_a_closed_pipe_is_no_error(used: Fleet) -> None:
    used.drain()
    done = subprocess.run(
        f"{sys.executable} -m commander.cli events list --json | head -1",
        shell=True,
        capture_output=True,
        text=True,
        env=used.env(),
        cwd=ROOT,
        check=False,
    )
    assert done.stdout.startswith("[") and "Traceback" not in done.stderr


def test_every_setting_is_documented_and_read_somewhere() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    named = set(re.findall(r"`(FLEET_[A-Z_]+)`", page))
    code = "".join(
        path.read_text()
        for folder in ("hooks", "fleet_lib", "commander")
        for path in (ROOT / folder).rglob("*.py")
    )
    read = set(re.findall(r"environ\.get\(\"(FLEET_[A-Z_]+)\"", code))
    assert named == read


def test_tail_ends_cleanly_on_interrupt(used: Fleet) -> None:

    used.drain()
    tail = subprocess.Popen(
        [sys.executable, "-m", "commander.cli", "events", "tail", "--after", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=used.env(PYTHONUNBUFFERED="1"),
        cwd=ROOT,
        text=True,
        # A shell's background job inherits an interrupt that is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert tail.stdout is not None
    assert all(tail.stdout.readline() for _ in range(3))  # all that there is: now it waits
    tail.send_signal(signal.SIGINT)
    _, errors = tail.communicate(timeout=10)
    assert (tail.returncode, errors) == (0, "")


@pytest.mark.parametrize(
    "broken", ["home is a file", "database is garbage", "database is a folder"]
)
@pytest.mark.parametrize(
    "command", [("status",), ("briefings", "list"), ("status", "--json")], ids=" ".join
)
def test_a_broken_home_is_one_line_and_never_nothing_captured(
    fleet: Fleet, broken: str, command: tuple[str, ...]
) -> None:
    if broken == "home is a file":
        fleet.home.write_text("")
    else:
        fleet.home.mkdir()
        database = fleet.home / "fleet.db"
        database.mkdir() if "folder" in broken else database.write_bytes(b"garbage " * 1000)
    done = fleet.console(*command, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert str(fleet.home) in line and "`fleet doctor`" in line


def test_fleet_alone_prints_its_help(fleet: Fleet) -> None:
    for command in ((), ("briefings",)):
        done = fleet.console(*command)
        assert done.stdout.startswith("Usage:") and "Examples:" in done.stdout


def test_archive_and_restore_say_what_was_and_how_to_undo(used: Fleet) -> None:
    used.drain()
    assert (
        "is archived. To undo this, run `fleet projects restore web__"
        in used.console("projects", "archive", "web").stdout
    )
    assert "was already archived" in used.console("projects", "archive", "web").stdout
    assert "is active again" in used.console("projects", "restore", "web").stdout
    assert "was not archived" in used.console("projects", "restore", "web").stdout


def test_projects_are_listed_with_how_many_briefings_and_the_last(used: Fleet) -> None:
    told = {
        p["repo_name"]: p for p in json.loads(used.console("projects", "list", "--json").stdout)
    }
    assert told["web"]["briefings"] == 1
    assert told["web"]["last_briefing_at"].endswith("Z")


def test_briefings_are_filtered_by_age(used: Fleet) -> None:
    used.drain()
    used.rows("UPDATE briefings SET created_at = '2026-01-01T00:00:00.000Z' WHERE briefing_id = 1")

    def ids(since: str) -> list[int]:
        listed = used.console("briefings", "list", "--since", since, "--json").stdout
        return [row["briefing_id"] for row in json.loads(listed)]

    assert ids("1h") == ids("30m") == ids("2d") == ids("2026-01-03") == [2]
    assert ids("2025-12-30T10:00") == ids("2025-12-31T10:00:00Z") == [2, 1]


def test_what_is_piped_is_stable_for_programs(used: Fleet) -> None:
    used.drain()
    heading, first, _ = used.console("briefings", "list").stdout.splitlines()
    assert heading.split() == ["id", "ended", "project", "status", "impact", "summary"]
    label, ended, project, status, _impact, *_summary = first.split()
    assert (label, status) == ("#2", "completed")
    assert re.fullmatch(r"web__[0-9a-f]{8}", project)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", ended)


def test_events_are_told_in_words_with_ids_that_show_takes(used: Fleet) -> None:
    used.drain()
    listed = used.console("events", "list").stdout
    assert "{" not in listed and "Tests wait for credentials" in listed
    id = listed.splitlines()[1].split()[0]
    assert id == "e1"
    assert "Tests wait for credentials" in used.console("briefings", "show", id).stdout
    assert [
        row["event_id"]
        for row in json.loads(used.console("events", "list", "--after", id, "--json").stdout)
    ] == [2, 3]


def test_events_of_other_programs_are_listed_whatever_they_hold(used: Fleet) -> None:
    used.drain()
    for payload in (
        "not json",
        "[1]",
        '{"briefing": 3, "job": {"jobId": [1]}, "summary": {"a": 1}}',
        "null",
    ):
        used.rows(
            "INSERT INTO outbox_events (ts, type, payload_json) VALUES ('yesterday', 'job_completed', ?)",
            payload,
        )
    assert len(used.console("events", "list").stdout.splitlines()) == 8
    assert len(json.loads(used.console("events", "list", "--json").stdout)) == 7
