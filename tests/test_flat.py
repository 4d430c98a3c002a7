"""Reading commands cost the same over any history: each statement is answered by an index. Proved by
the plans that SQLite makes of it, since times depend on the machine."""

import contextlib
import json
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import Fleet

from benchmarks import history
from fleet_lib import clock
from fleet_lib.prelude.live_sessions import count_needing
from fleet_lib.prelude.status_line import status_line
from fleet_lib.store import db, usage_rollups
from fleet_lib.store.briefings import BriefingRepo
from fleet_lib.store.relay import Member, RelayRepo
from fleet_lib.store.sessions import SessionRepo
from fleet_lib.store.usage_rates import By, Prices, Rate, UsageRateRepo
from fleet_lib.views.usage import usage_rows

COMMANDS = (
    *("status", "status --json", "projects list", "projects list --all", "prelude"),
    *("events list", "events list --after e10", "jobs list", "jobs list --status failed"),
    *("events list --project repo-3", "events list --project repo-3 --after e10 --since 1h"),
    *("events list --since 1h", "events list --machine box --project repo-3 --since 1h"),
    *("jobs list --project repo-3", "jobs list --project repo-3 --status queued", "jobs show 3"),
    *("briefings list", "briefings list --project repo-3", "briefings list --status failed"),
    *("briefings list --project repo-3 --status failed", "briefings list --impact major"),
    *(
        "briefings list --level highlight",
        "briefings list --since 1h",
        "briefings list --session s-2",
    ),
    *("briefings show 12", "briefings show e13", "briefings search zebra"),
    *("briefings search other", "briefings search refund parser", "briefings search oth"),
    *("briefings search other --status blocked", "briefings search other --project repo-3"),
    *(
        "sessions list",
        "sessions list --state failed",
        "sessions list --state ended",
        "sessions show s-3",
    ),
    *("digest --since 1h", "show 12", "show e40", "show s-3"),
    *("status --machine box", "projects list --machine box", "events list --machine box"),
    *("briefings list --machine box", "briefings list --machine box --project repo-3"),
    *("briefings list --machine laptop", "briefings search other --machine box"),
    *("sessions list --machine box", "digest --since 1h --machine box"),
    *("usage", "usage --by model", "usage --since 1d", "usage --project repo-3"),
    *("usage --by project", "usage --by session", "usage --by session --project repo-3"),
    "resume 12 --print",
)

# Tables that do not grow with history, by name or by the alias that the statements give them; `e`
# are the events of a few given ids, `d` the days of a report.
_SMALL = {
    *("projects", "p", "conversations", "client_folders", "job_hold", "usage_rates", "usage_kinds"),
    *("relay_self", "relay_machines"),
    *(
        "d",
        "e",
        "k",
        "r",
        "json_each",
        "search_progress",
        "search_changes",
        "sqlite_master",
        "CONSTANT",
    ),
}
# The newest or oldest rows of a table, in an order that is the table's own or an index's.
_ENDS = re.compile(
    r"FROM \w+ (?:s )?(?:INDEXED BY \w+ )?(?:WHERE (?:NULL IS NULL|1|1 AND 1) )?(?:ORDER BY (?:\w+|ifnull\([\w, ]+\)) (?:ASC|DESC)"
    r"(?:, \w+ DESC)? )?LIMIT \d+",
)
# Lists of sessions in the order of these: of those that live, and of those that ended, which most
# have.
_ENDS_BY_INDEX = ("USING INDEX sessions_living", "USING INDEX sessions_by_time")


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every statement that is executed."""
    found: list[str] = []
    connect: Callable[..., sqlite3.Connection] = sqlite3.connect

    def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*arguments, **options)
        connection.set_trace_callback(found.append)
        return connection

    for module in (sqlite3, db.sqlite3):  # the second is the C half of the first
        monkeypatch.setattr(module, "connect", traced)
    yield found
    monkeypatch.undo()


@pytest.fixture
def filled(fleet: Fleet) -> Fleet:
    history.fill(fleet.home, 400)
    with contextlib.closing(db.connect(fleet.home / "fleet.db")) as made, db.transaction(made):
        member = Member("laptop", "owner", "0" * 16, "", "nats://127.0.0.1", ("*",), clock.now())
        RelayRepo(made).save_member(member)
        RelayRepo(made).hear("box", "1" * 16, clock.now())
    return fleet


def scans(home: Path, statements: list[str]) -> list[str]:
    """What SQLite would read whole for these statements, of tables that grow."""
    found = []
    connection = sqlite3.connect(home / "fleet.db")
    for sql in statements:
        text = " ".join(sql.split())
        if not text.startswith(("SELECT", "WITH")):
            continue
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")]
        is_sorted = any("TEMP B-TREE FOR ORDER BY" in step for step in plan)
        for step in plan:
            # `SEARCH t` without an index is the highest value of a column, looked for in each row.
            kind, _, rest = step.partition(" ")
            table = rest.split(" ")[0]
            is_whole = kind == "SCAN" or (kind == "SEARCH" and "USING" not in step)
            if not is_whole or table in _SMALL or table.startswith(("search_fts", "(")):
                continue
            if step.endswith(_ENDS_BY_INDEX) and "LIMIT" in text:
                continue
            if not re.search(rf"(?:FROM|JOIN) (?:\w+ (?:AS )?)?{table}\b", text):
                continue  # a subquery's name: what it reads has a step of its own
            if "max(event_id)" in text and step == "SEARCH outbox_events":
                continue  # its last row
            if "search_fts" in table or (_ENDS.search(text) and not is_sorted):
                continue
            found.append(f"{step}: {text[:300]}")
    connection.close()
    return found


def test_no_reading_command_scans_a_table_that_grows(filled: Fleet, statements: list[str]) -> None:
    found = {}
    for command in COMMANDS:
        statements.clear()
        filled.console(*command.split())
        assert statements, command
        if scanned := scans(filled.home, list(statements)):
            found[command] = scanned
    assert found == {}


def test_neither_does_what_a_prompt_and_the_status_line_ask(
    filled: Fleet, statements: list[str]
) -> None:
    # Their connections are of SQLite's C half, so what they ask is asked here through the library.
    assert "new" in status_line(str(filled.home))
    with db.connect_read_only(filled.home / "fleet.db") as connection:
        SessionRepo(connection).beginning_with("s-1", 5)
        UsageRateRepo(connection).client_cost("s-1")
        BriefingRepo(connection).get_high_doc_drift_risk()
        usage_rows(connection, "day", [])
    assert scans(filled.home, list(statements)) == []


def plan_of(home: Path, sql: str) -> list[str]:
    with contextlib.closing(sqlite3.connect(home / "fleet.db")) as connection:
        return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")]


def test_sessions_that_wait_are_looked_for_among_those_of_the_last_days(
    filled: Fleet, statements: list[str]
) -> None:
    filled.console("status")
    with db.connect_read_only(filled.home / "fleet.db") as connection:
        count_needing(connection)
    found = [sql for sql in statements if "s.state_at > '" in sql and "s.session_id =" not in sql]
    assert len(found) >= 4  # those that need you, are left open, are hidden; and how many need you
    for sql in found:
        assert any("sessions_open" in step for step in plan_of(filled.home, sql)), sql


@pytest.mark.parametrize(
    ("command", "beginning", "index"),
    [
        # No briefing has failed, and all are of this machine.
        (
            "briefings list --machine - --status failed",
            "SELECT * FROM briefings",
            "briefings_by_status",
        ),
        (
            "briefings list --impact major --status blocked",
            "SELECT * FROM briefings",
            "briefings_by_impact",
        ),
        (
            "briefings list --level mention --since 1h",
            "SELECT * FROM briefings",
            "briefings_by_level",
        ),
        ("sessions list --machine - --state live", "SELECT s.*", "sessions_living"),
        ("sessions list --machine - --state failed", "SELECT s.*", "sessions_by_state"),
        ("jobs list --since 300d", "SELECT * FROM jobs", "jobs_by_time"),
        ("jobs list --since 300d --status queued", "SELECT * FROM jobs", "jobs_by_status"),
    ],
)
def test_a_list_with_several_filters_is_read_along_the_one_with_the_fewest_rows(
    fleet: Fleet, statements: list[str], command: str, beginning: str, index: str
) -> None:
    history.fill(fleet.home, 3000)
    with contextlib.closing(db.connect(fleet.home / "fleet.db")) as made, db.transaction(made):
        member = Member("laptop", "owner", "0" * 16, "", "nats://127.0.0.1", ("*",), clock.now())
        RelayRepo(made).save_member(member)
    statements.clear()
    assert fleet.console(*command.split(), "--json").returncode == 0
    (*_, sql) = [sql for sql in statements if sql.startswith(beginning)]
    steps = plan_of(fleet.home, sql)
    assert f"INDEX {index}" in steps[0]
    if "--status queued" not in command:  # of few rows that is no matter
        assert not any("TEMP B-TREE FOR ORDER BY" in step for step in steps)


def test_a_list_of_projects_shows_the_last_active_ones_and_how_many_more_there_are(
    fleet: Fleet,
) -> None:
    history.fill(fleet.home, 400, projects=63)
    shown = fleet.console("projects", "list").stdout.splitlines()
    assert len(shown) == 1 + 50 + 1
    assert "13 more are left out (--limit N shows more)" in shown[-1]
    assert len(fleet.console("projects", "list", "-n", "63").stdout.splitlines()) == 1 + 63
    records = json.loads(fleet.console("projects", "list", "--json").stdout)
    times = [record["last_briefing_at"] for record in records]
    assert len(records) == 63 and times == sorted(times, reverse=True)
    assert [line.split()[0] for line in shown[1:51]] == [
        record["project_id"] for record in records[:50]
    ]
    some = json.loads(fleet.console("projects", "list", "--json", "-n", "3").stdout)
    assert some == records[:3]


def test_the_check_finds_a_scan(filled: Fleet) -> None:
    for sql in (
        "SELECT * FROM briefings WHERE branch = 'x' ORDER BY ended_at DESC LIMIT 20",
        "SELECT max(head_at) FROM sessions",
        "SELECT count(*) FROM briefings GROUP BY status",
    ):
        assert scans(filled.home, [sql]), sql


def test_usage_by_the_quarter_is_the_sum_of_all_turns(fleet: Fleet) -> None:
    history.fill(fleet.home, 400)
    connection = db.connect(fleet.home / "fleet.db")
    columns = "input_tokens, output_tokens, cache_write_1h_tokens"
    with db.transaction(connection):
        connection.execute("UPDATE usage_sums SET output_tokens = output_tokens * 2")
        connection.execute("DELETE FROM usage_sums WHERE sum_id % 3 = 0")
        connection.execute(
            "INSERT OR REPLACE INTO usage_sums VALUES (900, 's', 't', NULL, 7, 2, 1, 2, 3, 4, 5)"
        )
    sums = ", ".join(f"sum({name})" for name in columns.split(", "))
    expected = connection.execute(
        f"SELECT kind_id, quarter, {sums} FROM usage_sums GROUP BY kind_id, quarter"
    ).fetchall()
    stored = connection.execute(
        f"SELECT kind_id, quarter, {columns} FROM usage_quarters"
        " WHERE output_tokens > 0 ORDER BY kind_id, quarter"
    ).fetchall()
    assert [tuple(row) for row in stored] == [tuple(row) for row in expected]
    connection.close()


TOKENS = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
USD = Prices(3.0, 15.0, 0.3, 3.75, 6.0)


def change_usage(connection: sqlite3.Connection) -> list[Rate]:
    """Sums of varied sizes and projects, changed in every way; rates of two times."""
    change = connection.execute("SELECT max(quarter) FROM usage_sums").fetchone()[0] // 96 * 96
    with db.transaction(connection):
        connection.execute(
            "UPDATE usage_sums SET output_tokens = sum_id * 7919 % 1000,"
            " cache_write_1h_tokens = sum_id % 13, quarter = quarter - sum_id % 5 * 1000"
        )
        connection.execute("UPDATE usage_sums SET project_id = NULL WHERE sum_id % 11 = 0")
        connection.execute("DELETE FROM usage_sums WHERE sum_id % 7 = 0")
        for session_id in ("late", "later"):  # a sum comes before its session is known
            connection.execute(
                "INSERT OR IGNORE INTO usage_sums VALUES (NULL, ?, 't', NULL, ?, 2, 1, 2, 3, 4, 5)",
                (session_id, change + 7),
            )
        connection.execute(
            "INSERT INTO sessions (session_id, project_id, folder, state, state_at, detail,"
            " last_seen_at) SELECT 'late', 'repo-1__00000000', '', 'working', '', '', ''"
        )
        connection.execute("DELETE FROM sessions WHERE session_id = 's-3'")
        connection.execute("DELETE FROM usage_quarters")  # no program moves a sum in time
        connection.execute(
            "INSERT INTO usage_quarters SELECT kind_id, quarter, sum(input_tokens),"
            " sum(output_tokens), sum(cache_read_tokens), sum(cache_write_5m_tokens),"
            " sum(cache_write_1h_tokens) FROM usage_sums GROUP BY kind_id, quarter"
        )
    dear = Prices(*(2 * price for price in USD))
    end = 1 << 40
    return [
        Rate(1, 0, change, USD, "1", ""),
        Rate(1, change, end, dear, "1", ""),
        Rate(2, 0, change, Prices(), "1", ""),  # a model that the library did not know then
        Rate(2, change, end, USD, "1", ""),
    ]


def summed(rows: list[tuple[str, int, int, tuple[int, ...]]], rates: list[Rate]) -> dict[str, Any]:
    """{key: (tokens, USD)} of (key, kind, quarter, tokens), added one by one."""
    found: dict[str, Any] = {}
    for key, kind, quarter, tokens in rows:
        usd = sum(
            sum(n * price for n, price in zip(tokens, rate.usd, strict=True) if price) / 1e6
            for rate in rates
            if rate.kind_id == kind and rate.from_quarter <= quarter < rate.to_quarter
        )
        before = found.get(key, (0, 0.0))
        found[key] = (before[0] + sum(tokens), before[1] + usd)
    return {
        key: (number, pytest.approx(usd, abs=2e-6))
        for key, (number, usd) in found.items()
        if number
    }


@pytest.mark.parametrize("by", ["day", "project", "model", "session", "all"])
def test_usage_is_the_sum_of_all_turns_however_it_is_asked_for(fleet: Fleet, by: By) -> None:
    history.fill(fleet.home, 2000, 4)
    connection = db.connect(fleet.home / "fleet.db")
    rates = change_usage(connection)
    key = {
        "day": "strftime('%Y-%m-%d', quarter * 900, 'unixepoch', 'localtime')",
        "project": "ifnull(project_id, '')",
        "model": "model",
        "session": "session_id",
        "all": "''",
    }[by]
    columns = ", ".join(f"{name}_tokens" for name in TOKENS)
    newest = connection.execute("SELECT max(quarter) FROM usage_sums").fetchone()[0]
    for project in (None, "repo-2__00000000"):
        for since, until in ((None, None), (newest - 999, None), (newest - 3001, newest - 1)):
            rows = connection.execute(
                f"SELECT {key}, kind_id, quarter, {columns} FROM usage_sums JOIN usage_kinds"
                " USING (kind_id) WHERE ifnull(project_id = :project, :project IS NULL)"
                " AND quarter >= ifnull(:since, 0) AND quarter < ifnull(:until, 1 << 40)",
                {"project": project, "since": since, "until": until},
            ).fetchall()
            expected = summed([(*row[:3], tuple(row[3:])) for row in rows], rates)
            found = UsageRateRepo(connection).rows(
                by, rates, since_quarter=since, until_quarter=until, project_id=project
            )
            tokens = {
                row.key: row.input_tokens
                + row.output_tokens
                + row.cache_read_tokens
                + row.cache_write_tokens
                for row in found
            }
            assert tokens == {key: number for key, (number, _) in expected.items()}
            prices = UsageRateRepo(connection).rows(
                by, rates, since_quarter=since, until_quarter=until, project_id=project
            )
            assert {row.key: row.usd or 0.0 for row in prices} == {
                key: usd for key, (_, usd) in expected.items()
            }
    connection.close()


def test_the_dearest_sessions_are_found_among_all(fleet: Fleet) -> None:
    history.fill(fleet.home, 1500, 3)
    connection = db.connect(fleet.home / "fleet.db")
    rates = change_usage(connection)
    for project in (None, "repo-2__00000000", "repo-9"):
        every = usage_rows(connection, "session", rates, project_id=project)
        for limit in (1, 5, 30, 1000):
            some = usage_rows(connection, "session", rates, project_id=project, limit=limit)
            assert [row.usd for row in some[:limit]] == [row.usd for row in every[:limit]]
    connection.close()
    shown = fleet.console("usage", "--by", "session", "--limit", "7").stdout
    assert "more are left out (--limit N shows more)" in shown
    assert len(json.loads(fleet.console("usage", "--by", "session", "--json").stdout)) > 50


def test_the_check_finds_wrong_sums_of_usage_and_makes_them_anew(fleet: Fleet) -> None:
    history.fill(fleet.home, 400)
    connection = db.connect(fleet.home / "fleet.db")
    change_usage(connection)
    assert usage_rollups.problems(connection) == []
    with db.transaction(connection):
        connection.execute("UPDATE usage_rollups SET output_tokens = 1 WHERE quarters = 96")
        connection.execute("DELETE FROM usage_sessions WHERE session_id = 's-1'")
    assert "sums by hour, day or session are wrong" in usage_rollups.problems(connection)[0]
    assert (
        "sums by hour, day or session are wrong" in fleet.console("db", "check", check=False).stdout
    )
    assert "usage" not in fleet.console("db", "check", "--fix", check=False).stdout
    assert usage_rollups.problems(connection) == []
    connection.close()


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/Sao_Paulo"])
def test_a_day_of_usage_is_the_local_day(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    history.fill(fleet.home, 8000)
    connection = db.connect(fleet.home / "fleet.db")
    connection.execute("UPDATE usage_sums SET quarter = quarter - sum_id % 3 * 20000")
    connection.execute("DELETE FROM usage_quarters")
    connection.execute(
        "INSERT INTO usage_quarters SELECT kind_id, quarter, sum(input_tokens), sum(output_tokens),"
        " 0, 0, 0 FROM usage_sums GROUP BY kind_id, quarter"
    )
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        for since in (None, 1_940_000):
            rows = UsageRateRepo(connection).rows("day", [], since_quarter=since)
            expected = connection.execute(
                "SELECT strftime('%Y-%m-%d', quarter * 900, 'unixepoch', 'localtime') AS day,"
                " sum(output_tokens) FROM usage_sums WHERE quarter >= ? GROUP BY day",
                (since or 0,),
            ).fetchall()
            assert {row.key: row.output_tokens for row in rows} == dict(map(tuple, expected))
    finally:
        monkeypatch.undo()
        time.tzset()
        connection.close()


def test_since_is_when_the_turn_ended(fleet: Fleet) -> None:
    history.fill(fleet.home, 400)
    connection = db.connect(fleet.home / "fleet.db")
    times = [
        row[0]
        for row in connection.execute("SELECT ended_at FROM briefings ORDER BY ended_at DESC")
    ]
    with db.transaction(connection):  # captured late: it waited in the spool
        connection.execute("UPDATE briefings SET created_at = '2999-01-01T00:00:00.000Z'")
    found = BriefingRepo(connection).query(since=times[4])
    assert [briefing.ended_at for briefing in found] == times[:5]
    connection.close()


def test_a_sessions_beginning_is_taken_literally(fleet: Fleet) -> None:
    history.fill(fleet.home, 4000)
    connection = db.connect(fleet.home / "fleet.db")
    repo = SessionRepo(connection)
    assert {session.session_id for session in repo.beginning_with("s-12", 50)} == {
        *("s-12", *(f"s-12{digit}" for digit in range(10)))
    }
    assert repo.beginning_with("s_", 5) == [] and repo.beginning_with("%", 5) == []
    connection.close()
