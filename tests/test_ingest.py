"""From turn to briefing: what the real hooks and the real drainer make of a hook payload."""

import contextlib
import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from support import (
    CLIENTS,
    PAYLOADS,
    Fleet,
    captured_payloads,
    event_of,
    git,
    make_repository,
    payload,
)
from support_transcripts import Session, configured
from test_briefing_parser import SKELETON, UNANSWERED

from fleet_lib import clock, spool
from fleet_lib.errors import BadEntry
from fleet_lib.turn.payload import Payload

BLOCKED = """I cannot go on.

```briefing
---
status: blocked
summary: Payments wait for the credentials
blockers:
  - "credentials, for staging"
next_steps: [ask ops]
impact_level: moderate
---
## Files touched
- `src/pay.py`
```
"""


def stop(session: str = "session-1", prompt: str = "prompt-1", **more: Any) -> dict[str, Any]:
    call = {"session_id": session, "prompt_id": prompt, "last_assistant_message": "Done."}
    return {**call, "hook_event_name": "Stop", **more}


def test_plain_message_becomes_a_briefing_and_an_event(fleet: Fleet) -> None:
    repository = make_repository(fleet.folder / "api-svc")
    fleet.hook("stop", {**payload("Stop"), "cwd": str(repository)}, repository)
    fleet.drain()
    ((project, session, task, status, impact, level, raw),) = fleet.rows(
        "SELECT project_id, session_id, task_id, status, impact_level, broadcast_level, raw_markdown"
        " FROM briefings"
    )
    assert project.startswith("api-svc__")
    assert session == payload("Stop")["session_id"]
    assert task == payload("Stop")["prompt_id"]
    assert (status, impact, level, raw) == ("completed", "trivial", "silent", "Done. All good.")
    ((kind, text),) = fleet.rows("SELECT type, payload_json FROM outbox_events")
    assert kind == "briefing_added"
    event = json.loads(text)
    assert event["sessionId"] == session
    assert event["briefing"] == {
        "briefingId": 1,
        "projectId": project,
        "status": "completed",
        "impactLevel": "trivial",
        "broadcastLevel": "silent",
        "revision": 1,
        "summary": "Done. All good.",
    }


def test_fenced_briefing_takes_precedence_over_the_text_around_it(fleet: Fleet) -> None:
    project = fleet.folder / "shop"
    project.mkdir()
    fleet.hook("stop", stop(last_assistant_message=BLOCKED), project)
    fleet.drain()
    ((status, impact, level, blockers, steps, files),) = fleet.rows(
        "SELECT status, impact_level, broadcast_level, blockers_json, next_steps_json,"
        " files_touched_json FROM briefings"
    )
    assert (status, impact, level) == ("blocked", "moderate", "mention")
    assert json.loads(blockers) == ["credentials, for staging"]
    assert json.loads(steps) == ["ask ops"]
    assert json.loads(files) == ["src/pay.py"]
    assert fleet.events() == [("briefing_added", "mention"), ("session_blocked", "highlight")]


def test_status_file_is_used_once(fleet: Fleet) -> None:
    project = fleet.folder / "shop"
    (project / ".claude").mkdir(parents=True)
    status = project / ".claude" / "status.v5.session-1.md"
    status.write_text("---\nstatus: blocked\ntask_id: T1\n---\n## Summary\nWaiting for keys\n")
    fleet.hook("stop", stop(), project)
    fleet.hook("stop", stop(prompt="prompt-2"), project)
    status.write_text("---\nstatus: failed\n---\n## Summary\nBroken\n")
    fleet.hook("stop", stop(prompt="prompt-3"), project)
    fleet.drain()
    assert fleet.rows("SELECT status, source FROM briefings JOIN turns USING (briefing_id)") == [
        ("blocked", "status_file"),
        ("completed", "message"),
        ("failed", "status_file"),
    ]


@pytest.mark.parametrize("skeleton", [SKELETON, UNANSWERED])
def test_skeleton_of_a_status_file_hides_nothing_of_the_message(
    fleet: Fleet, skeleton: str
) -> None:
    project = fleet.folder / "shop"
    (project / ".claude").mkdir(parents=True)
    status = project / ".claude" / "status.v5.session-1.md"
    status.write_text(skeleton)
    message = "The limit is per user.\n\n**Remaining:**\n- the docs\n\nShall I write them?"
    fleet.hook("stop", stop(last_assistant_message=message), project)
    status.write_text(skeleton.replace("next_steps: []", "next_steps: [deploy it]"))
    fleet.hook("stop", stop(prompt="prompt-2", last_assistant_message="All green."), project)
    fleet.drain()
    first, second = fleet.rows(
        "SELECT source, status, broadcast_level, next_steps_json, raw_markdown, started_at, summary"
        " FROM briefings JOIN turns USING (briefing_id) ORDER BY briefing_id"
    )
    assert first[:5] == ("message", "waiting_for_input", "mention", '["the docs"]', message)
    assert first[5] is None  # the session's start is not the turn's
    assert second[0] == "status_file" and second[3] == '["deploy it"]'
    assert second[4].endswith("## Last message\n\nAll green.") and "status.v5" in second[4]
    assert second[6] == "All green."


def test_empty_lists_of_a_file_that_says_something_are_derived(fleet: Fleet) -> None:
    repository = make_repository(fleet.folder / "shop")
    (repository / ".claude").mkdir()
    status = repository / ".claude" / "status.v5.session-1.md"
    status.write_text(SKELETON.replace("Session in progress...", "The limit is per user."))
    edit = {"type": "tool_use", "id": "t1", "name": "Edit"}
    edit["input"] = {"file_path": str(repository / "app.py")}  # type: ignore[assignment]
    lines = [
        {"type": "user", "promptId": "prompt-1", "message": {"content": "Make the limit"}},
        {"type": "assistant", "message": {"content": [edit]}},
        {"type": "assistant", "message": {"content": [{"type": "text", "text": "Done."}]}},
    ]
    transcript = fleet.folder / "t.jsonl"
    transcript.write_text("".join(json.dumps(line) + "\n" for line in lines))
    fleet.hook("stop", stop(transcript_path=str(transcript)), repository)
    fleet.drain()
    assert fleet.rows(
        "SELECT files_touched_json, impact_level, source FROM briefings JOIN turns"
    ) == [('["app.py"]', "minor", "status_file")]


def test_second_stop_of_the_turn_keeps_the_status_of_its_file(fleet: Fleet) -> None:
    project = fleet.folder / "shop"
    (project / ".claude").mkdir(parents=True)
    status = project / ".claude" / "status.v5.session-1.md"
    status.write_text("---\nstatus: blocked\n---\n## Summary\nWaiting for keys\n")
    fleet.hook("stop", stop(), project)
    fleet.hook("stop", stop(last_assistant_message="Done!", stop_hook_active=True), project)
    fleet.drain()
    assert fleet.rows("SELECT status FROM briefings") == [("blocked",)]


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ("All green.", "completed"),
        ("Shall I go on?", "waiting_for_input"),
        ("**Which one do you want?**", "waiting_for_input"),
        ("```briefing\nstatus: working\nsummary: x\n```", "completed"),
        ("```briefing\nstatus: nonsense\nsummary: x\n```", "completed"),
    ],
)
def test_missing_status_is_derived_from_the_message(
    fleet: Fleet, message: str, status: str
) -> None:
    project = fleet.folder / "p"
    project.mkdir()
    fleet.hook("stop", stop(last_assistant_message=message), project)
    fleet.drain()
    assert fleet.rows("SELECT status FROM briefings") == [(status,)]


def test_unknown_value_is_dropped_with_a_warning(fleet: Fleet) -> None:
    project = fleet.folder / "p"
    project.mkdir()
    message = "```briefing\n---\nstatus: blocked\nimpact_level: gigantic\n---\n```"
    fleet.hook("stop", stop(last_assistant_message=message), project)
    fleet.drain()
    ((status, warnings),) = fleet.rows(
        "SELECT status, warnings_json FROM briefings JOIN turns USING (briefing_id)"
    )
    assert status == "blocked"
    assert "gigantic" in warnings


def test_api_error_becomes_a_failed_briefing_and_an_error_event(fleet: Fleet) -> None:
    project = fleet.folder / "api-svc"
    project.mkdir()
    fleet.hook("stop_failure", payload("StopFailure-unknown"), project)
    fleet.drain()
    assert fleet.rows("SELECT status FROM briefings") == [("failed",)]
    assert [kind for kind, _ in fleet.events()] == ["briefing_added", "error"]
    ((text,),) = fleet.rows("SELECT payload_json FROM outbox_events WHERE type = 'error'")
    event = json.loads(text)
    assert event["error"] == {"message": "API Error: 400 scripted failure", "code": "unknown"}
    assert event["sessionId"] == payload("StopFailure-unknown")["session_id"]


def test_permission_prompt_blocks_its_session_once_until_the_turn_ends(fleet: Fleet) -> None:
    project = fleet.folder / "api-svc"
    project.mkdir()
    waiting = payload("Notification-permission_prompt")
    fleet.hook("notification", waiting, project)
    fleet.hook("notification", waiting, project)
    fleet.drain()
    assert [kind for kind, _ in fleet.events()] == ["session_blocked"]
    assert fleet.rows("SELECT state, detail FROM sessions") == [
        ("waiting_for_permission", "Claude needs your permission")
    ]
    ended = stop(waiting["session_id"], waiting["prompt_id"])
    fleet.hook("stop", ended, project)
    fleet.drain()
    assert fleet.rows("SELECT state FROM sessions") == [("completed",)]


def test_session_start_is_announced_once_and_resume_reopens_it(fleet: Fleet) -> None:
    project = fleet.folder / "api-svc"
    project.mkdir()
    for name in ("startup", "resume"):
        fleet.hook("session_start", payload(f"SessionStart-{name}"), project)
    fleet.hook("session_end", payload("SessionEnd-other"), project)
    fleet.drain()
    assert fleet.events() == [("session_started", "silent")]
    ((ended,),) = fleet.rows("SELECT ended_at FROM sessions")
    assert ended is not None
    fleet.hook("session_start", payload("SessionStart-resume"), project)
    fleet.drain()
    assert fleet.rows("SELECT ended_at FROM sessions") == [(None,)]
    assert fleet.events() == [("session_started", "silent")]


def test_changed_skill_is_announced(fleet: Fleet) -> None:
    project = fleet.folder / "p"
    project.mkdir()
    message = "```briefing\nfiles_touched: [.claude/skills/deploy/SKILL.md, a.py]\n```"
    fleet.hook("stop", stop(last_assistant_message=message), project)
    fleet.drain()
    assert ("skill_updated", "mention") in fleet.events()


def test_stale_documents_are_reported_once_until_the_source_changes(fleet: Fleet) -> None:
    repository = make_repository(
        fleet.folder / "api-svc", None, **{"README.md": "See app.py", "docs/api.md": "app.py is it"}
    )
    message = "```briefing\nfiles_touched: [app.py]\n```"
    for number in (1, 2):
        fleet.hook("stop", stop(prompt=f"p{number}", last_assistant_message=message), repository)
    fleet.drain()
    assert fleet.rows("SELECT doc_drift_risk FROM briefings") == [("high",), ("high",)]
    events = fleet.rows("SELECT payload_json FROM outbox_events WHERE type = 'doc_drift_warning'")
    assert [json.loads(text)["docDrift"] for (text,) in events] == [
        {
            "docPath": "README.md",
            "docs": ["README.md", "docs/api.md"],
            "sources": ["app.py"],
            "risk": "high",
        }
    ]
    (repository / "app.py").write_text("changed = True\n")
    fleet.hook("stop", stop(prompt="p3", last_assistant_message=message), repository)
    fleet.drain()
    assert [kind for kind, _ in fleet.events()].count("doc_drift_warning") == 2


def test_files_of_a_turn_are_its_edits_and_commits(fleet: Fleet) -> None:
    repository = configured(make_repository(fleet.folder / "api-svc"))
    before = git(repository, "rev-parse", "HEAD")
    start = {"session_id": "s", "source": "startup", "cwd": str(repository)}
    fleet.hook("session_start", start, repository)
    fleet.drain()
    session = Session(fleet, repository, "s").asks()
    asked_at = json.loads(session.lines.lines[-1])["timestamp"]
    session.edits("docs/a.md").runs("echo > made.py; git add made.py; git commit -qm made").stops()
    ((files, docs, base, head, branch, impact, started, partial),) = fleet.rows(
        "SELECT files_touched_json, docs_touched_json, base_commit, head_commit, branch,"
        " impact_level, started_at, facts_partial FROM briefings JOIN turns USING (briefing_id)"
    )
    assert json.loads(files) == ["docs/a.md", "made.py"]
    assert json.loads(docs) == ["docs/a.md"]
    assert (base, head) == (before, git(repository, "rev-parse", "HEAD"))
    assert (branch, impact, partial) == ("main", "minor", 0)
    assert started == asked_at


def test_pulled_commits_do_not_count_for_the_turn(fleet: Fleet) -> None:
    origin = make_repository(fleet.folder / "origin")
    clone = fleet.folder / "clone"
    git(fleet.folder, "clone", "-q", str(origin), str(clone))
    configured(clone)
    fleet.hook("session_start", {"session_id": "s", "source": "startup"}, clone)
    fleet.drain()
    (origin / "foreign.py").write_text("x = 1\n")
    git(origin, "add", "-A")
    git(origin, "commit", "-qm", "foreign")
    session = Session(fleet, clone, "s").asks()
    session.runs("echo > own.py; git add -A; git commit -qm own")
    session.runs(f"git pull -q --rebase {origin} main; git log")
    assert session.stops() == ["own.py"]


def test_second_copy_and_replay_change_nothing(fleet: Fleet) -> None:
    project = fleet.folder / "api-svc"
    project.mkdir()
    calls = [
        ("session_start", payload("SessionStart-startup")),
        ("permission_request", payload("2.1.332/PermissionRequest-Bash")),
        ("notification", payload("Notification-permission_prompt")),
        ("stop", payload("Stop")),
        ("stop_failure", payload("StopFailure-unknown")),
        ("session_end", payload("SessionEnd-other")),
    ]
    for event, call in calls:
        fleet.hook(event, call, project)
        fleet.hook(event, call, project)
    copies = fleet.folder / "copies"
    copies.mkdir()
    for name in fleet.waiting():
        data = (fleet.home / "spool" / "new" / name).read_bytes()
        (copies / name).write_bytes(data)
    fleet.drain()
    assert [kind for kind, _ in fleet.events()].count("briefing_added") == 2
    before = _all_rows(fleet)
    fleet.console("replay", *(str(path) for path in sorted(copies.iterdir())))
    fleet.console("replay", *(str(path) for path in sorted(copies.iterdir(), reverse=True)))
    assert _all_rows(fleet) == before


@pytest.mark.parametrize("client", CLIENTS)
def test_payloads_of_each_client_are_applied_and_replay_changes_nothing(
    fleet: Fleet, client: str
) -> None:
    events = ("SessionStart", "Notification", "Stop", "StopFailure", "SessionEnd")
    names = [name for name in captured_payloads(*events) if name.startswith(f"{client}/")]
    files = [str(PAYLOADS / f"{name}.json") for name in names]
    assert {event_of(name) for name in names} == set(events)
    fleet.console("replay", *files)
    turns = {
        (call["session_id"], call["prompt_id"])
        for call in map(payload, names)
        if call["hook_event_name"] in ("Stop", "StopFailure")
    }
    assert set(fleet.rows("SELECT session_id, task_id FROM briefings")) == turns
    before = _all_rows(fleet)
    fleet.console("replay", *reversed(files))
    assert _all_rows(fleet) == before


def test_later_stop_of_a_turn_revises_its_briefing(fleet: Fleet) -> None:
    project = fleet.folder / "p"
    project.mkdir()
    fleet.hook("stop", stop(), project)
    fleet.hook("stop", stop(last_assistant_message="Shall I?", stop_hook_active=True), project)
    fleet.drain()
    assert fleet.rows("SELECT status, revision FROM briefings JOIN turns USING (briefing_id)") == [
        ("waiting_for_input", 2)
    ]
    revisions = [
        json.loads(text)["briefing"]["revision"]
        for (text,) in fleet.rows("SELECT payload_json FROM outbox_events")
    ]
    assert revisions == [1, 2]


def test_two_turns_with_the_same_task_and_time_are_two_briefings(fleet: Fleet) -> None:
    project = fleet.folder / "p"
    project.mkdir()
    message = "```briefing\ntask_id: T1\nended_at: 2026-11-23T00:00:00Z\nsummary: {}\n```"
    for number in (1, 2):
        call = stop(prompt=f"p{number}", last_assistant_message=message.format(number))
        fleet.hook("stop", call, project)
    fleet.drain()
    assert fleet.rows("SELECT count(*) FROM briefings") == [(2,)]


def test_payload_of_a_subagent_is_not_a_turn(fleet: Fleet) -> None:
    project = fleet.folder / "p"
    project.mkdir()
    fleet.hook("stop", stop(agent_id="a1"), project)
    fleet.drain()
    assert fleet.rows("SELECT count(*) FROM briefings") == [(0,)]
    assert fleet.quarantine() == {}


def test_turn_without_a_prompt_id_is_the_last_prompt_of_the_transcript(fleet: Fleet) -> None:
    project = fleet.folder / "p"
    project.mkdir()
    transcript = _transcript(fleet.folder / "t.jsonl", None, "Done.", project / "a.py")
    call = stop(transcript_path=str(transcript))
    del call["prompt_id"]
    fleet.hook("stop", call, project)
    fleet.hook("stop", {**call, "stop_hook_active": True}, project)
    fleet.drain()
    assert fleet.rows(
        "SELECT turn_key, files_touched_json FROM briefings JOIN turns USING (briefing_id)"
    ) == [("line:line-1", '["a.py"]')]


def test_session_whose_folder_was_renamed_stays_in_its_project(fleet: Fleet) -> None:
    repository = make_repository(fleet.folder / "api-svc")
    fleet.hook("stop", stop(), repository)
    fleet.drain()
    repository.rename(fleet.folder / "elsewhere")
    fleet.hook("stop", stop(prompt="p2"), repository)
    fleet.drain()
    assert len(set(fleet.rows("SELECT project_id FROM briefings"))) == 1


def test_next_turn_makes_an_archived_project_active_again(fleet: Fleet) -> None:
    project = fleet.folder / "p"
    project.mkdir()
    fleet.hook("stop", stop(), project)
    fleet.drain()
    fleet.console("projects", "archive", "p")
    assert fleet.rows("SELECT status FROM projects") == [("archived",)]
    fleet.hook("stop", stop(prompt="p2"), project)
    fleet.drain()
    assert fleet.rows("SELECT status FROM projects") == [("active",)]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"not json", "not JSON"),
        (b"[]", "an array"),
        (b"5", "a number"),
        (b'{"session_id": 5}', "session_id"),
        (b"[" * 100_000, "not JSON"),
        (b'{"cwd": "/tmp"}', "no session_id"),
        (b'{"session_id": "s", "last_assistant_message": {}}', "project folder"),
    ],
)
def test_entry_that_cannot_be_applied_is_quarantined_with_its_reason(
    fleet: Fleet, data: bytes, reason: str
) -> None:
    fleet.hook("stop", data)
    fleet.hook("stop", stop(cwd=str(fleet.folder)))
    fleet.drain()
    ((name, full_reason),) = fleet.quarantine().items()
    assert reason in full_reason
    assert (fleet.home / "spool" / "bad" / name).read_bytes().endswith(data)
    assert fleet.rows("SELECT count(*) FROM briefings") == [(1,)]
    ((text,),) = fleet.rows("SELECT payload_json FROM outbox_events WHERE type = 'error'")
    assert json.loads(text)["error"]["code"] == "quarantined"


def test_fields_of_an_unknown_type_do_not_lose_the_turn(fleet: Fleet) -> None:
    project = fleet.folder / "p"
    project.mkdir()
    blocks = [{"type": "text", "text": "Two"}, {"type": "text", "text": "blocks."}]
    odd: dict[str, Any] = {"error": {"a": 1}, "message": [], "source": 1, "transcript_path": 5}
    fleet.hook("stop", stop(last_assistant_message=blocks, agent_id="", **odd), project)
    fleet.drain()
    assert fleet.quarantine() == {}
    assert fleet.rows("SELECT raw_markdown FROM briefings") == [("Two\nblocks.",)]


def test_turns_of_an_old_client_stay_separate_in_backlog_and_replay(fleet: Fleet) -> None:
    project = fleet.folder / "p"
    project.mkdir()
    transcript = fleet.folder / "t.jsonl"
    lines, calls = "", []
    for number in (1, 2):
        user = {"type": "user", "uuid": f"u{number}", "message": {"content": f"do {number}"}}
        text = [{"type": "text", "text": f"Answer {number}."}]
        answer = {"type": "assistant", "message": {"content": text}}
        lines += json.dumps(user | {"timestamp": clock.now()}) + "\n" + json.dumps(answer) + "\n"
        transcript.write_text(lines)
        call = stop(transcript_path=str(transcript), last_assistant_message=f"Answer {number}.")
        del call["prompt_id"]
        calls.append(call)
        fleet.hook("stop", call, project)
    fleet.drain()
    fleet.hook("stop", calls[0], project)
    fleet.drain()
    assert fleet.rows("SELECT raw_markdown FROM briefings") == [("Answer 1.",), ("Answer 2.",)]


def test_lone_surrogates_and_nul_bytes_are_stored_as_text(fleet: Fleet) -> None:
    project = fleet.folder / "p"
    project.mkdir()
    data = (
        b'{"session_id":"s","prompt_id":"p","last_assistant_message":"a \\ud800 b \\u0000 c \xff"}'
    )
    fleet.hook("stop", data, project)
    fleet.drain()
    ((raw,),) = fleet.rows("SELECT raw_markdown FROM briefings")
    assert raw.startswith("a ? b ")


def _new_second() -> None:
    """Wait for the next second: the reflog has whole seconds, and a real turn takes longer."""
    import time

    time.sleep(1.05 - time.time() % 1)


def _transcript(path: Path, prompt: str | None, final: str, edited: Path) -> Path:
    user: dict[str, Any] = {
        "type": "user",
        "uuid": "line-1",
        "message": {"role": "user", "content": "do it"},
        "timestamp": "2026-11-22T23:21:23.552Z",
    }
    if prompt:
        user["promptId"] = prompt
    edit = {"type": "tool_use", "id": "t1", "name": "Edit", "input": {"file_path": str(edited)}}
    lines = [
        user,
        {"type": "assistant", "message": {"content": [edit]}},
        {"type": "assistant", "message": {"content": [{"type": "text", "text": final}]}},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def _all_rows(fleet: Fleet) -> dict[str, list[tuple[Any, ...]]]:
    tables = ("projects", "briefings", "outbox_events", "turns", "turn_inputs", "sessions")
    return {table: fleet.rows(f"SELECT * FROM {table}") for table in tables}


def test_identical_payloads_of_the_oldest_clients_are_separate_turns(
    fleet: Fleet,
) -> None:
    project = fleet.folder / "p"
    project.mkdir()
    transcript = fleet.folder / "t.jsonl"
    lines = ""
    call = stop(transcript_path=str(transcript))
    del call["prompt_id"], call["last_assistant_message"]
    for number in (1, 2, 3):
        user = {"type": "user", "uuid": f"u{number}", "message": {"content": f"do {number}"}}
        text = [{"type": "text", "text": f"Answer {number}."}]
        answer = {"type": "assistant", "message": {"content": text}}
        lines += json.dumps(user | {"timestamp": clock.now()}) + "\n" + json.dumps(answer) + "\n"
        transcript.write_text(lines)
        for _copy in range(2):
            fleet.hook("stop", call, project)
        fleet.drain()
    assert fleet.rows("SELECT raw_markdown FROM briefings") == [
        (f"Answer {number}.",) for number in (1, 2, 3)
    ]
    assert [kind for kind, _ in fleet.events()] == ["briefing_added"] * 3


def test_subagent_that_needs_permission_blocks_its_session(fleet: Fleet) -> None:
    project = fleet.folder / "p"
    project.mkdir()
    notification = {"notification_type": "permission_prompt", "message": "may it use Bash?"}
    fleet.hook("notification", {"session_id": "s", "agent_id": "a1", **notification}, project)
    fleet.drain()
    assert fleet.events() == [("session_blocked", "highlight")]


def test_new_question_of_a_waiting_session_is_a_new_event(fleet: Fleet) -> None:
    project = fleet.folder / "p"
    project.mkdir()
    for message in ("may it use Bash?", "may it use Bash?", "may it edit pay.py?"):
        notification = {"notification_type": "permission_prompt", "message": message}
        fleet.hook("notification", {"session_id": "s", **notification}, project)
        fleet.drain()
    details = fleet.rows("SELECT json_extract(payload_json, '$.session.detail') FROM outbox_events")
    assert details == [("may it use Bash?",), ("may it edit pay.py?",)]


# --- a clock that was ahead -------------------------------------------------------------------

DAY_NS = 86400 * 1_000_000_000


def put_at(
    monkeypatch: pytest.MonkeyPatch, fleet: Fleet, ahead_ns: int, event: str, call: dict[str, Any]
) -> None:
    """An entry of a hook whose clock is ahead."""
    when = time.time_ns() + ahead_ns
    with monkeypatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: when)
        spool.put(str(fleet.home), event, json.dumps(call).encode(), call["session_id"])


PERMISSION = {
    "session_id": "session-1",
    "cwd": "/nowhere/shop",
    "notification_type": "permission_prompt",
    "message": "Claude needs your permission to use Bash",
}


def state(fleet: Fleet) -> list[tuple[Any, ...]]:
    return fleet.rows("SELECT state, state_at, last_seen_at FROM sessions")


def test_a_time_in_the_future_counts_as_now(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    before = clock.now()
    put_at(monkeypatch, fleet, DAY_NS, "Stop", stop(cwd="/nowhere/shop"))
    put_at(monkeypatch, fleet, DAY_NS + 1, "Notification", PERMISSION)
    fleet.drain()

    # Both count as now, and still in their order.
    ((word, at, seen),) = state(fleet)
    assert word == "waiting_for_permission"
    soon = clock.iso(time.time_ns() + 1_000_000_000)
    assert before <= at == seen <= soon
    assert all(before <= ts <= soon for (ts,) in fleet.rows("SELECT ts FROM outbox_events"))
    assert fleet.rows("SELECT count(*) FROM outbox_events WHERE type = 'session_blocked'") == [(1,)]


def test_what_is_received_a_moment_ahead_keeps_its_time(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_at(monkeypatch, fleet, 1_500_000_000, "Stop", stop(cwd="/nowhere/shop"))
    (name,) = fleet.waiting()
    fleet.drain()

    assert state(fleet)[0][1] == clock.iso(int(name.partition(".")[0]))


@pytest.mark.parametrize("event", ["Notification", "Stop", "SessionEnd", "SessionStart"])
def test_a_turn_while_the_clock_was_ahead_hides_nothing_that_comes_after_it(
    fleet: Fleet, event: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.hook("stop", stop(cwd="/nowhere/shop"))
    fleet.drain()
    ahead = clock.iso(time.time_ns() + DAY_NS)
    with contextlib.closing(sqlite3.connect(fleet.home / "fleet.db")) as connection, connection:
        connection.execute("UPDATE sessions SET state_at = ?1, last_seen_at = ?1", (ahead,))

    call = {
        "Notification": PERMISSION,
        "Stop": stop(prompt="prompt-2", cwd="/nowhere/shop", last_assistant_message=BLOCKED),
        "SessionEnd": {"session_id": "session-1", "reason": "other"},
        "SessionStart": {"session_id": "session-1", "source": "resume"},
    }[event]
    put_at(monkeypatch, fleet, 0, event, call)
    fleet.drain()

    ((word, at, seen),) = state(fleet)
    assert seen < ahead
    if event in ("Notification", "Stop"):
        assert at == seen
        assert word == {"Notification": "waiting_for_permission", "Stop": "blocked"}[event]
    (ended,) = fleet.rows("SELECT ended_at FROM sessions")
    assert ended == (seen if event == "SessionEnd" else None,)


def test_later_words_of_a_turn_stand_after_a_stop_while_the_clock_was_ahead(fleet: Fleet) -> None:
    fleet.hook("stop", stop(cwd="/nowhere/shop"))
    fleet.drain()
    ahead = clock.iso(time.time_ns() + DAY_NS)
    with contextlib.closing(sqlite3.connect(fleet.home / "fleet.db")) as connection, connection:
        connection.execute("UPDATE turns SET stopped_at = ?", (ahead,))
        connection.execute("UPDATE sessions SET state_at = ?1, last_seen_at = ?1", (ahead,))

    fleet.hook("stop", stop(cwd="/nowhere/shop", last_assistant_message=BLOCKED))
    fleet.drain()

    assert fleet.rows("SELECT status FROM briefings") == [("blocked",)]


def test_a_turns_commits_are_its_files_after_a_turn_while_the_clock_was_ahead(
    fleet: Fleet,
) -> None:
    repository = configured(make_repository(fleet.folder / "shop", README="a shop"))
    fleet.hook("stop", stop(cwd=str(repository)), repository)
    fleet.drain()
    with contextlib.closing(sqlite3.connect(fleet.home / "fleet.db")) as connection, connection:
        connection.execute("UPDATE sessions SET head_at = ?", (time.time_ns() + DAY_NS,))
    session = Session(fleet, repository, "session-1").asks()
    assert session.runs("echo > pay.py; git add .; git commit -qm pay").stops() == ["pay.py"]


# --- the payload ---


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"session_id": 7}, "session_id: not a string"),
        ({"session_id": ["s"]}, "session_id: not a string"),
        ({"session_id": "s" * 201}, "session_id: is longer than an id"),
        ({"prompt_id": "p" * 201}, "prompt_id: is longer than an id"),
    ],
)
def test_payload_whose_ids_are_none_is_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadEntry, match=reason):
        Payload.read({"session_id": "s", **fields})


def test_new_form_of_another_field_does_not_lose_the_turn() -> None:
    other_types = dict.fromkeys(Payload().__dict__, 7) | {"session_id": "s", "unknown": [1]}
    assert Payload.read(other_types) == Payload(session_id="s")
    assert Payload.read({"session_id": "", "prompt_id": ""}) == Payload()
    blocks = [{"type": "text", "text": "a"}, {"type": "image"}, "x", {"text": "b"}]
    assert Payload.read({"last_assistant_message": blocks}).last_assistant_message == "a\nb"
    assert Payload.read({"message": "a\0\ud800"}).message == "a?"
    assert Payload.read({"tool_input": {"command": "ls"}}).tool_input == {"command": "ls"}
