"""Nothing slow happens inside a transaction, neither git nor file access: other writers would wait
and give up."""

import json
import os
import select
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import Fleet, git, make_repository
from support_transcripts import Session, configured

from fleet_lib.drain import drain, drainer
from fleet_lib.store import db
from fleet_lib.turn import blocks

blocks._block_rules()  # an import is no question to a folder of the session's

REAL_GIT = shutil.which("git")


class Watch:
    """Records every file that is opened and every process that is started during a transaction."""

    def __init__(self) -> None:
        self.connections: list[sqlite3.Connection] = []
        self.seen: list[str] = []
        self.is_on = False

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.is_on or event not in ("open", "subprocess.Popen", "os.listdir", "os.scandir"):
            return
        # The first import of a module opens files, which happens once in the life of a drainer.
        if any(map(is_in_transaction, self.connections)) and not (
            event == "open" and str(arguments[0]).endswith((".pyc", ".py"))
        ):
            self.seen.append(f"{event} {arguments[0]!r}")


def is_in_transaction(connection: sqlite3.Connection) -> bool:
    try:
        return connection.in_transaction
    except sqlite3.ProgrammingError:  # the connection is closed
        return False


_watch = Watch()
sys.addaudithook(_watch.audit)  # only one, because an audit hook cannot be removed


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    real = db.connect

    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = real(*arguments, **options)
        _watch.connections.append(connection)
        return connection

    monkeypatch.setattr(db, "connect", connect)
    _watch.seen.clear()
    _watch.is_on = True
    yield _watch
    _watch.is_on = False
    _watch.connections.clear()


def stop(fleet: Fleet, repository: Path, number: int, **more: Any) -> None:
    call = {
        "session_id": "session-1",
        "prompt_id": f"prompt-{number}",
        "cwd": str(repository),
        "last_assistant_message": "Done.",
        **more,
    }
    fleet.hook("stop", call, repository)


def transcript_with_edit(fleet: Fleet, repository: Path, number: int, file: str) -> str:
    """A transcript of one turn that edited a file."""
    path = fleet.folder / f"transcript-{number}.jsonl"
    edit = {
        "type": "tool_use",
        "id": "t1",
        "name": "Edit",
        "input": {"file_path": str(repository / file)},
    }
    lines = [
        {"type": "user", "promptId": f"prompt-{number}", "message": {"content": "go"}},
        {"type": "assistant", "message": {"content": [edit]}},
        {"type": "assistant", "message": {"content": [{"type": "text", "text": "Done."}]}},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def test_no_file_is_opened_and_no_program_runs_in_a_transaction(fleet: Fleet, watch: Watch) -> None:
    documents = {f"docs/{name}.md": "app.py does it\n" for name in "abc"}
    repository = make_repository(fleet.folder / "api", "https://example.org/api.git", **documents)
    fleet.hook("session_start", {"session_id": "session-1", "cwd": str(repository)}, repository)
    assert drainer.drain(str(fleet.home))
    # A commit, whose files git has to say.
    session = Session(fleet, configured(repository), "session-1").asks()
    session.runs("echo x = 2 > app.py; git commit -qam second").stops(drain=False)
    # An edit that makes documents stale, so that both files are hashed.
    transcript = transcript_with_edit(fleet, repository, 2, "app.py")
    stop(fleet, repository, 2, transcript_path=transcript)
    # Files that the worker named itself, and a repository that was moved.
    message = "```briefing\nstatus: blocked\nfiles_touched: [app.py]\ndoc_drift_risk: high\n```"
    stop(fleet, repository, 3, last_assistant_message=message)
    assert drainer.drain(str(fleet.home))
    moved = fleet.folder / "moved"
    repository.rename(moved)
    stop(fleet, moved, 4)
    assert drainer.drain(str(fleet.home))

    assert watch.seen == []
    files = [json.loads(row[0]) for row in fleet.rows("SELECT files_touched_json FROM briefings")]
    assert files == [["app.py"], ["app.py"], ["app.py"], []]
    assert fleet.rows("SELECT repo_root FROM projects") == [(str(moved),)]
    warnings = "SELECT count(*) FROM outbox_events WHERE type = 'doc_drift_warning'"
    assert fleet.rows(warnings) == [(1,)]
    assert fleet.quarantine() == {}


@pytest.mark.parametrize("command", ["diff-tree", "grep"])
def test_other_programs_can_write_while_git_is_slow(
    fleet: Fleet, tmp_path: Path, command: str
) -> None:
    """The drainer's git waits until another program has written to the database."""
    # Packed objects, and a name that is also a word of a language, are what git is asked about.
    repository = make_repository(fleet.folder / "api", **{"README.md": "LICENSE", "LICENSE": "MIT"})
    git(repository, "gc", "-q")
    fleet.hook("session_start", {"session_id": "session-1", "cwd": str(repository)}, repository)
    fleet.drain()
    session = Session(fleet, configured(repository), "session-1").asks()
    session.runs("echo x >> LICENSE; git commit -qam second").stops(drain=False)
    asked, answer = tmp_path / "asked", tmp_path / "answer"
    for path in (asked, answer):
        os.mkfifo(path)
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "git").write_text(
        f"#!/bin/sh\ncase \" $* \" in *' {command} '*)\n"
        f"  echo here >'{asked}'; read -r line <'{answer}';;\nesac\nexec {REAL_GIT} \"$@\"\n"
    )
    (tools / "git").chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, "-I", drain.__file__, str(fleet.home), "--once"],
        env=fleet.env(PATH=f"{tools}{os.pathsep}{os.environ['PATH']}"),
    )
    listening = os.open(asked, os.O_RDONLY | os.O_NONBLOCK)
    assert select.select([listening], [], [], 60)[0], "the drainer runs git"
    assert os.read(listening, 100) == b"here\n"
    os.close(listening)

    done = fleet.console("projects", "archive", "api")

    answer.write_text("go on\n")
    assert process.wait(30) == 0
    assert "archived" in done.stdout
    # The turn that was applied afterwards makes the project active again.
    assert fleet.rows("SELECT p.status, files_touched_json FROM projects p, briefings") == [
        ("active", '["LICENSE"]')
    ]
