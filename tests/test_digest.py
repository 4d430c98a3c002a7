"""`fleet digest`: what happened, by day and project, as a note that a person can paste."""

import contextlib
import itertools
import json
import random
import sqlite3
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from rich.cells import cell_len
from support import Fleet, make_repository
from test_attention import ASKING, BLOCKED, QUESTION, end, turn
from test_console_look import SGR, run_in_terminal

from fleet_lib import clock
from fleet_lib.store import db
from fleet_lib.views import digest as digest_view


class World:
    """A database with turns at any time, as ingest stores them."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.connection: sqlite3.Connection = db.connect(fleet.home / "fleet.db")
        self.connection.execute("PRAGMA synchronous = OFF")
        self.numbers = itertools.count(1)

    def turn(
        self,
        summary: str,
        *,
        project: str = "api",
        days: float = 0,
        session: str = "",
        status: str = "completed",
        impact: str = "minor",
        files: tuple[str, ...] = ("a.py",),
        **more: Any,
    ) -> int:
        """A turn that ended at noon so many days ago, each a second after the one before it."""
        number = next(self.numbers)
        noon = datetime.now().astimezone().replace(hour=12, minute=0, second=0, microsecond=0)
        ended = clock.of_seconds((noon - timedelta(days=days)).timestamp() + number)
        session = session or f"s{number}"
        with db.transaction(self.connection):
            self.connection.execute(
                "INSERT OR IGNORE INTO projects (project_id, repo_name, repo_root, created_at,"
                " updated_at) VALUES (?1, ?1, '/x', '', '')",
                (project,),
            )
            briefing = self.connection.execute(
                "INSERT INTO briefings (project_id, session_id, task_id, status, ended_at,"
                " impact_level, files_touched_json, docs_touched_json, next_steps_json,"
                " base_commit, head_commit, raw_markdown, created_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', ?)",
                (
                    *(project, session, f"k{number}", status, ended, impact),
                    *(json.dumps(files), json.dumps(more.get("docs", []))),
                    *(json.dumps(more.get("next_steps", [])), "b", more.get("head", "b"), ended),
                ),
            ).lastrowid
            self.connection.execute(
                "INSERT INTO turns (session_id, turn_key, briefing_id, revision, summary, meaning,"
                " source, facts_partial, warnings_json, question, title, stopped_at)"
                " VALUES (?, ?, ?, 1, ?, 'm', 'message', 0, '[]', ?, ?, ?)",
                (
                    *(session, f"k{number}", briefing, summary),
                    *(more.get("question"), more.get("title"), ended),
                ),
            )
        assert briefing is not None
        return briefing

    def stale(self, *docs: str, days: float = 0, project: str = "api") -> None:
        noon = datetime.now().astimezone().replace(hour=12, minute=0, second=0, microsecond=0)
        ts = clock.of_seconds((noon - timedelta(days=days)).timestamp() + next(self.numbers))
        self.connection.execute(
            "INSERT INTO outbox_events (ts, type, project_id, broadcast_level, payload_json)"
            " VALUES (?, 'doc_drift_warning', ?, 'highlight', ?)",
            (ts, project, json.dumps({"docDrift": {"docs": docs, "sources": ["a.py"]}})),
        )

    def note(self, *arguments: str) -> str:
        return self.fleet.console("digest", *arguments).stdout

    def report(self, *arguments: str) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(self.note("--json", *arguments))
        return report


@pytest.fixture
def world(fleet: Fleet) -> Iterator[World]:
    made = World(fleet)
    with contextlib.closing(made.connection):
        yield made


def day(days: int) -> str:
    return f"{datetime.now() - timedelta(days=days):%Y-%m-%d}"


def test_bytes_that_are_no_text_cost_no_turn(world: World) -> None:
    world.turn("Added refunds", session="s1")
    number = world.turn("Added the export", session="s2")
    world.connection.execute(
        "UPDATE turns SET summary = CAST(x'41ff42' AS TEXT) WHERE briefing_id = ?", (number,)
    )
    (project,) = world.report()["days"][0]["projects"]
    assert [item["text"] for item in project["done"]] == ["Added refunds", "A\ufffdB"]


def test_a_note_of_real_turns_says_what_was_done_and_what_waits(fleet: Fleet) -> None:
    api, web = (make_repository(fleet.folder / name) for name in ("api", "web"))
    turn(fleet, api, "s-1", "```briefing\nsummary: Added refunds\nimpact_level: minor\n```")
    turn(fleet, api, "s-2", "All green.")
    turn(fleet, web, "s-3", ASKING)
    turn(fleet, web, "s-4", BLOCKED)
    end(fleet, web, "s-4")
    note = fleet.console("digest").stdout
    assert "Needs you: 1" in note and f"web asks you: {QUESTION} (fleet resume s-3)" in note
    assert "web blocked: the staging key (fleet resume s-4)" in note
    assert "  api  2 turns\n    - Added refunds (#1)\n    - and 1 small turn\n" in note
    assert note.count(QUESTION) == 1
    turn(
        fleet,
        make_repository(fleet.folder / "电子商务前端"),
        "s-5",
        "旧的翻译文件" * 9 + "要不要删除？",
    )
    lines = fleet.console("digest", "--project", "电子").stdout.splitlines()
    waits = lines[lines.index("Needs you: 1") + 1 :][:3]
    assert all(cell_len(line) <= 80 for line in lines)
    assert [line[:4] for line in waits] == ["  - ", "    ", "    "], "below its own beginning"
    assert waits[-1] == "    (fleet resume s-5)", "a command is not wrapped"
    # With an end there is no now: what waited stands in its day.
    assert "Nothing happened" in fleet.console("digest", "--until", "today").stdout
    markdown = fleet.console("digest", "--markdown", "--project", "api").stdout
    assert "**api** (2 turns)\n\n- Added refunds (#1)\n" in markdown and "web" not in markdown


def test_an_empty_digest_says_so(fleet: Fleet, world: World) -> None:
    assert world.note().endswith("Nothing happened in this time.\n")
    report = world.report("--since", "monday")
    assert (report["days"], report["needs_you"], report["usage"]) == ([], [], None)
    done = fleet.console("digest", "--since", "today", "--until", "yesterday", check=False)
    assert done.returncode == 2 and "--until is not after --since" in done.stderr


def test_the_same_words_are_one_item_and_small_turns_are_counted(world: World) -> None:
    for words in ("Added refunds", "Added refunds.", "Added refunds. Fixed the retry.", "Tests!"):
        world.turn(words, title="Refunds")
    for _ in range(3):
        world.turn("It uses two providers.", impact="trivial", files=())
    (project,) = world.report()["days"][0]["projects"]
    assert [item["text"] for item in project["done"]] == [
        *("Added refunds. Fixed the retry.", "Refunds: Tests!"),
    ]
    assert (project["turns"], project["small"], project["files"]) == (7, 3, 1)
    # Where nothing else was done, the small turns are what is to say.
    world.turn("It uses two providers.", impact="trivial", files=(), project="web")
    assert "  web  1 turn\n    - It uses two providers. (#8)\n" in world.note("--project", "web")


def test_what_went_on_is_not_named_as_open_or_failed(world: World) -> None:
    world.turn("Which one?", session="a", status="waiting_for_input", question="Which one?",
               title="Choose a provider")  # fmt: skip
    world.turn("Took the new one.", session="a")
    world.turn("Rate limit", session="b", status="failed", files=())
    world.turn("Rate limit reached", session="c", status="failed", files=(), project="web")
    world.turn("Went on.", session="b")
    projects = {one["project"]: one for one in world.report("--since", "2d")["days"][0]["projects"]}
    assert projects["api"]["open"] == projects["api"]["failed"] == []
    assert [item["text"] for item in projects["api"]["done"]] == [
        *("Choose a provider", "Took the new one.", "Went on."),
    ]
    assert [item["text"] for item in projects["web"]["failed"]] == ["Rate limit reached"]
    world.turn(
        "Timed out", session="d", status="failed", files=(), impact="trivial", project="docs"
    )
    world.turn("Hi, what shall I do?", session="d", question="what shall I do?", title="hi",
               files=(), impact="trivial", project="docs")  # fmt: skip
    world.turn("Looked.", session="d", files=(), impact="trivial", project="docs", title="Look")
    (docs,) = world.report("--project", "docs")["days"][0]["projects"]
    assert [item["text"] for item in docs["small_turns"]] == ["hi", "Look: Looked."]
    assert docs["small"] == 3, "one that failed and was tried again is only counted"
    assert "- Failed: Rate limit reached (#4)" in world.note()


def test_stale_documents_next_steps_and_failed_jobs_are_named(world: World) -> None:
    world.turn("Changed the API.", head="c", next_steps=["Write the docs.", "Tell ops"])
    world.stale("docs/api.md", "README.md")
    world.turn("Updated the README.", docs=("README.md",), files=("README.md",))
    world.connection.execute(
        "INSERT INTO jobs (ts_created, ts_finished, type, project_id, model, status, request_json,"
        " error) SELECT ended_at, ended_at, 'worker_task', 'api', 'opus', 'failed', '{}',"
        " 'no credit left' FROM briefings LIMIT 1"
    )
    note = world.note()
    assert "  api  2 turns, 2 files, 1 with commits\n" in note
    assert "    - Stale: docs/api.md\n" in note and "- Failed: no credit left (job1)" in note
    assert "    - Next: Write the docs; Tell ops\n" in note


def test_days_are_local_days_and_the_newest_comes_first(world: World) -> None:
    for days in (0, 1, 5, 40):
        world.turn(f"Work of {days} days ago.", days=days)
    assert [one["day"] for one in world.report()["days"]] == [day(0), day(1)]
    assert [one["day"] for one in world.report("--since", "60d")["days"]] == [
        day(days) for days in (0, 1, 5, 40)
    ]
    only = world.report("--since", "6d", "--until", "yesterday")["days"]
    assert [one["day"] for one in only] == [day(5)]


def test_a_long_time_and_a_large_fleet_are_told_in_few_lines(
    fleet: Fleet, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(900):
        words = f"Change number {number} of a very long summary " + "that goes on " * (number % 12)
        world.turn(words, project=f"project-{number % 30}", days=number % 20)
    note = world.note("--since", "30d")
    assert len(note.splitlines()) < 250 and "Before that:" in note and " and 27 more" not in note
    assert max(cell_len(line) for line in note.splitlines()) <= 80
    assert len(world.note("--since", "2d").splitlines()) < 120
    screen = SGR.sub("", run_in_terminal(fleet, "--no-pager", "digest", columns=60))
    assert max(cell_len(line) for line in screen.splitlines()) <= 60
    monkeypatch.setattr("fleet_lib.views.digest.TURNS", 100)
    report = world.report("--since", "30d")
    assert sum(p["turns"] for one in report["days"] for p in one["projects"]) == 100
    assert report["read_since"] > report["since"]


def test_markdown_shows_names_as_they_are(world: World) -> None:
    world.turn("Renamed __init__.py and *args to <b>x</b>")
    note = world.note("--markdown")
    assert "- Renamed `__init__.py` and `*args` to ‹b›x‹/b› (#1)" in note
    assert note.startswith("# ") and "\n## " in note


def test_usage_of_the_time_is_one_line(world: World) -> None:
    world.turn("Worked.")
    noon = datetime.now().astimezone().replace(hour=12, minute=0, second=0, microsecond=0)
    world.connection.execute("INSERT INTO usage_kinds VALUES (1, 'claude-x', 'standard', 0)")
    for days, tokens in ((0, 1000), (3, 500)):
        quarter = int((noon - timedelta(days=days)).timestamp()) // 900
        world.connection.execute(
            "INSERT INTO usage_sums (session_id, turn_key, project_id, quarter, kind_id,"
            " input_tokens, output_tokens, cache_read_tokens, cache_write_5m_tokens,"
            " cache_write_1h_tokens) VALUES ('s', ?, 'api', ?, 1, ?, 0, 0, 0, 0)",
            (str(days), quarter, tokens),
        )
    assert "Used: 1.0k tokens, no list price is known." in world.note("--since", "today")
    assert world.report("--since", "5d", "--until", "yesterday")["usage"]["input_tokens"] == 500
    assert world.report("--since", "5d", "--project", "api")["usage"]["input_tokens"] == 1500


def test_of_many_turns_with_the_same_words_the_last_and_longest_stay() -> None:
    draw = random.Random(7)
    for _ in range(300):
        texts = [
            " ".join(draw.choices(("a", "b", "ab", "ünï", "9"), k=draw.randrange(1, 5)))
            for _ in range(draw.randrange(1, 25))
        ]
        turns = [a_turn(number, text) for number, text in enumerate(texts)]
        expected = [
            number
            for number, text in enumerate(texts)
            if text not in texts[number + 1 :]
            and not any(other.startswith(f"{text} ") for other in texts)
        ]
        found = [item["briefing_id"] for item in digest_view._without_duplicates(turns)]
        assert found == expected, texts


def a_turn(number: int, text: str) -> digest_view._Turn:
    fields = dict.fromkeys(digest_view._Turn.__annotations__, "")
    return digest_view._Turn(**fields | {"briefing_id": number, "title": text})  # type: ignore[arg-type]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/Sao_Paulo", "Europe/Berlin"])
def test_a_turn_is_of_its_local_day_however_many_were_asked_for(
    monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        begin = 1_761_400_000  # before the clocks change in Berlin
        times = [clock.of_seconds(begin + 1_111 * step) for step in range(400)]
        days = digest_view._Days()
        for moment in (*times, "no time", *reversed(times), "2026-11-25", "9999-12-31T23:59:59Z"):
            assert days.of(moment) == digest_view.local_day(moment), moment
    finally:
        monkeypatch.undo()
        time.tzset()
