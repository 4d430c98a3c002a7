"""What the Commander is told, by the real hooks: from its own cursor, once, and on evidence only."""

import contextlib
import json
import re
import sqlite3
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
    given = call(session, prompt_id=prompt_id, prompt="what is new?")
    return fleet.context(fleet.hook("user_prompt_submit", given, fleet.home))


def stop(fleet: Fleet, prompt_id: str, session: str = "commander-1", drain: bool = True) -> None:
    given = call(session, prompt_id=prompt_id, last_assistant_message="Two things.")
    fleet.hook("stop", given, fleet.home)
    if drain:
        fleet.drain()


def cursor(fleet: Fleet) -> int:
    rows = fleet.rows("SELECT last_outbox_event_id_seen FROM conversations WHERE kind='commander'")
    return int(rows[0][0]) if rows else 0


@pytest.fixture
def told(fleet: Fleet) -> Fleet:
    """A home with two briefings, one of them blocked."""
    add_briefing(fleet, 1)
    add_briefing(fleet, 2, "blocked")
    return fleet


def test_a_new_context_gets_the_recap_and_its_first_prompt_nothing(told: Fleet) -> None:
    recap = start(told)
    assert "Projects:" in recap
    assert "Turn 1" in recap and "blocked: Turn 2" in recap
    assert prompt(told, "p1") == ""


def test_a_prompt_is_told_what_came_since(told: Fleet) -> None:
    start(told)
    stop(told, "p1")
    add_briefing(told, 3)
    delta = prompt(told, "p2")
    assert "Turn 3" in delta
    assert "Turn 1" not in delta and "Turn 2" not in delta
    assert "Projects:" not in delta


def test_the_cursor_moves_with_the_stop_and_with_nothing_else(told: Fleet) -> None:
    start(told)
    told.drain()
    assert cursor(told) == 0
    prompt(told, "p1")
    failure = call(prompt_id="p1", error="unknown", last_assistant_message="API Error")
    told.hook("stop_failure", failure, told.home)
    told.hook("session_end", call(reason="other"), told.home)
    told.drain()
    assert cursor(told) == 0
    stop(told, "p2")
    assert cursor(told) == told.rows("SELECT max(event_id) FROM outbox_events")[0][0]


def test_until_then_the_same_is_shown_again_byte_for_byte(told: Fleet) -> None:
    first = start(told, session="a")
    told.drain()
    assert start(told, session="b") == first
    shown = prompt(told, "p1", session="c")
    told.drain()
    assert prompt(told, "p2", session="c") == shown != ""


def test_what_a_failed_turn_was_shown_is_shown_to_the_next(told: Fleet) -> None:
    start(told)
    stop(told, "p0")
    add_briefing(told, 3)
    shown = prompt(told, "p1")
    told.hook("stop_failure", call(prompt_id="p1", error="unknown"), told.home)
    told.drain()
    assert prompt(told, "p2") == shown
    stop(told, "p2")
    assert prompt(told, "p3") == ""


def test_a_prompt_that_is_queued_before_the_drainer_is_done_repeats_nothing(told: Fleet) -> None:
    start(told)
    assert prompt(told, "p1") == ""
    stop(told, "p1", drain=False)
    assert prompt(told, "p2") == ""
    add_briefing_undrained(told, 3)
    shown = prompt(told, "p3")
    assert "Turn 3" in shown
    stop(told, "p3", drain=False)
    assert prompt(told, "p4") == ""
    told.drain()
    assert prompt(told, "p5") == ""


def add_briefing_undrained(fleet: Fleet, number: int) -> None:
    """An event that another program put there, while Fleet's own spool still waits."""
    connection = db.connect(fleet.home / "fleet.db")
    payload = {"briefing": {"status": "completed", "summary": f"Turn {number}"}}
    with db.transaction(connection):
        OutboxRepo(connection).add(
            type="briefing_added", payload=payload, broadcast_level="mention"
        )
    connection.close()


def test_resume_gets_the_delta_and_nothing_when_nothing_is_new(told: Fleet) -> None:
    start(told)
    stop(told, "p1")
    assert start(told, "resume") == ""
    add_briefing(told, 3)
    delta = start(told, "resume")
    assert "Turn 3" in delta and "Projects:" not in delta
    assert prompt(told, "p2") == ""
    stop(told, "p2")
    assert start(told, "resume") == ""


@pytest.mark.parametrize(
    ("source", "session"), [("clear", "commander-2"), ("compact", "commander-1")]
)
def test_a_context_that_starts_empty_gets_the_recap_again(
    told: Fleet, source: str, session: str
) -> None:
    start(told)
    stop(told, "p1")
    recap = start(told, source, session)
    assert "Projects:" in recap
    assert "Open alerts from before:" in recap and "Turn 2" in recap
    assert "Mentions:" not in recap
    assert prompt(told, "p2", session) == ""


def test_a_context_that_is_compacted_twice_in_one_turn_gets_the_recap_each_time(
    told: Fleet,
) -> None:
    start(told)
    stop(told, "p1")
    for _ in range(2):
        given = call(source="compact", prompt_id="p2")
        assert "Projects:" in told.context(told.hook("session_start", given, told.home))
        claim = told.home / "spool" / "tmp" / "printed.SessionStart.commander-1"
        when, _, call_ = claim.read_text().partition(" ")
        # As if it had come long ago, and not as the second copy of one call does.
        claim.write_text(f"{int(when) - 2_000_000_000} {call_}")


def test_a_drainer_that_applies_the_start_while_the_prompt_reads_has_nothing_told_again(
    told: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Listed in the spool, not in the snapshot yet, then applied and gone."""
    assert "Turn 2" in start(told)
    assert told.waiting()
    really_open = open_database

    def open_and_drain(home: str) -> Any:
        connection = really_open(home)
        told.drain()
        return connection

    monkeypatch.setattr(commander, "open_database", open_and_drain)
    assert commander_prompt(str(told.home), "commander-1")[0] == ""
    assert not told.waiting()


def test_two_commander_sessions_have_a_cursor_each(told: Fleet) -> None:
    start(told, session="a")
    start(told, session="b")
    told.drain()
    add_briefing(told, 3)
    assert "Turn 3" in prompt(told, "a1", "a")
    stop(told, "a1", "a")
    assert "Turn 3" in prompt(told, "b1", "b")
    stop(told, "b1", "b")
    assert prompt(told, "b2", "b") == ""


def test_a_session_is_seeded_from_the_conversation(told: Fleet) -> None:
    start(told, session="a")
    stop(told, "a1", "a")
    assert prompt(told, "b1", "never-started") == ""


def test_a_commanders_turn_writes_no_briefing_and_no_event(told: Fleet) -> None:
    before = (
        told.rows("SELECT count(*) FROM outbox_events"),
        told.rows("SELECT count(*) FROM briefings"),
    )
    start(told)
    prompt(told, "p1")
    stop(told, "p1")
    told.hook("notification", call(notification_type="permission_prompt"), told.home)
    told.hook("session_end", call(reason="other"), told.home)
    told.drain()
    after = (
        told.rows("SELECT count(*) FROM outbox_events"),
        told.rows("SELECT count(*) FROM briefings"),
    )
    assert before == after
    assert told.quarantine() == {}


def test_of_two_registered_copies_one_prints(told: Fleet) -> None:
    given = call(prompt_id="p1", prompt="hello")
    lock = told.hold_lock()
    answers: list[str] = []

    def run() -> None:
        done = told.hook("user_prompt_submit", given, told.home, background=True)
        answers.append(told.context(done))

    copies = [threading.Thread(target=run) for _ in range(4)]
    for copy in copies:
        copy.start()
    for copy in copies:
        copy.join()
    assert lock is not None
    assert sorted(map(bool, answers)) == [False, False, False, True]


def test_a_worker_pays_nothing_for_the_prompt_hook(told: Fleet) -> None:
    repository = make_repository(told.folder / "worker")
    done = told.hook("user_prompt_submit", call("w", prompt_id="p", prompt="x"), repository)
    assert (done.returncode, done.stdout) == (0, b"")
    assert told.waiting() == []


def test_the_prompt_itself_is_not_kept(told: Fleet) -> None:
    given = call(prompt_id="p1", prompt="my private question")
    assert told.context(told.hook("user_prompt_submit", given, told.home))
    (name,) = told.waiting()
    assert b"private question" not in (told.home / "spool" / "new" / name).read_bytes()


@pytest.mark.parametrize("harm", ["missing", "corrupt", "newer", "locked"])
def test_a_database_that_cannot_be_read_means_no_prelude_and_no_harm(
    told: Fleet, harm: str
) -> None:
    import sqlite3

    database = told.home / "fleet.db"
    holder = None
    if harm == "missing":
        database.unlink()
    elif harm == "corrupt":
        database.write_bytes(b"nonsense" * 4096)
    elif harm == "newer":
        with sqlite3.connect(database) as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
    else:
        holder = sqlite3.connect(database, isolation_level=None)
        holder.execute("PRAGMA journal_mode = DELETE")
        holder.execute("BEGIN EXCLUSIVE")
    done = told.hook("session_start", call(source="startup"), told.home)
    assert (done.returncode, done.stdout) == (0, b"")
    assert prompt(told, "p1") == ""
    assert len(told.waiting()) == 1  # the SessionStart, for when the database can be used again
    if holder:
        holder.close()


def test_workers_are_told_of_each_other(fleet: Fleet) -> None:
    repository = make_repository(fleet.folder / "api")
    message = "```briefing\nsummary: x\nfiles_touched: [a.py, b.py]\n```"
    given = {"session_id": "other", "prompt_id": "p", "last_assistant_message": message}
    fleet.hook("stop", given, repository)
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


def test_fleet_prelude_shows_the_same_and_moves_nothing(told: Fleet) -> None:
    shown = prompt(told, "p1")
    for _ in range(2):
        assert told.console("prelude").stdout.rstrip("\n") == shown
    assert cursor(told) == 0
    preview = json.loads(told.console("prelude", "--recap", "--json").stdout)
    assert preview["text"].startswith("<fleet-prelude>")


def test_an_older_database_that_was_put_back_hides_no_event_that_comes_after(told: Fleet) -> None:
    start(told)
    stop(told, "p1")
    with contextlib.closing(sqlite3.connect(told.home / "fleet.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    older = (told.home / "fleet.db").read_bytes()
    (newest,) = told.rows("SELECT max(event_id) FROM outbox_events")
    for number in (3, 4, 5):
        add_briefing(told, number)
    prompt(told, "p2")
    stop(told, "p2")
    late = cursor(told)
    assert late > newest[0]
    # The events are older, while the cursor is the one that was reached since.
    for name in ("fleet.db-wal", "fleet.db-shm"):
        (told.home / name).unlink(missing_ok=True)
    (told.home / "fleet.db").write_bytes(older)
    with contextlib.closing(sqlite3.connect(told.home / "fleet.db")) as connection, connection:
        connection.execute("UPDATE conversations SET last_outbox_event_id_seen = ?", (late,))
        connection.execute("UPDATE commander_sessions SET cursor_event_id = ?", (late,))

    assert prompt(told, "p3") == ""
    status = json.loads(told.console("status", "--json").stdout)
    assert status["commander"]["last_event_seen"] == status["commander"]["last_event"] == newest[0]
    add_briefing(told, 6)

    assert cursor(told) == newest[0]
    assert "Turn 6" in prompt(told, "p4")
    assert "cursors set back" in told.log()


def test_a_receipt_for_events_that_are_gone_moves_no_cursor_past_the_newest(told: Fleet) -> None:
    start(told)
    prompt(told, "p1")
    for name in told.waiting():
        path = told.home / "spool" / "new" / name
        path.write_bytes(re.sub(rb"\nshown \d+ \d+", b"\nshown 0 99", path.read_bytes()))
    stop(told, "p1")
    newest = told.rows("SELECT max(event_id) FROM outbox_events")[0][0]

    assert cursor(told) == newest
    add_briefing(told, 3)
    assert "Turn 3" in prompt(told, "p2")
