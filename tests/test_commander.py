"""What the real hooks show to the Commander: the events after its own cursor, each once. Only a
finished turn moves the cursor."""

import contextlib
import json
import re
import sqlite3
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import Fleet, make_repository

from fleet_lib import spool
from fleet_lib.ingest import commander_sessions
from fleet_lib.prelude import commander
from fleet_lib.prelude.commander import commander_prompt
from fleet_lib.prelude.database import open_database
from fleet_lib.store import db
from fleet_lib.store.conversations import ConversationRepo
from fleet_lib.store.outbox import OutboxRepo
from fleet_lib.turn.payload import Payload


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
def seeded(fleet: Fleet) -> Fleet:
    """A home with two briefings, one of them blocked."""
    add_briefing(fleet, 1)
    add_briefing(fleet, 2, "blocked")
    return fleet


def test_new_context_gets_the_recap_and_its_first_prompt_nothing(seeded: Fleet) -> None:
    recap = start(seeded)
    assert "Projects:" in recap
    assert "Turn 1" in recap and "blocked: Turn 2" in recap
    assert prompt(seeded, "p1") == ""


def test_prompt_gets_only_what_is_new(seeded: Fleet) -> None:
    start(seeded)
    stop(seeded, "p1")
    add_briefing(seeded, 3)
    delta = prompt(seeded, "p2")
    assert "Turn 3" in delta
    assert "Turn 1" not in delta and "Turn 2" not in delta
    assert "Projects:" not in delta


def test_only_a_stop_moves_the_cursor(seeded: Fleet) -> None:
    start(seeded)
    seeded.drain()
    assert cursor(seeded) == 0
    prompt(seeded, "p1")
    failure = call(prompt_id="p1", error="unknown", last_assistant_message="API Error")
    seeded.hook("stop_failure", failure, seeded.home)
    seeded.hook("session_end", call(reason="other"), seeded.home)
    seeded.drain()
    assert cursor(seeded) == 0
    stop(seeded, "p2")
    assert cursor(seeded) == seeded.rows("SELECT max(event_id) FROM outbox_events")[0][0]


def test_same_text_is_shown_again_until_the_cursor_moves(seeded: Fleet) -> None:
    first = start(seeded, session="a")
    seeded.drain()
    assert start(seeded, session="b") == first
    shown = prompt(seeded, "p1", session="c")
    seeded.drain()
    assert prompt(seeded, "p2", session="c") == shown != ""


def test_text_shown_to_a_failed_turn_is_shown_to_the_next(seeded: Fleet) -> None:
    start(seeded)
    stop(seeded, "p0")
    add_briefing(seeded, 3)
    shown = prompt(seeded, "p1")
    seeded.hook("stop_failure", call(prompt_id="p1", error="unknown"), seeded.home)
    seeded.drain()
    assert prompt(seeded, "p2") == shown
    stop(seeded, "p2")
    assert prompt(seeded, "p3") == ""


def test_prompt_before_the_drainer_has_finished_repeats_nothing(seeded: Fleet) -> None:
    start(seeded)
    assert prompt(seeded, "p1") == ""
    stop(seeded, "p1", drain=False)
    assert prompt(seeded, "p2") == ""
    add_briefing_undrained(seeded, 3)
    shown = prompt(seeded, "p3")
    assert "Turn 3" in shown
    stop(seeded, "p3", drain=False)
    assert prompt(seeded, "p4") == ""
    seeded.drain()
    assert prompt(seeded, "p5") == ""


def add_briefing_undrained(fleet: Fleet, number: int) -> None:
    """An event that another program adds while Fleet's own entries are still in the spool."""
    connection = db.connect(fleet.home / "fleet.db")
    payload = {"briefing": {"status": "completed", "summary": f"Turn {number}"}}
    with db.transaction(connection):
        OutboxRepo(connection).add(
            type="briefing_added", payload=payload, broadcast_level="mention"
        )
    connection.close()


def test_resume_gets_the_delta_or_nothing_if_nothing_is_new(seeded: Fleet) -> None:
    start(seeded)
    stop(seeded, "p1")
    assert start(seeded, "resume") == ""
    add_briefing(seeded, 3)
    delta = start(seeded, "resume")
    assert "Turn 3" in delta and "Projects:" not in delta
    assert prompt(seeded, "p2") == ""
    stop(seeded, "p2")
    assert start(seeded, "resume") == ""


@pytest.mark.parametrize(
    ("source", "session"), [("clear", "commander-2"), ("compact", "commander-1")]
)
def test_context_that_starts_empty_gets_the_recap_again(
    seeded: Fleet, source: str, session: str
) -> None:
    start(seeded)
    stop(seeded, "p1")
    recap = start(seeded, source, session)
    assert "Projects:" in recap
    assert "Needs you:" in recap and "Turn 2" in recap
    assert "Mentions:" not in recap
    assert prompt(seeded, "p2", session) == ""


def test_each_of_two_compactions_in_one_turn_gets_the_recap(
    seeded: Fleet,
) -> None:
    start(seeded)
    stop(seeded, "p1")
    for _ in range(2):
        data = call(source="compact", prompt_id="p2")
        assert "Projects:" in seeded.context(seeded.hook("session_start", data, seeded.home))
        claim = seeded.home / "spool" / "tmp" / "printed.SessionStart.commander-1"
        when, _, call_ = claim.read_text().partition(" ")
        # As if the claim were old, and not that of a second copy of the same call.
        claim.write_text(f"{int(when) - 2_000_000_000} {call_}")


def test_start_applied_while_the_prompt_reads_causes_no_repetition(
    seeded: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start is listed in the spool but not in the snapshot yet, and then it is applied."""
    assert "Turn 2" in start(seeded)
    assert seeded.waiting()
    really_open = open_database

    def open_and_drain(home: str) -> Any:
        connection = really_open(home)
        seeded.drain()
        return connection

    monkeypatch.setattr(commander, "open_database", open_and_drain)
    assert commander_prompt(str(seeded.home), "commander-1")[0] == ""
    assert not seeded.waiting()


def test_each_commander_session_has_its_own_cursor(seeded: Fleet) -> None:
    start(seeded, session="a")
    start(seeded, session="b")
    seeded.drain()
    add_briefing(seeded, 3)
    assert "Turn 3" in prompt(seeded, "a1", "a")
    stop(seeded, "a1", "a")
    assert "Turn 3" in prompt(seeded, "b1", "b")
    stop(seeded, "b1", "b")
    assert prompt(seeded, "b2", "b") == ""


def test_new_session_starts_at_the_cursor_of_the_conversation(seeded: Fleet) -> None:
    start(seeded, session="a")
    stop(seeded, "a1", "a")
    assert prompt(seeded, "b1", "never-started") == ""


def test_commander_turn_writes_no_briefing_and_no_event(seeded: Fleet) -> None:
    before = (
        seeded.rows("SELECT count(*) FROM outbox_events"),
        seeded.rows("SELECT count(*) FROM briefings"),
    )
    start(seeded)
    prompt(seeded, "p1")
    stop(seeded, "p1")
    seeded.hook("notification", call(notification_type="permission_prompt"), seeded.home)
    seeded.hook("session_end", call(reason="other"), seeded.home)
    seeded.drain()
    after = (
        seeded.rows("SELECT count(*) FROM outbox_events"),
        seeded.rows("SELECT count(*) FROM briefings"),
    )
    assert before == after
    assert seeded.quarantine() == {}


def test_only_one_of_several_registered_copies_prints(seeded: Fleet) -> None:
    data = call(prompt_id="p1", prompt="hello")
    lock = seeded.hold_lock()
    answers: list[str] = []

    def run() -> None:
        done = seeded.hook("user_prompt_submit", data, seeded.home, background=True)
        answers.append(seeded.context(done))

    copies = [threading.Thread(target=run) for _ in range(4)]
    for copy in copies:
        copy.start()
    for copy in copies:
        copy.join()
    assert lock is not None
    assert sorted(map(bool, answers)) == [False, False, False, True]


def test_prompt_hook_does_nothing_for_a_worker(seeded: Fleet) -> None:
    repository = make_repository(seeded.folder / "worker")
    done = seeded.hook("user_prompt_submit", call("w", prompt_id="p", prompt="x"), repository)
    assert (done.returncode, done.stdout) == (0, b"")
    assert seeded.waiting() == []


def test_text_of_the_prompt_is_not_spooled(seeded: Fleet) -> None:
    data = call(prompt_id="p1", prompt="my private question")
    assert seeded.context(seeded.hook("user_prompt_submit", data, seeded.home))
    (name,) = seeded.waiting()
    assert b"private question" not in (seeded.home / "spool" / "new" / name).read_bytes()


@pytest.mark.parametrize("damage", ["missing", "corrupt", "newer", "locked"])
def test_unreadable_database_means_no_prelude_and_no_error(seeded: Fleet, damage: str) -> None:
    import sqlite3

    database = seeded.home / "fleet.db"
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
    done = seeded.hook("session_start", call(source="startup"), seeded.home)
    assert (done.returncode, done.stdout) == (0, b"")
    assert prompt(seeded, "p1") == ""
    assert len(seeded.waiting()) == 1  # the SessionStart waits for the database
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


def test_fleet_prelude_shows_the_same_text_and_moves_no_cursor(seeded: Fleet) -> None:
    shown = prompt(seeded, "p1")
    for _ in range(2):
        assert seeded.console("prelude").stdout.rstrip("\n") == shown
    assert cursor(seeded) == 0
    preview = json.loads(seeded.console("prelude", "--recap", "--json").stdout)
    assert preview["text"].startswith("<fleet-prelude>")


# --- one rule in two places ---

_calls = st.lists(
    st.tuples(
        st.sampled_from(["SessionStart", "UserPromptSubmit", "Stop"]),
        st.sampled_from(["", "p1", "p2"]),  # prompt_id
        st.none() | st.integers(0, 5),  # how many events the hook showed; None: it showed nothing
    ),
    max_size=12,
)


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(db.connect(tmp_path_factory.mktemp("cursors") / "fleet.db")) as opened:
        for _ in range(100):  # a cursor past the newest event counts as the newest event
            OutboxRepo(opened).add(type="error", payload={})
        yield opened


@given(calls=_calls, applied=st.integers(0, 12), before=st.integers(0, 9))
@settings(max_examples=200, deadline=None)
def test_waiting_entries_move_the_cursor_as_the_drainer_will(
    connection: sqlite3.Connection,
    calls: list[tuple[str, str, int | None]],
    applied: int,
    before: int,
) -> None:
    conversations = ConversationRepo(connection)
    connection.execute("BEGIN")
    try:
        conversations.get_or_create_commander("/home")
        connection.execute("UPDATE conversations SET last_outbox_event_id_seen = ?", (before,))
        entries: list[spool.Entry] = []
        for number, (event, prompt_id, shown) in enumerate(calls):
            if number == applied:
                entries.clear()  # the drainer applied them; the next ones wait
            after, started = commander._session_cursor(connection, "s", entries)
            if event == "UserPromptSubmit":
                after = max(after, started)
            given = json.dumps({"prompt_id": prompt_id} if prompt_id else {}).encode()
            span = None if shown is None or event == "Stop" else (after, after + shown)
            entries.append(spool.Entry(str(number), event, number, "", "", span, given, None))
            if number < applied:
                _apply(conversations, entries[-1], prompt_id)
        if len(calls) <= applied:
            entries.clear()
        expected = commander._session_cursor(connection, "s", entries)
        for entry in entries:
            _apply(conversations, entry, json.loads(entry.payload).get("prompt_id"))
        assert commander._session_cursor(connection, "s", []) == expected
    finally:
        connection.execute("ROLLBACK")


def _apply(conversations: ConversationRepo, entry: spool.Entry, prompt_id: str | None) -> None:
    payload = Payload(session_id="s", prompt_id=prompt_id or None)
    prepared = SimpleNamespace(entry=entry, session_id="s", payload=payload)
    commander_sessions.apply(conversations, "/home", cast(Any, prepared))


def test_an_older_database_that_was_put_back_hides_no_event_that_comes_after(seeded: Fleet) -> None:
    start(seeded)
    stop(seeded, "p1")
    with contextlib.closing(sqlite3.connect(seeded.home / "fleet.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    older = (seeded.home / "fleet.db").read_bytes()
    (newest,) = seeded.rows("SELECT max(event_id) FROM outbox_events")
    for number in (3, 4, 5):
        add_briefing(seeded, number)
    prompt(seeded, "p2")
    stop(seeded, "p2")
    late = cursor(seeded)
    assert late > newest[0]
    # The events are older, while the cursor is the one that was reached since.
    for name in ("fleet.db-wal", "fleet.db-shm"):
        (seeded.home / name).unlink(missing_ok=True)
    (seeded.home / "fleet.db").write_bytes(older)
    with contextlib.closing(sqlite3.connect(seeded.home / "fleet.db")) as connection, connection:
        connection.execute("UPDATE conversations SET last_outbox_event_id_seen = ?", (late,))
        connection.execute("UPDATE commander_sessions SET cursor_event_id = ?", (late,))

    assert prompt(seeded, "p3") == ""
    status = json.loads(seeded.console("status", "--json").stdout)
    assert status["commander"]["last_event_seen"] == status["commander"]["last_event"] == newest[0]
    add_briefing(seeded, 6)

    assert cursor(seeded) == newest[0]
    assert "Turn 6" in prompt(seeded, "p4")
    assert "cursors set back" in seeded.log()


def test_a_receipt_for_events_that_are_gone_moves_no_cursor_past_the_newest(seeded: Fleet) -> None:
    start(seeded)
    prompt(seeded, "p1")
    for name in seeded.waiting():
        path = seeded.home / "spool" / "new" / name
        path.write_bytes(re.sub(rb"\nshown \d+ \d+", b"\nshown 0 99", path.read_bytes()))
    stop(seeded, "p1")
    newest = seeded.rows("SELECT max(event_id) FROM outbox_events")[0][0]

    assert cursor(seeded) == newest
    add_briefing(seeded, 3)
    assert "Turn 3" in prompt(seeded, "p2")
