"""The console: what each command prints for users and for programs, and its documentation."""

import itertools
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from support import ROOT, Fleet, make_repository
from support import payload as sample_payload

from benchmarks import history
from commander.cli import _database, main
from fleet_lib import clock

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
def captured(fleet: Fleet) -> Fleet:
    """A home with a blocked and a completed briefing that are still in the spool."""
    api, web = make_repository(fleet.folder / "shop-api"), make_repository(fleet.folder / "web")
    blocked = "```briefing\nstatus: blocked\nsummary: Tests wait for credentials\n```"
    done = "```briefing\nsummary: The \x1b[31mform\x1b[0m works\nfiles_touched: [a.py]\n```"
    for number, (folder, message) in enumerate(((api, blocked), (web, done)), start=1):
        call = {"session_id": f"s{number}", "prompt_id": "p", "last_assistant_message": message}
        fleet.hook("stop", call, folder)
    return fleet


def test_status_lists_what_needs_attention_first(captured: Fleet) -> None:
    lines = captured.console("status").stdout.splitlines()
    assert lines[0] == "Needs you: 1"
    assert "shop-api" in lines[1] and "Tests wait for credentials" in lines[1]
    text = "\n".join(lines)
    assert re.search(r"web +done +just now +fleet show 2 +The form works", text)
    assert "Last capture: just now; 0 waiting, 0 in quarantine." in text
    assert "Commander: not started. " in text  # so no cursor is behind, as in the status line
    assert captured.console("statusline").stdout == "fleet: 1 needs you\n"
    captured.rows(
        "INSERT INTO conversations (conversation_id, kind, cwd, model, created_at, updated_at,"
        " last_outbox_event_id_seen) VALUES ('c', 'commander', '', '', '', '', 0)"
    )
    assert "Commander: 3 events behind" in captured.console("status").stdout
    assert captured.console("statusline").stdout == "fleet: 1 needs you, 3 new\n"
    captured.rows("UPDATE conversations SET last_outbox_event_id_seen = 3")
    assert "Commander: up to date" in captured.console("status").stdout
    assert captured.console("statusline").stdout == "fleet: 1 needs you\n"


@pytest.mark.parametrize("noun", ["projects", "briefings", "events", "jobs"])
def test_before_the_first_capture_every_list_is_empty(fleet: Fleet, noun: str) -> None:
    assert json.loads(fleet.console(noun, "list", "--json").stdout) == []
    assert not fleet.home.exists()
    assert fleet.console(noun).stdout.startswith(f"No {noun} yet.")  # `list` is the default
    assert fleet.console("prelude").stdout == ""
    assert not fleet.home.exists()


def test_pending_captures_are_not_reported_as_no_captures(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEET_HOME", str(fleet.home))
    monkeypatch.setattr(_database, "drain_spool", lambda home: "the disk is full")
    for arguments in (["briefings", "list"], ["briefings", "list", "--json"]):
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 1
        assert "could not be applied: the disk is full; run `fleet doctor`" in done.output
        assert "nothing was captured" not in done.output


def test_projects_are_sorted_by_their_latest_briefing(captured: Fleet) -> None:
    captured.drain()
    captured.rows(
        "UPDATE briefings SET ended_at = '2099-01-01T00:00:00.000Z' WHERE briefing_id = 1"
    )
    captured.rows(
        "UPDATE projects SET updated_at = '2098-01-01T00:00:00.000Z' WHERE repo_name = 'web'"
    )
    captured.rows(
        "INSERT INTO projects VALUES ('new__1', 'new', '/new', NULL, 'active', '2099', '2099')"
    )
    listed = json.loads(captured.console("projects", "list", "--json").stdout)
    assert [row["repo_name"] for row in listed] == ["shop-api", "web", "new"]


def test_status_of_a_new_home_suggests_what_to_do(fleet: Fleet) -> None:
    assert "Finish a turn in any Claude Code session" in fleet.console("status").stdout
    assert json.loads(fleet.console("status", "--json").stdout)["projects"] == []


def test_read_commands_drain_first(captured: Fleet) -> None:
    assert len(captured.waiting()) == 2
    assert len(json.loads(captured.console("briefings", "list", "--json").stdout)) == 2
    assert captured.waiting() == []


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_read_commands_print_json(captured: Fleet, command: tuple[str, ...]) -> None:
    captured.drain()
    assert json.loads(captured.console(*command, "--json").stdout)


# Escape sequences in 7 and in 8 bits, an operating system command, DEL, a change of direction.
TERMINAL_ESCAPES = "\x1b[2J|\x9b2J|\x9d0;title\x07|\x7f|\u202e|\u2066|\u2028|\U000e0001"


@pytest.fixture
def hostile(captured: Fleet) -> Fleet:
    """Text that another program may have stored without Fleet's cleaning."""
    captured.drain()
    for column in ("turns.summary", "briefings.raw_markdown", "projects.repo_root"):
        table, name = column.split(".")
        captured.rows(f"UPDATE {table} SET {name} = {name} || ?", TERMINAL_ESCAPES)
    captured.rows(
        "UPDATE briefings SET blockers_json = ?, branch = ?",
        json.dumps([TERMINAL_ESCAPES]),
        TERMINAL_ESCAPES,
    )
    captured.rows(
        "UPDATE outbox_events SET payload_json ="
        " json_set(payload_json, '$.briefing.summary', ?1, '$.line', ?1)",
        TERMINAL_ESCAPES,
    )
    captured.rows(
        "INSERT INTO jobs (ts_created, type, model, status, request_json, result_json, error)"
        " VALUES ('2026-01-01T00:00:00.000Z', ?1, ?1, 'failed', ?2, '{}', ?1)",
        TERMINAL_ESCAPES,
        json.dumps({"prompt": TERMINAL_ESCAPES}),
    )
    line = json.dumps({"type": "result", "result": TERMINAL_ESCAPES}, ensure_ascii=False)
    captured.rows("UPDATE jobs SET stream_chunks_json = ?", json.dumps([line]))
    return captured


@pytest.mark.parametrize(
    "command",
    [
        *READING,
        *(("briefings", "show", "e2"), ("jobs", "list"), ("jobs", "show", "1")),
        *(("jobs", "logs", "1"), ("doctor",), ("config", "list"), ("export",)),
    ],
    ids=" ".join,
)
def test_terminal_escapes_in_a_briefing_never_reach_the_terminal(
    hostile: Fleet, command: tuple[str, ...]
) -> None:
    for form in ([], ["--json"]) if command != ("export",) else ([],):
        done = hostile.console(
            *command, *form, check=command not in (("doctor",), ("jobs", "logs", "1"))
        )
        for printed in (done.stdout, done.stderr):
            unprintable = [char for char in printed if not char.isprintable() and char != "\n"]
            assert unprintable == [], (form, unprintable)


def test_json_escapes_unprintable_characters_and_keeps_the_value(hostile: Fleet) -> None:
    shown_row = json.loads(hostile.console("briefings", "show", "1", "--json").stdout)
    exported = [json.loads(line) for line in hostile.console("export").stdout.splitlines()]
    (exported_row,) = [
        row for row in exported if row.get("briefing_id") == 1 and row["kind"] == "briefing"
    ]
    for briefing in (shown_row, exported_row):
        assert (
            briefing["raw_markdown"].endswith(TERMINAL_ESCAPES)
            and briefing["branch"] == TERMINAL_ESCAPES
        )


def test_exported_markdown_contains_no_terminal_escapes(hostile: Fleet) -> None:
    folder = hostile.folder / "notes"
    hostile.console("export", "--format", "markdown", "--output", str(folder))
    for path in folder.iterdir():
        text = path.read_text()
        assert [char for char in text if not char.isprintable() and char != "\n"] == []


def test_briefings_are_searched_by_text_and_shown_by_prelude_ids(captured: Fleet) -> None:
    (found,) = json.loads(
        captured.console("briefings", "search", "wait", "creden", "--json").stdout
    )
    assert found["project_id"].startswith("shop-api__")
    for id in ("1", "#1", "e1", "#e2"):
        shown = json.loads(captured.console("briefings", "show", id, "--json").stdout)
        assert shown["briefing_id"] == 1
    listed = json.loads(
        captured.console(
            "briefings", "list", "--project", "web", "--status", "completed", "--json"
        ).stdout
    )
    assert [row["briefing_id"] for row in listed] == [2]


def test_events_are_listed_after_an_id_and_followed(captured: Fleet) -> None:
    captured.drain()
    events = json.loads(captured.console("events", "list", "--after", "1", "--json").stdout)
    assert [event["event_id"] for event in events] == [2, 3]
    captured.rows("UPDATE outbox_events SET ts = ? WHERE event_id < 3", clock.ago(3 * 86400))
    lately = ("events", "list", "--after", "0", "--since", "1d", "-n", "1", "--json")
    (event,) = json.loads(captured.console(*lately).stdout)
    assert event["event_id"] == 3, "the limit counts only what passes the filter"
    tail = subprocess.Popen(
        [
            *(sys.executable, "-m", "commander.cli", "events", "tail"),
            *("--after", "0", "--project", "web", "--json"),
        ],
        stdout=subprocess.PIPE,
        env=captured.env(PYTHONUNBUFFERED="1"),
        cwd=ROOT,
        text=True,
    )
    assert tail.stdout is not None
    try:
        assert json.loads(tail.stdout.readline())["event_id"] == 3
        call = {"session_id": "s3", "prompt_id": "p", "last_assistant_message": "More."}
        captured.hook("stop", call, captured.folder / "web")
        captured.drain()
        assert json.loads(tail.stdout.readline())["type"] == "briefing_added"
    finally:
        tail.terminate()
        tail.wait(10)


def test_events_of_a_project_a_machine_and_a_time_are_found_among_all(fleet: Fleet) -> None:
    """Compared with what a look at every event gives."""
    history.fill(fleet.home, 3000, 3)
    late = clock.ago(90 * 86400)
    fleet.rows("UPDATE outbox_events SET ts = ? WHERE event_id BETWEEN 2600 AND 2700", late)
    fleet.rows("UPDATE outbox_events SET project_id = NULL WHERE event_id % 7 = 0")
    fleet.rows("UPDATE outbox_events SET type = 'of another program' WHERE event_id % 11 = 0")
    fleet.rows("UPDATE outbox_events SET payload_json = 'no JSON' WHERE event_id % 13 = 0")
    fleet.rows("INSERT INTO relay_machines VALUES ('box', 'e', 1, '2026', 0, '', 0, 0, 0, '')")
    came = "event_id % 3 = 0 OR event_id BETWEEN 2100 AND 2500"  # more than is ever late here
    fleet.rows(
        "INSERT INTO relay_events SELECT 'box', 'e', event_id, 'd', event_id, '2026'"
        f" FROM outbox_events WHERE {came}"
    )
    fleet.rows("UPDATE outbox_events SET ts = ? WHERE event_id BETWEEN 2100 AND 2500", late)
    since = fleet.rows("SELECT ts FROM outbox_events WHERE event_id = 1900")[0][0]
    of_project = {"": "1", "--project=repo-1": "project_id = 'repo-1__00000000'"}
    of_machine = {"": "1", "--machine=box": f"({came})", "--machine=-": f"NOT ({came})"}
    in_time = {"": "1", f"--since={since}": f"ts >= '{since}'"}
    for chosen in itertools.product(of_project.items(), of_machine.items(), in_time.items()):
        options = [option for option, _ in chosen if option]
        where = " AND ".join(condition for _, condition in chosen)
        for more, order in (((), "DESC"), (("--after", "e40"), "ASC")):
            sql = f"SELECT event_id FROM outbox_events WHERE {where}"
            sql += f" {'AND event_id > 40' if more else ''} ORDER BY event_id {order} LIMIT 30"
            done = fleet.console("events", "list", "-n30", "--json", *more, *options)
            found = [event["event_id"] for event in json.loads(done.stdout)]
            assert found == sorted(row[0] for row in fleet.rows(sql)), (options, more)
    unknown = fleet.console("events", "list", "--project", "repo-x", check=False)
    assert unknown.returncode == 1 and "there is no project 'repo-x'" in unknown.stderr
    assert fleet.console("events", "list", "--project", "repo", check=False).returncode == 1
    none = fleet.console("events", "list", "--project", "repo-1", "--after", "e3000").stdout
    assert none == "No events match.\n"


# Each takes as long to import as three to ten interpreters take to start.
HEAVY = {"pydantic", "tomlkit", "rich", "yaml", "filelock", "asyncio", "nats", "genai_prices"}
LIGHT = (
    *("status", "status --json", "sessions list", "sessions show s1", "show 1", "show e1"),
    *("briefings list", "briefings search form", "projects list", "events list", "digest"),
    *("usage", "jobs list", "config list", "config get prelude.budget", "db status", "prelude"),
    *("resume 1 --print", "notify list", "notify log", "relay status", "export", "drain"),
    *("doctor --help", "db --help", "gateway --help", "import --help", "commander --help"),
    *("relay --help", "mcp --help", "ask --help", "db prune --older-than 90d --dry-run"),
)


# Each takes a twentieth to a third of that, and what a person asks for all day needs none of them.
NEEDLESS = {
    *("dataclasses", "difflib", "logging", "shutil", "socket", "subprocess"),
    *("click.shell_completion", "fleet_lib.redact"),
}
EVERYDAY = (
    *("status", "sessions list", "briefings list", "briefings search form", "projects list"),
    *("events list", "digest", "usage", "prelude", "show 1"),
)


@pytest.mark.parametrize(
    ("commands", "slow"), [(LIGHT, HEAVY), (EVERYDAY, NEEDLESS)], ids=("all", "everyday")
)
def test_what_only_reads_imports_nothing_that_is_slow_to_import(
    captured: Fleet, commands: tuple[str, ...], slow: set[str]
) -> None:
    captured.drain()
    program = (
        "import contextlib, io, sys\n"
        "from commander.cli import main\n"
        f"for command in {commands!r}:\n"
        "    with contextlib.redirect_stdout(io.StringIO()):\n"
        "        main(command.split(), 'fleet', standalone_mode=False)\n"
        f"    if found := {slow!r} & set(sys.modules):\n"
        "        sys.exit(f'{command} imports {found}')\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", program],
        env=captured.env(),
        cwd=captured.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_replay_reports_each_file_and_a_dry_run_stores_nothing(fleet: Fleet) -> None:
    good, bad = ROOT / "tests/payloads/2.1.197/Stop.json", fleet.folder / "bad.json"
    bad.write_text("{")
    dry_run = fleet.console("replay", "--dry-run", str(good))
    assert "briefing #1 (new, completed) of api-svc__" in dry_run.stdout
    assert not (fleet.home / "fleet.db").exists()
    done = fleet.console("replay", str(good), str(bad), "--json", check=False)
    assert done.returncode == 1
    assert [row["ok"] for row in json.loads(done.stdout)] == [True, False]
    assert fleet.rows("SELECT count(*) FROM briefings") == [(1,)]
    again = fleet.console("replay", "--dry-run", str(good))
    assert "unchanged" in again.stdout


def test_original_database_is_readable_and_dry_run_leaves_it_alone(
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


def test_quarantine_is_reported_and_can_be_replayed(fleet: Fleet) -> None:
    fleet.hook("stop", b"{}")
    assert "1 quarantined" in fleet.console("drain").stdout
    (name,) = fleet.quarantine()
    done = fleet.console("replay", str(fleet.home / "spool" / "bad" / name), check=False)
    assert done.returncode == 1 and "no session_id" in done.stdout
    assert "1 in quarantine" in fleet.console("status").stdout


def test_backup_and_check_work_during_writes(captured: Fleet) -> None:
    captured.drain()
    copy = json.loads(captured.console("db", "backup", "--json").stdout)
    assert os.stat(copy["path"]).st_mode & 0o777 == 0o600
    assert "ok" in captured.console("db", "check").stdout


def test_check_finds_a_briefing_without_its_event(captured: Fleet) -> None:
    captured.drain()
    captured.rows("DELETE FROM outbox_events WHERE briefing_id = 1")
    done = captured.console("db", "check", check=False)
    assert done.returncode == 1
    assert "1 briefings have no briefing_added event" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("briefings", "show", "99"), 1, "fleet briefings list"),
        (("briefings", "show", "x y"), 1, "is not an id"),
        (("briefings", "list", "--project", "nope"), 1, "fleet projects list"),
        (("briefings", "list", "--status", "nope"), 2, "blocked"),
        (("events", "list", "--after", "-1"), 2, "--after"),
        (("events", "list", "--after", "x"), 2, "40 or e40"),
        (("nonsense",), 2, "No such command"),
        (("statsu",), 2, "did you mean `fleet status`?"),
        (("search",), 2, "did you mean `fleet briefings search`?"),
        (("briefings", "lits"), 2, "did you mean `fleet briefings list`?"),
        (("briefings", "list", "--project", "shop-apo"), 1, "did you mean 'shop-api'?"),
        (("config", "get", "notify.grace"), 1, "did you mean notify.grace_seconds"),
        (("briefings", "diff", "zoo"), 1, "no session or project begins with 'zoo'"),
        (("briefings", "list", "--since", "soon"), 2, "today, yesterday, monday"),
        (("briefings", "show"), 2, "fleet briefings show --help"),
        (("status", "--watch"), 2, "needs a terminal"),
        (("status", "--watch", "--json"), 2, "fleet events tail --json"),
        (("replay", "/no/such/file"), 2, "does not exist"),
        (("export", "--output", "/nope/x"), 1, "cannot write /nope/x: /nope: No such file"),
    ],
)
def test_error_is_one_line_that_suggests_what_to_do(
    captured: Fleet, arguments: tuple[str, ...], code: int, message: str
) -> None:
    done = captured.console(*arguments, check=False)
    assert done.returncode == code
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_debug_lets_the_traceback_through(captured: Fleet) -> None:
    done = captured.console_process("--debug", "briefings", "show", "99", check=False)
    assert "Traceback" in done.stderr


def test_closed_pipe_is_not_an_error(captured: Fleet) -> None:
    captured.drain()
    done = subprocess.run(
        f"{sys.executable} -m commander.cli events list --json | head -1",
        shell=True,
        capture_output=True,
        text=True,
        env=captured.env(),
        cwd=ROOT,
        check=False,
    )
    assert done.stdout.startswith("[") and "Traceback" not in done.stderr


def test_a_stream_that_is_closed_or_full_leaves_no_traceback(captured: Fleet) -> None:
    captured.drain()
    for redirection, code in ((">&-", 0), (">/dev/full", 1)):
        done = subprocess.run(
            f"{sys.executable} -m commander.cli projects list {redirection}",
            shell=True,
            capture_output=True,
            text=True,
            env=captured.env(),
            cwd=ROOT,
            check=False,
        )
        assert done.returncode == code
        assert done.stderr.count("\n") == code, "an error is one line"
        assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


@pytest.mark.parametrize(
    ("last", "code", "end", "error"),
    [
        ("pass", 0, "cleared\n", ""),
        ("sys.exit(3)", 3, "cleared\n", ""),
        ("sys.exit('no')", 1, "cleared\n", "no\n"),
        ("threading.Thread(target=work).start()", 0, "workedcleared\n", ""),
    ],
)
def test_a_command_ends_at_once_but_only_when_all_is_done(
    fleet: Fleet, last: str, code: int, end: str, error: str
) -> None:
    program = (
        "import atexit, sys, threading, time\n"
        "import click, commander.cli, commander.__main__\n"
        "def work(): time.sleep(0.3); sys.stdout.write('worked')\n"
        "@click.command()\n"
        "def command():\n"
        "    atexit.register(lambda: print('cleared'))\n"
        "    sys.stdout.write('x' * 300_000)\n"
        f"    {last}\n"
        "commander.cli.main = command\n"
        "sys.argv = ['fleet']\n"
        "commander.__main__.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=fleet.env(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (code, error)
    assert done.stdout == "x" * 300_000 + end


def test_every_setting_is_documented_and_read_somewhere() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    documented = set(re.findall(r"`(FLEET_[A-Z_]+)`", page))
    code = "".join(
        path.read_text()
        for folder in ("hooks", "fleet_lib", "commander")
        for path in (ROOT / folder).rglob("*.py")
    )
    read = set(re.findall(r"environ\.get\(\"(FLEET_[A-Z_]+)\"", code))
    assert documented == read


def test_tail_ends_cleanly_on_interrupt(captured: Fleet) -> None:

    captured.drain()
    tail = subprocess.Popen(
        [sys.executable, "-m", "commander.cli", "events", "tail", "--after", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=captured.env(PYTHONUNBUFFERED="1"),
        cwd=ROOT,
        text=True,
        # A shell's background job inherits an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert tail.stdout is not None
    assert all(tail.stdout.readline() for _ in range(3))  # all existing events: now it waits
    tail.send_signal(signal.SIGINT)
    _, errors = tail.communicate(timeout=60)
    assert (tail.returncode, errors) == (0, "")


@pytest.mark.parametrize(
    "broken", ["home is a file", "database is garbage", "database is a folder"]
)
@pytest.mark.parametrize(
    "command", [("status",), ("briefings", "list"), ("status", "--json")], ids=" ".join
)
def test_broken_home_is_one_line_and_not_called_no_captures(
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


def test_a_group_without_a_command_prints_help_and_fleet_alone_the_status(fleet: Fleet) -> None:
    done = fleet.console("db")
    assert done.stdout.startswith("Usage:") and "Examples:" in done.stdout
    assert "`fleet jobs` alone is `fleet jobs list`" in fleet.console("jobs", "--help").stdout
    assert fleet.console("jobs", "-n", "3", "--json").stdout == "[]\n"
    first, second = fleet.console().stdout.splitlines()
    assert first.startswith("Nothing was captured yet. Finish a turn in any Claude Code session")
    assert "`fleet doctor`" in second
    assert json.loads(fleet.console("--json").stdout)["needs_you"] == []
    wrong = fleet.console("--bogus", check=False)
    assert wrong.returncode == 2 and "No such option '--bogus'" in wrong.stderr


def test_archive_and_restore_report_the_change_and_how_to_undo_it(captured: Fleet) -> None:
    captured.drain()
    assert (
        "is archived. To undo this, run `fleet projects restore web__"
        in captured.console("projects", "archive", "web").stdout
    )
    assert "was already archived" in captured.console("projects", "archive", "web").stdout
    assert "is active again" in captured.console("projects", "restore", "web").stdout
    assert "was not archived" in captured.console("projects", "restore", "web").stdout


def test_projects_are_listed_with_briefing_count_and_latest(captured: Fleet) -> None:
    projects = {
        p["repo_name"]: p for p in json.loads(captured.console("projects", "list", "--json").stdout)
    }
    assert projects["web"]["briefings"] == 1
    assert projects["web"]["last_briefing_at"].endswith("Z")


def test_briefings_are_filtered_by_age(captured: Fleet) -> None:
    captured.drain()
    captured.rows(
        "UPDATE briefings SET ended_at = '2026-01-01T00:00:00.000Z' WHERE briefing_id = 1"
    )

    def ids(since: str) -> list[int]:
        listed = captured.console("briefings", "list", "--since", since, "--json").stdout
        return [row["briefing_id"] for row in json.loads(listed)]

    assert ids("1h") == ids("30m") == ids("2d") == ids("2026-01-03") == [2]
    assert ids("2025-12-30T10:00") == ids("2025-12-31T10:00:00Z") == [2, 1]


def test_piped_output_is_stable_for_programs(captured: Fleet) -> None:
    captured.drain()
    heading, first, _ = captured.console("briefings", "list").stdout.splitlines()
    assert heading.split() == ["id", "ended", "project", "status", "impact", "summary"]
    label, ended, project, status, _impact, *_summary = first.split()
    assert (label, status) == ("#2", "completed")
    assert re.fullmatch(r"web__[0-9a-f]{8}", project)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", ended)


def test_events_are_described_in_words_with_ids_for_show(captured: Fleet) -> None:
    captured.drain()
    listed = captured.console("events", "list").stdout
    assert "{" not in listed and "Tests wait for credentials" in listed
    id = listed.splitlines()[1].split()[0]
    assert id == "e1"
    assert "Tests wait for credentials" in captured.console("briefings", "show", id).stdout
    assert [
        row["event_id"]
        for row in json.loads(captured.console("events", "list", "--after", id, "--json").stdout)
    ] == [2, 3]


def test_malformed_events_of_other_programs_are_listed(captured: Fleet) -> None:
    captured.drain()
    for payload in (
        "not json",
        "[1]",
        '{"briefing": 3, "job": {"jobId": [1]}, "summary": {"a": 1}}',
        "null",
    ):
        captured.rows(
            "INSERT INTO outbox_events (ts, type, payload_json) VALUES ('yesterday', 'job_completed', ?)",
            payload,
        )
    assert len(captured.console("events", "list").stdout.splitlines()) == 8
    assert len(json.loads(captured.console("events", "list", "--json").stdout)) == 7


@pytest.mark.parametrize("encoding", ["latin-1", "gbk"])
def test_locale_that_is_not_unicode_replaces_what_it_cannot_show(
    fleet: Fleet, encoding: str
) -> None:
    message = "日本語 😀 finished the café."
    fleet.hook("stop", sample_payload("Stop") | {"last_assistant_message": message}, fleet.folder)
    fleet.drain()

    def console(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "commander.cli", *arguments],
            env=fleet.env(PYTHONIOENCODING=encoding, PYTHONUTF8="0"),
            capture_output=True,
            cwd=ROOT,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout.decode(encoding)

    for arguments in (("status",), ("briefings", "list"), ("briefings", "show", "1")):
        assert "finished the caf" in console(*arguments)
    assert json.loads(console("briefings", "list", "--json"))[0]["raw_markdown"] == message


def test_names_of_other_programs_cannot_control_the_terminal(
    captured: Fleet, tmp_path: Path
) -> None:
    captured.drain()
    name = f"evil\x1b]0;title\x07__{'0' * 8}"
    captured.rows(
        "INSERT INTO projects (project_id, repo_name, repo_root, created_at, updated_at)"
        " VALUES (?, ?, ?, ?, ?)",
        *(name, "evil", str(tmp_path), "2026-11-24T08:00:00.000Z", "2026-11-24T08:00:00.000Z"),
    )
    bad = captured.home / "spool" / "bad" / "\x1b[2Jentry"
    bad.write_text("x")
    for command in (
        *(("projects", "list"), ("projects", "archive", name), ("projects", "restore", name)),
        *(("dismiss", name), ("replay", str(bad)), ("drain",), ("doctor",), ("status",)),
    ):
        done = captured.console(*command, check=False)
        printed = done.stdout + done.stderr
        assert [char for char in printed if not char.isprintable() and char != "\n"] == [], command


def test_console_prints_through_one_function_that_lets_no_escapes_through() -> None:
    direct = [
        f"{path.name}:{number}"
        for path in (ROOT / "commander" / "cli").glob("*.py")
        if path.name != "_display.py"
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if "click.echo(" in line and "color=" not in line and "click.style(" not in line
    ]
    assert direct == []
