"""`fleet statusline`: one short and correct line, printed fast, and never an error."""

import json
import subprocess
import sys

import pytest
from support import ROOT, Fleet, make_repository, payload

BLOCKED = "```briefing\nstatus: blocked\nsummary: Waits for \x1b[31mcredentials\n```"


def statusline(fleet: Fleet) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "commander", "statusline"],
        env=fleet.env(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def stop(fleet: Fleet, session: str, message: str, folder: str = "api") -> None:
    project = fleet.folder / folder
    if not project.exists():
        make_repository(project)
    call = {"session_id": session, "prompt_id": f"p-{session}", "last_assistant_message": message}
    fleet.hook("stop", call, project)
    fleet.drain()


def test_count_of_sessions_that_need_you_equals_that_of_status(fleet: Fleet) -> None:
    assert statusline(fleet) == "fleet: nothing yet\n"
    stop(fleet, "s1", BLOCKED)
    assert statusline(fleet) == "fleet: 1 needs you\n"
    stop(fleet, "s2", BLOCKED, "web")
    assert statusline(fleet) == "fleet: 2 need you\n"
    status = json.loads(fleet.console("status", "--json").stdout)
    assert len(status["needs_you"]) == 2
    fleet.console("projects", "archive", "web")
    assert statusline(fleet) == "fleet: 1 needs you\n"
    status = json.loads(fleet.console("status", "--json").stdout)
    assert len(status["needs_you"]) == 1


def test_events_that_the_commander_has_not_seen_are_counted(fleet: Fleet) -> None:
    stop(fleet, "s1", "Done with it.")
    call = payload("SessionStart-startup") | {"session_id": "c", "cwd": str(fleet.home)}
    fleet.hook("session_start", call, fleet.home)
    prompt = {"session_id": "c", "prompt_id": "1", "cwd": str(fleet.home)}
    fleet.hook("stop", prompt, fleet.home)
    fleet.drain()
    assert statusline(fleet) == "fleet: nothing new\n"
    touched = "```briefing\nsummary: More\nimpact_level: minor\n```"
    stop(fleet, "s2", touched)
    stop(fleet, "s3", touched)
    stop(fleet, "s4", "Nothing was touched, so this is silent.")
    assert statusline(fleet) == "fleet: 2 new\n"


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 100])
def test_unreadable_database_is_not_an_error(fleet: Fleet, content: bytes) -> None:
    fleet.home.mkdir()
    (fleet.home / "fleet.db").write_bytes(content)
    assert statusline(fleet) == "fleet: no database\n"


def test_statusline_does_not_import_the_console(fleet: Fleet) -> None:
    stop(fleet, "s1", "Done.")
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "commander", "statusline"],
        env=fleet.env(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "fleet_lib.prelude.status_line" in imported
    assert not imported & {
        "click",
        "pydantic",
        "json",
        "rich",
        "fleet_lib.store.db",
        "commander.cli",
    }
