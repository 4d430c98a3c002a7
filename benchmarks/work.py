"""What a session does: repositories of any size, transcripts as Claude Code writes them, and turns
that edit, commit or only talk."""

import json
import os
import subprocess
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fleet_lib import spool

REPOSITORIES = 10
TALK, EDIT, COMMIT = "nothing touched", "an edit", "a commit"
_DOCUMENT_EVERY = 10  # file of a repository is a document
COMMON_FILE = "package.json"  # each document names it
_LINES_OF_A_DOCUMENT = 40
SUBAGENTS = 200
_SUBAGENT_BYTES = 200_000
_MESSAGE = (
    "I changed the parser so that an empty line ends a block, and added a test for it.\n\n"
    "- `parse()` keeps the position of each block\n- the tests pass\n\n"
)


def repository(path: Path, files: int) -> Path:
    """A git repository of so many files and COMMON_FILE. A tenth are documents, which name source
    files and COMMON_FILE. Its first commit is an hour old, as a checkout's usually is."""
    (path / "src").mkdir(parents=True)
    (path / "docs").mkdir()
    documents = max(1, files // _DOCUMENT_EVERY)
    for number in range(files - documents):
        (path / "src" / f"module_{number}.py").write_text(
            f"def f_{number}():\n    return {number}\n"
        )
    for number in range(documents):
        lines = (
            f"Part {line} of page {number} is about module_{number * 7 + line * 13}.py and how it"
            " works with the others."
            for line in range(_LINES_OF_A_DOCUMENT)
        )
        text = f"# Page {number}\n\nIt needs {COMMON_FILE}.\n" + "\n".join(lines)
        # A number of three digits would make it a record, which describes nothing.
        letters = "".join(chr(ord("a") + int(digit)) for digit in str(number))
        (path / "docs" / f"page_{letters}.md").write_text(text)
    (path / COMMON_FILE).write_text("{}\n")
    git(path, "init", "-q", "-b", "main")
    git(path, "add", "-A")
    git(path, "commit", "-qm", "first", at=int(time.time()) - 3600)
    return path


def git(folder: Path, *arguments: str, at: int | None = None) -> str:
    when = (
        {}
        if at is None
        else dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), f"@{at} +0000")
    )
    identity = ["-c", "user.name=b", "-c", "user.email=b@example.org", "-c", "gc.auto=0"]
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments],
        env=os.environ | when,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


class Session:
    """A session in a repository. Its transcript has each turn's prompt, tool calls and last words,
    so no reader waits for a line that is missing."""

    def __init__(
        self,
        folder: Path,
        repository: Path,
        *,
        subagents: int = 0,
        edits: str = "src/module_0.py",
    ) -> None:
        self.id = str(uuid.uuid4())
        self.edits = edits
        self.repository = repository
        self.transcript = folder / "projects" / "-code" / f"{self.id}.jsonl"
        self.transcript.parent.mkdir(parents=True, exist_ok=True)
        self._number = 0
        earlier = time.time() - 7200
        for number in range(subagents):
            path = self.transcript.with_suffix("") / "subagents" / f"agent-{number:017x}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            line = _line(self, str(uuid.uuid4()), "assistant", [_text("x" * 1900)], at=earlier)
            path.write_text(line * (_SUBAGENT_BYTES // len(line)))
            os.utime(path, (earlier, earlier))

    def turn(self, kind: str = TALK, words: str = "") -> dict[str, Any]:
        """Do one turn, and return the payload of its Stop hook."""
        self._number += 1
        prompt_id = str(uuid.uuid4())
        lines = [_line(self, prompt_id, "user", f"Please do part {self._number} {words}")]
        if kind in (EDIT, COMMIT):
            lines += self._edit(prompt_id)
        if kind == COMMIT:
            lines += self._commit(prompt_id)
        message = f"{_MESSAGE}This was part {self._number}. {words}"
        lines.append(_line(self, prompt_id, "assistant", [_text(message)], ends=True))
        with self.transcript.open("a") as file:
            file.write("".join(lines))
        return {
            "session_id": self.id,
            "transcript_path": str(self.transcript),
            "cwd": str(self.repository),
            "prompt_id": prompt_id,
            "permission_mode": "acceptEdits",
            "hook_event_name": "Stop",
            "stop_hook_active": False,
            "last_assistant_message": message,
            "background_tasks": [],
        }

    def _edit(self, prompt_id: str) -> list[str]:
        path = self.repository / self.edits
        path.write_text(f"def f_0():\n    return {self._number + 100}\n")
        return self._call(prompt_id, "Edit", {"file_path": str(path)}, "The file was updated.")

    def _commit(self, prompt_id: str) -> list[str]:
        command = f'git commit -qam "Part {self._number}" && git log -1 --oneline'
        began = time.time()
        git(self.repository, "commit", "-qam", f"Part {self._number}")
        shown = git(self.repository, "log", "-1", "--oneline")
        return self._call(prompt_id, "Bash", {"command": command}, shown, at=began)

    def _call(
        self, prompt_id: str, tool: str, given: dict[str, str], result: str, at: float | None = None
    ) -> list[str]:
        call = f"toolu_{uuid.uuid4().hex[:20]}"
        use = {"type": "tool_use", "id": call, "name": tool, "input": given}
        answer = {"type": "tool_result", "tool_use_id": call, "content": result}
        return [
            _line(self, prompt_id, "assistant", [use], at=at),
            _line(self, prompt_id, "user", [answer]),
        ]


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def _line(
    session: Session,
    prompt_id: str,
    kind: str,
    content: Any,
    *,
    ends: bool = False,
    at: float | None = None,
) -> str:
    """A line of a transcript, with the line's end."""
    message: dict[str, Any] = {"role": kind, "content": content}
    if kind == "assistant":
        message |= {
            "id": f"msg_{uuid.uuid4().hex[:20]}",
            "model": "claude-sonnet-4-5",
            "stop_reason": "end_turn" if ends else "tool_use",
            "usage": {"input_tokens": 10, "output_tokens": 200, "cache_read_input_tokens": 20_000},
        }
    moment = datetime.fromtimestamp(time.time() if at is None else at, UTC)
    line = {
        "type": kind,
        "uuid": str(uuid.uuid4()),
        "timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "sessionId": session.id,
        "cwd": str(session.repository),
        "gitBranch": "main",
        "version": "2.1.332",
        "isSidechain": False,
        "promptId": prompt_id,
        "message": message,
    }
    return json.dumps(line) + "\n"


# --- many turns that wait ---


def fill_spool(home: Path, projects: list[Path], entries: int) -> None:
    """Put so many Stop entries of these repositories there; every fifth has a briefing block. Their
    transcripts are gone, as those of old turns may be, so only the entries are read."""
    spool.make_folders(str(home))
    os.fsync, real = lambda _descriptor: None, os.fsync  # filling the spool is not measured
    try:
        for number in range(entries):
            payload = _waiting(projects[number % len(projects)], number)
            session = str(payload["session_id"])
            spool.put(str(home), "Stop", json.dumps(payload).encode(), session, str(payload["cwd"]))
    finally:
        os.fsync = real


def _waiting(project: Path, number: int) -> dict[str, str]:
    """The payload of a Stop hook."""
    message = f"Turn {number}: changed a few things and ran the tests, all green."
    if number % 5 == 0:
        message = (
            f"Turn {number}: changed a few things.\n\n```briefing\n---\nstatus: completed\n"
            f"summary: Turn {number} is done\nfiles_touched: [src/module_0.py]\n---\n```\n"
        )
    return {
        "session_id": str(uuid.uuid5(uuid.NAMESPACE_URL, str(number // 20))),
        "transcript_path": str(project / "no-such-transcript.jsonl"),
        "cwd": str(project),
        "prompt_id": str(uuid.uuid5(uuid.NAMESPACE_OID, str(number))),
        "hook_event_name": "Stop",
        "last_assistant_message": message,
    }
