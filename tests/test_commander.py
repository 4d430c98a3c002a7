"""What the real hooks show to the Commander: the events after its own cursor, each once. Only a
finished turn moves the cursor."""

import json
import threading
from typing import Any

import pytest
from support import Fleet, make_repository

from fleet_lib.prelude import commander
from fleet_lib.prelude.commander import commander_prompt
from fleet_lib.prelude.database import open_database
from fleet_lib.store import db
from fleet_lib.store.outbox import OutboxRepo


def add_briefing(fleet: Fleet, number: int, status: str = "completed") -> None:
    """A worker's finished turn, captured and ingested."""
    project = fleet.folder / f"repo-{number % 3}"
    project.mkdir(exist_ok=True)
    call = {
        "session_id": f"worker-{number}",
        "prompt_id": f"worker-prompt-{number}",
        "last_assistant_message": f"```briefing\nstatus: {status}\nsummary: Turn {number}\n"
        "impact_level: minor\n```",
    }
    fleet.hook("stop", call, project)
    fleet.drain()


def call(session: str = "commander-1", **more: Any) -> dict[str, Any]:
    return {"session_id": session, **more}


def start(fleet: Fleet, source: str = "startup", session: str = "commander-1") -> str:
    done = fleet.hook("session_start", call(session, source=source), fleet.home)
    return fleet.context(done)


def prompt(fleet: Fleet, prompt_id: str, session: str = "commander-1") -> str:
    data = call(session, prompt_id=prompt_id, prompt="what is new?")
    return fleet.context(fleet.hook("user_prompt_submit", data, fleet.home))


def stop(fleet: Fleet, prompt_id: str, session: str = "commander-1", drain: bool = True) -> None:
    data = call(session, prompt_id=prompt_id, last_assistant_message="Two things.")
    fleet.hook("stop", data, fleet.home)
    if drain:
        fleet.drain()


def cursor(fleet: Fleet) -> int:
    rows = fleet.rows("SELECT last_outbox_event_id_seen FROM conversations WHERE kind='commander'")
    return int(rows[0][0]) if rows else 0


@pytest.fixture
def fleet_with_news(fleet: Fleet) -> Fleet:
    """A home with two briefings, one of them blocked."""
    add_briefing(fleet, 1)
    add_briefing(fleet, 2, "blocked")
    return fleet


def test_new_context_gets_the_recap_and_its_first_prompt_nothing(fleet_with_news: Fleet) -> None:
    recap = start(fleet_with_news)
    assert "Projects:" in recap
    assert "Turn 1" in recap and "blocked: Turn 2" in recap
    assert prompt(fleet_with_news, "p1") == ""


def test_prompt_gets_only_what_is_new(fleet_with_news: Fleet) -> None:
    start(fleet_with_news)
    stop(fleet_with_news, "p1")
    add_briefing(fleet_with_news, 3)
    delta = prompt(fleet_with_news, "p2")
    assert "Turn 3" in delta
    assert "Turn 1" not in delta and "Turn 2" not in delta
    assert "Projects:" not in delta


def test_only_a_stop_moves_the_cursor(fleet_with_news: Fleet) -> None:
    start(fleet_with_news)
    fleet_with_news.drain()
    assert cursor(fleet_with_news) == 0
    prompt(fleet_with_news, "p1")
    failure = call(prompt_id="p1", error="unknown", last_assistant_message="API Error")
    fleet_with_news.hook("stop_failure", failure, fleet_with_news.home)
    fleet_with_news.hook("session_end", call(reason="other"), fleet_with_news.home)
    fleet_with_news.drain()
    assert cursor(fleet_with_news) == 0
    stop(fleet_with_news, "p2")
    assert (
        cursor(fleet_with_news)
        == fleet_with_news.rows("SELECT max(event_id) FROM outbox_events")[0][0]
    )


def test_same_text_is_shown_again_until_the_cursor_moves(fleet_with_news: Fleet) -> None:
    first = start(fleet_with_news, session="a")
    fleet_with_news.drain()
    assert start(fleet_with_news, session="b") == first
    shown = prompt(fleet_with_news, "p1", session="c")
    fleet_with_news.drain()
    assert prompt(fleet_with_news, "p2", session="c") == shown != ""


def test_text_shown_to_a_failed_turn_is_shown_to_the_next(fleet_with_news: Fleet) -> None:
    start(fleet_with_news)
    stop(fleet_with_news, "p0")
    add_briefing(fleet_with_news, 3)
    shown = prompt(fleet_with_news, "p1")
    fleet_with_news.hook(
        "stop_failure", call(prompt_id="p1", error="unknown"), fleet_with_news.home
    )
    fleet_with_news.drain()
    assert prompt(fleet_with_news, "p2") == shown
    stop(fleet_with_news, "p2")
    assert prompt(fleet_with_news, "p3") == ""


def test_prompt_before_the_drainer_has_finished_repeats_nothing(fleet_with_news: Fleet) -> None:
    start(fleet_with_news)
    assert prompt(fleet_with_news, "p1") == ""
    stop(fleet_with_news, "p1", drain=False)
    assert prompt(fleet_with_news, "p2") == ""
    add_briefing_undrained(fleet_with_news, 3)
    shown = prompt(fleet_with_news, "p3")
    assert "Turn 3" in shown
    stop(fleet_with_news, "p3", drain=False)
    assert prompt(fleet_with_news, "p4") == ""
    fleet_with_news.drain()
    assert prompt(fleet_with_news, "p5") == ""


def add_briefing_undrained(fleet: Fleet, number: int) -> None:
    """An event that another program adds while Fleet's own entries are still in the spool."""
    connection = db.connect(fleet.home / "fleet.db")
    payload = {"briefing": {"status": "completed", "summary": f"Turn {number}"}}
    with db.transaction(connection):
        OutboxRepo(connection).add(
            type="briefing_added", payload=payload, broadcast_level="mention"
        )
    connection.close()


def test_resume_gets_the_delta_or_nothing_if_nothing_is_new(fleet_with_news: Fleet) -> None:
    start(fleet_with_news)
    stop(fleet_with_news, "p1")
    assert start(fleet_with_news, "resume") == ""
    add_briefing(fleet_with_news, 3)
    delta = start(fleet_with_news, "resume")
    assert "Turn 3" in delta and "Projects:" not in delta
    assert prompt(fleet_with_news, "p2") == ""
    stop(fleet_with_news, "p2")
    assert start(fleet_with_news, "resume") == ""


@pytest.mark.parametrize(
    ("source", "session"), [("clear", "commander-2"), ("compact", "commander-1")]
)
def test_context_that_starts_empty_gets_the_recap_again(
    fleet_with_news: Fleet, source: str, session: str
) -> None:
    start(fleet_with_news)
    stop(fleet_with_news, "p1")
    recap = start(fleet_with_news, source, session)
    assert "Projects:" in recap
    assert "Open alerts from before:" in recap and "Turn 2" in recap
    assert "Mentions:" not in recap
    assert prompt(fleet_with_news, "p2", session) == ""


def test_each_of_two_compactions_in_one_turn_gets_the_recap(
    fleet_with_news: Fleet,
) -> None:
    start(fleet_with_news)
    stop(fleet_with_news, "p1")
    for _ in range(2):
        data = call(source="compact", prompt_id="p2")
        assert "Projects:" in fleet_with_news.context(
            fleet_with_news.hook("session_start", data, fleet_with_news.home)
        )
        claim = fleet_with_news.home / "spool" / "tmp" / "printed.SessionStart.commander-1"
        when, _, call_ = claim.read_text().partition(" ")
        # As if the claim were old, and not that of a second copy of the same call.
        claim.write_text(f"{int(when) - 2_000_000_000} {call_}")


def test_start_applied_while_the_prompt_reads_causes_no_repetition(
    fleet_with_news: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start is listed in the spool but not in the snapshot yet, and then it is applied."""
    assert "Turn 2" in start(fleet_with_news)
    assert fleet_with_news.waiting()
    really_open = open_database

    def open_and_drain(home: str) -> Any:
        connection = really_open(home)
        fleet_with_news.drain()
        return connection

    monkeypatch.setattr(commander, "open_database", open_and_drain)
    assert commander_prompt(str(fleet_with_news.home), "commander-1")[0] == ""
    assert not fleet_with_news.waiting()


def test_each_commander_session_has_its_own_cursor(fleet_with_news: Fleet) -> None:
    start(fleet_with_news, session="a")
    start(fleet_with_news, session="b")
    fleet_with_news.drain()
    add_briefing(fleet_with_news, 3)
    assert "Turn 3" in prompt(fleet_with_news, "a1", "a")
    stop(fleet_with_news, "a1", "a")
    assert "Turn 3" in prompt(fleet_with_news, "b1", "b")
    stop(fleet_with_news, "b1", "b")
    assert prompt(fleet_with_news, "b2", "b") == ""


def test_new_session_starts_at_the_cursor_of_the_conversation(fleet_with_news: Fleet) -> None:
    start(fleet_with_news, session="a")
    stop(fleet_with_news, "a1", "a")
    assert prompt(fleet_with_news, "b1", "never-started") == ""


def test_commander_turn_writes_no_briefing_and_no_event(fleet_with_news: Fleet) -> None:
    before = (
        fleet_with_news.rows("SELECT count(*) FROM outbox_events"),
        fleet_with_news.rows("SELECT count(*) FROM briefings"),
    )
    start(fleet_with_news)
    prompt(fleet_with_news, "p1")
    stop(fleet_with_news, "p1")
    fleet_with_news.hook(
        "notification", call(notification_type="permission_prompt"), fleet_with_news.home
    )
    fleet_with_news.hook("session_end", call(reason="other"), fleet_with_news.home)
    fleet_with_news.drain()
    after = (
        fleet_with_news.rows("SELECT count(*) FROM outbox_events"),
        fleet_with_news.rows("SELECT count(*) FROM briefings"),
    )
    assert before == after
    assert fleet_with_news.quarantine() == {}


def test_only_one_of_several_registered_copies_prints(fleet_with_news: Fleet) -> None:
    data = call(prompt_id="p1", prompt="hello")
    lock = fleet_with_news.hold_lock()
    answers: list[str] = []

    def run() -> None:
        done = fleet_with_news.hook(
            "user_prompt_submit", data, fleet_with_news.home, background=True
        )
        answers.append(fleet_with_news.context(done))

    copies = [threading.Thread(target=run) for _ in range(4)]
    for copy in copies:
        copy.start()
    for copy in copies:
        copy.join()
    assert lock is not None
    assert sorted(map(bool, answers)) == [False, False, False, True]


def test_prompt_hook_does_nothing_for_a_worker(fleet_with_news: Fleet) -> None:
    repository = make_repository(fleet_with_news.folder / "worker")
    done = fleet_with_news.hook(
        "user_prompt_submit", call("w", prompt_id="p", prompt="x"), repository
    )
    assert (done.returncode, done.stdout) == (0, b"")
    assert fleet_with_news.waiting() == []


def test_text_of_the_prompt_is_not_spooled(fleet_with_news: Fleet) -> None:
    data = call(prompt_id="p1", prompt="my private question")
    assert fleet_with_news.context(
        fleet_with_news.hook("user_prompt_submit", data, fleet_with_news.home)
    )
    (name,) = fleet_with_news.waiting()
    assert b"private question" not in (fleet_with_news.home / "spool" / "new" / name).read_bytes()


@pytest.mark.parametrize("damage", ["missing", "corrupt", "newer", "locked"])
def test_unreadable_database_means_no_prelude_and_no_error(
    fleet_with_news: Fleet, damage: str
) -> None:
    import sqlite3

    database = fleet_with_news.home / "fleet.db"
    holder = None
    if damage == "missing":
        database.unlink()
    elif damage == "corrupt":
        database.write_bytes(b"nonsense" * 4096)
    elif damage == "newer":
        with sqlite3.connect(database) as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
    else:
        holder = sqlite3.connect(database, isolation_level=None)
        holder.execute("PRAGMA journal_mode = DELETE")
        holder.execute("BEGIN EXCLUSIVE")
    done = fleet_with_news.hook("session_start", call(source="startup"), fleet_with_news.home)
    assert (done.returncode, done.stdout) == (0, b"")
    assert prompt(fleet_with_news, "p1") == ""
    # The SessionStart waits until the database can be used again.
    assert len(fleet_with_news.waiting()) == 1
    if holder:
        holder.close()


def test_workers_get_facts_about_each_other(fleet: Fleet) -> None:
    repository = make_repository(fleet.folder / "api")
    message = "```briefing\nsummary: x\nfiles_touched: [a.py, b.py]\n```"
    data = {"session_id": "other", "prompt_id": "p", "last_assistant_message": message}
    fleet.hook("stop", data, repository)
    fleet.drain()
    (repository / "sub").mkdir()
    for folder in (repository, repository / "sub"):
        facts = fleet.context(
            fleet.hook("session_start", call(f"me-{folder.name}", source="startup"), folder)
        )
        assert len(facts) <= 1500
        assert "```briefing" in facts
        assert "session other on main (done); touched a.py, b.py" in facts
    (fleet.home / "config.toml").write_text("[worker]\nfacts = false\n")
    off = fleet.hook("session_start", call("me", source="startup"), repository)
    assert off.stdout == b""


def test_fleet_prelude_shows_the_same_text_and_moves_no_cursor(fleet_with_news: Fleet) -> None:
    shown = prompt(fleet_with_news, "p1")
    for _ in range(2):
        assert fleet_with_news.console("prelude").stdout.rstrip("\n") == shown
    assert cursor(fleet_with_news) == 0
    preview = json.loads(fleet_with_news.console("prelude", "--recap", "--json").stdout)
    assert preview["text"].startswith("<fleet-prelude>")
