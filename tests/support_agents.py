"""A session of Claude Code with background agents, written as the newest client writes it: a
transcript, the agents' own beside it, and the hook calls with the times at which they came."""

import json
import sqlite3
import tempfile
import time
from collections.abc import Collection, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from support import payload

from fleet_lib import clock, spool
from fleet_lib.ingest.ingest import Ingest, apply_one
from fleet_lib.records import replace
from fleet_lib.store import db
from fleet_lib.turn.prepare import prepare
from fleet_lib.turn.repositories import Repositories

SESSION = "session-1"
_NS = 1_000_000_000


class Session:
    """What happens in one session, step by step; each step is a second long."""

    def __init__(self, folder: Path, project: Path, began_seconds_ago: int = 3600) -> None:
        self.path = folder / f"{SESSION}.jsonl"
        self.agents_folder = folder / SESSION / "subagents"
        self.agents_folder.mkdir(parents=True)
        self.project = project
        self.lines: list[dict[str, Any]] = []
        self.calls: list[spool.Entry] = []
        self._now = time.time_ns() - began_seconds_ago * _NS

    # --- what the client writes ---

    def prompt(self, prompt: str, text: str = "do it", **more: Any) -> None:
        self._line(prompt, {"type": "user", "message": {"role": "user", "content": text}, **more})

    def notification(self, prompt: str, agent: str, *, origin: bool = True, kind: str = "") -> None:
        """The prompt with which the client says that an agent has ended."""
        given = payload("2.1.332/UserPromptSubmit-task-notification")["prompt"]
        text = kind or given.replace("a0000000000000001", agent)
        meta = {"type": "user", "isMeta": True, "turnCompanion": True}
        reminder = {"role": "user", "content": "<system-reminder>x</system-reminder>"}
        self._line(prompt, {**meta, "message": reminder})
        self.prompt(prompt, text, **({"turnOrigin": "task_notification"} if origin else {}))

    def says(self, prompt: str, text: str) -> None:
        self._line(prompt, _assistant({"type": "text", "text": text}))

    def edits(self, prompt: str, *files: str) -> None:
        for file in files:
            self._line(prompt, _assistant(self._edit(file)))

    def agent(self, agent: str, prompt: str, *files: str) -> None:
        """An agent that the turn of `prompt` started, and what it has edited until now."""
        lines = [{"type": "user", "promptId": prompt, "message": {"content": "look"}}]
        lines += [_assistant(self._edit(file)) for file in files]
        given = "".join(json.dumps({"isSidechain": True, **line}) + "\n" for line in lines)
        (self.agents_folder / f"agent-{agent}.jsonl").write_text(given)

    def _edit(self, file: str) -> dict[str, Any]:
        given = {"file_path": str(self.project / file), "content": "x"}
        return {"type": "tool_use", "id": f"t-{file}", "name": "Write", "input": given}

    def _line(self, prompt: str, line: dict[str, Any]) -> None:
        self._now += _NS
        stamp = {"timestamp": clock.iso(self._now), "uuid": f"u{len(self.lines)}"}
        named = {"promptId": prompt} if line["type"] == "user" else {"_of": prompt}
        self.lines.append({**line, **stamp, **named, "cwd": str(self.project)})

    def save(self, hidden: Collection[str] = ()) -> None:
        """Write the transcript, without the lines of these prompts."""
        shown = [line for line in self.lines if line.get("promptId", line.get("_of")) not in hidden]
        self.path.write_text("".join(json.dumps(line) + "\n" for line in shown))

    # --- what its hooks get ---

    def stop(
        self, prompt: str, text: str, running: Iterable[str] = (), event: str = "Stop", **more: Any
    ) -> spool.Entry:
        self.says(prompt, text)
        tasks = [
            {"id": agent, "type": "subagent", "status": "running", "description": "x"}
            for agent in running
        ]
        given = {"prompt_id": prompt, "last_assistant_message": text, "background_tasks": tasks}
        return self.hook(event, **given, **more)

    def hook(self, event: str, **more: Any) -> spool.Entry:
        self._now += _NS
        common = {
            "session_id": SESSION,
            "transcript_path": str(self.path),
            "hook_event_name": event,
        }
        data = json.dumps({**common, "cwd": str(self.project), **more}).encode()
        name = f"{self._now}.{event}.{SESSION}.1"
        entry = spool.Entry(name, event, self._now, str(self.project), "", None, data, None)
        self.calls.append(entry)
        return entry


class World:
    """One database that hook calls are applied to."""

    def __init__(self, home: Path) -> None:
        home.mkdir()
        self._home = str(home)
        (home / "fleet.db").write_bytes(_empty_database())
        self.connection = db.connect(home / "fleet.db")
        self.connection.execute("PRAGMA synchronous = OFF")
        self.repositories = Repositories()

    def apply(self, *calls: spool.Entry) -> str:
        outcome = ""
        for call in calls:
            prepared = prepare(call, self._home, self.repositories, lambda seconds: None)
            outcome = apply_one(self.connection, self._home, prepared, self.repositories)
        return outcome

    def import_turn(self, call: spool.Entry) -> None:
        """Store the turn of a Stop as history."""
        prepared = prepare(call, self._home, self.repositories, lambda seconds: None)
        with db.transaction(self.connection):
            Ingest(self.connection, self._home).import_turn(
                replace(prepared, is_imported=True), is_living=True
            )

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.connection.execute(sql)]

    def briefings(self) -> dict[str, tuple[str, str, str, set[str]]]:
        """{turn: (status, words, level, files)}."""
        rows = self.rows(
            "SELECT t.turn_key, b.status, b.raw_markdown, b.broadcast_level, b.files_touched_json"
            " FROM briefings b LEFT JOIN turns t USING (briefing_id)"
        )
        assert len({row[0] for row in rows}) == len(rows)
        return {row[0]: (*row[1:4], set(json.loads(row[4]))) for row in rows}

    def session(self) -> tuple[str, str]:
        """(state, detail)."""
        ((state, detail),) = self.rows("SELECT state, detail FROM sessions")
        return state, detail

    def announced(self) -> list[tuple[int, int, str, str, str]]:
        """(briefing, revision, status, level, summary) of each briefing_added, in order."""
        rows = self.rows(
            "SELECT briefing_id, payload_json, broadcast_level FROM outbox_events"
            " WHERE type = 'briefing_added' ORDER BY event_id"
        )
        stored_events = [(row[0], json.loads(row[1])["briefing"], row[2]) for row in rows]
        assert all(given["briefingId"] == number for number, given, _ in stored_events)
        return [
            (n, b["revision"], b["status"], level, b["summary"]) for n, b, level in stored_events
        ]

    def close(self) -> None:
        self.connection.close()


@cache
def _empty_database() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fleet.db"
        db.connect(path).close()
        return path.read_bytes()


def is_recovered(world: World) -> bool:
    """Whether the session's end came before its last Stop, and read that turn from the transcript."""
    return world.rows("SELECT 1 FROM turn_inputs WHERE digest LIKE 'transcript:%'") != []


def lasting_rows(world: World, *, with_last_stop: bool = True) -> dict[str, Sequence[Any]]:
    """What must be the same in whatever order the calls were applied. Numbers of rows, and the order
    in which files were found, may differ; so may how often a change was announced. Without the last
    Stop, also when it was received and what it listed: the transcript has another time, no list."""
    connection: sqlite3.Connection = world.connection
    briefings = []
    passing = {"briefing_id", "created_at"} | (set() if with_last_stop else {"ended_at"})
    stopped = ", stopped_at, agents_json" if with_last_stop else ""
    state_at = ", state_at" if with_last_stop else ""
    for row in connection.execute("SELECT b.* FROM briefings b"):
        record = {key: row[key] for key in row.keys() if key not in passing}  # noqa: SIM118
        files = {key: sorted(json.loads(record[key] or "[]")) for key in record if "touched" in key}
        briefings.append(sorted((record | files).items()))
    return {
        "briefings": sorted(briefings, key=str),
        "turns": world.rows(
            f"SELECT session_id, turn_key, summary, source, is_placed{stopped}"
            " FROM turns ORDER BY turn_key"
        ),
        "inputs": world.rows(
            "SELECT * FROM turn_inputs WHERE digest NOT LIKE 'transcript:%'"
            " ORDER BY turn_key, digest"
        ),
        "follow-ups": world.rows("SELECT * FROM follow_ups ORDER BY prompt_id"),
        "provisional": world.rows(
            "SELECT session_id, turn_key, since, agents_json FROM provisional_turns"
            " ORDER BY turn_key"
        ),
        "sessions": world.rows(
            f"SELECT session_id, project_id, state, detail, last_seen_at, ended_at{state_at}"
            " FROM sessions"
        ),
        "other events": world.rows(
            "SELECT type, count(*) FROM outbox_events WHERE type <> 'briefing_added'"
            " GROUP BY type ORDER BY type"
        ),
    }


def _assistant(block: dict[str, Any]) -> dict[str, Any]:
    return {"type": "assistant", "message": {"role": "assistant", "content": [block]}}
