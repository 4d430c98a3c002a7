"""The repositories: every method of the reference, on a real file."""

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet_lib import levels
from fleet_lib.errors import BadInput
from fleet_lib.records import replace
from fleet_lib.store import db, search_index
from fleet_lib.store.briefings import BriefingRecord, BriefingRepo, Turn
from fleet_lib.store.conversations import (
    Conversation,
    ConversationRepo,
    clamp_cursors,
    cursors_past_the_end,
)
from fleet_lib.store.jobs import Job, JobRepo
from fleet_lib.store.outbox import EVENT_TYPES, OutboxEvent, OutboxRepo
from fleet_lib.store.projects import Project, ProjectRepo
from fleet_lib.store.search import SearchRepo
from fleet_lib.views import search as search_view
from fleet_lib.words import phrases

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
REMOTE = "https://github.com/olivier-motium/mimesis.git"
NOW = "2026-11-23T06:55:16.123Z"


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A connection inside a write transaction."""
    connection = db.connect(tmp_path / "fleet.db")
    connection.execute("BEGIN IMMEDIATE")
    yield connection
    assert connection.in_transaction, "a repository ended its caller's transaction"
    connection.close()


@pytest.fixture
def project(connection: sqlite3.Connection) -> str:
    return ProjectRepo(connection).ensure_project(
        repo_name="mimesis", repo_root="/code/mimesis", git_remote=REMOTE
    )


def a_briefing(project_id: str, **values: Any) -> dict[str, Any]:
    return {"project_id": project_id, "status": "completed", "raw_markdown": "# Done"} | values


# --- all of them ------------------------------------------------------------------------------


def test_rollback_by_the_caller_undoes_every_write(tmp_path: Path) -> None:
    connection = db.connect(tmp_path / "fleet.db")
    with pytest.raises(ZeroDivisionError), db.transaction(connection):
        project = ProjectRepo(connection).ensure_project(repo_name="a", repo_root="/a")
        briefings, jobs = BriefingRepo(connection), JobRepo(connection)
        briefing = briefings.upsert(**a_briefing(project))
        briefings.update_semantic_fields(briefing, impact_level="major")
        briefings.save_turn(Turn("s", "t", briefing, 1, "", "", "message", False, ()))
        event = OutboxRepo(connection).add(type="error")
        OutboxRepo(connection).mark_delivered(event)
        job = jobs.create(type="worker_task", model="opus", request_json="{}")
        jobs.update_status(job, "running")
        jobs.append_stream_chunk(job, "x")
        jobs.complete(job, "{}")
        ConversationRepo(connection).get_or_create_commander("/home")
        raise ZeroDivisionError
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE 'CREATE TABLE%' AND name NOT LIKE '%\\_fts%' ESCAPE '\\'")]  # fmt: skip
    assert {"projects", "briefings", "turns"} <= set(tables)
    for table in tables:
        if table != "sqlite_sequence":
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] == 0, table


def test_no_repository_method_begins_a_transaction(tmp_path: Path) -> None:
    connection = db.connect(tmp_path / "fleet.db")
    project = ProjectRepo(connection).ensure_project(repo_name="a", repo_root="/a")
    BriefingRepo(connection).insert(**a_briefing(project))
    OutboxRepo(connection).add(type="error")
    JobRepo(connection).create(type="worker_task", model="opus", request_json="{}")
    assert not connection.in_transaction
    other = db.connect(tmp_path / "fleet.db")
    assert len(OutboxRepo(other).get_after(0)) == 1


def test_records_are_typed_and_frozen(connection: sqlite3.Connection, project: str) -> None:
    briefing = BriefingRepo(connection).get(BriefingRepo(connection).insert(**a_briefing(project)))
    event = OutboxRepo(connection).get(OutboxRepo(connection).add(type="error"))
    job = JobRepo(connection).get(
        JobRepo(connection).create(type="doc_patch", model="haiku", request_json="{}")
    )
    conversation = ConversationRepo(connection).get_or_create_commander("/home")
    for record, kind in (
        (ProjectRepo(connection).get(project), Project),
        (briefing, BriefingRecord),
        (event, OutboxEvent),
        (job, Job),
        (conversation, Conversation),
    ):
        assert type(record) is kind
        with pytest.raises(AttributeError):
            setattr(record, next(iter(kind.__annotations__)), "x")


def test_missing_row_is_none(connection: sqlite3.Connection) -> None:
    assert ProjectRepo(connection).get("nope") is None
    assert ProjectRepo(connection).find_by_repo_root("/nope") is None
    assert ProjectRepo(connection).archive("nope") is False
    assert BriefingRepo(connection).get(1) is None
    assert BriefingRepo(connection).update_semantic_fields(1, impact_level="major") is False
    assert OutboxRepo(connection).get(1) is None
    assert OutboxRepo(connection).mark_delivered(1) is False
    assert JobRepo(connection).get(1) is None
    assert JobRepo(connection).complete(1, "{}") is False
    assert JobRepo(connection).append_stream_chunk(1, "x") is False
    assert ConversationRepo(connection).get_commander() is None


# --- projects ---------------------------------------------------------------------------------


def test_ensuring_a_project_twice_finds_the_same_one(
    connection: sqlite3.Connection, project: str
) -> None:
    repo = ProjectRepo(connection)
    before = repo.get(project)
    assert (
        repo.ensure_project(repo_name="mimesis", repo_root="/code/mimesis", git_remote=REMOTE)
        == project
    )
    assert repo.get(project) == before
    assert before is not None and before.status == "active" and before.git_remote == REMOTE
    assert ISO.fullmatch(before.created_at)
    assert repo.find_by_repo_root("/code/mimesis") == before


def test_archived_projects_are_not_active_until_restored(
    connection: sqlite3.Connection, project: str
) -> None:
    repo = ProjectRepo(connection)
    assert [p.project_id for p in repo.get_active()] == [project]
    assert repo.archive(project) is True
    assert repo.archive(project) is False
    assert repo.get_active() == []
    assert [p.status for p in repo.get_all()] == ["archived"]
    assert repo.restore(project) is True
    assert repo.restore(project) is False
    assert [p.project_id for p in repo.get_active()] == [project]


def test_project_is_found_by_id_or_name(connection: sqlite3.Connection, project: str) -> None:
    repo = ProjectRepo(connection)
    fork = repo.ensure_project(repo_name="Mimesis", repo_root="/code/fork")
    assert [p.project_id for p in repo.find(project)] == [project]
    assert {p.project_id for p in repo.find("MIMESIS")} == {project, fork}
    assert repo.find("%") == []


# --- briefings --------------------------------------------------------------------------------

WHOLE: dict[str, Any] = {
    "session_id": "abc123",
    "task_id": "task-001",
    "started_at": NOW,
    "ended_at": NOW,
    "impact_level": "minor",
    "broadcast_level": "mention",
    "doc_drift_risk": "low",
    "base_commit": "1234567",
    "head_commit": "7654321",
    "branch": "main",
    "blockers": ("no key", 'with "quotes", commas'),
    "next_steps": ("größer 🎉",),
    "docs_touched": (),
    "files_touched": ("a b.py", "ü.py"),
}


def test_briefing_is_read_back_as_written(connection: sqlite3.Connection, project: str) -> None:
    given_fields = a_briefing(project, **WHOLE)
    record = BriefingRepo(connection).get(BriefingRepo(connection).insert(**given_fields))
    assert record is not None
    for name, value in given_fields.items():
        assert getattr(record, name) == value, name
    assert ISO.fullmatch(record.created_at)
    stored = connection.execute("SELECT * FROM briefings").fetchone()
    assert json.loads(stored["blockers_json"]) == list(WHOLE["blockers"])
    assert stored["docs_touched_json"] == "[]"


def test_unset_field_is_null(connection: sqlite3.Connection, project: str) -> None:
    BriefingRepo(connection).insert(**a_briefing(project))
    row = dict(connection.execute("SELECT * FROM briefings").fetchone())
    assert {name for name, value in row.items() if value is not None} == {
        "briefing_id",
        "project_id",
        "status",
        "raw_markdown",
        "created_at",
    }


def test_second_insert_of_a_turn_keeps_the_first(
    connection: sqlite3.Connection, project: str
) -> None:
    repo = BriefingRepo(connection)
    first = repo.insert(**a_briefing(project, **WHOLE))
    again = repo.insert(**a_briefing(project, **WHOLE | {"raw_markdown": "another"}))
    assert again == first
    record = repo.get(first)
    assert record is not None and record.raw_markdown == "# Done"


@given(
    keys=st.lists(
        st.tuples(*[st.sampled_from([None, "", "a", "b"]) for _ in range(3)]), max_size=12
    )
)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_uniqueness_holds_for_nulls_too(
    connection: sqlite3.Connection, project: str, keys: list[tuple[str | None, ...]]
) -> None:
    connection.execute("DELETE FROM briefings")
    repo = BriefingRepo(connection)
    ids = {}
    for number, key in enumerate(keys):
        names = dict(zip(("session_id", "task_id", "ended_at"), key, strict=True))
        found = (repo.upsert if number % 2 else repo.insert)(**a_briefing(project, **names))
        assert ids.setdefault(key, found) == found
    assert connection.execute("SELECT count(*) FROM briefings").fetchone()[0] == len(set(keys))
    assert len(set(ids.values())) == len(ids)


def test_the_same_key_in_another_project_is_another_briefing(
    connection: sqlite3.Connection, project: str
) -> None:
    other = ProjectRepo(connection).ensure_project(repo_name="b", repo_root="/b")
    repo = BriefingRepo(connection)
    assert repo.insert(**a_briefing(project)) != repo.insert(**a_briefing(other))


def test_upsert_sets_the_given_fields_and_keeps_the_rest(
    connection: sqlite3.Connection, project: str
) -> None:
    repo = BriefingRepo(connection)
    first = repo.upsert(**a_briefing(project, **WHOLE))
    key = {name: WHOLE[name] for name in ("session_id", "task_id", "ended_at")}
    again = repo.upsert(
        project_id=project, status="blocked", raw_markdown="new", blockers=["x"], **key
    )
    assert again == first
    record = repo.get(first)
    assert record is not None
    assert (record.status, record.raw_markdown, record.blockers) == ("blocked", "new", ("x",))
    assert (record.branch, record.files_touched) == (WHOLE["branch"], WHOLE["files_touched"])


def test_briefing_without_a_project_is_refused(connection: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        BriefingRepo(connection).insert(**a_briefing("nobody__00000000"))


def test_unknown_briefing_field_is_refused(connection: sqlite3.Connection, project: str) -> None:
    with pytest.raises(TypeError):
        BriefingRepo(connection).insert(**a_briefing(project, **{"x = 1; --": 1}))
    with pytest.raises(TypeError):
        BriefingRepo(connection).update_semantic_fields(1, nonsense="x")  # type: ignore[call-arg]


def test_set_semantics_changes_only_semantic_fields(
    connection: sqlite3.Connection, project: str
) -> None:
    repo = BriefingRepo(connection)
    briefing = repo.insert(**a_briefing(project, **WHOLE))
    before = repo.get(briefing)
    assert repo.update_semantic_fields(briefing, impact_level="moderate", doc_drift_risk="high")
    after = repo.get(briefing)
    assert before is not None and after is not None
    changed = {n for n in BriefingRecord.__annotations__ if getattr(before, n) != getattr(after, n)}
    assert changed == {"impact_level", "doc_drift_risk"}
    assert repo.update_semantic_fields(briefing) is False


def test_query_combines_all_filters_newest_first(
    connection: sqlite3.Connection, project: str
) -> None:
    repo = BriefingRepo(connection)
    other = ProjectRepo(connection).ensure_project(repo_name="b", repo_root="/b")
    rows: list[dict[str, Any]] = []
    for number in range(24):
        fields = a_briefing(
            other if number % 2 else project,
            session_id=f"s{number % 3}",
            task_id=str(number),
            status=("completed", "blocked", "failed")[number % 3],
            impact_level=("minor", "major")[number % 4 // 2],
            broadcast_level=("silent", None)[number % 2],
            doc_drift_risk=("high", "low", None)[number % 3],
        )
        rows.append(fields | {"briefing_id": repo.insert(**fields)})
    for filters in (
        {},
        {"project_id": project},
        {"project_id": project, "status": "completed", "impact_level": "major"},
        {"session_id": "s1"},
        {"broadcast_level": "silent", "doc_drift_risk": "high"},
        {"status": "nonsense"},
    ):
        expected = [
            fields["briefing_id"]
            for fields in reversed(rows)
            if all(fields[name] == value for name, value in filters.items())
        ]
        assert [b.briefing_id for b in repo.query(**filters)] == expected, filters
        assert [b.briefing_id for b in repo.query(**filters, limit=3)] == expected[:3]
    assert len(repo.get_recent(5)) == 5
    assert {b.project_id for b in repo.get_by_project(project)} == {project}
    assert {b.doc_drift_risk for b in repo.get_high_doc_drift_risk(10)} == {"high"}
    assert repo.query(since="2999-01-01T00:00:00.000Z") == []
    assert len(repo.query(since="2000-01-01T00:00:00.000Z")) == 24


def test_malformed_lists_of_another_program_read_as_none(
    connection: sqlite3.Connection, project: str
) -> None:
    repo = BriefingRepo(connection)
    briefing = repo.insert(**a_briefing(project))
    for malformed in ("", "not json", "{}", "null", '"text"', "7", "[1, null, {}]", b"\xff", "[" * 99999):  # fmt: skip
        connection.execute("UPDATE briefings SET blockers_json = ?", (malformed,))
        record = repo.get(briefing)
        assert record is not None and all(isinstance(item, str) for item in record.blockers)


# --- search -----------------------------------------------------------------------------------


def search(connection: sqlite3.Connection, query: str, **more: Any) -> list[int]:
    """Ids, as found before the index has them; in the index they are found alike."""
    before = SearchRepo(connection).find(phrases(query), **more)
    while search_index.index_changes(connection):
        pass
    assert SearchRepo(connection).find(phrases(query), **more) == before
    return before


@pytest.fixture
def library(connection: sqlite3.Connection, project: str) -> dict[str, int]:
    repo = BriefingRepo(connection)
    texts = {
        "login": 'Fixed the "login" bug: NEAR the OAuth-callback, don\'t retry\n\n# Ärger in Zürich',
        "snake": "renamed parse_config to load_settings in src/app/config.py",
        "emoji": "shipped 🎉 the 東京 release, Ελλάδα next",
    }
    briefing_ids = {
        name: repo.insert(**a_briefing(project, task_id=f"task-{name[::-1]}", raw_markdown=text))
        for name, text in texts.items()
    }
    briefing_ids["lists"] = repo.insert(
        **a_briefing(
            project,
            task_id="lists",
            blockers=["no staging credentials"],
            next_steps=["ask the größte team"],
            files_touched=["billing/invoice.py"],
            branch="feature/walrus",
        )
    )
    return briefing_ids


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("login", {"login"}),
        ("LOGIN bug", {"login"}),
        ("zurich", {"login"}),
        ("Zürich", {"login"}),
        ("parse_config", {"snake"}),
        ("load_sett", {"snake"}),
        ("app/config.py", {"snake"}),
        ("東京", {"emoji"}),
        ("ελλάδα", {"emoji"}),
        ("staging", {"lists"}),
        ("größte", {"lists"}),
        ("invoice.py", {"lists"}),
        ("walrus", {"lists"}),
        ("login staging", set()),
        ("NEAR", {"login"}),
        ('"login"', {"login"}),
        ("don't", {"login"}),
        ("OAuth-callback", {"login"}),
        ("the", {"login", "emoji", "lists"}),
    ],
)
def test_search_finds_briefings_that_contain_every_word(
    connection: sqlite3.Connection, library: dict[str, int], query: str, found: set[str]
) -> None:
    assert set(search(connection, query)) == {library[name] for name in found}


def test_search_finds_decomposed_letters_as_composed_ones(
    connection: sqlite3.Connection, library: dict[str, int], project: str
) -> None:
    briefing = BriefingRepo(connection).insert(
        **a_briefing(project, task_id="nfd", raw_markdown="the re\u0301sume\u0301 page")
    )
    for query in ("r\u00e9sum\u00e9", "re\u0301sume\u0301", "resume"):
        assert search(connection, query) == [briefing], query


@pytest.mark.parametrize(
    "hostile",
    [
        "",
        " ",
        '"',
        '"""',
        "'",
        "*",
        "login*",
        "* *",
        "NEAR(login bug)",
        "NEAR/2",
        "AND",
        "OR NOT",
        "login AND",
        "login OR nothing",
        "NOT login",
        "-login",
        "raw_markdown:login",
        "{a b}: c",
        ":",
        "^login",
        "(",
        ")))",
        "login + bug",
        "a.b",
        "_",
        "__ login",
        "\0",
        "log\0in",
        "🎉",
        "🎉🎉 login",
        "\u200b",
        "²",
        "%",
        "'; DROP TABLE briefings; --",
        "\ud800",
        "x" * 100_000,
    ],
)
def test_search_treats_any_query_as_plain_words(
    connection: sqlite3.Connection, library: dict[str, int], hostile: str
) -> None:
    for record in search_view.search(connection, hostile).records:
        assert isinstance(record["briefing_id"], int) and isinstance(record["excerpt"], str)


@given(st.text(max_size=60))
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_search_never_fails(
    connection: sqlite3.Connection, library: dict[str, int], query: str
) -> None:
    search(connection, query)


def test_search_accepts_a_whole_page_of_words(
    connection: sqlite3.Connection, library: dict[str, int]
) -> None:
    assert search(connection, "login bug " * 2000) != []
    assert search(connection, " ".join(f"word{number}" for number in range(2000))) == []


def test_search_follows_updates_and_deletions(
    connection: sqlite3.Connection, library: dict[str, int]
) -> None:
    repo = BriefingRepo(connection)
    repo.update(library["login"], raw_markdown="quasar")
    assert search(connection, "login") == []
    assert search(connection, "quasar") == [library["login"]]
    repo.update_semantic_fields(library["login"], blockers=["pulsar"])
    assert search(connection, "pulsar quasar") == [library["login"]]
    connection.execute("DELETE FROM briefings")
    assert search(connection, "quasar") == []


def test_search_is_limited_to_the_named_project(
    connection: sqlite3.Connection, library: dict[str, int], project: str
) -> None:
    repo = BriefingRepo(connection)
    other = ProjectRepo(connection).ensure_project(repo_name="b", repo_root="/b")
    briefing = repo.insert(**a_briefing(other, raw_markdown="login too"))
    assert search(connection, "login", project_id=other) == [briefing]
    assert len(search(connection, "login")) == 2
    assert len(search(connection, "login", limit=1)) == 1


# --- turns ------------------------------------------------------------------------------------


def test_turn_is_stored_with_its_briefing(connection: sqlite3.Connection, project: str) -> None:
    repo = BriefingRepo(connection)
    briefing = repo.insert(**a_briefing(project))
    turn = Turn("s", "p", briefing, 2, "one line", "digest", "block", True, ("a, b", "ü"))
    repo.save_turn(turn)
    assert repo.get_turn("s", "p") == turn == repo.turn_of(briefing)
    assert repo.get_turn("s", "q") is None and repo.turn_of(briefing + 1) is None


def test_input_is_applied_once(connection: sqlite3.Connection) -> None:
    repo = BriefingRepo(connection)
    assert [repo.mark_seen("s", "t", d) for d in ("x", "x", "y")] == [True, False, True]


# --- outbox -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_every_reference_event_type_is_accepted(connection: sqlite3.Connection, kind: Any) -> None:
    repo = OutboxRepo(connection)
    event = repo.get(repo.add(type=kind, payload={"a": "ü"}, briefing_id=42, project_id="p"))
    line = {"line": "a session started"} if kind == "session_started" else {}
    assert event is not None and event.payload == {"a": "ü"} | line
    assert (event.type, event.briefing_id, event.project_id) == (kind, 42, "p")
    assert event.delivered is False and ISO.fullmatch(event.ts)


def test_the_event_types_of_a_running_program_are_those_of_the_type_checker() -> None:
    assert get_args(levels.EventType) == EVENT_TYPES


def test_an_unknown_event_type_is_refused(connection: sqlite3.Connection) -> None:
    with pytest.raises(BadInput, match="briefing_added"):
        OutboxRepo(connection).add(type="nonsense")  # type: ignore[arg-type]
    assert OutboxRepo(connection).latest_id() == 0


def test_events_are_paged_from_a_cursor_without_gaps(connection: sqlite3.Connection) -> None:
    repo = OutboxRepo(connection)
    ids = [repo.add(type="error", payload_json=str(n)) for n in range(25)]
    paged_ids: list[int] = []
    while page := repo.get_after(paged_ids[-1] if paged_ids else 0, limit=10):
        paged_ids += [event.event_id for event in page]
    assert paged_ids == ids and repo.latest_id() == ids[-1]
    assert [event.event_id for event in repo.get_latest(3)] == ids[-3:]
    assert repo.get_after(ids[-1]) == []


def test_event_ids_are_never_reused(connection: sqlite3.Connection) -> None:
    repo = OutboxRepo(connection)
    last = [repo.add(type="error") for _ in range(3)][-1]
    connection.execute("DELETE FROM outbox_events")
    assert repo.add(type="error") > last


def test_an_event_is_delivered_once(connection: sqlite3.Connection) -> None:
    repo = OutboxRepo(connection)
    first, second = repo.add(type="error"), repo.add(type="error")
    assert [event.event_id for event in repo.get_undelivered()] == [first, second]
    assert [event.event_id for event in repo.get_undelivered(limit=1)] == [first]
    assert [repo.mark_delivered(first), repo.mark_delivered(first)] == [True, False]
    assert [event.event_id for event in repo.get_undelivered()] == [second]
    event = repo.get(first)
    assert event is not None and event.delivered is True


def test_an_events_session_is_found(connection: sqlite3.Connection) -> None:
    repo = OutboxRepo(connection)
    payload = {"session": {}, "sessionId": "s1"}
    repo.add(type="session_started", payload=payload, briefing_id=1)
    assert repo.has_of_session("session_started", "s1")
    assert not repo.has_of_session("session_started", "s2")
    assert not repo.has_of_session("error", "s1")


def test_announced_alert_is_recognised(connection: sqlite3.Connection) -> None:
    repo = OutboxRepo(connection)
    payload = {"error": {"message": "boom", "code": "quarantined"}}
    assert not repo.has_alert("error", payload)
    repo.add(type="error", payload=payload)
    assert repo.has_alert("error", payload)
    assert not repo.has_alert("error", payload | {"sessionId": "s"})


# --- jobs -------------------------------------------------------------------------------------

STATUSES = ("queued", "running", "completed", "failed", "canceled")
ALLOWED = {
    ("queued", "running"),
    ("queued", "failed"),
    ("queued", "canceled"),
    ("running", "completed"),
    ("running", "failed"),
    ("running", "canceled"),
}
VERBS: dict[str, Callable[[JobRepo, int], bool]] = {
    "complete": lambda repo, job: repo.complete(job, '{"ok": true}'),
    "fail": lambda repo, job: repo.fail(job, "broken"),
    "cancel": lambda repo, job: repo.cancel(job),
}


def a_job(connection: sqlite3.Connection, status: Any = "queued", **values: Any) -> int:
    fields = {"type": "worker_task", "model": "opus", "request_json": "{}"} | values
    return JobRepo(connection).create(**fields, status=status)


@pytest.mark.parametrize("after", STATUSES)
@pytest.mark.parametrize("before", STATUSES)
def test_job_status_changes_only_along_allowed_transitions(
    connection: sqlite3.Connection, before: str, after: Any
) -> None:
    repo = JobRepo(connection)
    job = a_job(connection, before)
    old = repo.get(job)
    moved = repo.update_status(job, after)
    assert moved is ((before, after) in ALLOWED)
    new = repo.get(job)
    assert new is not None
    if not moved:
        assert new == old
    elif after == "running":
        assert new.status == after and ISO.fullmatch(new.ts_started or "")
        assert new.ts_finished is None
    else:
        assert new.status == after and ISO.fullmatch(new.ts_finished or "")


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("before", STATUSES)
def test_a_finished_job_keeps_its_result(
    connection: sqlite3.Connection, before: str, verb: str
) -> None:
    repo = JobRepo(connection)
    job = a_job(connection, before)
    after = {"complete": "completed", "fail": "failed", "cancel": "canceled"}[verb]
    assert VERBS[verb](repo, job) is ((before, after) in ALLOWED)
    record = repo.get(job)
    assert record is not None
    for other in VERBS.values():
        if record.status in ("completed", "failed", "canceled"):
            assert other(repo, job) is False
    assert repo.get(job) == record
    if record.status == "completed" and before != "completed":
        assert record.result_json == '{"ok": true}' and record.error is None
    if record.status == "failed" and before != "failed":
        assert record.error == "broken"


def test_job_is_created_as_requested_or_refused(connection: sqlite3.Connection) -> None:
    repo = JobRepo(connection)
    job = repo.get(
        a_job(connection, project_id="p", repo_root="/r", type="commander_turn", model="sonnet")
    )
    assert job is not None
    assert (job.type, job.model, job.status, job.project_id, job.repo_root, job.request_json) == (
        *("commander_turn", "sonnet", "queued", "p", "/r"),
        "{}",
    )
    assert ISO.fullmatch(job.ts_created) and job.ts_started is None
    for fields in ({"type": "x"}, {"model": "x"}, {"status": "x"}):
        with pytest.raises(BadInput):
            a_job(connection, **fields)  # type: ignore[arg-type]
    assert len(repo.get_pending()) == 1


def test_pending_jobs_are_queued_jobs_oldest_first(connection: sqlite3.Connection) -> None:
    repo = JobRepo(connection)
    ids = [a_job(connection, project_id="p" if n % 2 else "q") for n in range(6)]
    repo.update_status(ids[0], "running")
    repo.cancel(ids[3])
    assert [job.job_id for job in repo.get_pending()] == [ids[1], ids[2], ids[4], ids[5]]
    assert [job.job_id for job in repo.get_by_project("p", 2)] == [ids[5], ids[3]]


@pytest.mark.parametrize("verb", VERBS)
def test_stream_is_rows_during_a_run_and_one_column_at_the_end(
    connection: sqlite3.Connection, verb: str
) -> None:
    repo = JobRepo(connection)
    job, other = a_job(connection), a_job(connection)
    assert repo.append_stream_chunk(job, "too early") is False
    for job_id in (job, other):
        repo.update_status(job_id, "running")
    chunks: list[Any] = ["a", '{"b": 1}', {"type": "text", "ü": [1]}, "", "🎉\n"]
    for chunk in chunks:
        assert repo.append_stream_chunk(job, chunk) is True
    repo.append_stream_chunk(other, "of the other")
    texts = [c if isinstance(c, str) else json.dumps(c, ensure_ascii=False) for c in chunks]
    assert repo.get_stream_chunks(job) == texts
    record = repo.get(job)
    assert record is not None and record.stream_chunks_json is None
    VERBS[verb](repo, job)
    record = repo.get(job)
    assert record is not None and json.loads(record.stream_chunks_json or "") == texts
    assert repo.get_stream_chunks(job) == texts
    assert repo.append_stream_chunk(job, "too late") is False
    rows = connection.execute("SELECT job_id FROM job_stream_chunks").fetchall()
    assert [row[0] for row in rows] == [other]


def test_appending_to_a_long_stream_has_constant_cost(connection: sqlite3.Connection) -> None:
    repo = JobRepo(connection)
    job = a_job(connection)
    repo.update_status(job, "running")
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    def steps_for_one() -> int:
        """The number of SQLite instructions, which does not depend on the machine's load."""
        nonlocal steps
        steps = 0
        connection.set_progress_handler(count, 1)
        repo.append_stream_chunk(job, "x" * 1000)
        connection.set_progress_handler(None, 0)
        return steps

    repo.append_stream_chunk(job, "x")
    early = steps_for_one()
    for _ in range(2000):
        repo.append_stream_chunk(job, "x" * 1000)
    assert 0 < steps_for_one() <= early + 5


def test_malformed_stream_of_another_program_can_be_read(
    connection: sqlite3.Connection,
) -> None:
    repo = JobRepo(connection)
    job = a_job(connection, "completed")
    for malformed in ("not json", "{}", "7", "null", '[{"a": 1}, "b"]'):
        connection.execute("UPDATE jobs SET stream_chunks_json = ?", (malformed,))
        assert all(isinstance(chunk, str) for chunk in repo.get_stream_chunks(job))


# --- conversations ----------------------------------------------------------------------------


def test_only_one_commander_exists(connection: sqlite3.Connection) -> None:
    repo = ConversationRepo(connection)
    commander = repo.get_or_create_commander("/home/fleet")
    assert (commander.kind, commander.cwd, commander.last_outbox_event_id_seen) == (
        "commander",
        "/home/fleet",
        0,
    )
    assert commander.claude_session_id is None and ISO.fullmatch(commander.created_at)
    assert repo.get_or_create_commander("/elsewhere") == commander == repo.get_commander()


def test_commander_row_of_the_original_system_is_reused(connection: sqlite3.Connection) -> None:
    for number, kind in enumerate(("worker_session", "commander")):
        connection.execute(
            "INSERT INTO conversations (conversation_id, kind, cwd, model, created_at, updated_at,"
            " last_outbox_event_id_seen) VALUES (?, ?, '/', 'opus', ?, ?, NULL)",
            (f"c{number}", kind, NOW, NOW),
        )
    found = ConversationRepo(connection).get_or_create_commander("/home")
    assert (found.conversation_id, found.last_outbox_event_id_seen) == ("c1", 0)


def cursor_of(repo: ConversationRepo) -> int:
    found = repo.get_commander()
    assert found is not None
    return found.last_outbox_event_id_seen


def add_events(connection: sqlite3.Connection, count: int) -> None:
    for _ in range(count):
        OutboxRepo(connection).add(type="error", payload={})


def test_cursor_moves_forward_only_and_only_after_a_commit(
    connection: sqlite3.Connection,
) -> None:
    add_events(connection, 9)
    repo = ConversationRepo(connection)
    commander = repo.get_or_create_commander("/home")
    repo.join(commander, "s1", None)
    repo.shown_at_prompt("s1", "p1", 7)
    assert cursor_of(repo) == 0
    repo.commit_shown(commander, "s1", "another prompt")
    assert cursor_of(repo) == 0
    repo.commit_shown(commander, "s1", "p1")
    assert cursor_of(repo) == 7
    repo.shown_at_prompt("s1", "p2", 5)
    repo.commit_shown(commander, "s1", "p2")
    assert cursor_of(repo) == 7
    repo.shown_at_start("s1", 9)
    repo.commit_shown(commander, "s1", "p3")
    repo.commit_shown(commander, "s1", "p3")
    assert cursor_of(repo) == 9


def test_commander_sessions_have_separate_cursors(
    connection: sqlite3.Connection,
) -> None:
    add_events(connection, 99)
    repo = ConversationRepo(connection)
    commander = repo.get_or_create_commander("/home")
    repo.join(commander, "old", None)
    repo.shown_at_prompt("old", "p", 20)
    repo.commit_shown(commander, "old", "p")
    commander = repo.get_or_create_commander("/home")
    repo.join(commander, "new", None)
    repo.join(commander, "behind", 3)
    repo.join(commander, "behind", 99)  # only the first call counts
    cursors = dict(
        map(tuple, connection.execute("SELECT session_id, cursor_event_id FROM commander_sessions"))
    )
    assert cursors == {"old": 20, "new": 20, "behind": 3}
    repo.shown_at_prompt("behind", "p", 8)
    repo.commit_shown(commander, "behind", "p")
    assert cursor_of(repo) == 20


def test_turn_of_an_unknown_session_moves_no_cursor_back(
    connection: sqlite3.Connection,
) -> None:
    add_events(connection, 7)
    repo = ConversationRepo(connection)
    commander = repo.get_or_create_commander("/home")
    connection.execute("UPDATE conversations SET last_outbox_event_id_seen = 7")
    repo.commit_shown(commander, "stranger", "p")
    assert cursor_of(repo) == 7


def test_a_cursor_past_the_newest_event_counts_as_the_newest_event(
    connection: sqlite3.Connection,
) -> None:
    add_events(connection, 3)
    repo = ConversationRepo(connection)
    commander = repo.get_or_create_commander("/home")
    connection.execute("UPDATE conversations SET last_outbox_event_id_seen = 7")

    assert cursor_of(repo) == 3
    assert [one.last_outbox_event_id_seen for one in repo.get_all()] == [3]
    assert cursors_past_the_end(connection) == (1, 3)
    assert clamp_cursors(connection) and not clamp_cursors(connection)
    add_events(connection, 7)
    assert cursor_of(repo) == 3
    assert cursors_past_the_end(connection) == (0, 10)
    assert repo.get_commander() == replace(commander, last_outbox_event_id_seen=3)


def test_no_cursor_is_written_past_the_newest_event(connection: sqlite3.Connection) -> None:
    add_events(connection, 3)
    repo = ConversationRepo(connection)
    commander = repo.get_or_create_commander("/home")
    repo.join(commander, "s1", 9)
    repo.shown_at_start("s1", 9)
    repo.shown_at_prompt("s1", "p1", 9)

    assert cursors_past_the_end(connection) == (0, 3)
    repo.commit_shown(commander, "s1", "p1")
    add_events(connection, 10)
    assert cursor_of(repo) == 3
