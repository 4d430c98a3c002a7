"""The status as a person sees it, at any width: what needs you is whole and has its command."""

import io
import json
import subprocess
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from support import Fleet, make_repository
from test_attention import BLOCKED, headless, turn

from commander.cli import _cells
from commander.cli._display import Cell, Harmless, Line, Table
from commander.cli._facts import Facts
from commander.cli._listing import Listing, Row
from fleet_lib import clock
from fleet_lib.store import db
from fleet_lib.views.ids import shortest_id

QUESTION = "Shall I move the cart into the store, or keep it in the component and lift the state?"


def rendered(part: Listing | Table, width: int) -> list[str]:
    from rich.console import Console

    console = Console(file=io.StringIO(), width=width, markup=False)
    with console.capture() as captured:
        console.print(Harmless(part.rich(width)), end="")
    return captured.get().splitlines()


def rows(*given: tuple[str, str, str, str]) -> Listing:
    now = clock.now()
    return Listing(
        [
            Line(("Needs you",)),
            *(
                Row(name, title, state, now, f"fleet resume {at}a1b", text)
                for at, (name, title, state, text) in enumerate(given)
            ),
        ]
    )


LISTING = rows(
    ("api", "", "waiting_for_permission", "Bash: rm -rf build"),
    ("shop-frontend", "Refactor the cart component", "waiting_for_input", QUESTION),
    ("日本語プロジェクト", "データベース", "blocked", "テーブルとファイル、どちらを使いますか？🎉"),
    ("docs", "", "working", ""),
)


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_every_word_and_command_is_on_the_screen_at_any_width(width: int) -> None:
    lines = rendered(LISTING, width)
    assert max(map(cell_len, lines)) <= width
    whole = " ".join(" ".join(lines).split())
    assert "…" not in whole and QUESTION in whole
    for words in ("Bash: rm -rf build", "Refactor the cart component", "データベース", "🎉"):
        assert words in whole
    assert [f"fleet resume {at}a1b" in whole for at in range(4)] == [True] * 4
    if width > 60:
        commands = {
            cell_len(line.partition("fleet resume")[0]) for line in lines if "resume" in line
        }
        assert len(commands) == 1, "the columns are aligned, wide characters, too"
    assert len(lines) == (5 if width == 200 else len(lines))


def test_a_pipe_gets_each_row_whole_and_aligned() -> None:
    _, *lines = LISTING.plain()
    assert len(lines) == 4 and QUESTION in lines[1]
    assert len({cell_len(line.partition("fleet resume")[0]) for line in lines}) == 1
    table = Table(("id", "text"), [("日本", "x" * 900), ("#1", "y")])
    assert [cell_len(line.rpartition(" ")[0]) for line in list(table.plain())[1:]] == [5, 5]
    assert "x" * 900 in list(table.plain())[1]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_facts_of_a_page_are_whole_at_any_width(width: int) -> None:
    facts = Facts(
        (("state", Cell(f"asks you: {QUESTION}", "yellow")), ("no", Cell("")), ("id", Cell("s-1")))
    )
    lines = rendered(facts, width)
    assert max(map(cell_len, lines)) <= width and not any(line.endswith(" ") for line in lines)
    assert " ".join(" ".join(lines).split()) == f"state asks you: {QUESTION} id s-1"
    assert all(line.startswith(("state  ", "id     ", "       ")) for line in lines)
    assert list(facts.plain()) == [f"state  asks you: {QUESTION}", "id     s-1"]


def test_a_wrapped_line_goes_on_below_its_own_beginning() -> None:
    item = Line(
        ("  - ", Cell("要不要把旧的翻译文件删除？或者保留它们"), Cell(" or not?", "red")),
        wraps=True,
    )
    lines = rendered(item, 20)
    assert lines[0].startswith("  - 要") and len(lines) > 2
    assert all(line.startswith("    ") and cell_len(line) <= 20 for line in lines[1:])
    assert "".join(line.strip() for line in lines).startswith(
        "- 要不要把旧的翻译文件删除？或者保留它们"
    )


def test_an_empty_column_costs_nothing_and_the_cost_of_a_job_stays() -> None:
    assert rendered(Table((), [("api", "", "all of it")]), 20) == ["api  all of it"]
    headings = ("id", "when", "project", "type", "model", "status", "cost", "what")
    row = ("12", "just now", "shop-frontend", "worker_task", "sonnet", "completed", "$0.0312")
    table = Table(
        headings, [(*row, "Update the changelog for the last release")], ("type", "model")
    )
    line = rendered(table, 80)[1]
    assert "$0.0312" in line and "Update the changelog" in line and "worker_task" not in line
    assert "worker_task" in rendered(table, 120)[1]


@given(st.text(st.characters(exclude_categories=["C"]), max_size=60), st.integers(4, 40))
def test_wrapped_text_fits_and_loses_no_word(text: str, cells: int) -> None:
    lines = list(_cells.wrapped(text, cells, 200))
    assert all(_cells.width(line) <= cells for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert _cells.width(_cells.cut(text, cells)) <= cells
    wide = [char for char in text if unicodedata.east_asian_width(char) in "WF"]
    assert _cells.width(text) <= len(text) + len(wide)


def test_the_shortest_id_means_one_session_and_no_other_thing(fleet: Fleet) -> None:
    folder = make_repository(fleet.folder / "beef")
    ids = ("abcd1", "abcd2", "1234567-x", "e1234567-x", "beef-1", "0f0f0f0f", "59408224-8")
    for session in ids:
        turn(fleet, folder, session, BLOCKED)
    with db.connect_read_only(fleet.home / "fleet.db") as connection:
        short = {session: shortest_id(connection, session) for session in ids}
    assert short == {
        "abcd1": "abcd1",
        "abcd2": "abcd2",
        "1234567-x": "1234567-x",
        "e1234567-x": "e1234567-x",
        "beef-1": "beef-1",
        "0f0f0f0f": "0f0f",
        "59408224-8": "59408224",
    }
    for session, typed in short.items():
        line = fleet.console("resume", typed, "--print").stdout
        assert line.endswith(f" {session}\n")


def test_five_hundred_projects_do_not_bury_what_needs_you(fleet: Fleet, tmp_path: Path) -> None:
    headless(fleet, make_repository(fleet.folder / "api"), "s-1", BLOCKED)
    for number in range(500):
        fleet.rows(
            "INSERT INTO projects VALUES (?, ?, ?, NULL, 'active', ?, ?)",
            *(f"p{number}__0", f"p{number}", f"/p/{number}", clock.now(), clock.now()),
        )
    shown = fleet.console("status").stdout
    assert shown.count("\n") < 30 and "Projects: 501\n" in shown
    assert "and 491 more; `fleet projects list` shows all." in shown
    assert fleet.console("status", "--all").stdout.count("\n") > 500


@pytest.fixture
def home(fleet: Fleet) -> Fleet:
    turn(fleet, make_repository(fleet.folder / "api-svc"), "5e55a-1", "Shall I go on?")
    turn(fleet, make_repository(fleet.folder / "api-web"), "5e55b-2", "Done.")
    fleet.rows(
        "INSERT INTO jobs (job_id, ts_created, type, model, status, request_json)"
        " VALUES (3, ?, 'worker_task', 'sonnet', 'queued', '{\"prompt\": \"Tidy up\"}')",
        clock.now(),
    )
    return fleet


@pytest.mark.parametrize(
    ("id", "words", "key"),
    [
        ("1", "Briefing #1: ", "briefing_id"),
        ("#1", "Briefing #1: ", "briefing_id"),
        ("e1", "Briefing #1: ", "briefing_id"),
        ("job3", "Tidy up", "job_id"),
        ("5e55a", "Session 5e55a-1", "turns"),
        ("api-svc", "Project api-svc", "latest"),
        ("api-w", "Project api-web", "latest"),
    ],
)
def test_one_command_shows_whatever_an_id_stands_for(
    home: Fleet, id: str, words: str, key: str
) -> None:
    assert words in home.console("show", id).stdout
    record: dict[str, Any] = json.loads(home.console("show", id, "--json").stdout)
    assert key in record


@pytest.mark.parametrize(
    ("id", "message"),
    [
        ("5e55", "several sessions begin with '5e55': 5e55b-2, 5e55a-1; type more of it"),
        ("api", "several projects begin with 'api': api-web, api-svc; type more of it"),
        ("web", "no session or project begins with 'web' (did you mean 'api-web'?); an ID"),
        ("/nowhere/x", "there is no project in the folder /nowhere/x; run `fleet projects"),
        ("99", "there is no briefing 99; run `fleet briefings list` to see the latest"),
        ("nothing", "no session or project begins with 'nothing'; an ID is also a briefing"),
    ],
)
def test_an_id_that_is_not_clear_says_which_there_are(home: Fleet, id: str, message: str) -> None:
    done = home.console("show", id, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr and done.stderr.count("\n") == 1


def test_a_project_is_named_in_the_same_ways_everywhere(home: Fleet) -> None:
    root = home.folder / "api-svc"
    git = ("git", "-C", str(root), "worktree", "add", "-q", str(home.folder / "elsewhere"))
    subprocess.run(git, check=True, capture_output=True)
    (root / "deep").mkdir()
    plain = home.folder / "plain"
    (plain / "below").mkdir(parents=True)
    turn(home, plain, "plain-1", "Done.")
    (session,) = json.loads(home.console("sessions", "--project", "api-svc", "--json").stdout)
    names = [
        "API-SVC",
        "api-s",
        session["project_id"][:9],
        str(root / "deep"),
        f"{root}/deep/..",
        str(home.folder / "elsewhere"),
    ]
    for name in names:
        (found,) = json.loads(home.console("briefings", "--project", name, "--json").stdout)
        assert found["session_id"] == "5e55a-1", name
        shown = json.loads(home.console("show", name, "--json").stdout)
        assert shown["project"] == "api-svc", name
    for command in ("sessions list", "jobs list", "usage", "digest", "export"):
        home.console(*command.split(), "--project", "api-s")
    assert json.loads(home.console("projects", "show", "api-s", "--json").stdout)
    below = home.console("projects", "show", str(plain / "below"), "--json").stdout
    assert json.loads(below)["project"] == "plain"
    make_repository(plain / "unknown")
    for wrong, message in (
        ("api", "several projects begin with 'api': "),
        ("apisvc", "there is no project 'apisvc' (did you mean 'api-svc'"),
        (str(plain / "unknown"), f"there is no project in the folder {plain}/unknown;"),
    ):
        done = home.console("briefings", "--project", wrong, check=False)
        assert done.returncode == 1 and message in done.stderr, done.stderr


def test_a_number_that_is_also_a_name_says_both(fleet: Fleet) -> None:
    turn(fleet, make_repository(fleet.folder / "1"), "s-1", "Done.")
    done = fleet.console("show", "1", check=False)
    assert "'1' may be briefing #1, project 1__" in done.stderr
    assert "Briefing #1" in fleet.console("show", "#1").stdout


def test_lists_take_a_time(home: Fleet) -> None:
    home.rows("UPDATE outbox_events SET ts = ? WHERE event_id = 1", clock.ago(3 * 86400))
    for noun, everything in (("events", "4d"), ("jobs", "4d"), ("briefings", "4d")):
        before = json.loads(home.console(noun, "list", "--since", everything, "--json").stdout)
        assert len(before) == len(json.loads(home.console(noun, "list", "--json").stdout))
    events = json.loads(home.console("events", "list", "--since", "2d", "--json").stdout)
    assert 1 not in [event["event_id"] for event in events] and events
