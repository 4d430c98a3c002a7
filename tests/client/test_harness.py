"""Tests of the harness itself: the real client, the scripted model, and no Fleet."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from claude_client import World
from scripted_model import (
    Fail,
    ScriptedModel,
    Text,
    ToolUse,
    injected_context,
    last_prompt_context,
)

EVENTS = ("SessionStart", "UserPromptSubmit", "Stop", "StopFailure", "SessionEnd")
DUMPING_HOOK = Path(__file__).with_name("dumping_hook.py")


class Hooked:
    """A world in which every hook dumps its input, with a repository to work in."""

    def __init__(self, folder: Path, model: ScriptedModel, program: Path) -> None:
        self.dumps = folder / "dumps"
        self.repository = folder / "repository"
        for path in (self.dumps, self.repository):
            path.mkdir()
        subprocess.run(["git", "init", "-q", str(self.repository)], check=True)
        self.world = World(folder / "home", model.url, program)
        self.world.write_settings(
            {"hooks": {event: [{"hooks": [self._hook()]}] for event in EVENTS}}
        )

    def _hook(self) -> dict[str, Any]:
        """This hook ignores signals: 2.1.332 terminates a StopFailure hook that is still running
        when it exits."""
        command = [sys.executable, "-I", "-S", str(DUMPING_HOOK), str(self.dumps), "user"]
        return {"type": "command", "command": f"trap '' TERM HUP INT; exec {shlex.join(command)}"}

    def payloads(self) -> list[dict[str, Any]]:
        return [
            json.loads(path.read_text())["payload"] for path in sorted(self.dumps.glob("*.json"))
        ]

    def events(self) -> list[str]:
        return [payload["hook_event_name"] for payload in self.payloads()]

    def wait_for(
        self, matches: Callable[[dict[str, Any]], bool], timeout: float = 60
    ) -> dict[str, Any]:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            for payload in self.payloads():
                if matches(payload):
                    return payload
            time.sleep(0.05)
        raise TimeoutError(f"no such hook among {self.events()}")

    def wait_for_end(self, count: int) -> None:
        """Wait for so many ends of sessions: the client waits for such a hook for a moment only."""
        deadline = time.monotonic() + 60
        while self.events().count("SessionEnd") < count:
            assert time.monotonic() < deadline, self.events()
            time.sleep(0.05)


def test_text_turn_runs_the_hooks_and_a_resume_replays_their_context(
    tmp_path: Path, program: Path
) -> None:
    with ScriptedModel({"hello": [Text("hi there")]}) as model:
        machine = Hooked(tmp_path, model, program)
        context = {
            "hookEventName": "UserPromptSubmit",
            "additionalContext": "two lines\n\nand a gap",
        }
        output = json.dumps({"hookSpecificOutput": context})
        echo = {"type": "command", "command": shutil.which("echo"), "args": [output]}
        machine.world.write_settings(
            {"hooks": {"UserPromptSubmit": [{"hooks": [echo]}]}}, machine.repository
        )

        first = machine.world.run("hello", machine.repository)
        machine.wait_for_end(1)
        second = machine.world.run("more", machine.repository, resume=first.session_id)
        machine.wait_for_end(2)

        assert (first.exit_code, first.text, first.is_error) == (0, "hi there", False)
        assert (second.text, second.session_id) == ("done", first.session_id)
        assert machine.events() == ["SessionStart", "UserPromptSubmit", "Stop", "SessionEnd"] * 2
        context_line = "UserPromptSubmit hook additional context: two lines\n\nand a gap"
        assert injected_context(model.main_requests("hello")[0]) == [context_line]
        assert injected_context(model.main_requests("more")[0]) == [context_line, context_line]
        assert last_prompt_context(model.main_requests("more")[0]) == [context_line]
        assert "hello" in machine.world.transcript(first.session_id).read_text()


def test_scripted_tool_edits_a_real_file_and_sessions_share_a_model(
    tmp_path: Path, program: Path
) -> None:
    with ScriptedModel({}) as model:
        machine = Hooked(tmp_path, model, program)
        target = machine.repository / "notes.md"
        target.write_text("old\n")
        change = {"file_path": str(target), "old_string": "old", "new_string": "new"}
        model.use_script(
            {
                "edit": [
                    ToolUse("Read", {"file_path": str(target)}),
                    ToolUse("Edit", change),
                    Text("edited"),
                ]
            }
        )

        turn = machine.world.run("edit the notes", machine.repository)

        assert (turn.text, target.read_text()) == ("edited", "new\n")
        assert len(model.main_requests("edit", turn.session_id)) == 3


def test_failing_model_produces_a_failed_turn(tmp_path: Path, program: Path) -> None:
    with ScriptedModel({"hello": [Fail(400)]}) as model:
        machine = Hooked(tmp_path, model, program)

        # The client does not wait for the first of these before it starts the second, and kills one
        # that takes longer than a second and a half, as on a slow machine.
        last = {"StopFailure", "SessionEnd"}
        for _ in range(5):
            for dump in machine.dumps.iterdir():
                dump.unlink()
            turn = machine.world.run("hello", machine.repository)
            assert (turn.exit_code, turn.is_error) == (1, True)
            assert "scripted failure" in turn.text
            deadline = time.monotonic() + 10
            while not last <= set(machine.events()) and time.monotonic() < deadline:
                time.sleep(0.05)
            if last <= set(machine.events()):
                break
        assert machine.events()[:2] == ["SessionStart", "UserPromptSubmit"]
        assert set(machine.events()[2:]) == last


@pytest.mark.usefixtures("terminal")
def test_an_interactive_clear_starts_a_new_session(tmp_path: Path, program: Path) -> None:
    with ScriptedModel({"hello": [Text("hi there")]}) as model:
        machine = Hooked(tmp_path, model, program)
        with machine.world.interactive(machine.repository) as session:
            session.send("hello")
            session.wait_for("hi there")
            session.send("/clear")
            cleared = machine.wait_for(lambda payload: payload.get("source") == "clear")
            session.send("/exit")
            session.wait_for_exit()
        machine.wait_for_end(2)

        ended = [
            payload for payload in machine.payloads() if payload["hook_event_name"] == "SessionEnd"
        ]
        assert [payload["reason"] for payload in ended] == ["clear", "prompt_input_exit"]
        assert ended[0]["session_id"] != cleared["session_id"] == ended[1]["session_id"]
        assert len(model.main_requests()) == 1


def test_world_refuses_a_model_outside_loopback(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="loopback"):
        World(tmp_path, "https://api.anthropic.com", tmp_path)
