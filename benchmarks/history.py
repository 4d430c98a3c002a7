"""Homes to measure in: histories of any size, and spools full of turns."""

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

from fleet_lib import paths, spool
from fleet_lib.store import db, search_index

NOW = "2026-11-23T00:00:00.000Z"
PROJECTS = 30
REPOSITORIES = 10
_WORDS = (
    "refund client staging parser deploy review token login page tests branch merge cache".split()
)


def fill(home: Path, events: int) -> None:
    """A home with that many events of thirty projects: 2% alerts, 3% highlights, 45% mentions, the
    rest silent. Every second event has a briefing of 80 words. The Commander has not seen the last
    tenth."""
    spool.make_folders(str(home))
    connection = db.connect(paths.database(str(home)))
    connection.execute("PRAGMA synchronous = OFF")
    with db.transaction(connection):
        connection.executemany(
            "INSERT INTO projects VALUES (?, ?, ?, NULL, 'active', ?, ?)",
            [(_project(n), f"repo-{n}", f"/code/repo-{n}", NOW, NOW) for n in range(PROJECTS)],
        )
        connection.executemany(
            "INSERT INTO briefings (briefing_id, project_id, session_id, task_id, status,"
            " raw_markdown, created_at, ended_at) VALUES (?, ?, ?, ?, 'completed', ?, ?, ?)",
            (
                (n, _project(n % PROJECTS), f"s-{n // 10}", f"t-{n}", _text(n), NOW, NOW)
                for n in range(1, events // 2 + 1)
            ),
        )
        connection.executemany(
            "INSERT INTO outbox_events (ts, type, project_id, briefing_id, broadcast_level,"
            " payload_json) VALUES (?, ?, ?, ?, ?, ?)",
            _events(events),
        )
        connection.execute(
            "INSERT INTO conversations VALUES ('c', 'commander', ?, 'opus', NULL, ?, ?, ?)",
            (str(home), events - events // 10, NOW, NOW),
        )
    search_index.catch_up(connection)
    connection.close()


def _project(number: int) -> str:
    return f"repo-{number}__00000000"


def _text(number: int) -> str:
    """80 words. One briefing in a hundred has the words "refund parser", all others have "other"."""
    words = [
        _WORDS[(number * 7 + place * 3) % len(_WORDS)] + str((number + place) % 50)
        for place in range(78)
    ]
    return " ".join([*words, *(("refund", "parser") if number % 100 == 0 else ("other", "words"))])


def _events(count: int) -> Iterator[tuple[object, ...]]:
    for number in range(count):
        part = number % 100
        kind = "session_blocked" if part < 2 else "briefing_added"
        level = "highlight" if part < 5 else "mention" if part < 50 else "silent"
        briefing = {
            "status": "blocked" if part < 2 else "completed",
            "summary": f"Turn {number} changed a few files and said so in one line",
        }
        payload = json.dumps({"briefing": briefing, "sessionId": f"s-{number // 20}"})
        briefing_id = number // 2 + 1 if number % 2 else None
        yield NOW, kind, _project(number % PROJECTS), briefing_id, level, payload


def repositories(folder: Path) -> list[Path]:
    """Ten repositories, each with a source file, a document that names it, and a commit."""
    return [_repository(folder / f"repo-{n}") for n in range(REPOSITORIES)]


def _repository(path: Path) -> Path:
    path.mkdir()
    (path / "app.py").write_text("print('hello')\n")
    (path / "README.md").write_text("See app.py\n")
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        identity = ["-c", "user.name=b", "-c", "user.email=b@example.org"]
        subprocess.run(["git", "-C", str(path), *identity, *command], check=True)
    return path


def fill_spool(home: Path, projects: list[Path], entries: int) -> None:
    """Put so many Stop entries of these repositories there; every fifth has a briefing block."""
    spool.make_folders(str(home))
    os.fsync, real = lambda _descriptor: None, os.fsync  # filling the spool is not measured
    try:
        for number in range(entries):
            payload = turn(projects[number % len(projects)], number)
            session = str(payload["session_id"])
            spool.put(str(home), "Stop", json.dumps(payload).encode(), session, str(payload["cwd"]))
    finally:
        os.fsync = real


def turn(project: Path, number: int) -> dict[str, str]:
    """The payload of a Stop hook."""
    message = f"Turn {number}: changed a few things and ran the tests, all green."
    if number % 5 == 0:
        message = (
            f"Turn {number}: changed a few things.\n\n```briefing\n---\nstatus: completed\n"
            f"summary: Turn {number} is done\nfiles_touched: [app.py]\n---\n```\n"
        )
    return {
        "session_id": str(uuid.uuid5(uuid.NAMESPACE_URL, str(number // 20))),
        "transcript_path": str(project / "no-such-transcript.jsonl"),
        "cwd": str(project),
        "prompt_id": str(uuid.uuid5(uuid.NAMESPACE_OID, str(number))),
        "hook_event_name": "Stop",
        "last_assistant_message": message,
    }
