"""What waits for a person: sessions that need you, work that is left open, and what one does about
it with `fleet resume`, `dismiss` and `snooze`."""

import contextlib
import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import click
import pytest
from gateway_world import Gateway
from support import Fleet, make_repository, payload

from commander.cli._params import complete_open
from commander.cli.attention import dismiss
from fleet_lib import clock
from fleet_lib.jobs import semantics
from fleet_lib.store import db
from fleet_lib.turn.asks import question_of
from fleet_lib.turn.derive import status_of

QUESTION = "Shall I use the table or the file?"
ASKING = f"I read the code.\n\n{QUESTION}"
BLOCKED = "```briefing\n---\nstatus: blocked\nblockers: [the staging key]\n---\n```"
DAY = 86400


@pytest.fixture
def api(fleet: Fleet) -> Path:
    return make_repository(fleet.folder / "api")


@pytest.fixture
def web(fleet: Fleet) -> Path:
    return make_repository(fleet.folder / "web")


def turn(fleet: Fleet, project: Path, session: str, message: str, prompt: str = "p-1") -> None:
    """A turn of a session ends."""
    given = {"session_id": session, "prompt_id": f"{session} {prompt}", "cwd": str(project)}
    fleet.hook("stop", payload("Stop") | given | {"last_assistant_message": message}, project)
    fleet.drain()


def end(fleet: Fleet, project: Path, session: str) -> None:
    fleet.hook("session_end", payload("SessionEnd-other") | {"session_id": session}, project)
    fleet.drain()


def start(fleet: Fleet, project: Path, session: str, source: str = "resume") -> None:
    call = payload(f"SessionStart-{source}") | {"session_id": session, "cwd": str(project)}
    fleet.hook("session_start", call, project)
    fleet.drain()


def headless(fleet: Fleet, project: Path, session: str, message: str) -> None:
    """One `claude -p`: a turn, and the session ends."""
    turn(fleet, project, session, message)
    end(fleet, project, session)


def status(fleet: Fleet) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(fleet.console("status", "--json").stdout)
    return report


def waiting(fleet: Fleet) -> tuple[list[str], list[str]]:
    """The sessions that need you, and those that are left open."""
    report = status(fleet)
    needs_you, left_open = report["needs_you"], report["left_open"]
    return [row["session_id"] for row in needs_you], [row["session_id"] for row in left_open]


# --- the question -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "question"),
    [
        ("All green.", None),
        ("", None),
        ("Shall I go on?", "Shall I go on?"),
        ("**Which one do you want?**", "Which one do you want?"),
        ("I read it.\n\nIt is short. Shall I merge it?\n", "Shall I merge it?"),
        ("It has v1.2 and e.g. more. Shall I\nuse v1.2?", "Shall I use v1.2?"),
        ("Two ways:\n- the table\n- or the file?", "or the file?"),
        ("## Next\n\n1. Build it. 2. Ship it?", "Ship it?"),
        ("Done! (Shall I push?)", "Shall I push?"),
        ("Table or file? Or both?", "Table or file? Or both?"),
        ("已经完成。要不要提交？", "要不要提交？"),
        (f"{ASKING}\n\n```briefing\nstatus: waiting_for_input\n```", QUESTION),
        (f"{QUESTION}\n```sh\necho why?\n\n```\n", QUESTION),
        (f"{QUESTION}\n```sh\nis it never closed?", QUESTION),
        ("He asked “why?”", None),
    ],
)
def test_the_question_is_the_last_sentence_that_asks(message: str, question: str | None) -> None:
    assert question_of(message) == question
    expected = "completed" if question is None else "waiting_for_input"
    assert status_of("Stop", question_of(message)) == expected


def test_a_question_is_masked_and_one_line(fleet: Fleet, api: Path) -> None:
    secret = "ghp_" + "a1B2" * 9
    turn(fleet, api, "s-1", f"Is {secret}\nthe right key?")
    ((question, detail),) = fleet.rows("SELECT question, detail FROM turns JOIN sessions")
    assert question == detail and secret not in question and question.startswith("Is (redacted")
    assert question.endswith("the right key?")


def test_a_session_that_asks_needs_you_everywhere(fleet: Fleet, api: Path) -> None:
    turn(fleet, api, "s-1", ASKING)
    ((project_id,),) = fleet.rows("SELECT project_id FROM projects")
    ((since,),) = fleet.rows("SELECT state_at FROM sessions")
    report = status(fleet)
    assert report["needs_you"] == [
        {
            "session_id": "s-1",
            "project_id": project_id,
            "project": "api",
            "reason": "question",
            "text": QUESTION,
            "since": since,
            "briefing_id": 1,
            "folder": str(api),
        }
    ]
    assert list(report) == [
        *("needs_you", "left_open", "working", "projects", "commander", "jobs", "capture"),
        "database",
        "hidden",
    ]
    shown = fleet.console("status").stdout
    assert "Needs you: 1" in shown and "asks you" in shown and QUESTION in shown
    assert fleet.console("statusline").stdout == "fleet: 1 needs you\n"
    recap = fleet.console("prelude", "--recap").stdout
    assert f"#1 api · asks you · {QUESTION}" in recap.partition("Needs you:")[2]
    turn(fleet, api, "s-1", "It goes on.", "p-2")
    assert waiting(fleet) == ([], [])
    assert "Nothing needs your attention." in fleet.console("status").stdout


def test_a_turn_that_asks_is_at_least_a_mention_with_its_question(fleet: Fleet, api: Path) -> None:
    silent = f"```briefing\nstatus: waiting_for_input\nbroadcast_level: silent\n```\n\n{QUESTION}"
    turn(fleet, api, "s-1", ASKING)
    turn(fleet, api, "s-2", silent)
    turn(fleet, api, "s-3", "Nothing was touched, so this is silent.")
    assert fleet.rows("SELECT broadcast_level FROM briefings ORDER BY briefing_id") == [
        *(("mention",), ("mention",), ("silent",))
    ]
    payloads = fleet.rows("SELECT payload_json FROM outbox_events ORDER BY event_id LIMIT 2")
    assert [json.loads(text)["line"] for (text,) in payloads] == [QUESTION, QUESTION]
    assert f"asks you: {QUESTION}" in fleet.console("prelude").stdout


def test_another_question_of_the_same_turn_is_news(fleet: Fleet, api: Path) -> None:
    summary = "```briefing\nstatus: waiting_for_input\nsummary: One summary\n```"
    for message in (f"{QUESTION}\n{summary}", f"Is it urgent?\n{summary}"):
        turn(fleet, api, "s-1", message)
    assert fleet.rows("SELECT revision, question FROM turns") == [(2, "Is it urgent?")]
    assert status(fleet)["needs_you"][0]["text"] == "Is it urgent?"


def test_an_interrupted_turn_asks_nothing(fleet: Fleet, api: Path) -> None:
    start(fleet, api, "s-1", "startup")
    idle = payload("2.1.332/Notification-idle_prompt") | {"session_id": "s-1"}
    fleet.hook("notification", idle, api)
    fleet.drain()
    assert waiting(fleet) == ([], [])


def test_working_sessions_have_their_shape(fleet: Fleet, api: Path) -> None:
    start(fleet, api, "s-1", "startup")
    ((project_id, since),) = fleet.rows("SELECT project_id, state_at FROM sessions")
    assert status(fleet)["working"] == [
        {
            "session_id": "s-1",
            "project_id": project_id,
            "project": "api",
            "title": None,
            "since": since,
            "folder": str(api),
        }
    ]


# --- names ------------------------------------------------------------------------------------


def test_a_named_session_shows_its_name_from_its_start_on(fleet: Fleet, api: Path) -> None:
    call = payload("2.1.332/SessionStart-clear") | {"session_id": "s-1", "cwd": str(api)}
    fleet.hook("session_start", call | {"session_title": "pay-work"}, api)
    fleet.drain()
    assert [row["title"] for row in status(fleet)["working"]] == ["pay-work"]

    turn(fleet, api, "s-1", ASKING)
    assert [row["title"] for row in status(fleet)["needs_you"]] == ["pay-work"]
    assert "api (pay-work)" in fleet.console("status").stdout


def test_a_name_that_was_given_between_two_turns_is_found_in_the_transcript(
    fleet: Fleet, api: Path
) -> None:
    secret = "ghp_" + "a1B2" * 9
    transcript = fleet.folder / "t.jsonl"
    lines = [
        {"type": "user", "promptId": "p-0", "message": {"content": "go"}},
        {"type": "custom-title", "customTitle": "older"},
        {"type": "custom-title", "customTitle": f"pay {secret}"},
        {"type": "user", "promptId": "p-1", "message": {"content": "on"}},
        {"type": "assistant", "message": {"content": [{"type": "text", "text": ASKING}]}},
    ]
    transcript.write_text("".join(json.dumps(line) + "\n" for line in lines))
    call = {"session_id": "s-1", "prompt_id": "p-1", "last_assistant_message": ASKING}
    fleet.hook("stop", call | {"transcript_path": str(transcript)}, api)
    fleet.drain()

    (row,) = status(fleet)["needs_you"]
    assert row["title"].startswith("pay (redacted") and secret not in row["title"]


# --- left open --------------------------------------------------------------------------------


def test_what_a_headless_session_left_open_stays_until_it_is_resumed(
    fleet: Fleet, api: Path
) -> None:
    headless(fleet, api, "s-1", BLOCKED)
    headless(fleet, api, "s-2", ASKING)
    failed = payload("StopFailure-unknown") | {"session_id": "s-3", "prompt_id": "p-3"}
    end(fleet, api, "s-3")  # 2.1.332 may run it before the StopFailure
    fleet.hook("stop_failure", failed, api)
    fleet.drain()
    end(fleet, api, "s-3")
    headless(fleet, api, "s-4", "Another session of the repository is done.")
    report = status(fleet)
    assert report["needs_you"] == []
    assert [(row["session_id"], row["reason"], row["text"]) for row in report["left_open"]] == [
        ("s-3", "failed", "API Error: 400 scripted failure"),
        ("s-2", "question", QUESTION),
        ("s-1", "blocked", "the staging key"),
    ]
    shown = fleet.console("status").stdout
    assert "Left open: 3" in shown and "Nothing needs your attention." not in shown
    assert fleet.console("statusline").stdout == "fleet: nothing new\n"

    start(fleet, api, "s-1")
    assert waiting(fleet) == (["s-1"], ["s-3", "s-2"]), "it lives, and is still blocked"
    turn(fleet, api, "s-1", "It is done.", "p-2")
    end(fleet, api, "s-1")
    assert waiting(fleet) == ([], ["s-3", "s-2"])


def test_what_is_left_open_is_forgotten_after_seven_days_and_with_its_project(
    fleet: Fleet, api: Path, web: Path
) -> None:
    headless(fleet, api, "s-1", BLOCKED)
    headless(fleet, web, "s-2", BLOCKED)
    fleet.console("projects", "archive", "web")
    assert waiting(fleet) == ([], ["s-1"])
    fleet.rows("UPDATE sessions SET state_at = ?", clock.ago(7 * DAY - 60))
    assert waiting(fleet) == ([], ["s-1"])
    fleet.rows("UPDATE sessions SET state_at = ?", clock.ago(7 * DAY + 60))
    assert waiting(fleet) == ([], [])


def test_many_are_counted_on_a_screen(fleet: Fleet, api: Path) -> None:
    for number in range(12):
        headless(fleet, api, f"s-{number}", BLOCKED)
    shown = fleet.console("status").stdout
    assert "Left open: 12" in shown
    assert shown.partition("Projects")[0].count("the staging key") == 10
    assert "and 2 more; `fleet status --all` shows all." in shown
    assert fleet.console("status", "--all").stdout.partition("Projects")[0].count("staging") == 12


def test_pruning_keeps_what_is_left_open_and_snoozed(fleet: Fleet, api: Path) -> None:
    headless(fleet, api, "s-1", BLOCKED)
    headless(fleet, api, "s-2", ASKING)
    headless(fleet, api, "s-3", "Done.")
    headless(fleet, api, "s-4", "The newest of the project.")
    fleet.console("snooze", "s-2", "2h")
    for table, column in (
        *(("briefings", "created_at"), ("sessions", "last_seen_at"), ("outbox_events", "ts")),
        *(("sessions", "state_at"), ("sessions", "ended_at")),
    ):
        fleet.rows(f"UPDATE {table} SET {column} = ?", clock.ago(3 * DAY))
    pruned = json.loads(fleet.console("db", "prune", "--older-than", "1d", "--json").stdout)
    assert pruned["kept"]["sessions that wait for you"] == 2
    assert fleet.rows("SELECT briefing_id FROM briefings") == [(1,), (2,), (4,)]
    assert waiting(fleet) == ([], ["s-1"])


def test_the_gateway_has_the_same(fleet: Fleet, api: Path) -> None:
    headless(fleet, api, "s-1", BLOCKED)
    turn(fleet, api, "s-2", ASKING)
    gateway = Gateway(fleet)
    gateway.start()
    try:
        overview = gateway.get("/api/v1/overview").json()
    finally:
        gateway.stop()
    assert {name: overview[name] for name in status(fleet)} == status(fleet)
    assert [row["text"] for row in overview["needs_you"]] == [QUESTION]
    assert [row["text"] for row in overview["left_open"]] == ["the staging key"]


# --- dismiss and snooze -----------------------------------------------------------------------


@pytest.mark.parametrize("id", ["1", "#1", "e1", "s-1", "s-", "api"])
@pytest.mark.parametrize("is_live", [True, False], ids=["needs you", "left open"])
def test_a_dismissed_session_is_hidden_until_its_next_event(
    fleet: Fleet, api: Path, id: str, is_live: bool
) -> None:
    turn(fleet, api, "s-1", ASKING)
    if not is_live:
        end(fleet, api, "s-1")
    said = fleet.console("dismiss", id).stdout
    assert said.startswith(f"Dismissed s-1 #1 api · asks you: {QUESTION}\nShown again at its next")
    assert "To undo: `fleet dismiss --undo s-1`." in said
    assert waiting(fleet) == ([], [])
    assert fleet.console("statusline").stdout == "fleet: nothing new\n"
    assert "Needs you:" not in fleet.console("prelude", "--recap").stdout
    end(fleet, api, "s-1")
    assert waiting(fleet) == ([], []), "closing a session that was dismissed is no news"
    fleet.console("dismiss", id)  # again is no error
    start(fleet, api, "s-1")
    assert waiting(fleet) == (["s-1"], [])


def test_a_dismissed_session_that_is_blocked_again_is_shown_again(fleet: Fleet, api: Path) -> None:
    headless(fleet, api, "s-1", BLOCKED)
    (record,) = json.loads(fleet.console("dismiss", "1", "--json").stdout)
    assert (record["session_id"], record["reason"]) == ("s-1", "blocked")
    turn(fleet, api, "s-1", BLOCKED, "p-2")
    assert waiting(fleet) == ([], ["s-1"])
    fleet.console("dismiss", "1")
    needed = payload("Notification-permission_prompt") | {"session_id": "s-1"}
    start(fleet, api, "s-1")
    fleet.console("dismiss", "1")
    fleet.hook("notification", needed, api)
    assert status(fleet)["needs_you"][0]["reason"] == "permission"


def test_a_replayed_turn_does_not_undo_a_dismissal(fleet: Fleet, api: Path) -> None:
    given = payload("Stop") | {"session_id": "s-1", "last_assistant_message": ASKING}
    fleet.hook("stop", given, api)
    assert waiting(fleet) == (["s-1"], [])
    fleet.console("dismiss", "s-1")
    fleet.hook("stop", given, api)
    assert waiting(fleet) == ([], [])


def test_a_snoozed_session_is_shown_again_after_its_time(fleet: Fleet, api: Path) -> None:
    headless(fleet, api, "s-1", BLOCKED)
    said = fleet.console("snooze", "1", "2h").stdout
    assert said.startswith("Snoozed s-1 #1 api · blocked: the staging key\nShown again ")
    assert ", or at its next event. " in said
    ((until,),) = fleet.rows("SELECT hidden_until FROM sessions")
    assert clock.ahead(7190) < until < clock.ahead(7210)
    assert waiting(fleet) == ([], [])
    fleet.rows("UPDATE sessions SET hidden_until = ?", clock.ago(2))
    assert waiting(fleet) == ([], ["s-1"])
    fleet.console("snooze", "1", "1d")
    start(fleet, api, "s-1")
    assert waiting(fleet) == (["s-1"], []), "its next event came first"


def test_a_projects_name_means_all_of_it_that_waits(fleet: Fleet, api: Path, web: Path) -> None:
    headless(fleet, api, "s-1", BLOCKED)
    turn(fleet, api, "s-2", ASKING)
    turn(fleet, api, "s-3", "Done.")
    headless(fleet, web, "s-4", BLOCKED)
    said = fleet.console("snooze", "api", "30m").stdout
    assert said.count("Snoozed s-") == 2 and "or at the next event of each" in said
    assert waiting(fleet) == ([], ["s-4"])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("dismiss", "77"), 1, "there is no briefing 77; run `fleet briefings list`"),
        (("dismiss", "nowhere"), 1, "no session or project begins with 'nowhere'"),
        (("dismiss", "3"), 1, "session s-3 does not wait for you; run `fleet status`"),
        (("dismiss", "e5"), 1, "e5 belongs to no session; run `fleet status`"),
        (("dismiss", "s-"), 1, "several sessions begin with 's-': s-3, s-2, s-1; type more"),
        (("dismiss", "web"), 1, "no session of web waits for you; run `fleet status`"),
        (("snooze", "1", "soon"), 2, "'soon' is not a time; use 30m, 2h, 3d"),
        (("snooze", "1", "0m"), 2, "'0m' is not in the future"),
        (("snooze", "1", "2w"), 2, "'2w' is more than 7 days ahead; use at most 7d"),
        (("snooze", "1", "7d"), 1, "use a shorter time, or `fleet dismiss`"),
        (("snooze", "1"), 2, "Missing argument 'TIME'; try `fleet snooze --help`"),
        (("dismiss", "s-1", "s-3"), 1, "session s-3 does not wait for you; run `fleet status`"),
        (("dismiss", "--undo", "s-2"), 1, "session s-2 is not dismissed or snoozed; run"),
        (("dismiss", "--undo", "api"), 1, "no session of api is dismissed or snoozed; run"),
        (("dismiss",), 2, "Missing argument 'ID...'; try `fleet dismiss --help`"),
        (("resume", "s-"), 1, "several sessions begin with 's-': s-3, s-2, s-1; type more"),
    ],
)
def test_an_error_says_what_to_do_next(
    fleet: Fleet, api: Path, web: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    headless(fleet, api, "s-1", BLOCKED)
    turn(fleet, api, "s-2", ASKING)
    turn(fleet, web, "s-3", "Done.")
    fleet.rows("INSERT INTO outbox_events (ts, type, payload_json) VALUES ('x', 'error', 'x')")
    done = fleet.console(*arguments, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr and done.stderr.count("\n") == 1
    assert waiting(fleet) == (["s-2"], ["s-1"])


def test_without_a_database_nothing_can_be_dismissed(fleet: Fleet) -> None:
    for arguments in (("dismiss", "1"), ("snooze", "1", "2h"), ("resume", "1")):
        done = fleet.console(*arguments, check=False)
        assert done.returncode == 1 and "there is no briefing 1;" in done.stderr


def test_a_tab_offers_what_waits(fleet: Fleet, api: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    headless(fleet, api, "5e55-1", BLOCKED)
    turn(fleet, api, "5e55-2", ASKING)
    turn(fleet, api, "5e55-3", "Done.")
    monkeypatch.setenv("FLEET_HOME", str(fleet.home))
    context = click.Context(dismiss, info_name="dismiss")
    offered = {
        incomplete: [item.value for item in complete_open(context, dismiss.params[0], incomplete)]
        for incomplete in ("", "1", "5e", "a", "x")
    }
    assert offered == {
        "": ["2", "1"],
        "1": ["1"],
        "5e": ["5e55-2", "5e55-1"],
        "a": ["api"],
        "x": [],
    }
    (item,) = complete_open(context, dismiss.params[0], "2")
    assert item.help == f"api asks you: {QUESTION}"


# --- older databases and other writers --------------------------------------------------------


def test_an_idle_session_of_an_older_database_does_not_ask(fleet: Fleet) -> None:
    fleet.home.mkdir()
    path = fleet.home / "fleet.db"
    shutil.copy(Path(__file__).parent / "databases" / "v3.db", path)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "UPDATE sessions SET state = 'waiting_for_input', state_at = ?", (clock.now(),)
        )
        connection.execute(
            "UPDATE briefings SET status = 'waiting_for_input' WHERE session_id = 's-2'"
        )
    assert waiting(fleet) == (["s-2"], [])


def test_a_model_that_finds_a_question_makes_the_session_ask(fleet: Fleet, api: Path) -> None:
    touched = "```briefing\n---\nimpact_level: trivial\nfiles_touched: [app.py]\n---\n```"
    report = "I read the code.\n\nIt has two parts.\n\nBoth are short."
    message = f"{QUESTION}\n\n{report}\n\n{touched}"
    turn(fleet, api, "s-1", message)
    assert waiting(fleet) == ([], [])
    meaning = {
        "briefing_id": 1,
        "status": "waiting_for_input",
        "impact_level": "trivial",
        "doc_drift_risk": "low",
        "blockers": [],
        "next_steps": [],
    }
    connection = db.connect(fleet.home / "fleet.db")
    with contextlib.closing(connection), db.transaction(connection):
        assert semantics.apply(connection, [1], {"briefings": [meaning]}) == [1]
    assert waiting(fleet) == (["s-1"], [])
    assert fleet.rows("SELECT status, broadcast_level FROM briefings") == [
        ("waiting_for_input", "mention")
    ]


# --- resume -----------------------------------------------------------------------------------


def test_resume_prints_the_command_line_and_runs_nothing(fleet: Fleet) -> None:
    folder = make_repository(fleet.folder / "my api")
    headless(fleet, folder, "s-1", BLOCKED)
    for id in ("1", "e1", "s-1", "my api"):
        printed = fleet.console("resume", id, "--print").stdout
        assert printed == f"cd '{folder}' && claude --resume s-1\n"
    assert waiting(fleet) == ([], ["s-1"])


def test_resume_opens_the_session_in_its_folder(fleet: Fleet, api: Path, tmp_path: Path) -> None:
    headless(fleet, api, "s-1", BLOCKED)
    program = tmp_path / "claude"
    program.write_text('#!/bin/sh\necho "$(pwd) $*"\n')
    program.chmod(0o755)
    fleet.console("config", "set", "claude.program", str(program))
    assert fleet.console_process("resume", "1").stdout == f"{api} --resume s-1\n"
    api.rename(tmp_path / "gone")
    done = fleet.console("resume", "1", check=False)
    assert (
        done.returncode == 1 and "is gone" in done.stderr and "`fleet dismiss s-1`" in done.stderr
    )
