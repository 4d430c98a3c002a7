"""`fleet resume`: which session is meant, and how one gets there."""

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from support import Fleet, make_repository, payload
from test_attention import BLOCKED, end, headless, turn

from fleet_lib import clock


@pytest.fixture
def api(fleet: Fleet) -> Path:
    return make_repository(fleet.folder / "api")


def printed(fleet: Fleet, *arguments: str) -> str:
    """The session whose command line is printed."""
    line = fleet.console("resume", *arguments, "--print").stdout
    return line.strip().rpartition(" ")[2]


def is_open_in(fleet: Fleet, session: str, pid: int, **more: Any) -> None:
    """Claude Code's own file says that this process has the session open."""
    folder = Path(fleet.env()["HOME"]) / ".claude" / "sessions"
    folder.mkdir(parents=True, exist_ok=True)
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    file = {"pid": pid, "procStart": stat[19], "sessionId": session, "status": "idle"}
    (folder / f"{pid}.json").write_text(json.dumps(file | {"statusUpdatedAt": 1} | more))


def test_a_project_means_its_session_that_needs_you_then_its_newest(
    fleet: Fleet, api: Path
) -> None:
    turn(fleet, api, "asks", "Shall I go on?")
    headless(fleet, api, "left", BLOCKED)
    turn(fleet, api, "newest", "Done.")
    assert printed(fleet, "api") == printed(fleet, "ap") == "asks"
    assert printed(fleet) == "asks", "without an ID it is the one that needs you"
    turn(fleet, api, "asks", "Done, too.", "p-2")
    assert printed(fleet, "api") == printed(fleet) == "left"
    fleet.console("dismiss", "api")
    assert printed(fleet, "api") == "asks", "the one that was active last"
    done = fleet.console("resume", "--print", check=False)
    assert done.returncode == 1 and "nothing waits for you; name a session" in done.stderr


def test_of_several_sessions_a_script_gets_their_ids(fleet: Fleet, api: Path) -> None:
    turn(fleet, api, "s-1", "Shall I go on?")
    turn(fleet, api, "s-2", BLOCKED)
    done = fleet.console("resume", "--print", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr
        == "Error: several sessions wait for you: s-2 (api), s-1 (api); name one of them\n"
    )
    assert "Others of api wait, too: s-1." in fleet.console("resume", "api", "--print").stderr


def test_a_session_that_is_open_elsewhere_is_not_opened_twice(fleet: Fleet, api: Path) -> None:
    turn(fleet, api, "s-1", "Shall I go on?")
    is_open_in(fleet, "s-1", os.getpid())
    said = fleet.console("resume", "s-1")
    assert f"(process {os.getpid()}). Go there, or open it here too" in said.stdout
    assert said.stdout.startswith("api is open ") and "`fleet resume s-1 --here`" in said.stdout
    line = fleet.console("resume", "s-1", "--print")
    assert line.stdout == f"cd {api} && claude --resume s-1\n", (
        "a program gets the line all the same"
    )
    assert f"process {os.getpid()}" in line.stderr

    is_open_in(fleet, "s-1", os.getpid(), entrypoint="sdk-cli")
    assert "as `claude -p`; it ends by itself" in fleet.console("resume", "s-1").stdout
    domain = "linux::pid:[1]"
    is_open_in(fleet, "s-1", os.getpid(), pidDomain=domain)
    assert "in another container or on another machine" in fleet.console("resume", "s-1").stdout


def test_what_cannot_be_resumed_is_one_line_with_the_next_step(fleet: Fleet, api: Path) -> None:
    transcript = Path(fleet.env()["HOME"]) / ".claude" / "projects" / "-api" / "s-1.jsonl"
    transcript.parent.mkdir(parents=True)
    prompt = {"type": "user", "promptId": "p-1", "message": {"content": "Fix the login"}}
    transcript.write_text(json.dumps(prompt) + "\n")
    call = {"session_id": "s-1", "prompt_id": "p-1", "cwd": str(api)}
    call |= {"last_assistant_message": "Shall I go on?", "transcript_path": str(transcript)}
    fleet.hook("stop", payload("Stop") | call, api)
    fleet.drain()
    fleet.console("config", "set", "claude.program", "/nowhere/claude")
    done = fleet.console("resume", "s-1", check=False)
    assert done.returncode == 1 and "/nowhere/claude, which cannot be run" in done.stderr
    transcript.unlink()
    done = fleet.console("resume", "s-1", check=False)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "transcript of session s-1 is gone" in done.stderr and "`fleet show 1`" in done.stderr


def test_a_session_of_another_configuration_folder_is_resumed_with_it(
    fleet: Fleet, api: Path, tmp_path: Path
) -> None:
    transcript = tmp_path / "my work" / "projects" / "-api" / "s-1.jsonl"
    transcript.parent.mkdir(parents=True)
    transcript.write_text("{}\n")
    call = {"session_id": "s-1", "transcript_path": str(transcript), "cwd": str(api)}
    fleet.hook("stop", payload("Stop") | call, api)
    fleet.drain()
    variable = f"CLAUDE_CONFIG_DIR='{tmp_path / 'my work'}'"
    expected = f"cd {api} && {variable} claude --resume s-1\n"
    assert fleet.console("resume", "s-1", "--print").stdout == expected
    program = tmp_path / "claude"
    program.write_text('#!/bin/sh\necho "$CLAUDE_CONFIG_DIR $*"\n')
    program.chmod(0o755)
    fleet.console("config", "set", "claude.program", str(program))
    end(fleet, api, "s-1")
    said = fleet.console_process("resume", "s-1").stdout
    assert said == f"{tmp_path / 'my work'} --resume s-1\n"


def test_dismissed_and_snoozed_sessions_are_counted_and_shown_again(
    fleet: Fleet, api: Path
) -> None:
    for session in ("s-1", "s-2", "s-3"):
        turn(fleet, api, session, BLOCKED)
    fleet.console("dismiss", "s-1", "s-2")
    fleet.console("snooze", "s-3", "20h")
    hidden = json.loads(fleet.console("status", "--json").stdout)["hidden"]
    assert (hidden["dismissed"], hidden["snoozed"]) == (2, 1)
    assert clock.ahead(19 * 3600) < hidden["until"] < clock.ahead(21 * 3600)
    shown = fleet.console("status").stdout
    assert f"Hidden: 2 dismissed, 1 snoozed, until {clock.soon(hidden['until'])}." in shown
    assert "fleet dismiss --undo s-1" in fleet.console("status", "--all").stdout

    assert "Shown again: s-3" in fleet.console("dismiss", "--undo", "s-3").stdout
    (record, _) = json.loads(fleet.console("dismiss", "--undo", "api", "--json").stdout)
    assert record["hidden_until"] is None
    report = json.loads(fleet.console("status", "--json").stdout)
    assert len(report["needs_you"]) == 3
    assert report["hidden"] == {"dismissed": 0, "snoozed": 0, "until": None}


@pytest.mark.slow
def test_a_session_in_tmux_is_shown_there(
    fleet: Fleet, api: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    socket = tmp_path / "tmux"
    tmux = ["tmux", "-S", str(socket), "-f", "/dev/null"]

    def run(*arguments: str) -> str:
        done = subprocess.run([*tmux, *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    run("new-session", "-d", "-s", "work", "-n", "client", "sleep 60")
    try:
        pid = int(run("list-panes", "-t", "work:client", "-F", "#{pane_pid}"))
        run("new-window", "-t", "work", "-n", "other", "sleep 60")
        turn(fleet, api, "s-1", "Shall I go on?")
        deadline = time.monotonic() + 60
        while Path(f"/proc/{pid}/comm").read_text() == "tmux: server\n":
            assert time.monotonic() < deadline
            time.sleep(0.02)
        is_open_in(fleet, "s-1", pid)
        outside = fleet.console_process("resume", "s-1").stdout
        assert f"tmux -S {socket} attach-session -t work" in outside
        monkeypatch.setenv("TMUX", f"{socket},1,0")
        fleet.environment["TMUX"] = f"{socket},1,0"
        assert "It is open in tmux pane work:0.0." in fleet.console("resume", "s-1").stdout
        assert run("display-message", "-p", "-t", "work", "#{window_name}") == "client"
    finally:
        run("kill-server")
