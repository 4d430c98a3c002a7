"""Two living sessions of one repository that touch the same file: the Commander learns of it, and
the neighbour at its next start."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from support import ROOT, Fleet, git, make_repository, payload
from support_agents import Session, World
from support_transcripts import Conversation, configured
from support_transcripts import Session as WorkingSession

from fleet_lib import clock
from fleet_lib.store.outbox import COLLEAGUE_NEWS, EVENT_TYPES


@pytest.fixture
def project(fleet: Fleet) -> Path:
    return make_repository(fleet.folder / "api")


def start(fleet: Fleet, project: Path, session: str, source: str = "startup") -> str:
    """The facts that the session is shown when it starts."""
    call = payload("SessionStart-startup") | {"session_id": session, "cwd": str(project)}
    facts = fleet.context(fleet.hook("session_start", call | {"source": source}, project))
    fleet.drain()
    return facts


def turn(fleet: Fleet, project: Path, session: str, *files: str, **more: Any) -> None:
    """A turn of the session that touched these files."""
    text = f"```briefing\nsummary: words\nfiles_touched: {json.dumps(files)}\n```"
    call = payload("Stop") | {
        "session_id": session,
        "cwd": str(project),
        "transcript_path": "",
        "prompt_id": os.urandom(8).hex(),
        "last_assistant_message": text,
    }
    fleet.hook("stop", call | more, project)
    fleet.drain()
    assert fleet.quarantine() == {}


def end(fleet: Fleet, project: Path, session: str) -> None:
    call = payload("SessionEnd-other") | {"session_id": session, "cwd": str(project)}
    fleet.hook("session_end", call | {"transcript_path": ""}, project)
    fleet.drain()


def overlaps(fleet: Fleet) -> list[dict[str, Any]]:
    rows = fleet.rows(
        "SELECT payload_json FROM outbox_events WHERE type = 'file_overlap' ORDER BY event_id"
    )
    return [json.loads(row[0]) for row in rows]


def named(fleet: Fleet) -> list[tuple[str, list[str], list[str]]]:
    """[(session of the turn, files, other sessions)] of each event."""
    found = [(each["sessionId"], each["fileOverlap"]) for each in overlaps(fleet)]
    return [(session, overlap["files"], overlap["sessions"]) for session, overlap in found]


def test_turn_that_touched_a_neighbours_file_is_an_event(fleet: Fleet, project: Path) -> None:
    turn(fleet, project, "first-session", "src/app.py", "src/a.py")
    turn(fleet, project, "second-session", "src/b.py", "src/app.py")
    (event,) = overlaps(fleet)
    assert event == {
        "fileOverlap": {
            "files": ["src/app.py"],
            "sessions": ["first-session"],
            "isOtherWorktree": False,
        },
        "line": "src/app.py: also touched by session first-se",
        "sessionId": "second-session",
    }
    (row,) = fleet.rows(
        "SELECT e.project_id, b.session_id, e.broadcast_level FROM outbox_events e"
        " JOIN briefings b USING (briefing_id) WHERE e.type = 'file_overlap'"
    )
    assert row[0].startswith("api__") and row[1:] == ("second-session", "mention")


def test_overlap_is_shown_wherever_events_are(fleet: Fleet, project: Path) -> None:
    turn(fleet, project, "one", "app.py")
    turn(fleet, project, "two", "app.py")
    line = "app.py: also touched by session one"
    assert f"file overlap: {line} · " in fleet.console("prelude").stdout
    (row,) = [text for text in fleet.console("events", "list").stdout.splitlines() if line in text]
    assert "file overlap" in row or "file_overlap" in row
    listed = json.loads(fleet.console("events", "list", "--json").stdout)
    (event,) = [each for each in listed if each["type"] == "file_overlap"]
    assert event["payload"]["line"] == line
    fleet.console("briefings", "show", f"e{event['event_id']}")


def test_overlap_is_announced_once_a_day_for_two_sessions(fleet: Fleet, project: Path) -> None:
    turn(fleet, project, "one", "app.py")
    for session in ("two", "two", "one", "two"):
        turn(fleet, project, session, "app.py")
    assert named(fleet) == [("two", ["app.py"], ["one"])]
    turn(fleet, project, "one", "app.py", "b.py")
    turn(fleet, project, "two", "b.py", "app.py")
    assert named(fleet)[1:] == [("two", ["b.py"], ["one"])]
    turn(fleet, project, "three", "app.py")
    assert [(session, sorted(others)) for session, _, others in named(fleet)[2:]] == [
        ("three", ["one", "two"])
    ]


def set_time(fleet: Fleet, table: str, column: str, hours_ago: int) -> None:
    fleet.rows(f"UPDATE {table} SET {column} = ? RETURNING 1", clock.ago(hours_ago * 3600))


@pytest.mark.parametrize(("hours", "count"), [(23, 1), (25, 0)])
def test_what_a_neighbour_touched_more_than_a_day_ago_is_no_overlap(
    fleet: Fleet, project: Path, hours: int, count: int
) -> None:
    turn(fleet, project, "one", "app.py")
    set_time(fleet, "touched_files", "touched_at", hours)
    turn(fleet, project, "two", "app.py")
    assert len(overlaps(fleet)) == count


@pytest.mark.parametrize(("hours", "count"), [(23, 1), (25, 2)])
def test_overlap_is_announced_again_a_day_later(
    fleet: Fleet, project: Path, hours: int, count: int
) -> None:
    turn(fleet, project, "one", "app.py")
    turn(fleet, project, "two", "app.py")
    set_time(fleet, "file_overlaps", "announced_at", hours)
    turn(fleet, project, "one", "app.py")
    assert len(overlaps(fleet)) == count


def test_old_rows_are_deleted(fleet: Fleet, project: Path) -> None:
    turn(fleet, project, "one", "app.py")
    turn(fleet, project, "two", "app.py")
    set_time(fleet, "touched_files", "touched_at", 49)
    set_time(fleet, "file_overlaps", "announced_at", 49)
    turn(fleet, project, "three", "other.py")
    assert fleet.rows("SELECT session_id, file FROM touched_files") == [("three", "other.py")]
    assert fleet.rows("SELECT * FROM file_overlaps") == []


def test_ended_neighbour_is_no_overlap_until_it_is_resumed(fleet: Fleet, project: Path) -> None:
    turn(fleet, project, "one", "app.py")
    end(fleet, project, "one")
    turn(fleet, project, "two", "app.py")
    assert overlaps(fleet) == []
    start(fleet, project, "one", "resume")
    turn(fleet, project, "two", "app.py")
    assert named(fleet) == [("two", ["app.py"], ["one"])]


def test_session_does_not_overlap_with_itself(fleet: Fleet, project: Path) -> None:
    turn(fleet, project, "one", "app.py")
    end(fleet, project, "one")
    start(fleet, project, "one", "resume")
    turn(fleet, project, "one", "app.py")
    assert overlaps(fleet) == []


def test_another_worktree_of_the_repository_is_a_neighbour(fleet: Fleet, project: Path) -> None:
    worktree = project / ".claude" / "worktrees" / "feature"
    git(project, "worktree", "add", "-q", "-b", "feature", str(worktree))
    start(fleet, worktree, "one")
    turn(fleet, worktree, "one", str(worktree / "app.py"), "app.py")
    turn(fleet, project, "two", "app.py")
    (event,) = overlaps(fleet)
    assert event["fileOverlap"]["isOtherWorktree"] is True
    assert event["line"] == "app.py: also touched by session one, in another worktree"


def test_another_repository_and_files_outside_are_no_overlap(fleet: Fleet, project: Path) -> None:
    other = make_repository(fleet.folder / "web")
    turn(fleet, project, "one", "app.py", "/etc/hosts")
    turn(fleet, other, "two", "app.py")
    turn(fleet, project, "three", "/etc/hosts")
    assert overlaps(fleet) == []


def test_sessions_of_a_folder_without_git_overlap_too(fleet: Fleet) -> None:
    folder = fleet.folder / "notes"
    folder.mkdir()
    turn(fleet, folder, "one", "a.md")
    turn(fleet, folder, "two", "a.md")
    assert named(fleet) == [("two", ["a.md"], ["one"])]


def test_edits_and_commits_that_git_shows_are_compared(fleet: Fleet, project: Path) -> None:
    for session in ("one", "two"):
        start(fleet, project, session)
        own = WorkingSession(fleet, configured(project), session).asks()
        own.runs(f"echo {session} > app.py; git commit -qam {session}").stops()
    assert named(fleet) == [("two", ["app.py"], ["one"])]


def test_many_files_and_sessions_are_counted(fleet: Fleet, project: Path) -> None:
    files = [f"{number}.py" for number in range(8)]
    for number in range(7):
        turn(fleet, project, f"session-{number}", *files)
    last = overlaps(fleet)[-1]
    assert len(overlaps(fleet)) == 6
    assert len(last["fileOverlap"]["files"]) == len(last["fileOverlap"]["sessions"]) == 5
    assert last["fileOverlap"]["moreFiles"] == 3 and last["fileOverlap"]["moreSessions"] == 1
    assert " and 3 more: also touched by session" in last["line"]
    assert last["line"].endswith(" and 1 more")


def test_commanders_turns_and_imported_turns_touch_nothing(fleet: Fleet, project: Path) -> None:
    turn(fleet, fleet.home, "commander", "app.py")
    conversation = Conversation(project, "old", age_days=0.5)
    conversation.prompt("go").edit(str(project / "app.py")).answer("Changed it.")
    conversation.write(fleet.home.parent / ".claude" / "projects")
    fleet.console("import")
    assert fleet.rows("SELECT count(*) FROM imported_turns") == [(1,)]
    turn(fleet, project, "two", "app.py")
    assert overlaps(fleet) == []
    assert fleet.rows("SELECT DISTINCT session_id FROM touched_files") == [("two",)]


def test_overlap_of_a_turn_whose_agents_run_is_announced_when_they_have_ended(
    tmp_path: Path,
) -> None:
    (tmp_path / "session").mkdir()
    repository = make_repository(tmp_path / "api")
    world = World(tmp_path / "home")
    agents = Session(tmp_path / "session", repository)
    agents.prompt("P1")
    agents.edits("P1", "app.py")
    agents.agent("aA", "P1")
    agents.stop("P1", "At work.", ["aA"])
    agents.save()
    world.apply(*agents.calls)
    world.connection.execute(
        "INSERT INTO sessions (session_id, project_id, folder, state, state_at, detail, last_seen_at)"
        " SELECT 'neighbour', project_id, folder, state, state_at, '', last_seen_at FROM sessions"
    )
    world.connection.execute(
        "INSERT INTO touched_files SELECT 'neighbour', file, project_id, worktree, touched_at"
        " FROM touched_files"
    )
    kinds = "SELECT type FROM outbox_events WHERE type = 'file_overlap'"
    assert world.rows(kinds) == []
    world.apply(agents.hook("SessionEnd"))
    assert world.rows(kinds) == [("file_overlap",)]


def test_neighbour_is_shown_the_overlap_when_it_starts_again(fleet: Fleet, project: Path) -> None:
    start(fleet, project, "one")
    turn(fleet, project, "one", "src/app.py", "own.py")
    turn(fleet, project, "two", "src/app.py")
    turn(fleet, project, "two", "other.py")
    turn(fleet, project, "three", "third.py")
    lines = start(fleet, project, "one", "resume").splitlines()
    shown = [line for line in lines if line.startswith("- session")]
    assert shown == [
        "- session two on main (done); touched, as this session did, src/app.py; touched other.py",
        "- session three on main (done); touched third.py",
    ]


def test_new_session_is_shown_what_its_neighbours_touched_in_all_their_turns(
    fleet: Fleet, project: Path
) -> None:
    turn(fleet, project, "one", "first.py")
    turn(fleet, project, "one", "second.py")
    (line,) = [text for text in start(fleet, project, "two").splitlines() if "session one" in text]
    assert line == "- session one on main (done); touched second.py, first.py"


def test_dashboard_has_a_filter_for_each_type_of_event() -> None:
    script = (ROOT / "commander/gateway/static/words.js").read_text()
    listed = script.partition("EVENT_TYPES = {")[2].partition("}")[0]
    assert set(re.findall(r"^  (\w+):", listed, re.MULTILINE)) == {*EVENT_TYPES, COLLEAGUE_NEWS}


def test_overlap_of_a_turn_that_asks_is_shown_beside_its_question(
    fleet: Fleet, project: Path
) -> None:
    turn(fleet, project, "one", "app.py")
    asks = "```briefing\nfiles_touched: [app.py]\nstatus: waiting_for_input\n---\n```\nShall I?"
    turn(fleet, project, "two", last_assistant_message=asks)
    recap = fleet.console("prelude", "--recap").stdout
    assert "asks you" in recap and "file overlap: app.py: also touched by session one" in recap
