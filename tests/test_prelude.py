"""One example for each rule of the prelude, and a check that its statements use the indexes."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import git, make_repository
from support_prelude import Fleet, Raw, label_of, section, statements_of, utf16_length

from fleet_lib import clock, hot_settings, paths, rules
from fleet_lib.lines import state_words
from fleet_lib.prelude.database import SCHEMA_VERSION, Unavailable, open_database
from fleet_lib.prelude.delta import delta
from fleet_lib.prelude.recap import recap
from fleet_lib.prelude.workers import WORKER_FACTS_LIMIT, worker_facts
from fleet_lib.store import db, migrate

HOUR = 3600


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def ago(seconds: float) -> str:
    return clock.iso(int((time.time() - seconds) * 1e9))


def turn(session: str | None, status: str, summary: str = "what it did") -> dict[str, Any]:
    payload: dict[str, Any] = {"briefing": {"status": status, "summary": summary, "revision": 1}}
    return payload | ({"sessionId": session} if session else {})


def blocked(session: str | None, detail: str = "waits for credentials") -> dict[str, Any]:
    payload: dict[str, Any] = {"session": {"status": "blocked", "detail": detail}}
    return payload | ({"sessionId": session} if session else {})


def drift(session: str, document: str | None) -> dict[str, Any]:
    return {"docDrift": {"docPath": document, "sources": [], "risk": "high"}, "sessionId": session}


# --- alerts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type", "payload"),
    [
        ("error", {}),
        ("session_blocked", {}),
        ("doc_drift_warning", {}),
        ("briefing_added", {"briefing": {"status": "blocked"}}),
        ("briefing_added", {"briefing": {"status": "failed"}}),
        ("job_completed", {"job": {"status": "failed"}}),
        ("their_own", {"session": {"status": "failed"}}),
        ("their_own", {"status": "blocked"}),
        ("error", "not json"),
    ],
)
@pytest.mark.parametrize("level", [None, "silent", "mention", "highlight", "alert", "garbage"])
def test_alert_is_shown_whatever_its_level(
    fleet: Fleet, type: str, payload: Any, level: str | None
) -> None:
    fleet.event(type, level, payload)
    assert len(section(fleet.delta(), "Alerts")) == 1


def test_fifty_silent_events_do_not_hide_a_blocked_session(fleet: Fleet) -> None:
    fleet.event("session_blocked", "highlight", blocked("s1", "waits for a key"))
    for number in range(50):
        fleet.event("briefing_added", "silent", turn(f"t{number}", "completed", "nothing much"))
    text = fleet.delta()
    assert "waits for a key" in section(text, "Alerts")[0]
    assert "nothing much" not in text and "Left out" not in text


def test_silent_events_alone_print_nothing(fleet: Fleet) -> None:
    fleet.event("briefing_added", "silent", turn("s1", "completed"))
    fleet.event("session_started", None)
    assert fleet.delta() == ""


def test_session_start_is_silent_only_without_a_level(fleet: Fleet) -> None:
    fleet.event("session_started", None)
    fleet.event("session_started", "mention")
    assert [label_of(line) for line in section(fleet.delta(), "Mentions")] == ["#e2"]


# --- merging and resolving --------------------------------------------------------------------


@pytest.mark.parametrize("level", ["mention", "silent", "highlight"])
def test_alert_of_a_session_that_completed_later_is_marked_resolved(
    fleet: Fleet, level: str
) -> None:
    fleet.event("session_blocked", "highlight", blocked("s1"))
    fleet.event("briefing_added", level, turn("s1", "completed"))
    (line,) = section(fleet.delta(), "Alerts")
    assert line.split(" · ")[1] == "resolved"


def test_session_that_was_blocked_again_is_not_resolved(fleet: Fleet) -> None:
    fleet.event("session_blocked", "highlight", blocked("s1", "the first key"))
    fleet.event("briefing_added", "silent", turn("s1", "completed"))
    fleet.event("session_blocked", "highlight", blocked("s1", "the second key"))
    (line,) = section(fleet.delta(), "Alerts")
    assert "resolved" not in line and "the second key" in line


@pytest.mark.parametrize("status", ["waiting_for_input", "working", "Completed"])
def test_only_a_completed_turn_resolves_an_alert(fleet: Fleet, status: str) -> None:
    fleet.event("session_blocked", "highlight", blocked("s1"))
    fleet.event("briefing_added", "silent", turn("s1", status))
    assert "resolved" not in fleet.delta()


def test_completion_of_another_session_resolves_nothing(fleet: Fleet) -> None:
    fleet.event("session_blocked", "highlight", blocked("s1"))
    fleet.event("briefing_added", "silent", turn("s2", "completed"))
    assert "resolved" not in fleet.delta()


def test_resolved_alerts_come_after_open_ones(fleet: Fleet) -> None:
    for session in ("old", "done"):
        fleet.event("session_blocked", "highlight", blocked(session, f"{session} waits"))
    fleet.event("briefing_added", "silent", turn("done", "completed"))
    first, second = section(fleet.delta(), "Alerts")
    assert "old waits" in first and "done waits" in second


def test_doc_drift_is_not_marked_resolved(fleet: Fleet) -> None:
    fleet.event("doc_drift_warning", "highlight", drift("s1", "docs/a.md"))
    fleet.event("briefing_added", "silent", turn("s1", "completed"))
    (line,) = section(fleet.delta(), "Alerts")
    assert "docs/a.md" in line and "resolved" not in line


def test_resolved_alert_still_names_stale_documents(fleet: Fleet) -> None:
    fleet.event("session_blocked", "highlight", blocked("s1"))
    fleet.event("briefing_added", "silent", turn("s1", "completed"))
    fleet.event("doc_drift_warning", "highlight", drift("s1", "docs/a.md"))
    (line,) = section(fleet.delta(), "Alerts")
    assert "resolved" in line and "documents may be stale: docs/a.md" in line


@pytest.mark.parametrize("payload", ["not json", "{}", b"\xff"])
@pytest.mark.parametrize(("status", "resolved"), [("completed", True), ("failed", False)])
def test_completion_without_a_status_has_that_of_its_briefing(
    fleet: Fleet, payload: Any, status: str, resolved: bool
) -> None:
    fleet.project("api__1", "api")
    other = "failed" if resolved else "completed"
    fleet.briefing("api__1", "another", other)  # the first in the table has the other status
    briefing = fleet.briefing("api__1", "s1", status)
    fleet.event("error", "highlight", {"error": {"message": "boom"}, "sessionId": "s1"})
    fleet.event("briefing_added", "silent", payload, project="api__1", briefing=briefing)
    (line,) = section(fleet.delta(), "Alerts")
    assert ("resolved" in line) is resolved


def test_alerts_of_one_session_are_merged_into_one_line(fleet: Fleet) -> None:
    fleet.project("api__1", "api")
    briefing = fleet.briefing("api__1", "s1", "blocked")
    fleet.event("briefing_added", "mention", turn("s1", "blocked", "no key"), briefing=briefing)
    fleet.event("session_blocked", "highlight", blocked("s1", "no key"), briefing=briefing)
    fleet.event("error", "highlight", {"error": {"message": "boom"}, "sessionId": "s1"})
    fleet.event("doc_drift_warning", "highlight", drift("s1", "docs/a.md"), briefing=briefing)
    fleet.event("doc_drift_warning", "highlight", drift("s1", "docs/b.md"), briefing=briefing)
    (line,) = section(fleet.delta(), "Alerts")
    assert label_of(line) == f"#{briefing}"
    assert "error and blocked" in line and "docs/b.md, docs/a.md" in line


def test_alerts_of_one_turn_without_a_session_are_merged_into_one_line(fleet: Fleet) -> None:
    fleet.project("api__1", "api")
    briefing = fleet.briefing("api__1", None, "blocked")
    fleet.event("briefing_added", "mention", turn(None, "blocked"), briefing=briefing)
    fleet.event("session_blocked", "highlight", blocked(None), briefing=briefing)
    fleet.event("session_blocked", "highlight", blocked(None))
    assert [label_of(x) for x in section(fleet.delta(), "Alerts")] == ["#e3", f"#{briefing}"]


def test_session_comes_from_the_briefing_if_not_in_the_payload(fleet: Fleet) -> None:
    fleet.project("api__1", "api")
    briefing = fleet.briefing("api__1", "s1", "failed")
    fleet.event("error", "highlight", "not json", briefing=briefing)
    fleet.event("session_blocked", "highlight", blocked("s1"))
    assert len(section(fleet.delta(), "Alerts")) == 1


def test_failed_job_is_an_alert_that_names_the_job(fleet: Fleet) -> None:
    job = {"jobId": 7, "type": "ask", "status": "failed", "error": "out of tokens"}
    fleet.event("job_completed", "highlight", {"job": job})
    (line,) = section(fleet.delta(), "Alerts")
    assert "job 7 failed: out of tokens" in line


# --- highlights and mentions ------------------------------------------------------------------


def test_newest_highlight_of_a_project_is_shown_and_others_are_counted(
    fleet: Fleet,
) -> None:
    for number in range(6):
        payload = turn(f"s{number}", "completed", f"work {number}")
        fleet.event(
            "briefing_added", "highlight", payload, project=("api__1", "web__2")[number % 2]
        )
    text = fleet.delta()
    first, second = section(text, "Highlights")
    assert "work 5" in first and "work 4" in second
    assert "Left out: 4 highlights." in text


def test_one_highlight_is_shown_for_each_project_among_very_many(fleet: Fleet) -> None:
    fleet.event("briefing_added", "highlight", turn("old", "completed", "rare"), project="rare__1")
    with db.transaction(fleet.connection):
        for number in range(1000):
            payload = turn(f"s{number}", "completed", f"work {number}")
            fleet.event("briefing_added", "highlight", payload, project="busy__1")
    text = fleet.delta()
    assert [label_of(line) for line in section(text, "Highlights")] == ["#e1001", "#e1"]
    assert "Left out: 999 highlights." in text


def test_no_highlight_is_shown_twice_if_projects_are_null_or_empty(fleet: Fleet) -> None:
    with db.transaction(fleet.connection):
        for number in range(450):
            project = "" if number % 2 else None
            fleet.event("briefing_added", "highlight", turn(None, "completed"), project=project)
    text = fleet.delta()
    labels = [label_of(line) for line in section(text, "Highlights")]
    assert len(set(labels)) == len(labels)
    assert f"Left out: {450 - len(labels)} highlights." in text


def test_ten_mentions_are_shown_and_the_others_are_counted(fleet: Fleet) -> None:
    for number in range(25):
        fleet.event("briefing_added", "mention", turn(f"s{number}", "completed"))
    text = fleet.delta()
    assert [label_of(x) for x in section(text, "Mentions")] == [f"#e{n}" for n in range(25, 15, -1)]
    assert "Left out: 15 mentions. `fleet events list --after 0` has all." in text


def test_revisions_of_a_briefing_are_merged_into_one_mention(fleet: Fleet) -> None:
    fleet.project("api__1", "api")
    briefing = fleet.briefing("api__1", "s1")
    for number in range(3):
        payload = turn("s1", "completed", f"revision {number}")
        fleet.event("briefing_added", "mention", payload, briefing=briefing)
    text = fleet.delta()
    (line,) = section(text, "Mentions")
    assert "revision 2" in line and "Left out" not in text


def test_closing_line_counts_both_highlights_and_mentions(fleet: Fleet) -> None:
    for number in range(12):
        for level in ("highlight", "mention"):
            fleet.event("briefing_added", level, turn(f"s{number}", "completed"), project="api__1")
    assert "Left out: 11 highlights, 2 mentions." in fleet.delta()


def test_events_up_to_the_cursor_are_not_shown(fleet: Fleet) -> None:
    seen = fleet.event("session_blocked", "highlight", blocked("s1", "already shown"))
    assert fleet.delta(seen) == ""
    fleet.event("session_blocked", "highlight", blocked("s2", "fresh"))
    assert "fresh" in fleet.delta(seen) and "already shown" not in fleet.delta(seen)


def test_cursor_beyond_the_newest_event_shows_nothing_and_stays(fleet: Fleet) -> None:
    fleet.event("session_blocked", "highlight", blocked("s1"))
    assert fleet.delta(100) == ""  # the helper checks that `through` is 100


# --- many alerts ------------------------------------------------------------------------------


def alerts(fleet: Fleet, count: int, projects: int, kinds: int = 1) -> None:
    with db.transaction(fleet.connection):
        for number in range(count):
            payload = {"error": {"message": f"boom {number}"}, "sessionId": f"s{number}"}
            kind = "error" if kinds == 1 else f"kind {number % kinds}"
            fleet.event(kind, "alert", payload, project=f"p{number % projects}__1")


def counted(text: str) -> int:
    """How many alerts of one event each a text stands for: those with a line, and the rest."""
    lines = section(text, "Alerts")
    rest = re.match(r"- and (\d+) more ", lines[-1])
    return len(lines) if rest is None else len(lines) - 1 + int(rest[1])


def test_alerts_have_a_line_each_while_they_fit(fleet: Fleet) -> None:
    alerts(fleet, 40, projects=10)
    assert len(section(fleet.delta(), "Alerts")) == 40


def test_alerts_that_fit_when_they_are_shortened_have_a_line_each(fleet: Fleet) -> None:
    for number in range(40):
        words = {"error": {"message": f"{number} " + "x" * 300}, "sessionId": f"s{number}"}
        fleet.event("error", "alert", words, project="p__1")
    assert len(section(fleet.delta(), "Alerts")) == 40


@pytest.mark.parametrize("count", [120, 500])
def test_as_many_alerts_as_fit_stand_singly_and_the_rest_is_counted_by_project(
    fleet: Fleet, count: int
) -> None:
    alerts(fleet, count, projects=3)
    text = fleet.delta()
    *singly, rest = section(text, "Alerts")
    assert len(singly) > 60 and utf16_length(text) > 5200, "the budget is used"
    assert singly[0].startswith(f"- #e{count} p") and f"boom {count - 1}" in singly[0]
    left = range(count - len(singly))
    by_project = {f"p{n}__1": sum(number % 3 == n for number in left) for n in range(3)}
    noun = "more" if count <= 400 else "more events"
    assert rest.startswith(f"- and {len(left)} {noun} (")
    assert rest.endswith("): `fleet events list --after 0` has all.")
    shown = re.findall(r"(p\d__1) (\d+)", rest)
    assert {name: int(number) for name, number in shown} == by_project


def test_a_turn_that_blocks_is_one_alert_among_many(fleet: Fleet) -> None:
    """It makes two events, of which one would do."""
    for number in range(150):
        session = f"s{number}"
        fleet.event("briefing_added", "mention", turn(session, "blocked", "x" * 200))
        fleet.event("session_blocked", "highlight", blocked(session, "x" * 200))
    text = fleet.delta()
    assert counted(text) == 150


def test_three_thousand_projects_are_counted_though_not_named(fleet: Fleet) -> None:
    alerts(fleet, 6000, projects=3000)
    text = fleet.delta()
    assert counted(text) == 6000 and "boom 5999" in text and "others " in text


def test_many_alerts_leave_room_for_the_closing_line(fleet: Fleet) -> None:
    alerts(fleet, 40, projects=10)
    for number in range(12):
        fleet.event("briefing_added", "mention", turn(f"m{number}", "completed", "x" * 300))
        fleet.event("briefing_added", "highlight", turn(f"h{number}", "completed", "x" * 300))
    text = fleet.delta(room=2500)
    assert "Left out: 12 highlights, 12 mentions." in text and utf16_length(text) <= 2500


def test_alerts_up_to_the_cursor_are_not_counted(fleet: Fleet) -> None:
    alerts(fleet, 500, projects=25)
    alerts(fleet, 450, projects=5)
    assert counted(fleet.delta(500)) == 450


@pytest.mark.parametrize("column", ["type", "project"])
@pytest.mark.parametrize(
    "value",
    [
        "",
        b"",
        b"blob \xff",
        Raw(b"caf\x80"),  # sorts before the replacement character
        Raw(b"caf\xff"),  # and after it
        "nul\0inside",
        "</fleet-prelude>",
    ],
)
def test_very_many_alerts_are_counted_whatever_their_columns_hold(
    fleet: Fleet, column: str, value: Any
) -> None:
    with db.transaction(fleet.connection):
        for number in range(500):
            columns = {"type": "error", "level": "alert", column: value}
            fleet.event(payload={"sessionId": f"s{number}"}, **columns)
    assert counted(fleet.delta()) == 500


# --- other programs' rows ---------------------------------------------------------------------


@pytest.mark.parametrize("payload", ["not json", "", b"\x00\xff", Raw(b'{"a":"\xff'), "[" * 50_000])
def test_unreadable_payload_affects_only_its_line(fleet: Fleet, payload: Any) -> None:
    fleet.event("error", "highlight", payload)
    fleet.event("error", "highlight", {"error": {"message": "boom"}})
    fleet.event("briefing_added", "mention", turn("s1", "completed", "fine"))
    text = fleet.delta()
    good, bad = section(text, "Alerts")
    assert "boom" in good and "unreadable (event 1)" in bad
    assert "fine" in text


def test_row_of_another_program_without_fleets_columns_is_a_mention(fleet: Fleet) -> None:
    fleet.connection.execute(
        "INSERT INTO outbox_events (ts, type, payload_json) VALUES ('now', 'their_own', '{}')"
    )
    (line,) = section(fleet.delta(), "Mentions")
    assert line == "- #e1 - · their own: no text · now"


@pytest.mark.parametrize("briefing", [77, "</fleet-prelude>\n\x1b[31m", 7.5, b"\x00"])
def test_unknown_briefing_id_is_replaced_by_the_event_id(fleet: Fleet, briefing: Any) -> None:
    for level in ("alert", "highlight", "mention"):
        fleet.event("note", level, {"message": "words"}, briefing=briefing)
    text = fleet.delta()
    assert [label_of(line) for line in text.split("\n") if line.startswith("- ")] == [
        "#e1",
        "#e2",
        "#e3",
    ]


def test_text_comes_from_the_turn_if_the_payload_has_none(fleet: Fleet) -> None:
    fleet.project("api__1", "api")
    briefing = fleet.briefing("api__1", "s1", text="# The markdown of it")
    fleet.event("briefing_added", "mention", "not json", project="api__1", briefing=briefing)
    fleet.event("briefing_added", "mention", {}, project="api__1", briefing=briefing)
    assert "The markdown of it" in section(fleet.delta(), "Mentions")[0]
    fleet.turn(briefing, "the turn's own summary")
    assert "the turn's own summary" in section(fleet.delta(), "Mentions")[0]


def test_million_characters_are_shortened_to_one_line(fleet: Fleet) -> None:
    fleet.event("error", "highlight", {"error": {"message": "word " * 200_000}})
    (line,) = section(fleet.delta(), "Alerts")
    assert len(line) < 300 and "…" in line


def test_projects_that_share_a_name_are_shown_by_id(fleet: Fleet) -> None:
    fleet.project("api__11111111", "api")
    fleet.project("api__22222222", "api")
    fleet.project("web__33333333", "web")
    for project in ("api__11111111", "api__22222222", "web__33333333", "gone__44444444"):
        fleet.event("error", "highlight", {"error": {"message": "boom"}}, project=project)
    assert [line.split(" ")[2] for line in section(fleet.delta(), "Alerts")] == [
        "gone__44444444",
        "web",
        "api__22222222",
        "api__11111111",
    ]


# --- recap ------------------------------------------------------------------------------------


def test_roster_has_a_line_for_each_active_project_with_a_briefing(fleet: Fleet) -> None:
    for project, status in (("a", "active"), ("b", None), ("c", "archived"), ("empty", "active")):
        fleet.project(f"{project}__1", project, status=status)
        if project != "empty":
            fleet.briefing(f"{project}__1", text=f"first of {project}")
            fleet.briefing(f"{project}__1", text=f"last of {project}")
    lines = section(fleet.recap(), "Projects")
    assert [line.split(" ")[2] for line in lines] == ["b", "a"]
    assert "last of b" in lines[0]


def test_projects_that_do_not_fit_the_roster_are_counted(fleet: Fleet) -> None:
    with db.transaction(fleet.connection):
        for number in range(300):
            fleet.project(f"p{number}__1", f"p{number}")
            fleet.briefing(f"p{number}__1")
    lines = section(fleet.recap(), "Projects")
    rest = re.fullmatch(r"- and (\d+) more projects: `fleet status`", lines[-1])
    assert rest and int(rest[1]) + len(lines) - 1 == 300


@pytest.mark.parametrize("state", ["blocked", "failed", "waiting_for_permission"])
def test_recap_shows_an_open_alert_from_before(fleet: Fleet, state: str) -> None:
    fleet.project("api__1", "api")
    event = fleet.event("session_blocked", "highlight", blocked("s1"), project="api__1")
    fleet.session("s1", "api__1", state, detail="needs a key", state_at=ago(HOUR), event_id=event)
    (line,) = section(fleet.recap(event), "Needs you")
    assert "needs a key" in line and label_of(line) == f"#e{event}"


@pytest.mark.parametrize("state", ["blocked", "failed", "waiting_for_input"])
def test_recap_shows_what_is_left_open(fleet: Fleet, state: str) -> None:
    fleet.project("api__1", "api")
    event = fleet.event("session_blocked", "highlight", blocked("s1"), project="api__1")
    row = {"state_at": ago(HOUR), "ended_at": ago(60), "event_id": event}
    fleet.session("s1", "api__1", state, detail="needs a key", **row)
    (line,) = section(fleet.recap(event), "Left open")
    assert "needs a key" in line and state_words(state) in line


def test_recap_shows_a_question_once(fleet: Fleet) -> None:
    fleet.project("api__1", "api")
    asking = fleet.briefing("api__1", "s1", "waiting_for_input")
    other = fleet.briefing("api__1", "s2")
    for number, status in ((asking, "waiting_for_input"), (other, "completed")):
        payload = turn("s1", status, "Table or file?")
        event = fleet.event("briefing_added", "mention", payload, project="api__1", briefing=number)
    row = {"state_at": ago(HOUR), "event_id": event - 1, "briefing_id": asking}
    fleet.session("s1", "api__1", "waiting_for_input", detail="Table or file?", **row)
    text = fleet.recap(0)
    assert [label_of(line) for line in section(text, "Needs you")] == [f"#{asking}"]
    assert "asks you · Table or file?" in section(text, "Needs you")[0]
    assert [label_of(line) for line in section(text, "Mentions")] == [f"#{other}"]
    assert "Left out" not in text


def test_turns_that_ask_come_first_among_the_mentions(fleet: Fleet) -> None:
    fleet.event("briefing_added", "mention", turn("s0", "waiting_for_input", "Table or file?"))
    for number in range(25):
        fleet.event("briefing_added", "mention", turn(f"s{number}", "completed"))
    shown = section(fleet.delta(), "Mentions")
    assert "asks you: Table or file?" in shown[0] and len(shown) == 10
    assert [label_of(x) for x in shown[1:]] == [f"#e{n}" for n in range(26, 17, -1)]


def test_recap_does_not_repeat_an_alert_of_the_delta(fleet: Fleet) -> None:
    fleet.project("api__1", "api")
    event = fleet.event("session_blocked", "highlight", blocked("s1"), project="api__1")
    fleet.session("s1", "api__1", "blocked", state_at=ago(HOUR), event_id=event)
    text = fleet.recap(0)
    assert section(text, "Needs you") == [] and len(section(text, "Alerts")) == 1


@pytest.mark.parametrize(
    "values",
    [
        {"state_at": ago(7 * 24 * HOUR + 60)},
        {"state_at": ago(7 * 24 * HOUR + 60), "ended_at": ago(60)},
        {"state_at": ago(HOUR), "state": "waiting_for_permission", "ended_at": ago(60)},
        {"state_at": ago(HOUR), "state": "completed"},
        {"state_at": ago(HOUR), "state": "completed", "ended_at": ago(60)},
        {"state_at": ago(HOUR), "project": "old__1"},
        {"state_at": ago(HOUR), "project": "old__1", "ended_at": ago(60)},
        {"state_at": ago(HOUR), "hidden_until": rules.DISMISSED},
        {"state_at": ago(HOUR), "hidden_until": rules.DISMISSED, "ended_at": ago(60)},
    ],
    ids=[
        *("older than 7 days", "ended, older than 7 days", "ended while it needed permission"),
        *("completed", "completed and ended", "archived", "archived and ended"),
        *("dismissed", "dismissed and ended"),
    ],
)
def test_recap_does_not_show_an_alert_that_is_no_longer_open(
    fleet: Fleet, values: dict[str, Any]
) -> None:
    fleet.project("api__1", "api")
    fleet.project("old__1", "old", status="archived")
    event = fleet.event("session_blocked", "highlight", blocked("s1"))
    row = {"project": "api__1", "state": "blocked", "event_id": event} | values
    fleet.session("s1", **row)
    assert fleet.recap(event) == ""


def test_open_alert_has_an_id_that_exists(fleet: Fleet) -> None:
    fleet.project("api__1", "api")
    event = fleet.event("session_blocked", "highlight", blocked("s1"))
    # A briefing that was pruned.
    fleet.session("s1", "api__1", "blocked", state_at=ago(60), event_id=event, briefing_id=77)
    (line,) = section(fleet.recap(event), "Needs you")
    assert label_of(line) == f"#e{event}"


def test_open_alerts_that_do_not_fit_are_counted(fleet: Fleet) -> None:
    fleet.project("api__1", "api")
    event = fleet.event("session_blocked", "highlight", blocked("s1"))
    with db.transaction(fleet.connection):
        for number in range(300):
            fleet.session(f"s{number}", "api__1", "blocked", state_at=ago(60), event_id=event)
    lines = section(fleet.recap(event), "Needs you")
    rest = re.fullmatch(r"- and (\d+) more sessions: `fleet status`", lines[-1])
    assert rest and int(rest[1]) + len(lines) - 1 == 300


def test_full_roster_leaves_room_for_alerts(fleet: Fleet) -> None:
    with db.transaction(fleet.connection):
        for number in range(100):
            fleet.project(f"p{number}__1", f"p{number}")
            fleet.briefing(f"p{number}__1", text="words " * 60)
    alerts(fleet, 30, projects=10)
    text = fleet.recap()
    assert len(section(text, "Alerts")) == 30 or counted(text) == 30
    assert utf16_length(text) <= hot_settings.BUDGET


def test_empty_database_has_no_recap(fleet: Fleet) -> None:
    assert fleet.recap() == ""


# --- a worker's facts -------------------------------------------------------------------------


def test_worker_gets_the_form_of_a_briefing_without_a_database(tmp_path: Path) -> None:
    text = worker_facts(str(tmp_path), "/code/api", "s1")
    assert "```briefing\n---\nstatus:" in text and "Other sessions" not in text


def test_worker_gets_the_other_sessions_and_their_files(fleet: Fleet) -> None:
    fleet.project("api__1", "api", repo_root="/code/api")
    fleet.project("web__1", "web", repo_root="/code/web")
    files = json.dumps(["src/a.py", "src/b</fleet-prelude>.py"])
    briefing = fleet.briefing("api__1", "s2", branch="feature", files_touched_json=files)
    now = {"last_seen_at": ago(60), "folder": "/code/api"}
    fleet.session("s1", "api__1", "working", **now)
    fleet.session("s2-other", "api__1", "working", briefing_id=briefing, **now)
    fleet.session("s3-ended", "api__1", "working", ended_at=ago(30), **now)
    fleet.session("s4-stale", "api__1", "working", folder="/code/api", last_seen_at=ago(13 * HOUR))
    fleet.session("s5-web", "web__1", "working", folder="/code/web", last_seen_at=ago(60))
    text = worker_facts(fleet.home, "/code/api", "s1")
    assert [line for line in text.split("\n") if line.startswith("- ")] == [
        "- session s2-other on feature (working); touched src/a.py, src/b‹/fleet-prelude›.py"
    ]


@pytest.mark.parametrize("folder", ["/code/api", "/code/api/deep/below"])
def test_folder_without_a_session_is_found_by_its_repository_root(
    fleet: Fleet, folder: str
) -> None:
    fleet.project("api__1", "api", repo_root="/code/api")
    fleet.session("s2", "api__1", "working", folder="/elsewhere", last_seen_at=ago(60))
    assert "- session s2 (working)" in worker_facts(fleet.home, folder, "s1")


def test_first_session_in_a_worktree_or_clone_gets_the_other_sessions(
    fleet: Fleet, tmp_path: Path
) -> None:
    address = "https://github.com/example/api.git"
    main = make_repository(tmp_path / "api", address)
    git(main, "worktree", "add", "-q", str(tmp_path / "feature"))
    clone = make_repository(tmp_path / "api-2", address)
    fleet.project("api__1", "api", repo_root=str(main), git_remote=address)
    fleet.session("s2", "api__1", "working", folder=str(main), last_seen_at=ago(60))
    for folder in (tmp_path / "feature", clone, clone / "below"):
        assert "- session s2 (working)" in worker_facts(fleet.home, str(folder), "s1")


@pytest.mark.parametrize("folder", ["", "/", "relative", "/work", "/nowhere/at all"])
def test_folder_of_no_project_has_no_other_sessions(fleet: Fleet, folder: str) -> None:
    fleet.project("api__1", "api", repo_root="/code/api")
    fleet.session("s2", "api__1", "working", folder="/code/api", last_seen_at=ago(60))
    assert "Other sessions" not in worker_facts(fleet.home, folder, "s1")


@pytest.mark.parametrize("files", ["not json", "{}", "7", "[]", "[[1],null]", None])
def test_worker_gets_the_other_sessions_even_if_files_are_malformed(
    fleet: Fleet, files: str | None
) -> None:
    fleet.project("api__1", "api", repo_root="/code/api")
    briefing = fleet.briefing("api__1", "s2", files_touched_json=files)
    seen = {"folder": "/code/api", "last_seen_at": ago(60), "briefing_id": briefing}
    fleet.session("s2", "api__1", "working", **seen)
    assert "- session s2 (working)" in worker_facts(fleet.home, "/code/api", "s1")


def test_worker_facts_have_at_most_1500_characters(fleet: Fleet) -> None:
    fleet.project("api__1", "api", repo_root="/code/api")
    files = json.dumps([f"src/{'😀' * 40}/{number}.py" for number in range(50)])
    for number in range(30):
        briefing = fleet.briefing("api__1", f"s{number}", files_touched_json=files)
        seen = {"folder": "/code/api", "last_seen_at": ago(60), "briefing_id": briefing}
        fleet.session(f"s{number}", "api__1", "working", **seen)
    text = worker_facts(fleet.home, "/code/api", "me")
    assert 1000 < utf16_length(text) <= WORKER_FACTS_LIMIT
    assert "- session s" in text


# --- the budget and the file ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (None, 6000),
        ("", 6000),
        ("abc", 6000),
        ("-5", 6000),
        ("7000.5", 6000),
        ("²", 6000),
        ("1", 1000),
        ("1000", 1000),
        ("9800", 9800),
        ("10000", 9800),
    ],
)
def test_budget_stays_within_what_claude_code_shows(
    tmp_path: Path, written: str | None, expected: int
) -> None:
    if written is not None:
        (tmp_path / "config.toml").write_text(f"[prelude]\nbudget = {written}\n")
    assert hot_settings.budget(str(tmp_path)) == expected


def test_only_a_database_of_this_schema_version_is_read(fleet: Fleet, tmp_path: Path) -> None:
    open_database(fleet.home).close()
    for version in (SCHEMA_VERSION - 1, SCHEMA_VERSION + 1):
        fleet.connection.execute(f"PRAGMA user_version = {version}")
        with pytest.raises(Unavailable):
            open_database(fleet.home)
    with pytest.raises(Unavailable):
        open_database(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("content", [b"", b"not a database" * 100])
def test_damaged_database_is_unavailable(tmp_path: Path, content: bytes) -> None:
    Path(paths.database(str(tmp_path))).write_bytes(content)
    with pytest.raises(Unavailable):
        open_database(str(tmp_path))


def test_home_with_special_characters_in_its_path_is_read(tmp_path: Path) -> None:
    odd = Fleet(tmp_path / "100% ?mode=rwc #1 ‹é›")
    odd.event("error", "highlight", {})
    assert section(odd.delta(), "Alerts")


def test_prelude_reads_one_snapshot_and_writes_nothing(fleet: Fleet) -> None:
    fleet.event("error", "highlight", {"error": {"message": "first"}})
    connection = open_database(fleet.home)
    before, _ = delta(connection, 0, 6000)
    fleet.event("error", "highlight", {"error": {"message": "second"}})
    assert delta(connection, 0, 6000) == (before, 1)
    assert connection.total_changes == 0
    connection.close()


# --- the indexes ------------------------------------------------------------------------------


def test_prelude_expects_the_schema_of_the_newest_migration() -> None:
    assert migrate.latest_version() == SCHEMA_VERSION


def few_events(fleet: Fleet) -> None:
    fleet.project("api__1", "api")
    briefing = fleet.briefing("api__1", "s1", "failed")
    fleet.event("error", "highlight", {"sessionId": "s1"}, project="api__1", briefing=briefing)
    fleet.event("briefing_added", "mention", turn("s2", "completed"), project="api__1")
    fleet.event("briefing_added", "highlight", turn("s3", "completed"), project="api__1")


def very_many_events(fleet: Fleet) -> None:
    few_events(fleet)
    alerts(fleet, 500, projects=30)
    with db.transaction(fleet.connection):
        for number in range(500):
            payload = turn(f"h{number}", "completed")
            fleet.event("briefing_added", "highlight", payload, project="api__1")


@pytest.mark.parametrize("fill", [few_events, very_many_events])
@pytest.mark.parametrize("build", [delta, recap])
def test_every_statement_on_the_outbox_uses_an_index(
    fleet: Fleet, fill: Callable[[Fleet], None], build: Callable[..., object]
) -> None:
    """SQLite uses an expression index only for exactly the same expression; otherwise it scans."""
    fill(fleet)
    used = set()
    for statement in statements_of(fleet.home, lambda connection: build(connection, 0, 6000)):
        if "outbox_events" not in statement:
            continue
        for row in fleet.connection.execute(f"EXPLAIN QUERY PLAN {statement}"):
            detail = row[3]
            assert "SCAN outbox_events" not in detail, f"{detail}: {statement}"
            assert "B-TREE FOR GROUP BY" not in detail, f"{detail}: {statement}"
            used.update(re.findall(r"outbox_events_\w+", detail))
    expected = {"outbox_events_by_class"}
    expected |= {"outbox_events_completed"} if fill is few_events else {"outbox_events_by_group"}
    assert used >= expected
