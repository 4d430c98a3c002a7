"""Tokens and their list price: each message once, in however many files it is repeated."""

import functools
import json
import sqlite3
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import genai_prices
import pytest
from gateway_world import Gateway
from hypothesis import given, settings
from hypothesis import strategies as st
from support import ROOT, Fleet, make_repository
from support_transcripts import Conversation

from fleet_lib.drain import reader_child
from fleet_lib.drain import usage as usage_counting
from fleet_lib.store import db, migrate
from fleet_lib.store.usage import Tokens, UsageRepo
from fleet_lib.turn import usage as usage_reading
from fleet_lib.turn.usage import read_usage

OPUS, SONNET = "claude-opus-4-6", "claude-sonnet-4-5-20250929"
KEYS = {
    *("key", "input_tokens", "output_tokens"),
    *("cache_read_tokens", "cache_write_tokens", "usd"),
}


@pytest.fixture
def projects(fleet: Fleet) -> Path:
    """Claude Code's folder of transcripts."""
    return fleet.home.parent / ".claude" / "projects"


@pytest.fixture
def shop(fleet: Fleet) -> Path:
    return make_repository(fleet.folder / "shop")


def used(
    message: str, input: int = 100, output: int = 10, model: str = OPUS, **more: Any
) -> dict[str, Any]:
    """The message of an assistant's line, as both clients write it."""
    five_minutes, an_hour = more.pop("write_5m", 0), more.pop("write_1h", 0)
    usage = {
        "input_tokens": input,
        "cache_creation_input_tokens": five_minutes + an_hour,
        "cache_read_input_tokens": more.pop("read", 0),
        "cache_creation": {
            "ephemeral_5m_input_tokens": five_minutes,
            "ephemeral_1h_input_tokens": an_hour,
        },
        "output_tokens": output,
        "service_tier": "standard",
        **more,
    }
    return {"id": message, "model": model, "usage": usage}


def stop(
    fleet: Fleet, conversation: Conversation, file: Path | None, message: str = "Done."
) -> None:
    """The Stop of a conversation's newest turn, applied."""
    call = {"hook_event_name": "Stop", "session_id": conversation.session}
    call |= {"prompt_id": conversation.prompt_id, "cwd": conversation.folder}
    call |= {"last_assistant_message": message, "transcript_path": str(file) if file else None}
    fleet.hook("stop", call, project=conversation.folder)
    fleet.drain()


def rows(fleet: Fleet, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(fleet.console("usage", "--json", *arguments).stdout)
    assert all(set(row) == KEYS for row in found)
    return found


def total(fleet: Fleet) -> tuple[int, ...]:
    """(input, output, cache read, cache write) of everything."""
    names = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
    return tuple(sum(row[name] for row in rows(fleet)) for name in names)


# --- counting ---


def test_a_message_on_several_lines_counts_once_with_its_last_output(
    fleet: Fleet, projects: Path, shop: Path
) -> None:
    conversation = Conversation(shop)
    conversation.prompt("go")
    conversation.answer("I look.", None, message=used("msg_1", output=1, read=50, write_5m=7))
    conversation.edit(str(shop / "a.py"), message=used("msg_1", output=30, read=50, write_5m=7))
    conversation.answer("Done.", message=used("msg_2", output=5))
    conversation.answer("Done.", message=used("msg_2", output=4))
    stop(fleet, conversation, conversation.write(projects))
    assert total(fleet) == (200, 35, 50, 7)


def test_a_resumed_a_forked_and_a_copied_file_count_nothing_again(
    fleet: Fleet, projects: Path, shop: Path
) -> None:
    first = Conversation(shop, "first")
    first.prompt("go").answer("Done.", message=used("msg_1"))
    stop(fleet, first, first.write(projects))
    forked = Conversation(shop, "forked")
    forked.prompt("go").answer("Done.", message=used("msg_1"))
    forked.user("and more").answer("Done.", message=used("msg_2"))
    stop(fleet, forked, forked.write(projects))
    resumed = Conversation(shop, "resumed")
    resumed.lines = list(first.lines)
    resumed.prompt("again").answer("Done.", message=used("msg_3"))
    stop(fleet, resumed, resumed.write(projects))
    copied = Conversation(shop, "copied")
    copied.lines = list(first.lines)
    copied.write(projects / "copy")
    fleet.console("import")
    by_session = {row["key"]: row["input_tokens"] for row in rows(fleet, "--by", "session")}
    assert by_session == {"first": 100, "forked": 100, "resumed": 100}


def test_a_line_belongs_to_its_own_session_and_prompt(
    fleet: Fleet, projects: Path, shop: Path
) -> None:
    earlier = Conversation(shop, "earlier")
    earlier.prompt("go", "prompt-0").answer("Done.", message=used("msg_0", input=7))
    conversation = Conversation(shop, "now")
    conversation.lines = list(earlier.lines)
    conversation.prompt("one", "prompt-1").answer("Done.", message=used("msg_1", input=30))
    conversation.prompt("two", "prompt-2").answer("Done.", message=used("msg_2", input=500))
    stop(fleet, conversation, conversation.write(projects))
    assert fleet.rows("SELECT session_id, turn_key, input_tokens FROM usage_sums ORDER BY 2") == [
        ("earlier", "prompt-0", 7),
        ("now", "prompt-1", 30),
        ("now", "prompt-2", 500),
    ]


def test_an_interrupted_turn_counts_with_the_next_one(
    fleet: Fleet, projects: Path, shop: Path
) -> None:
    conversation = Conversation(shop)
    conversation.prompt("one").answer("I look.", None, message=used("msg_1")).interrupt()
    conversation.prompt("two").answer("Done.", message=used("msg_2"))
    stop(fleet, conversation, conversation.write(projects))
    assert total(fleet)[0] == 200
    assert len(fleet.rows("SELECT DISTINCT turn_key FROM usage_sums")) == 2


def test_subagents_count_to_the_turn_that_started_them(
    fleet: Fleet, projects: Path, shop: Path
) -> None:
    conversation = Conversation(shop)
    conversation.prompt("go").answer("Done.", message=used("msg_1"))
    file = conversation.write(projects)
    for name in ("agent-a1", "workflows/run-1/agent-a2"):
        agent = Conversation(shop, conversation.session)
        agent.prompt("look", conversation.prompt_id, isSidechain=True)
        agent.answer("Seen.", message=used(f"msg_{name}", input=1000), isSidechain=True)
        path = file.with_suffix("") / "subagents" / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(agent.lines) + "\n")
    stop(fleet, conversation, file)
    assert fleet.rows("SELECT session_id, turn_key, input_tokens FROM usage_sums") == [
        (conversation.session, conversation.prompt_id, 2100)
    ]


def test_old_clients_lines_count_without_prompt_ids(
    fleet: Fleet, projects: Path, shop: Path
) -> None:
    conversation = Conversation(shop)
    conversation.prompt("go", None).answer("I look.", None, message=used("msg_1"))
    conversation.prompt("sub", None, isSidechain=True)
    conversation.answer("Seen.", None, message=used("msg_2"), isSidechain=True)
    conversation.answer("Done.", message=used("msg_3"))
    conversation.write(projects)
    fleet.console("import")
    ((turn_key,),) = fleet.rows("SELECT turn_key FROM turns")
    assert fleet.rows("SELECT turn_key, input_tokens FROM usage_sums") == [(turn_key, 300)]


@pytest.mark.parametrize(
    "message",
    [
        {"model": "<synthetic>", "id": "msg_2", "usage": {"input_tokens": 5, "output_tokens": 5}},
        {"model": OPUS, "id": "msg_2", "usage": {"input_tokens": 0, "output_tokens": 0}},
        {"model": OPUS, "id": "msg_2", "usage": None},
        {"model": OPUS, "id": "msg_2", "usage": [1]},
        {"model": OPUS, "id": ["msg_2"], "usage": {"input_tokens": 5}},
        {"model": OPUS, "id": "msg_2", "usage": {"input_tokens": True, "output_tokens": -4}},
    ],
)
def test_lines_without_usage_count_nothing(
    fleet: Fleet, projects: Path, shop: Path, message: dict[str, Any]
) -> None:
    conversation = Conversation(shop)
    conversation.prompt("go").answer("Done.", message=used("msg_1"))
    conversation.answer("Done.", message=message)
    stop(fleet, conversation, conversation.write(projects))
    assert total(fleet) == (100, 10, 0, 0)


def test_a_message_without_an_id_is_known_by_its_request(
    fleet: Fleet, projects: Path, shop: Path
) -> None:
    conversation = Conversation(shop)
    conversation.prompt("go")
    for output in (1, 9):
        conversation.answer("Done.", message=used("", output=output), requestId="req_1")
    stop(fleet, conversation, conversation.write(projects))
    assert total(fleet)[:2] == (100, 9)


def test_replay_of_an_entry_adds_nothing(fleet: Fleet, projects: Path, shop: Path) -> None:
    conversation = Conversation(shop)
    conversation.prompt("go").answer("Done.", message=used("msg_1"))
    file = conversation.write(projects)
    payload = fleet.folder / "payload.json"
    payload.write_text(
        json.dumps(
            {
                "hook_event_name": "Stop",
                "session_id": conversation.session,
                "prompt_id": conversation.prompt_id,
                "cwd": conversation.folder,
                "last_assistant_message": "Done.",
                "transcript_path": str(file),
            }
        )
    )
    for _ in range(2):
        fleet.console("replay", str(payload))
        assert total(fleet) == (100, 10, 0, 0)
    stop(fleet, conversation, file)
    assert total(fleet) == (100, 10, 0, 0)


def test_a_copy_with_more_output_adds_only_the_difference_to_its_first_owner(
    fleet: Fleet, projects: Path, shop: Path
) -> None:
    first = Conversation(shop, "first")
    first.prompt("go").answer("Do", None, message=used("msg_1", output=2, read=300_000))
    stop(fleet, first, first.write(projects))
    copied = Conversation(shop, "copied")
    copied.prompt("go").answer("Done.", message=used("msg_1", output=20, read=300_000))
    stop(fleet, copied, copied.write(projects))
    (row,) = rows(fleet, "--by", "session")
    assert (row["key"], row["input_tokens"], row["output_tokens"]) == ("first", 100, 20)
    assert row["cache_read_tokens"] == 300_000


def test_import_counts_the_turns_that_it_takes_in_and_those_that_were_known(
    fleet: Fleet, projects: Path, shop: Path
) -> None:
    for name in ("one", "two"):
        conversation = Conversation(shop, name)
        conversation.prompt("go").answer("Done.", message=used(f"msg_{name}"))
        conversation.prompt("and").answer("I look.", None, message=used(f"msg_{name}_2"))
        conversation.write(projects)
    stop(fleet, conversation, None)
    fleet.console("import", "--dry-run")
    assert rows(fleet) == []
    for _ in range(2):
        fleet.console("import")
        assert total(fleet)[0] == 400
    ((project,),) = fleet.rows("SELECT project_id FROM projects")
    assert [row["key"] for row in rows(fleet, "--by", "project")] == [project]


def test_a_pruned_turn_stays_in_the_sums_and_is_not_counted_again(
    fleet: Fleet, projects: Path, shop: Path
) -> None:
    for name in ("old", "new"):  # each project keeps its newest briefing
        conversation = Conversation(shop, name, age_days=60 if name == "old" else 1)
        conversation.prompt("go").answer("Done.", message=used(f"msg_{name}"))
        conversation.write(projects)
    fleet.console("import", str(projects))
    before = rows(fleet, "--by", "project")
    fleet.console("db", "prune", "--older-than", "30d")
    assert fleet.rows("SELECT session_id FROM sessions") == [("new",)]
    assert rows(fleet, "--by", "project") == before
    with db.connect(fleet.home / "fleet.db") as connection:
        connection.execute("DELETE FROM usage_files")  # as prune leaves it some time later
    connection.close()
    fleet.console("import", str(projects))
    resumed = Conversation(shop, "old", age_days=1)
    resumed.lines = (projects / "-code-project" / "old.jsonl").read_text().splitlines()
    resumed.prompt("more").answer("Done.", message=used("msg_more", input=3))
    stop(fleet, resumed, resumed.write(projects))
    assert total(fleet)[0] == 203


def test_the_commanders_own_tokens_are_a_row_of_their_own(fleet: Fleet, projects: Path) -> None:
    fleet.home.mkdir(exist_ok=True)
    conversation = Conversation(fleet.home, "commander-session")
    conversation.prompt("what happened?").answer("A lot.", message=used("msg_1"))
    file = conversation.write(projects)
    fleet.hook(
        "session_start",
        {"session_id": "commander-session", "source": "startup", "cwd": str(fleet.home)},
        project=fleet.home,
    )
    stop(fleet, conversation, file)
    assert [row["key"] for row in rows(fleet, "--by", "project")] == ["commander"]
    assert fleet.rows("SELECT count(*) FROM briefings") == [(0,)]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
_USAGE = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        (
            *("input_tokens", "output_tokens", "cache_read_input_tokens", "speed"),
            *("cache_creation_input_tokens", "cache_creation"),
        ),
        _JSON,
    ),
)
_LINE = st.fixed_dictionaries(
    {"type": st.sampled_from(["assistant", "user", "cost-state"])},
    optional={
        **dict.fromkeys(("sessionId", "timestamp", "promptId", "uuid", "cwd"), _JSON),
        "totalCostUSD": _JSON | st.just(10**400),
        "message": _JSON
        | st.fixed_dictionaries({"id": _JSON, "model": _JSON, "usage": _JSON | _USAGE}),
    },
)


@functools.cache
def empty_database() -> sqlite3.Connection:
    database = sqlite3.connect(":memory:", isolation_level=None)
    migrate.migrate(database, None)
    return database


@settings(deadline=None, max_examples=200)
@given(st.lists(_LINE, max_size=5))
def test_lines_of_any_content_are_read_and_counted_once(lines: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "s.jsonl"
        file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        reading = read_usage(str(file), None)
        assert (reading is not None) == bool(lines)
        if reading:
            database = empty_database()
            database.execute("BEGIN")
            UsageRepo(database).count([reading, reading])
            counted = database.execute("SELECT count(*) FROM usage_messages").fetchone()[0]
            database.execute("ROLLBACK")
            assert counted == len(reading.messages)


# --- reading only what is new ---


def lines_of(file: Path, *messages: dict[str, Any]) -> None:
    conversation = Conversation("/code", "s")
    for message in messages:
        conversation.answer("x", None, message=message)
    with file.open("a") as out:
        out.write("".join(f"{line}\n" for line in conversation.lines))


def test_a_file_is_read_from_where_it_was_read_to(tmp_path: Path) -> None:
    file = tmp_path / "s.jsonl"
    lines_of(file, used("msg_1"))
    first = read_usage(str(file), None)
    assert first and len(first.messages) == 1
    assert read_usage(str(file), first.place) is None
    lines_of(file, used("msg_2"))
    second = read_usage(str(file), first.place)
    assert second and len(second.messages) == 1 and second.messages.keys() != first.messages.keys()


def test_a_line_that_is_half_written_is_read_when_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "s.jsonl"
    lines_of(file, used("msg_1"), used("msg_2"))
    whole = file.read_bytes()
    file.write_bytes(whole[:-40])
    first = read_usage(str(file), None)
    assert first and len(first.messages) == 1
    assert read_usage(str(file), first.place) is None
    file.write_bytes(whole)
    second = read_usage(str(file), first.place)
    assert second and len(second.messages) == 1


def test_a_last_line_without_its_newline_counts(tmp_path: Path) -> None:
    file = tmp_path / "s.jsonl"
    lines_of(file, used("msg_1"))
    file.write_bytes(file.read_bytes()[:-1])
    first = read_usage(str(file), None)
    assert first and len(first.messages) == 1


@pytest.mark.parametrize("messages", [("msg_3",), ("msg_4", "msg_5"), ("msg_6",) * 9])
def test_a_file_that_was_written_anew_is_read_from_its_beginning(
    tmp_path: Path, messages: tuple[str, ...]
) -> None:
    file = tmp_path / "s.jsonl"
    lines_of(file, used("msg_1"), used("msg_2"))
    first = read_usage(str(file), None)
    assert first
    file.unlink()
    lines_of(file, *(used(message) for message in messages))
    second = read_usage(str(file), first.place)
    assert second and len(second.messages) == len(set(messages))


def test_a_large_transcript_is_read_in_portions_after_the_entries(
    fleet: Fleet, projects: Path, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_reading, "PORTION_BYTES", 20_000)
    monkeypatch.setattr(usage_counting, "_READ_BYTES", 50_000)
    conversations = [Conversation(shop, f"session-{number}") for number in range(3)]
    for conversation in conversations:
        conversation.prompt("go")
        for number in range(200):
            conversation.answer("x" * 300, None, message=used(f"{conversation.session}-{number}"))
        call = {"hook_event_name": "Stop", "session_id": conversation.session}
        call |= {"cwd": conversation.folder, "last_assistant_message": "x" * 300}
        call |= {"transcript_path": str(conversation.answer("x" * 300).write(projects))}
        fleet.hook("stop", call, project=shop)
    fleet.drain()
    assert total(fleet)[0] == 3 * 200 * 100
    assert fleet.rows("SELECT count(*) FROM briefings") == [(3,)]


def test_trouble_with_usage_stops_no_capture(
    fleet: Fleet, projects: Path, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = Conversation(shop)
    conversation.prompt("go").answer("Done.", message=used("msg_1"))
    file = conversation.write(projects)

    def fails(*_: object) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(UsageRepo, "count", fails)
        stop(fleet, conversation, file)
    assert fleet.rows("SELECT count(*) FROM briefings") == [(1,)]
    assert "usage was not counted: RuntimeError: a bug" in fleet.log()
    with monkeypatch.context() as patch:
        patch.setattr(reader_child, "read_usage", fails)
        stop(fleet, conversation.prompt("more").answer("Done."), conversation.write(projects))
    assert "usage was not read" in fleet.log()
    assert total(fleet) == (0, 0, 0, 0)
    stop(fleet, conversation.prompt("more").answer("Done."), conversation.write(projects))
    assert total(fleet) == (100, 10, 0, 0)


def test_an_entry_that_names_no_session_stops_nothing(
    fleet: Fleet, projects: Path, shop: Path
) -> None:
    conversation = Conversation(shop)
    conversation.prompt("go").answer("Done.", message=used("msg_1"))
    file = conversation.write(projects)
    fleet.hook("stop", {"transcript_path": str(file), "cwd": str(shop)}, project=shop)
    stop(fleet, conversation, file)
    assert list(fleet.quarantine().values()) == ["the payload has no session_id"]
    assert total(fleet) == (100, 10, 0, 0)


def test_a_batch_reads_a_transcript_once_and_a_finished_subagent_not_at_all(
    fleet: Fleet, projects: Path, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = Conversation(shop)
    conversation.prompt("go").answer("Done.", message=used("msg_1"))
    file = conversation.write(projects)
    agent = file.with_suffix("") / "subagents" / "agent-a.jsonl"
    agent.parent.mkdir(parents=True)
    agent.write_text(f"{conversation.lines[-1]}\n")
    stop(fleet, conversation, file)
    opened = fleet.folder / "opened"

    def counting(path: str, *more: Any) -> Any:
        with opened.open("a") as file:  # the drainer's reader is a process of its own
            file.write(f"{Path(path).name}\n")
        return read_usage(path, *more)

    monkeypatch.setattr(reader_child, "read_usage", counting)
    for number in range(5):
        conversation.prompt(f"go {number}").edit(str(shop / "a.py")).answer("Done.")
        conversation.write(projects)
        call = {"session_id": conversation.session, "prompt_id": conversation.prompt_id}
        call |= {"cwd": str(shop), "transcript_path": str(file), "last_assistant_message": "Done."}
        fleet.hook("stop", call, project=shop)
    fleet.drain()
    assert opened.read_text().split() == [file.name]


def test_a_transaction_that_fails_counts_nothing(fleet: Fleet, projects: Path, shop: Path) -> None:
    conversation = Conversation(shop)
    conversation.prompt("go").answer("Done.", message=used("msg_1"))
    reading = read_usage(str(conversation.write(projects)), None)
    assert reading
    connection = db.connect(fleet.home / "fleet.db")
    for is_killed in (True, False, False):
        connection.execute("BEGIN IMMEDIATE")
        UsageRepo(connection).count([reading])
        connection.execute("ROLLBACK" if is_killed else "COMMIT")
        expected = [(None,)] if is_killed else [(100,)]
        found = connection.execute("SELECT sum(input_tokens) FROM usage_sums").fetchall()
        assert [tuple(row) for row in found] == expected
    connection.close()


# --- prices ---


def conversation_with(shop: Path, *messages: dict[str, Any], at: datetime) -> Conversation:
    conversation = Conversation(shop)
    conversation.at = at
    conversation.prompt("go")
    for message in messages:
        conversation.answer("x", None, message=message)
    return conversation.answer("Done.")


def test_each_message_is_priced_in_its_own_tier_and_at_its_own_date(
    fleet: Fleet, projects: Path, shop: Path
) -> None:
    messages = [
        *(used(f"small-{n}", 50, 10, read=90_000, write_5m=400) for n in range(5)),
        *(used(f"large-{n}", 50, 10, read=200_000, write_1h=400) for n in range(5)),
        used("edge", 0, 0, read=200_000),
        *(used(f"haiku-{n}", 10, 10, "claude-haiku-5-5", read=60_000) for n in range(5)),
        used("haiku-large", 10, 10, "claude-haiku-5-5", read=100_001),
    ]
    expected = {}
    for day in ("2026-03-12T12:00:00Z", "2026-03-13T12:00:00Z"):
        at = datetime.fromisoformat(day)
        named = [message | {"id": f"{day}-{message['id']}"} for message in messages]
        conversation = conversation_with(shop, *named, at=at)
        conversation.session = day
        conversation.lines = [line.replace("session-1", day) for line in conversation.lines]
        conversation.write(projects)
        expected[day[:10]] = sum(list_price(message, at) for message in messages)
    fleet.environment["TZ"] = "UTC"
    fleet.console("import", str(projects))
    found = {row["key"]: row["usd"] for row in rows(fleet)}
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-5)
    assert expected["2026-03-12"] > 1.2 * expected["2026-03-13"]  # the tier went away that day


def list_price(message: dict[str, Any], at: datetime) -> float:
    """What the library says of one message."""
    usage = message["usage"]
    written, read = usage["cache_creation_input_tokens"], usage["cache_read_input_tokens"]
    found = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=usage["input_tokens"] + written + read,
            output_tokens=usage["output_tokens"],
            cache_read_tokens=read,
            cache_write_tokens=written,
            cache_write_1h_tokens=usage["cache_creation"]["ephemeral_1h_input_tokens"],
        ),
        message["model"],
        provider_id="anthropic",
        genai_request_timestamp=at,
    )
    return float(found.total_price)


def test_an_unknown_model_has_tokens_and_no_price(fleet: Fleet, projects: Path, shop: Path) -> None:
    messages = [used("a", 1_000_000, 0, SONNET), used("b", 1000, 50, "llama-of-mine")]
    conversation_with(shop, *messages, at=datetime.now(UTC) - timedelta(days=2)).write(projects)
    fleet.console("import")
    by_model = {row["key"]: row for row in rows(fleet, "--by", "model")}
    assert by_model["llama-of-mine"]["usd"] is None
    assert by_model["llama-of-mine"]["input_tokens"] == 1000
    assert by_model[SONNET]["usd"] == 6.0
    assert [row["usd"] for row in rows(fleet)] == [6.0]
    assert "6.000000+" in fleet.console("usage").stdout


@pytest.mark.parametrize(
    "model",
    [
        *("claude-opus-4-6", "claude-opus-4-6[1m]", "claude-opus-4-6-20260205"),
        *("us.anthropic.claude-opus-4-6-v1:0", "global.anthropic.claude-opus-4-6-v1"),
        *("claude-opus-4-6@20260205", "anthropic/claude-opus-4-6"),
    ],
)
def test_a_models_name_is_known_in_the_forms_of_each_provider(
    fleet: Fleet, projects: Path, shop: Path, model: str
) -> None:
    message = used("a", 1000, 1_000_000, model)
    conversation_with(shop, message, at=datetime.now(UTC) - timedelta(days=2)).write(projects)
    fleet.console("import")
    assert [(row["key"], row["usd"]) for row in rows(fleet, "--by", "model")] == [(model, 25.005)]


def test_fast_mode_has_its_own_price(fleet: Fleet, projects: Path, shop: Path) -> None:
    names = ("standard", "fast")
    messages = [used(name, 0, 1_000_000, "claude-opus-5", speed=name) for name in names]
    prices = {}
    for message in messages:
        conversation_with(shop, message, at=datetime.now(UTC) - timedelta(days=2)).write(projects)
        fleet.console("import")
        prices[message["id"]] = rows(fleet)[0]["usd"]
    assert prices == {"standard": 25.0, "fast": 75.0}


# --- days and filters ---


def test_days_are_those_of_the_local_time_zone(fleet: Fleet, projects: Path, shop: Path) -> None:
    at = datetime(2026, 3, 1, 18, 14, tzinfo=UTC)  # 23:59 in Nepal
    conversation = Conversation(shop)
    conversation.at = at
    conversation.prompt("go").answer("x", None, message=used("before", 1))
    conversation.at = at + timedelta(minutes=2)
    conversation.answer("x", message=used("after", 20))
    conversation.write(projects)
    fleet.console("import", str(projects))
    for zone, expected in {
        "Asia/Kathmandu": {"2026-03-01": 1, "2026-03-02": 20},
        "UTC": {"2026-03-01": 21},
        "America/Los_Angeles": {"2026-03-01": 21},
    }.items():
        fleet.environment["TZ"] = zone
        done = fleet.console_process("usage", "--json")
        assert {row["key"]: row["input_tokens"] for row in json.loads(done.stdout)} == expected


def test_since_and_project_choose_what_is_counted(fleet: Fleet, projects: Path) -> None:
    now = datetime.now().astimezone()
    for name, days in (("alpha", 0), ("alpha", 1), ("beta", 9)):
        folder = fleet.folder / name
        folder = folder if folder.exists() else make_repository(folder)
        conversation = Conversation(folder, f"{name}-{days}")
        conversation.at = (now - timedelta(days=days)).replace(hour=0, minute=0, second=0)
        conversation.at = conversation.at.astimezone(UTC)
        conversation.prompt("go").answer("Done.", message=used(f"msg_{days}", 10**days))
        conversation.write(projects)
    fleet.console("import")
    for since, expected in (("today", 1), ("yesterday", 11), ("3d", 11), ("2w", 10**9 + 11)):
        assert sum(row["input_tokens"] for row in rows(fleet, "--since", since)) == expected
    weekday = f"{now - timedelta(days=1):%A}".lower()
    assert sum(row["input_tokens"] for row in rows(fleet, "--since", weekday)) == 11
    assert [row["input_tokens"] for row in rows(fleet, "--project", "beta")] == [10**9]
    refused = fleet.console("usage", "--since", "someday", check=False)
    assert (refused.returncode, "is not a time" in refused.stderr) == (2, True)


def test_nothing_used_is_no_error(fleet: Fleet, shop: Path) -> None:
    assert rows(fleet) == []
    stop(fleet, Conversation(shop).turn(), None)
    assert fleet.console("usage").stdout == "No tokens were counted yet.\n"
    assert fleet.console("usage", "--since", "today").stdout == "No tokens were used.\n"
    assert rows(fleet, "--by", "model") == []


# --- where a figure is shown ---


@pytest.fixture
def counted(fleet: Fleet, projects: Path, shop: Path) -> Conversation:
    """One turn of a million tokens of output, of now, whose client says a total of its own."""
    conversation = Conversation(shop, age_days=0)
    conversation.prompt("go").answer("Done.", message=used("msg_1", 0, 1_000_000))
    conversation.raw(
        json.dumps({"type": "cost-state", "sessionId": "session-1", "totalCostUSD": 26.5})
    )
    stop(fleet, conversation, conversation.write(projects, written_seconds_ago=0))
    return conversation


def test_the_clients_own_total_stands_beside_the_list_price(
    fleet: Fleet, counted: Conversation
) -> None:
    assert [row["usd"] for row in rows(fleet, "--by", "session")] == [25.0]
    table = fleet.console("usage", "--by", "session").stdout.splitlines()
    assert [line.split()[-2:] for line in table] == [
        ["Code's", "own"],
        ["25.000000", "26.500000"],
    ]
    shown = fleet.console("briefings", "show", "1").stdout
    assert "\nusage: 1.0M tokens, list price $25.00\n" in shown
    own = "(Claude Code's own total: $26.50)"
    assert f"\nsession's usage: 1.0M tokens, list price $25.00 {own}\n" in shown
    record = json.loads(fleet.console("briefings", "show", "1", "--json").stdout)
    assert record["usage"]["turn"]["usd"] == 25.0
    assert record["usage"]["session"]["client_usd"] == 26.5


def test_status_shows_todays_total_by_the_stored_prices(
    fleet: Fleet, counted: Conversation
) -> None:
    words = "Used today: 1.0M tokens, "
    assert (
        f"{words}no list price yet (`fleet usage` looks it up)." in fleet.console("status").stdout
    )
    fleet.console("usage")
    assert f"{words}list price $25.00." in fleet.console("status").stdout
    connection = db.connect(fleet.home / "fleet.db")
    connection.execute("UPDATE usage_rates SET priced_at = '2025-01-02T03:04:05.000Z'")
    connection.close()
    assert "list price $25.00 (prices of 2025-01-02)." in fleet.console("status").stdout


def test_a_newer_price_library_prices_everything_again(
    fleet: Fleet, counted: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows(fleet)
    connection = db.connect(fleet.home / "fleet.db")
    connection.execute("UPDATE usage_rates SET output_usd = 1, library = 'older'")
    connection.close()
    assert [row["usd"] for row in rows(fleet)] == [25.0]


def test_the_api_has_the_same_rows(fleet: Fleet, counted: Conversation) -> None:
    gateway = Gateway(fleet)
    gateway.start()
    try:
        for by in ("day", "project", "session", "model"):
            assert gateway.get(f"/api/v1/usage?by={by}").json() == rows(fleet, "--by", by)
            some = gateway.get(f"/api/v1/usage?by={by}&limit=1").json()
            assert some == rows(fleet, "--by", by)[:1]
        assert gateway.get("/api/v1/usage?since=2100-01-01").json() == []
        assert gateway.get("/api/v1/usage?by=moon").status_code == 422
        assert gateway.get("/api/v1/usage?since=soon").status_code == 422
        page = gateway.get("/api/v1/briefings/1").json()
        assert page["usage"]["usage"] == "1.0M tokens, list price $25.00"
        assert (
            gateway.get("/api/v1/overview").json()["usage_today"]
            == "1.0M tokens, list price $25.00"
        )
    finally:
        gateway.stop()


# --- what it costs ---


def test_the_price_library_is_asked_by_usage_the_gateway_and_mcp_alone() -> None:
    importing = {
        str(path.relative_to(ROOT))
        for room in ("fleet_lib", "commander", "hooks")
        for path in (ROOT / room).rglob("*.py")
        if "list_prices import" in path.read_text() or "import genai_prices" in path.read_text()
    }
    assert importing == {
        "fleet_lib/views/list_prices.py",
        "commander/cli/usage.py",
        "commander/gateway/usage_api.py",
        "commander/mcp/answers.py",
    }


@pytest.mark.parametrize("command", ["status", "briefings show 1", "events list", "import"])
def test_other_commands_do_not_import_the_price_library(
    fleet: Fleet, counted: Conversation, command: str
) -> None:
    program = (
        "import sys; from commander.cli import main\n"
        f"try: main({command.split()!r})\nexcept SystemExit: pass\n"
        "sys.exit('genai_prices' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=fleet.env(), cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_todays_total_among_many_sums_is_found_by_an_index(
    fleet: Fleet, counted: Conversation
) -> None:
    plan = fleet.rows(
        "EXPLAIN QUERY PLAN SELECT sum(output_tokens) FROM usage_sums WHERE quarter >= 5"
    )
    assert any("usage_sums_by_time" in str(row) for row in plan)


def test_tier_follows_from_the_tokens_of_the_context() -> None:
    assert Tokens(input=100_000).tier == 0
    assert Tokens(input=1, cache_read=100_000).tier == 100_000
    assert Tokens(cache_write_1h=100_000, cache_write_5m=100_000).tier == 100_000
    assert Tokens(cache_write_1h=100_000, cache_write_5m=100_001).tier == 200_000
    assert Tokens(output=900_000).tier == 0
