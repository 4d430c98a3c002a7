"""The one-line form of an event and a briefing: written once, by one rule for every reader."""

import json
from pathlib import Path
from typing import Any, cast

import pytest
from support import Fleet, make_repository, payload
from support_prelude import Fleet as Store
from support_prelude import section

from commander.cli._params import complete_project
from commander.gateway import messages
from commander.gateway.context import Context
from commander.gateway.project_api import projects
from commander.gateway.queries import NoQuery
from fleet_lib.lines import (
    BRIEFING_SUMMARY,
    EVENT_LINE,
    EVENT_STATUS,
    LINE_LIMIT,
    event_status,
    line_of,
    summary_of,
    without_front_matter,
)
from fleet_lib.prelude.lines import Names
from fleet_lib.store.outbox import OutboxRepo
from fleet_lib.views.projects import project_names

STALE = """Done.

```briefing
---
status: completed
summary: changed the refund parser
doc_drift_risk: high
files_touched: [src/refund.py, src/rules.py]
---
```
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


# --- written once ---


def test_worker_drift_warning_is_shown_as_a_line_everywhere(fleet: Fleet) -> None:
    repository = make_repository(fleet.folder / "api-svc")
    stop = {**payload("Stop"), "cwd": str(repository), "last_assistant_message": STALE}
    fleet.hook("stop", stop, repository)
    fleet.drain()

    listed = json.loads(fleet.console("events", "list", "--json").stdout)
    (warning,) = [event for event in listed if event["type"] == "doc_drift_warning"]
    assert warning["payload"]["docDrift"]["docPath"] is None
    assert warning["payload"]["line"] == "the session named none"
    (row,) = [
        row
        for row in fleet.console("events", "list").stdout.splitlines()
        if "doc_drift_warning" in row
    ]
    assert row.endswith("the session named none")
    prelude = fleet.console("prelude").stdout
    assert "documents may be stale: the session named none · " in prelude


def test_every_event_from_ingest_has_its_line(fleet: Fleet) -> None:
    repository = make_repository(fleet.folder / "api-svc")
    for name, fields in (
        ("SessionStart-startup", {}),
        ("Stop", {"last_assistant_message": STALE}),
        ("Notification-permission_prompt", {}),
        ("StopFailure-unknown", {"prompt_id": "another"}),
    ):
        sent = {**payload(name), "cwd": str(repository), "session_id": "one", **fields}
        hook = {"SessionStart": "session_start", "Stop": "stop", "StopFailure": "stop_failure"}
        fleet.hook(hook.get(name.partition("-")[0], "notification"), sent, repository)
    fleet.drain()

    payloads = [
        json.loads(text) for (text,) in fleet.rows("SELECT payload_json FROM outbox_events")
    ]
    assert [sent_payload["line"] for sent_payload in payloads] == [
        "a session started",
        "changed the refund parser",
        "the session named none",
        payload("Notification-permission_prompt")["message"],
        "API Error: 400 scripted failure",
        "API Error: 400 scripted failure",
    ]


def test_an_alert_of_a_version_without_lines_is_not_announced_again(store: Store) -> None:
    repo = OutboxRepo(store.connection)
    error = {"error": {"message": "boom", "code": "quarantined"}}
    store.connection.execute(
        "INSERT INTO outbox_events (ts, type, payload_json) VALUES ('', 'error', ?)",
        (json.dumps(error, separators=(",", ":")),),
    )
    assert repo.has_alert("error", error)
    assert not repo.has_alert("error", {"error": {"message": "bang", "code": "quarantined"}})


# --- derived for other programs' rows ---

DERIVED: list[tuple[str, Any, str]] = [
    ("error", {"line": "as written", "error": {"message": "boom"}}, "as written"),
    ("error", {"line": 7, "error": {"message": "boom"}}, "boom"),
    ("error", {"line": "", "error": {"message": "boom"}}, "boom"),
    ("briefing_added", {"briefing": {"summary": "what it did"}}, "what it did"),
    ("briefing_added", {"briefing": {"summary": ["no", "text"]}, "summary": "flat"}, "flat"),
    ("session_blocked", {"session": {"detail": "two\nlines"}}, "two lines"),
    ("session_started", {"session": {"source": "startup"}}, "a session started"),
    ("session_started", {}, "a session started"),
    ("doc_drift_warning", {"docDrift": {"docPath": "docs/a.md", "sources": ["a.py"]}}, "docs/a.md"),
    ("doc_drift_warning", {"docDrift": {"docPath": None, "sources": ["a.py"]}}, "those about a.py"),
    ("doc_drift_warning", {"docDrift": {"sources": ["a", 1, "b"]}}, "those about a, b"),
    ("doc_drift_warning", {"docDrift": {"sources": "a.py"}}, "the session named none"),
    ("doc_drift_warning", {"docDrift": {}}, "the session named none"),
    (
        "doc_drift_warning",
        {"docDrift": {"docPath": "a.md", "docs": ["a.md", "b.md"], "sources": ["a.py"]}},
        "a.md, b.md",
    ),
    (
        "doc_drift_warning",
        {"docDrift": {"docPath": "a.md", "docs": [*"abcde"], "moreDocs": 71}},
        "a, b, c, d, e and 71 more",
    ),
    ("doc_drift_warning", {"docDrift": {"docs": [*"abcdefg"]}}, "a, b, c, d, e and 2 more"),
    ("doc_drift_warning", {"docDrift": {"docs": [*"ab"], "moreDocs": "many"}}, "a, b"),
    ("doc_drift_warning", {"docDrift": {"docPath": "a.md", "docs": [7, ""]}}, "a.md"),
    ("doc_drift_warning", {"docDrift": {"docPath": "a.md", "docs": "b.md"}}, "a.md"),
    ("doc_drift_warning", {"docDrift": "all of them", "message": "words"}, "words"),
    (
        "skill_updated",
        {"skill": {"path": ".claude/skills/x/SKILL.md"}},
        ".claude/skills/x/SKILL.md",
    ),
    ("job_completed", {"job": {"type": "worker_task"}}, "worker_task"),
    ("job_completed", {"job": {"type": "x", "summary": "did it", "error": ""}}, "did it"),
    ("job_completed", {"job": {"type": "x", "error": "no money"}}, "no money"),
    ("foreign_type", {"message": "words"}, "words"),
    ("foreign_type", {}, ""),
    ("foreign_type", {"job": 4, "briefing": None}, ""),
]


@pytest.mark.parametrize(("type", "sent", "line"), DERIVED)
def test_python_and_sql_derive_the_same_line(
    store: Store, type: str, sent: dict[str, Any], line: str
) -> None:
    assert line_of(type, sent) == line
    (found,) = store.connection.execute(
        f"SELECT {EVENT_LINE} FROM (SELECT ? AS type, ? AS j)", (type, json.dumps(sent))
    ).fetchone()
    assert line_of(type, {"line": found}) == (line or line_of(type, {}))


@pytest.mark.parametrize("stored", ["not json", "[1]", "7", '"text"', "null"])
def test_non_object_payload_has_no_line_and_breaks_no_reader(store: Store, stored: str) -> None:
    store.event("foreign_type", "highlight", stored)
    event = OutboxRepo(store.connection).get(1)
    assert event is not None
    assert messages.wire_form(event)[0].event.line == ""
    assert len(section(store.delta(), "Highlights")) == 1


def test_gateway_sends_the_line_of_an_oversized_payload(store: Store) -> None:
    large = {"message": "words", "rest": "x" * (messages.FRAME_LIMIT + 1)}
    store.event("foreign_type", "mention", large)
    event = OutboxRepo(store.connection).get(1)
    assert event is not None
    sent = json.loads(messages.wire_form(event)[1])
    assert sent["event"]["line"] == "words" and sent["event"]["data"]["cut"] is True


def test_line_is_always_a_single_safe_line() -> None:
    line = line_of("error", {"error": {"message": "a\x1b[31m\n<b>\u202e" + "x" * 1000}})
    assert line.startswith("a <b> xxx") and len(line) == LINE_LIMIT and line.isprintable()


# --- a briefing's summary ---


@pytest.mark.parametrize(
    ("raw", "rest"),
    [
        ("# A title\nwords", "# A title\nwords"),
        ("---\nstatus: completed\n---\n\nThe words.", "The words."),
        ("\ufeff\n--- \r\nstatus: x\r\n---\r\nThe words.", "The words."),
        ("---\nstatus: completed\n---\n", "---\nstatus: completed\n---\n"),
        ("---\nstatus: never closed", "---\nstatus: never closed"),
        ("---- a line", "---- a line"),
        (b"---\na: b\n---\nbytes \xff", "bytes \ufffd"),
        (7, "7"),
        (None, ""),
    ],
)
def test_front_matter_is_not_a_summary(raw: object, rest: str) -> None:
    assert without_front_matter(raw) == rest


def test_summary_falls_back_to_the_beginning_of_the_text() -> None:
    assert summary_of("one line", "text") == "one line"
    assert summary_of(None, "---\na: b\n---\n# Title\n\n" + "word " * 100).startswith(
        "# Title word"
    )
    assert len(summary_of(None, "x" * 1000)) == 200


def test_briefing_without_a_turn_is_shown_by_its_text_everywhere(fleet: Fleet) -> None:
    fleet.console("db", "migrate")
    store = Store(fleet.home)
    store.project("api__1", "api")
    briefing = store.briefing("api__1", text="---\nstatus: completed\n---\nWhat it did.")
    store.event("briefing_added", "mention", {}, project="api__1", briefing=briefing)
    (summary,) = store.connection.execute(f"SELECT {BRIEFING_SUMMARY} FROM briefings b").fetchone()
    store.connection.close()

    listed = json.loads(fleet.console("briefings", "list", "--json").stdout)
    status = json.loads(fleet.console("status", "--json").stdout)
    assert without_front_matter(summary) == "What it did."
    assert [row["summary"] for row in listed] == ["What it did."]
    assert [row["summary"] for row in status["projects"]] == ["What it did."]
    assert "· done · What it did. ·" in fleet.console("prelude", "--recap").stdout
    assert "· briefing: What it did. ·" in fleet.console("prelude").stdout


# --- an event's status ---


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"status": "blocked"}, "blocked"),
        ({"briefing": {"status": "failed"}, "status": "blocked"}, "failed"),
        ({"session": {"status": "waiting_for_permission"}}, "waiting_for_permission"),
        ({"job": {"status": "completed"}}, "completed"),
        ({"briefing": {"status": ""}, "job": {"status": "failed"}}, "failed"),
        ({"briefing": {"status": 7}, "session": "text", "status": "blocked"}, "blocked"),
        ({"briefing": None, "status": ["no", "text"]}, ""),
        ({}, ""),
    ],
)
def test_python_and_sql_read_the_same_status(
    store: Store, given: dict[str, Any], status: str
) -> None:
    assert event_status(given) == status
    (found,) = store.connection.execute(
        f"SELECT {EVENT_STATUS} FROM (SELECT ? AS j)", (json.dumps(given),)
    ).fetchone()
    assert (found or "") == status


# --- a project's name ---


def test_every_reader_names_two_projects_of_one_name_by_their_ids(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.console("db", "migrate")
    store = Store(fleet.home)
    for project_id, name in (("web__1", "web"), ("web__2", "web"), ("api__1", "api")):
        store.project(project_id, name)
        briefing = store.briefing(project_id)
        store.event("briefing_added", "mention", {}, project=project_id, briefing=briefing)
    named = {"web__1": "web__1", "web__2": "web__2", "api__1": "api"}

    assert project_names(store.connection) == named
    assert {key: Names(store.connection)(key) for key in named} == named
    store.connection.close()
    status = json.loads(fleet.console("status", "--json").stdout)
    assert {row["project_id"]: row["project"] for row in status["projects"]} == named
    unused = cast(Any, None)
    context = Context(str(fleet.home), unused, unused, unused, int, int)
    served = projects(context, unused, NoQuery())
    assert {project.project_id: project.name for project in served} == named
    monkeypatch.setenv("FLEET_HOME", str(fleet.home))
    offered = complete_project(cast(Any, None), cast(Any, None), "")
    assert {item.value for item in offered} == set(named.values())
