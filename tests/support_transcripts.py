"""Made transcripts: conversations as Claude Code writes them, line by line, and sessions whose tools
really run."""

import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from support import Fleet, git


class Conversation:
    """The lines of one session's transcript. Each line comes a second after the one before it."""

    def __init__(self, folder: Path | str, session: str = "session-1", age_days: float = 2) -> None:
        self.session = session
        self.folder = str(folder)
        self.lines: list[str] = []
        self.at = datetime.now(UTC) - timedelta(days=age_days)
        self.prompt_id: str | None = None

    def line(self, kind: str, content: Any = None, **more: Any) -> Self:
        """One line; without content one that is no message."""
        self.at += timedelta(seconds=1)
        message = more.pop("message", {})
        given = {
            "type": kind,
            "uuid": str(uuid.uuid4()),
            "timestamp": self.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "sessionId": self.session,
            "cwd": self.folder,
            "gitBranch": "main",
            "isSidechain": False,
            **more,
        }
        if content is not None:
            given["message"] = {"role": kind, "content": content, **message}
        value = {name: value for name, value in given.items() if value is not None}
        return self.raw(json.dumps(value))

    def raw(self, text: str) -> Self:
        self.lines.append(text)
        return self

    def user(self, content: Any, **more: Any) -> Self:
        return self.line("user", content, **{"promptId": self.prompt_id, **more})

    def assistant(self, *blocks: dict[str, Any], reason: str | None, **more: Any) -> Self:
        message = {"model": "claude-sonnet-5-5", "stop_reason": reason, **more.pop("message", {})}
        return self.line("assistant", list(blocks), message=message, **more)

    def prompt(self, text: str, prompt_id: str | None = "", **more: Any) -> Self:
        """A prompt with an id of its own; with None as an old client writes it, without."""
        self.prompt_id = str(uuid.uuid4()) if prompt_id == "" else prompt_id
        return self.user(text, **more)

    def answer(self, text: str, reason: str | None = "end_turn", **more: Any) -> Self:
        return self.assistant({"type": "text", "text": text}, reason=reason, **more)

    def edit(self, path: str, *, fails: bool = False, **more: Any) -> Self:
        call = f"toolu_{len(self.lines)}"
        use = {"type": "tool_use", "id": call, "name": "Edit", "input": {"file_path": path}}
        self.assistant(use, reason="tool_use", **more)
        result = {"type": "tool_result", "tool_use_id": call, "content": "ok", "is_error": fails}
        return self.user([result], **more)

    def bash(
        self,
        command: str,
        meanwhile: Callable[[], object] = lambda: None,
        *,
        in_background: bool = False,
        **more: Any,
    ) -> Self:
        """A command that is run, and its two lines with the times at which it began and ended.
        Something else may happen before the second one."""
        call = f"toolu_{len(self.lines)}"
        given = {"command": command, **({"run_in_background": True} if in_background else {})}
        self.now()
        use = {"type": "tool_use", "id": call, "name": "Bash", "input": given}
        self.assistant(use, reason="tool_use", **more)
        shell = ["bash", "-c", command]
        if in_background:
            result = {"content": "Command running in background with ID: b1. Output is …"}
            self.now()
            self.user([{"type": "tool_result", "tool_use_id": call, **result}], **more)
        done = subprocess.run(shell, cwd=self.folder, capture_output=True, text=True, check=False)
        meanwhile()
        if in_background:
            return self
        text = (done.stdout + done.stderr).rstrip("\n")
        failed = done.returncode != 0
        text = f"Exit code {done.returncode}\n{text}" if failed else text
        result = {"content": text or "(Bash completed with no output)", "is_error": failed}
        self.now()
        return self.user([{"type": "tool_result", "tool_use_id": call, **result}], **more)

    def now(self) -> None:
        """The next line is written now."""
        self.at = datetime.now(UTC) - timedelta(seconds=1)

    def fail(self, text: str = "API Error: 400 scripted failure", error: str = "unknown") -> Self:
        return self.answer(
            text,
            "stop_sequence",
            message={"model": "<synthetic>"},
            error=error,
            isApiErrorMessage=True,
        )

    def interrupt(self) -> Self:
        return self.user([{"type": "text", "text": "[Request interrupted by user]"}])

    def command(self, name: str) -> Self:
        """A local command, with the lines that the client writes around it."""
        self.prompt_id = str(uuid.uuid4())
        self.user("<local-command-caveat>Caveat: …</local-command-caveat>", isMeta=True)
        self.user(f"<command-name>{name}</command-name>\n<command-message>…</command-message>")
        return self.user("<local-command-stdout>Set.</local-command-stdout>")

    def turn(self, text: str = "Done.", prompt: str = "please") -> Self:
        return self.prompt(prompt).answer(text)

    def write(self, projects: Path, *, written_seconds_ago: float = 3600) -> Path:
        """The transcript's file in Claude Code's `projects` folder."""
        file = projects / "-code-project" / f"{self.session}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{line}\n" for line in self.lines))
        moment = time.time() - written_seconds_ago
        os.utime(file, (moment, moment))
        return file


class Session:
    """A session in a checkout: its conversation, and the hook at the end of each turn."""

    def __init__(self, fleet: Fleet, folder: Path, name: str) -> None:
        self.fleet, self.folder, self.name = fleet, folder, name
        self.lines = Conversation(folder, name, age_days=0)
        self.file = fleet.folder / "projects" / "-code" / f"{name}.jsonl"

    def asks(self, text: str = "please") -> Self:
        self.lines.now()
        self.lines.prompt(text)
        return self

    def runs(
        self, command: str, meanwhile: Callable[[], object] = lambda: None, **more: Any
    ) -> Self:
        self.lines.bash(command, meanwhile, **more)
        return self

    def edits(self, name: str) -> Self:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(f"{name} of {self.name}\n")
        self.lines.now()
        self.lines.edit(str(self.folder / name))
        return self

    def stops(self, *, drain: bool = True, turn: str | None = None, **more: Any) -> list[str]:
        """End the turn; the files of its briefing. A follow-up's is that of another turn."""
        self.lines.now()
        self.lines.answer("Done.")
        self.save(self.file, self.lines)
        call = {
            "session_id": self.name,
            "prompt_id": self.lines.prompt_id,
            "cwd": str(self.folder),
            "transcript_path": str(self.file),
            "last_assistant_message": "Done.",
        }
        self.fleet.hook("stop", call | more, project=self.folder)
        if not drain:
            return []
        self.fleet.drain()
        assert self.fleet.quarantine() == {}
        return self.files_of(turn or self.lines.prompt_id)

    def files_of(self, turn: str | None) -> list[str]:
        query = "SELECT files_touched_json FROM briefings JOIN turns USING (briefing_id)"
        ((text,),) = self.fleet.rows(f"{query} WHERE turn_key = ?", turn)
        return list(json.loads(text))

    def save(self, file: Path, lines: Conversation) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{line}\n" for line in lines.lines))

    def agent(self, name: str) -> Conversation:
        """The conversation of a subagent of the turn."""
        agent = Conversation(self.folder, self.name, age_days=0)
        agent.prompt_id = self.lines.prompt_id
        return agent


def configured(folder: Path) -> Path:
    """The repository, with an author of its own: commands that are run commit as they are."""
    git(folder, "config", "user.name", "Dev")
    git(folder, "config", "user.email", "dev@example.org")
    return folder
