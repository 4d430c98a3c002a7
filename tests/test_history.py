"""History: limited by `fleet db prune` and exported by `fleet export`."""

import contextlib
import fcntl
import itertools
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import ROOT, Fleet, make_repository

from fleet_lib import clock, paths, spool
from fleet_lib.history import daily, prune, space
from fleet_lib.store import db, migrate

DAY = 86400


def ago(days: float) -> str:
    return clock.iso(time.time_ns() - int(days * DAY * 1e9))


@pytest.fixture
def history(fleet: Fleet) -> Iterator["History"]:
    with contextlib.closing(History(fleet)) as opened:
        yield opened


class History:
    """A database of many days, with the rows that ingest writes."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.path = fleet.home / "fleet.db"
        self.connection = db.connect(self.path)
        self.connection.execute("PRAGMA synchronous = OFF")
        self.numbers = itertools.count()

    def close(self) -> None:
        self.connection.close()

    def run(self, sql: str, *values: object) -> Any:
        return self.connection.execute(sql, values)

    def project(self, name: str) -> None:
        row = (name, name, f"/code/{name}", ago(400), ago(400))
        sql = "INSERT INTO projects (project_id, repo_name, repo_root, created_at, updated_at)"
        self.run(f"{sql} VALUES (?, ?, ?, ?, ?)", *row)

    def turns(self, project: str, ages: "list[float]", text: str = "words " * 60) -> "list[int]":
        """A briefing with its event, turn and ended session for each age in days."""
        briefing_ids = []
        with db.transaction(self.connection):
            for age in ages:
                number = next(self.numbers)
                at, session = ago(age), f"{project}-{number}"
                briefing = self.run(
                    "INSERT INTO briefings (project_id, session_id, task_id, status, ended_at,"
                    " raw_markdown, created_at) VALUES (?, ?, 'p', 'completed', ?, ?, ?)",
                    *(project, session, at, f"{text}{number}", at),
                ).lastrowid
                event = self.run(
                    "INSERT INTO outbox_events (ts, type, project_id, briefing_id, broadcast_level,"
                    " payload_json) VALUES (?, 'briefing_added', ?, ?, 'mention', ?)",
                    *(at, project, briefing, json.dumps({"sessionId": session})),
                ).lastrowid
                self.run(
                    "INSERT INTO turns (session_id, turn_key, briefing_id, revision, summary, meaning,"
                    " source, facts_partial, warnings_json)"
                    " VALUES (?, 'p', ?, 1, 'one line', 'm', 'message', 0, '[]')",
                    *(session, briefing),
                )
                self.run("INSERT INTO turn_inputs VALUES (?, 'p', 'd')", session)
                self.run("INSERT INTO follow_ups VALUES (?, 'f', 'p')", session)
                self.run(
                    "INSERT INTO provisional_turns VALUES (?, 'p', ?, '[]', '{}')", session, at
                )
                self.run("INSERT INTO session_ends VALUES (?, ?)", session, at)
                self.run(
                    "INSERT INTO sessions (session_id, project_id, folder, state, state_at, detail,"
                    " briefing_id, event_id, last_seen_at, ended_at) VALUES"
                    " (?1, ?2, '/x', 'completed', ?3, '', ?4, ?5, ?3, ?3)",
                    *(session, project, at, briefing, event),
                )
                briefing_ids.append(briefing)
        return briefing_ids

    def set_cursor(self, event: int) -> None:
        self.run(
            "INSERT OR REPLACE INTO conversations (conversation_id, kind, cwd, model,"
            " last_outbox_event_id_seen, created_at, updated_at)"
            " VALUES ('c', 'commander', '/', 'm', ?, '', '')",
            event,
        )

    def briefings(self) -> "list[int]":
        return [row[0] for row in self.run("SELECT briefing_id FROM briefings ORDER BY 1")]

    def check(self) -> None:
        assert "ok" in self.fleet.console("db", "check").stdout

    def prune(self, *arguments: str) -> "dict[str, Any]":
        done = self.fleet.console("db", "prune", *arguments, "--json", check=False)
        assert done.returncode in (0, 1), done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        return report


def test_prune_deletes_whole_old_turns_but_keeps_each_projects_newest(history: History) -> None:
    history.project("api")
    history.project("quiet")
    old = history.turns("api", [100, 99, 95])
    recent = history.turns("api", [10, 1])
    (quiet,) = history.turns("quiet", [200])
    report = history.prune("--older-than", "90d")
    assert history.briefings() == sorted([*recent, quiet])
    assert report["deleted"]["briefings"] == report["deleted"]["outbox_events"] == len(old)
    assert report["kept"] == {"newest of their project": 1}
    for table in ("turn_inputs", "follow_ups", "provisional_turns"):
        assert history.run(f"SELECT count(*) FROM {table}").fetchone()[0] == 3
    sessions = history.run("SELECT session_id FROM sessions ORDER BY 1").fetchall()
    assert history.run("SELECT session_id FROM session_ends ORDER BY 1").fetchall() == sessions
    history.check()
    found = history.fleet.console("briefings", "search", "words", "--json").stdout
    assert len(json.loads(found)) == 3


def test_prune_dry_run_counts_the_same_and_changes_nothing(history: History) -> None:
    history.project("api")
    history.turns("api", [100 - number / 10 for number in range(900)])
    before = history.briefings()
    dry_report = history.prune("--older-than", "50d", "--dry-run")
    assert history.briefings() == before
    real_report = history.prune("--older-than", "50d")
    assert dry_report["deleted"]["briefings"] > 100
    for table in ("briefings", "outbox_events", "turns", "sessions"):
        # The limit moves with the clock between the two runs.
        assert abs(dry_report["deleted"][table] - real_report["deleted"][table]) <= 1


def test_unseen_events_stay_but_a_long_dead_session_holds_nothing(
    history: History,
) -> None:
    history.project("api")
    briefing_ids = history.turns("api", [100, 99, 98, 97, 1])
    event = history.run(
        "SELECT event_id FROM outbox_events WHERE briefing_id = ?", briefing_ids[1]
    ).fetchone()[0]
    history.set_cursor(event)
    sql = "INSERT INTO commander_sessions VALUES (?, 'c', ?, 0, ?)"
    history.run(sql, "dead", 0, ago(60))
    report = history.prune("--older-than", "90d")
    assert history.briefings() == briefing_ids[2:]
    assert report["kept"]["briefings after a cursor"] == 2
    history.set_cursor(10_000)
    history.run(sql, "alive", event, ago(1))
    history.prune("--older-than", "90d")
    assert history.briefings() == briefing_ids[2:]


def test_mcp_client_of_long_ago_holds_nothing(history: History) -> None:
    history.project("api")
    briefing_ids = history.turns("api", [100, 99, 1])
    sql = "INSERT INTO conversations VALUES (?, 'mcp', '/', '', NULL, 0, ?, ?)"
    history.run(sql, "mcp:alive", ago(60), ago(1))
    history.prune("--older-than", "90d")
    assert history.briefings() == briefing_ids
    history.run("UPDATE conversations SET updated_at = ?", ago(60))
    history.prune("--older-than", "90d")
    assert history.briefings() == briefing_ids[2:]


def test_what_other_machines_were_not_sent_yet_stays_while_it_is_still_sent(
    history: History,
) -> None:
    for project in ("shared", "private"):
        history.project(project)
    briefing_ids = history.turns("shared", [100, 60, 50, 1])
    private = history.turns("private", [70, 1])
    share = "INSERT OR REPLACE INTO relay_shares VALUES (?, ?, 0, ?, '')"
    history.run(share, "shared", 1, 0)
    history.run(share, "private", 0, 0)
    history.prune("--older-than", "30d")
    assert history.briefings() == [*briefing_ids[1:], *private], "too old to be sent"
    history.run(share, "shared", 1, 10_000)
    history.prune("--older-than", "30d")
    assert history.briefings() == [briefing_ids[3], private[1]]


def test_open_alert_keeps_its_briefing_and_event(history: History) -> None:
    history.project("api")
    first, second, third = history.turns("api", [100, 99, 1])
    history.run(
        "UPDATE sessions SET state = 'blocked', ended_at = NULL, state_at = ? WHERE briefing_id = ?",
        *(ago(1), first),
    )
    history.prune("--older-than", "90d")
    assert history.briefings() == [first, third]
    history.check()
    assert second not in history.briefings()
    status = json.loads(history.fleet.console("status", "--json").stdout)
    assert status["needs_you"][0]["briefing_id"] == first


def test_stuck_session_of_an_archived_project_is_not_an_open_alert(history: History) -> None:
    history.project("api")
    first, _, third = history.turns("api", [100, 99, 1])
    history.run(
        "UPDATE sessions SET state = 'blocked', ended_at = NULL, state_at = ? WHERE briefing_id = ?",
        *(ago(1), first),
    )
    history.fleet.console("projects", "archive", "api")
    assert json.loads(history.fleet.console("status", "--json").stdout)["needs_you"] == []
    dry_report = history.prune("--older-than", "90d", "--dry-run")
    report = history.prune("--older-than", "90d")
    assert history.briefings() == [third]
    assert (
        dry_report["deleted"] == report["deleted"]
        and "sessions that wait for you" not in report["kept"]
    )
    history.check()


def test_prune_by_size_deletes_the_oldest_and_frees_the_space(history: History) -> None:
    history.project("api")
    briefing_ids = history.turns(
        "api", [300 - number / 10 for number in range(2900)], "word " * 400
    )
    before = history.path.stat().st_size
    report = history.prune("--max-size", "3MB")
    remaining = history.briefings()
    assert remaining and remaining == briefing_ids[-len(remaining) :]
    assert report["fits"] and history.path.stat().st_size <= 3_000_000 < before
    history.check()


def test_prune_by_size_deletes_no_more_days_than_needed(history: History) -> None:
    """This holds even if much of the file is the search index, which keeps deleted words
    until it is merged."""
    history.project("api")
    generator = random.Random(1)
    days, each = 60, 40
    for day in range(days, 0, -1):
        text = " ".join(f"w{generator.randrange(10**6)}" for _ in range(300))
        history.turns("api", [day] * each, text + " ")
    used = space.sizes(history.connection)[0]
    for share in (0.7, 0.4):
        limit = int(used * share)
        dry_report = history.prune("--max-size", str(limit), "--dry-run")
        report = history.prune("--max-size", str(limit))
        assert report["fits"] and limit - 2.5 * used / days < report["used_bytes_after"] <= limit
        assert (
            dry_report["fits"] and abs(dry_report["used_bytes_after"] - limit) < 2.5 * used / days
        )
        assert len(history.briefings()) % each == 0, "only whole days may be deleted"
    history.check()


def test_large_day_is_pruned_in_several_transactions(history: History) -> None:
    history.project("api")
    briefing_ids = history.turns("api", [100] * 2500 + [1])
    steps: list[tuple[int, int]] = []
    report = prune.prune(
        history.connection,
        before=ago(90),
        max_bytes=None,
        dry_run=False,
        progress=lambda done, total: steps.append((done, total)),
    )
    assert report.deleted["briefings"] == 2500 and history.briefings() == briefing_ids[-1:]
    assert len(steps) > 2 and steps[-1][0] == steps[-1][1]
    history.check()


def test_unreachable_size_limit_is_reported(history: History) -> None:
    history.project("api")
    history.turns("api", [100 + number for number in range(50)], "word " * 2000)
    history.set_cursor(0)
    done = history.fleet.console("db", "prune", "--max-size", "100KB", check=False)
    assert done.returncode == 1
    assert "cannot be deleted" in done.stderr
    assert "have not been shown to the Commander yet" in done.stderr
    assert len(history.briefings()) == 50


def test_prune_limits_default_to_the_settings(history: History) -> None:
    history.project("api")
    history.turns("api", [100, 1])
    done = history.fleet.console("db", "prune", check=False)
    assert done.returncode == 2 and "history.keep_days" in done.stderr
    history.fleet.console("config", "set", "history.keep_days", "90")
    history.prune()
    assert len(history.briefings()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("--older-than", "soon"),
        ("--older-than", "2099-01-01"),
        ("--max-size", "-1"),
        ("--max-size", "1 tree"),
    ],
)
def test_invalid_prune_limit_is_a_usage_error(
    history: History, arguments: "tuple[str, ...]"
) -> None:
    done = history.fleet.console("db", "prune", *arguments, check=False)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_hooks_and_drainers_work_during_a_large_prune(history: History) -> None:
    history.project("api")
    history.turns("api", [400 - number / 80 for number in range(20_000)], "words " * 20)
    folder = make_repository(history.fleet.folder / "web")
    waits: list[float] = []
    ended = threading.Event()

    def write() -> None:
        while not ended.is_set():
            started = time.monotonic()
            with contextlib.closing(sqlite3.connect(history.path, timeout=30)) as other, other:
                other.execute("UPDATE projects SET updated_at = 'x'")
            waits.append(time.monotonic() - started)
            time.sleep(0.01)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        report = history.prune("--older-than", "200d")
    finally:
        ended.set()
        writer.join()
    assert report["deleted"]["briefings"] > 12_000
    assert max(waits) < 20.0, "a writer waited too long"
    history.fleet.hook("stop", {"session_id": "s", "last_assistant_message": "On."}, folder)
    history.fleet.drain()
    history.check()


def test_killed_prune_leaves_only_whole_briefings(history: History) -> None:
    history.project("api")
    history.turns("api", [400 - number / 20 for number in range(2000)], "words " * 20)
    killed_at_a_statement = """
import os, sys
from commander.cli import main
from fleet_lib.history import deletion
real, days = deletion.delete, iter(range(3))
def delete(connection, *rest):
    statements = iter(range(int(sys.argv[1])))
    if next(days, None) is None:
        connection.set_trace_callback(lambda _: next(statements, None) is None and os.kill(os.getpid(), 9))
    return real(connection, *rest)
deletion.delete = delete
main(["db", "prune", "--older-than", "310d"])
"""
    for statements in (2, 7, 15):
        before = len(history.briefings())
        command = [sys.executable, "-c", killed_at_a_statement, str(statements)]
        done = subprocess.run(
            command, env=history.fleet.env(), cwd=ROOT, capture_output=True, check=False
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert before - 100 < len(history.briefings()) < before
        history.check()
    history.prune("--older-than", "310d")
    assert len(history.briefings()) < 220
    history.check()


def test_pruned_ids_are_never_reused(history: History) -> None:
    history.project("api")
    briefing_ids = history.turns("api", [100, 99])
    history.prune("--older-than", "90d")
    assert history.turns("api", [1])[0] > briefing_ids[-1]


def test_prune_json_report_has_the_counts(history: History) -> None:
    history.project("api")
    history.turns("api", [100, 1])
    report = prune.prune(history.connection, before=ago(90), max_bytes=None, dry_run=True)
    assert report.deleted["briefings"] == 1 and report.fits


# --- export ---


def test_json_lines_export_has_every_row_once(history: History) -> None:
    history.project("api")
    history.project("web")
    briefing_ids = history.turns("api", [3, 2]) + history.turns("web", [1])
    lines = [json.loads(line) for line in history.fleet.console("export").stdout.splitlines()]
    kinds = {
        kind: [x for x in lines if x["kind"] == kind] for kind in ("project", "briefing", "event")
    }
    assert [x["briefing_id"] for x in kinds["briefing"]] == briefing_ids
    assert len(kinds["project"]) == 2 and len(kinds["event"]) == 3
    assert sum(map(len, kinds.values())) == len(lines)
    one_project = history.fleet.console("export", "--project", "web", "--since", "2d").stdout
    assert {x.get("project_id") for x in map(json.loads, one_project.splitlines())} == {"web"}


def test_export_file_is_private_complete_and_never_overwritten(
    history: History, tmp_path: Path
) -> None:
    history.project("api")
    history.turns("api", [1])
    target = tmp_path / "out.jsonl"
    history.fleet.console("export", "--output", str(target))
    assert target.stat().st_mode & 0o777 == 0o600
    assert len(target.read_text().splitlines()) == 3
    again = history.fleet.console("export", "--output", str(target), check=False)
    assert again.returncode == 1 and "--force" in again.stderr
    history.fleet.console("export", "--output", str(target), "--force")
    assert [path.name for path in tmp_path.glob(".out*")] == []


def test_markdown_export_has_a_file_per_project_and_separate_briefings(
    history: History, tmp_path: Path
) -> None:
    history.project("api")
    history.project("empty")
    hostile = "````\nan open fence \x1b[31mred\x1b[0m\n```\n# Not a heading "
    first, second = history.turns("api", [2, 1], hostile)
    folder = tmp_path / "notes"
    history.fleet.console("export", "--format", "markdown", "--output", str(folder))
    assert [path.name for path in folder.iterdir()] == ["api.md"]
    text = (folder / "api.md").read_text()
    assert "\x1b" not in text and text.startswith('---\nproject: "api"')
    from markdown_it import MarkdownIt

    tokens = MarkdownIt().parse(text.split("---\n", 2)[2])
    fences = [token for token in tokens if token.type == "fence"]
    assert len(fences) == 2 and all("an open fence" in fence.content for fence in fences)
    headings = [tokens[i + 1].content for i, t in enumerate(tokens) if t.type == "heading_open"]
    assert [heading.split(" ")[0] for heading in headings] == ["api", f"#{second}", f"#{first}"]


def test_markdown_export_needs_a_folder(history: History) -> None:
    done = history.fleet.console("export", "--format", "markdown", check=False)
    assert done.returncode == 2 and "--output" in done.stderr


@pytest.mark.slow
def test_large_export_needs_little_more_memory_than_a_small_one(
    history: History, tmp_path: Path
) -> None:
    history.project("api")
    history.turns("api", [400 - number / 625 for number in range(25_000)], "words " * 64)
    exported = tmp_path / "exported"
    peaks = []
    for arguments in (["--since", "1m"], []):
        with exported.open("wb") as file:
            export = subprocess.Popen(
                [sys.executable, "-m", "commander", "export", *arguments],
                env=history.fleet.env() | {"PYTHONPATH": str(ROOT)},
                stdout=file,
            )
            _, status, usage = os.wait4(export.pid, 0)
        export.returncode = os.waitstatus_to_exitcode(status)
        assert export.returncode == 0
        peaks.append(usage.ru_maxrss)
    assert len(exported.read_text().splitlines()) == 50_001
    assert peaks[1] < peaks[0] * 1.5, peaks


# --- history.keep_days, applied once a day ---


def daily_prune(fleet: Fleet) -> None:
    """The process that the drainer starts, in this one."""
    assert daily.main(str(fleet.home)) == 0, fleet.log()


def test_a_drain_starts_a_prune_once_a_day_where_keep_days_is_set(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = history.fleet
    started: list[str] = []
    monkeypatch.setattr(daily, "_start", started.append)
    folder = make_repository(fleet.folder / "api")
    fleet.hook("session_start", {"session_id": "s", "cwd": str(folder)}, folder)
    fleet.drain()
    assert started == []  # everything is kept unless that is set
    fleet.console("config", "set", "history.keep_days", "30")
    fleet.drain()
    assert started == [str(fleet.home)]
    daily_prune(fleet)
    fleet.drain()
    assert len(started) == 1
    report = json.loads((fleet.home / "history.json").read_text())
    for pruned_at, is_due in ((ago(0.9), False), (ago(1.1), True), (ago(-400), True), (7, True)):
        written = report | {"pruned_at": pruned_at, "tried_at": ago(0.5)}
        (fleet.home / "history.json").write_text(json.dumps(written))
        started.clear()
        fleet.drain()
        assert bool(started) == is_due, pruned_at
    started.clear()
    (fleet.home / "history.json").write_text(json.dumps(report | {"pruned_at": ago(9)}))
    fleet.drain()
    assert started == []  # one began just now


def test_a_daily_prune_keeps_what_every_prune_keeps_and_frees_the_space(history: History) -> None:
    history.project("api")
    old = history.turns("api", [100 - number / 10 for number in range(100)], "words " * 600)
    waiting, unseen, recent = history.turns("api", [90, 50, 1])
    history.run(
        "UPDATE sessions SET state = 'blocked', state_at = ? WHERE briefing_id = ?",
        *(ago(1), waiting),
    )
    (event,) = history.run(
        "SELECT event_id FROM outbox_events WHERE briefing_id = ?", unseen
    ).fetchone()
    history.set_cursor(event - 1)
    fleet = history.fleet
    fleet.console("drain")
    size = space.bytes_on_disk(str(fleet.home))
    fleet.console("config", "set", "history.keep_days", "30")
    spool.make_folders(str(fleet.home))
    fleet.drain()  # which starts the real process
    for _ in range(3000):
        if daily.last_prune(str(fleet.home)).pruned_at:
            break
        time.sleep(0.02)
    assert history.briefings() == [waiting, unseen, recent] and len(old) == 100, fleet.log()
    assert space.bytes_on_disk(str(fleet.home)) < size / 2
    last = daily.last_prune(str(fleet.home))
    assert (last.briefings, last.trouble) == (100, "") and last.pruned_at >= last.tried_at
    assert history.run("PRAGMA freelist_count").fetchone()[0] == 0
    history.check()


def test_a_daily_prune_that_fails_says_so_and_is_tried_again_later(history: History) -> None:
    fleet = history.fleet
    fleet.console("config", "set", "history.keep_days", "30")
    with contextlib.closing(sqlite3.connect(history.path, isolation_level=None)) as other:
        other.execute("PRAGMA user_version = 999")
        assert daily.main(str(fleet.home)) == 1
        assert "history not pruned:" in fleet.log()
        assert "999" in daily.last_prune(str(fleet.home)).trouble
        other.execute(f"PRAGMA user_version = {migrate.latest_version()}")
    assert "The last time failed" in fleet.console("doctor", check=False).stdout
    daily_prune(fleet)
    assert daily.last_prune(str(fleet.home)).trouble == ""


def test_the_original_systems_file_is_rewritten_only_while_nothing_else_writes(
    fleet: Fleet,
) -> None:
    path = fleet.home / "fleet.db"
    path.parent.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA auto_vacuum = NONE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE filler (text)")
        connection.executemany("INSERT INTO filler VALUES (?)", [("x" * 4000,)] * 500)
        connection.execute("DELETE FROM filler WHERE rowid > 100")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        size = path.stat().st_size
        connection.execute("PRAGMA busy_timeout = 60000")
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            began = time.monotonic()
            assert space.give_back_gently(connection) == []
            assert path.stat().st_size == size and time.monotonic() - began < 30
            other.execute("ROLLBACK")
        space.give_back_gently(connection)
        assert path.stat().st_size < size / 2
        assert connection.execute("PRAGMA auto_vacuum").fetchone()[0] == 2
        assert connection.execute("SELECT count(*) FROM filler").fetchone()[0] == 100


def test_status_and_doctor_say_how_large_the_database_is(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = history.fleet
    history.project("api")
    history.turns("api", [100, 1])
    report = json.loads(fleet.console("status", "--json").stdout)["database"]
    assert report == {"bytes": report["bytes"], "keep_days": 0, "pruned_at": None}
    assert report["bytes"] >= history.path.stat().st_size
    assert "\nDatabase: " in fleet.console("status").stdout
    doctor = fleet.console("doctor", check=False).stdout
    assert f"Turns since {ago(100)[:10]} in " in doctor and "it was never pruned" in doctor
    monkeypatch.setattr("commander.doctor.history.LARGE_BYTES", 1000)
    advice = "fleet config set history.keep_days 180"
    assert advice in fleet.console("doctor", check=False).stdout
    fleet.console("db", "prune", "--older-than", "90d")
    fleet.console("config", "set", "history.keep_days", "90")
    doctor = fleet.console("doctor", check=False).stdout
    assert "history.keep_days is 90; it was last pruned just now." in doctor
    assert advice not in doctor
    assert ", 90 days are kept." in fleet.console("status").stdout


def test_a_restore_waits_for_a_prune_and_a_prune_never_begins_beside_it(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = history.fleet
    fleet.console("db", "backup")
    (backup,) = (fleet.home / "backups").glob("*.db")
    fleet.console("config", "set", "history.keep_days", "30")
    with open(paths.history_lock(str(fleet.home)), "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        daily_prune(fleet)
        assert daily.last_prune(str(fleet.home)).tried_at == ""
        monkeypatch.setattr("fleet_lib.store.restore.LOCK_SECONDS", 0.1)
        done = fleet.console("db", "restore", str(backup), check=False)
        assert done.returncode == 1 and "old history is being deleted" in done.stderr
    fleet.console("db", "restore", str(backup))
