"""`fleet sessions`: the list of all sessions, and one session with all its turns."""

import contextlib
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from support import Fleet, make_repository, payload
from support_transcripts import Conversation
from test_attention import ASKING, QUESTION, end, start, turn
from test_console_look import SGR, run_in_terminal

from fleet_lib import clock
from fleet_lib.store import db
from fleet_lib.store.sessions import SessionRepo
from fleet_lib.views.projects import project_names
from fleet_lib.views.session_list import FILTERS, session_list
from fleet_lib.views.session_page import find_session, session_page


@pytest.fixture
def api(fleet: Fleet) -> Path:
    return make_repository(fleet.folder / "api")


def listed(fleet: Fleet, *arguments: str) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads(
        fleet.console("sessions", "list", "--json", *arguments).stdout
    )
    return records


def ids(fleet: Fleet, *arguments: str) -> list[str]:
    return [record["session_id"] for record in listed(fleet, *arguments)]


def page(fleet: Fleet, name: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(fleet.console("sessions", "show", name, "--json").stdout)
    return record


def test_living_sessions_come_first_and_each_has_its_words(fleet: Fleet, api: Path) -> None:
    web = make_repository(fleet.folder / "web")
    turn(fleet, api, "done-1", "All green.")
    end(fleet, api, "done-1")
    turn(fleet, api, "asks-1", ASKING)
    start(fleet, web, "new-1", "startup")
    turn(fleet, web, "left-1", ASKING)
    end(fleet, web, "left-1")
    assert ids(fleet) == ["new-1", "asks-1", "left-1", "done-1"]
    by_id = {record["session_id"]: record for record in listed(fleet)}
    assert [record["is_live"] for record in by_id.values()] == [True, True, False, False]
    asking = by_id["asks-1"]
    assert (asking["attention"], asking["reason"], asking["text"]) == (
        *("needs_you", "question", QUESTION),
    )
    assert by_id["left-1"]["attention"] == "left_open"
    assert by_id["done-1"]["attention"] is by_id["new-1"]["attention"] is None
    assert (by_id["new-1"]["turns"], by_id["new-1"]["briefing_id"]) == (0, None)
    for arguments, expected in (
        (("--project", "web"), ["new-1", "left-1"]),
        (("--state", "needs-you"), ["asks-1"]),
        (("--state", "left-open"), ["left-1"]),
        (("--state", "live"), ["new-1", "asks-1"]),
        (("--state", "ended"), ["left-1", "done-1"]),
        (("--state", "asks-you"), ["asks-1", "left-1"]),
        (("--state", "done"), ["done-1"]),
        (("--state", "asks-you", "--project", "api"), ["asks-1"]),
        (("--limit", "3"), ["new-1", "asks-1", "left-1"]),
    ):
        assert ids(fleet, *arguments) == expected, arguments
    assert fleet.console("sessions", "list", "--state", "failed").stdout == "No sessions match.\n"
    table = fleet.console("sessions", "list").stdout.splitlines()
    assert table[0].split() == ["id", "live", "active", "project", "state", "turns", "title"]
    assert re.match(r"asks-1 +live .* waiting_for_input +1 ", table[2])
    for columns, headings in (
        (60, "id live active project state title"),
        (120, " ".join(table[0].split())),
    ):
        seen = SGR.sub("", run_in_terminal(fleet, "sessions", columns=columns)).splitlines()
        assert seen[0].split() == headings.split() and len(seen) == 5, "one table, as in a pipe"
        assert re.match(r"asks-1 +live +.* asks you ", seen[2])
        assert re.match(r"left-1 {6,}", seen[3]), "no mark at one that has ended"


def test_a_session_that_was_killed_at_work_is_done(fleet: Fleet, api: Path) -> None:
    start(fleet, api, "killed", "startup")
    end(fleet, api, "killed")
    (record,) = listed(fleet)
    assert (record["state"], record["is_live"]) == ("completed", False)
    assert ids(fleet, "--state", "done") == ["killed"] and ids(fleet, "--state", "working") == []
    shown = fleet.console("sessions", "show", "kill").stdout
    assert "It had no turns." in shown and "state    done" in shown


def test_a_list_follows_the_clients_own_files(
    fleet: Fleet, api: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn(fleet, api, "busy", ASKING)
    turn(fleet, api, "gone", "All green.")
    turn(fleet, api, "back", "All green.")
    end(fleet, api, "back")
    fleet.rows("UPDATE sessions SET state_at = ?, last_seen_at = ?", *[clock.ago(60)] * 2)
    fleet.rows("UPDATE sessions SET ended_at = last_seen_at WHERE session_id = 'back'")
    folder = fleet.home.parent / "claude"
    fleet.environment["CLAUDE_CONFIG_DIR"] = str(folder)
    (folder / "sessions").mkdir(parents=True)
    for name, pid, status in (("busy", os.getpid(), "busy"), ("gone", 2**22 + 1, "idle")):
        fields = {"sessionId": name, "pid": pid, "status": status}
        (folder / "sessions" / f"{pid}.json").write_text(json.dumps(fields))
    fields = {"sessionId": "back", "pid": os.getppid(), "status": "busy"}
    (folder / "sessions" / f"{os.getppid()}.json").write_text(json.dumps(fields))
    records = {record["session_id"]: record for record in listed(fleet)}
    assert (records["busy"]["state"], records["busy"]["attention"]) == ("working", None)
    assert (records["back"]["state"], records["back"]["is_live"]) == ("working", True)
    assert records["gone"]["is_live"] is False
    assert sorted(ids(fleet, "--state", "working")) == ["back", "busy"]
    assert ids(fleet, "--state", "ended") == ["gone"]


def test_a_page_has_the_turns_in_order_with_files_and_usage(fleet: Fleet, api: Path) -> None:
    session = "5e0bfb64-1111-4111-8111-111111111111"
    lines = Conversation(api, session, age_days=0)
    file = fleet.folder / "projects" / "-code" / f"{session}.jsonl"
    start(fleet, api, session, "startup")
    for number, text in enumerate(("Added refunds.", "Covered refunds with tests."), 1):
        lines.prompt(f"Please do step {number} of the work")
        lines.edit(str(api / f"step{number}.py"))
        lines.answer(
            text,
            message={"id": f"m{number}", "usage": {"input_tokens": 1000, "output_tokens": 100}},
        )
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{line}\n" for line in lines.lines))
        call = {"session_id": session, "prompt_id": lines.prompt_id, "cwd": str(api)}
        call |= {"transcript_path": str(file), "last_assistant_message": text}
        fleet.hook("stop", payload("Stop") | call, api)
        fleet.drain()
    record = page(fleet, "5e0b")
    assert [one["summary"] for one in record["turns"]] == [
        *("Added refunds.", "Covered refunds with tests."),
    ]
    assert [one["title"] for one in record["turns"]] == [
        *("Please do step 1 of the work", "Please do step 2 of the work"),
    ]
    assert record["files"] == ["step1.py", "step2.py"]
    assert record["turns"][1]["files_touched"] == ["step2.py"]
    assert [one["usage"]["output_tokens"] for one in record["turns"]] == [100, 100]
    assert record["usage"]["output_tokens"] == 200
    assert (record["turns_in_all"], record["earlier_turns"]) == (2, 0)
    assert record["branch"] == "main" and record["folder"] == str(api)
    assert record["first_at"] <= record["turns"][0]["ended_at"] <= record["last_at"]
    for name in ("#2", "2", "e2", "api", session):
        if name != "api":
            assert page(fleet, name)["session_id"] == session, name
    shown = fleet.console("sessions", "show", "1", "--limit", "1").stdout
    assert "1 earlier turn; add --limit 2 to see all." in shown
    assert "Please do step 2" in shown and "step 1 of" not in shown
    assert "fleet resume 5e0b\n" in shown


def test_an_imported_session_has_a_page_and_its_turns_say_so(fleet: Fleet, api: Path) -> None:
    transcripts = fleet.home.parent / ".claude" / "projects"
    old = Conversation(api, "old-session", age_days=3).turn("Wrote the parser.").turn("And tests.")
    old.write(transcripts)
    # A fork repeats what was said before it, under an id of its own.
    fork = Conversation(api, "fork-session", age_days=1)
    fork.lines = [line.replace("old-session", "fork-session") for line in old.lines]
    fork.turn("Went another way.")
    fork.write(transcripts)
    fleet.console("import")
    assert ids(fleet) == ["fork-session", "old-session"]
    assert all(not record["is_live"] for record in listed(fleet))
    imported = page(fleet, "old")
    assert [one["imported"] for one in imported["turns"]] == [True, True]
    assert clock.seconds_since(imported["first_at"]) > 2 * 86400
    assert [one["summary"] for one in page(fleet, "fork")["turns"]] == ["Went another way."]
    assert ids(fleet, "--since", "2d") == ["fork-session"]


def test_a_session_that_only_briefings_know_has_a_page(fleet: Fleet, api: Path) -> None:
    turn(fleet, api, "kept", "All green.")
    fleet.rows(
        "INSERT INTO briefings (project_id, session_id, status, raw_markdown, created_at)"
        " SELECT project_id, 'other-program', 'blocked', 'It waits for keys.', ? FROM briefings",
        clock.ago(60),
    )
    record = page(fleet, "other")
    assert (record["state"], record["folder"], record["turns_in_all"]) == ("blocked", None, 1)
    assert record["turns"][0]["summary"] == "It waits for keys."
    assert "fleet resume" not in fleet.console("sessions", "show", "other").stdout
    assert sorted(ids(fleet)) == ["kept", "other-program"]
    assert ids(fleet, "--state", "blocked", "--project", "api") == ["other-program"]
    done = fleet.console("briefings", "diff", "other", check=False)
    assert "briefing #2 names no commit" in done.stderr
    # A client that has it open shows that it lives: it was there before Fleet's hooks.
    folder = fleet.home.parent / "claude"
    fleet.environment["CLAUDE_CONFIG_DIR"] = str(folder)
    (folder / "sessions").mkdir(parents=True)
    fields = {"sessionId": "other-program", "pid": os.getpid(), "status": "busy"}
    (folder / "sessions" / f"{os.getpid()}.json").write_text(json.dumps(fields))
    fleet.rows("DELETE FROM client_folders")
    (living,) = listed(fleet, "--state", "working")
    assert (living["session_id"], living["is_live"]) == ("other-program", True)
    for name, reason in (
        ("nothing", "no session or project begins with"),
        ("api", "no session of api waits for you; `fleet sessions list --project api`"),
    ):
        done = fleet.console("sessions", "show", name, check=False)
        assert done.returncode == 1 and reason in done.stderr


def test_pages_of_the_list_follow_one_another_without_gap_or_repetition(fleet: Fleet) -> None:
    with contextlib.closing(db.connect(fleet.home / "fleet.db")) as connection:
        connection.execute(
            "INSERT INTO projects (project_id, repo_name, repo_root, created_at, updated_at)"
            " VALUES ('p', 'p', '/p', '', '')"
        )
        same = clock.ago(3600)
        connection.executemany(
            "INSERT INTO sessions (session_id, project_id, folder, state, state_at, detail,"
            " last_seen_at, ended_at) VALUES (?, 'p', '/p', 'completed', ?2, '', ?2, ?2)",
            [(f"s{number:02d}", same if number % 3 else clock.ago(number)) for number in range(30)],
        )
        names = project_names(connection)
        whole = [one["session_id"] for one in session_list(connection, names, limit=100)]
        before, paged = None, []
        while some := session_list(connection, names, before=before, limit=7):
            paged += [one["session_id"] for one in some]
            before = (some[-1]["last_at"], some[-1]["session_id"])
        assert paged == whole and len(set(whole)) == 30


def test_no_list_or_page_scans_a_table(fleet: Fleet) -> None:
    with contextlib.closing(db.connect(fleet.home / "fleet.db")) as connection:
        statements: list[str] = []
        connection.set_trace_callback(statements.append)
        for state in (None, *FILTERS):
            for project in (None, "p"):
                session_list(connection, {}, state=state, project_id=project, since="2026")
        session_list(connection, {}, before=("2026", "s"))
        SessionRepo(connection).beginning_with("5e", 5)
        with contextlib.suppress(Exception):
            find_session(connection, "5e0b")
        with contextlib.suppress(Exception):
            session_page(connection, {}, "s")
        connection.set_trace_callback(None)
        scans = {
            f"{row[3]} in {sql}"
            for sql in set(statements)
            if sql.startswith("SELECT")
            for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")
            if re.match(r"SCAN (s|sessions|b|briefings|t|turns|outbox_events)$", row[3])
        }
    assert scans == set() and len(statements) > 30
