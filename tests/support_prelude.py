"""Helpers for tests of the prelude: insert rows as any program could, and read the prelude as a
hook does, on a connection of its own."""

import json
import re
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fleet_lib import hot_settings, paths
from fleet_lib.prelude.database import open_database
from fleet_lib.prelude.delta import delta
from fleet_lib.prelude.recap import recap
from fleet_lib.store import db

TS = "2026-11-23T06:55:16.123Z"
CONTENT_TABLES = (
    "turns",
    "sessions",
    "outbox_events",
    "briefings",
    "projects",
    "sqlite_sequence",
)


class Raw(bytes):
    """Bytes to store in a column as TEXT, even if they are not UTF-8."""


class Fleet:
    """A real database in a home folder: written on one connection, read as a hook reads it."""

    def __init__(self, home: Path) -> None:
        self.home = str(home)
        self.connection = db.connect(paths.database(self.home))
        self.connection.execute("PRAGMA synchronous = OFF")

    # --- writing ---

    def insert(self, table: str, **values: Any) -> int:
        marks = ", ".join("CAST(? AS TEXT)" if isinstance(v, Raw) else "?" for v in values.values())
        cursor = self.connection.execute(
            f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", tuple(values.values())
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def event(
        self,
        type: Any = "briefing_added",
        level: Any = "mention",
        payload: Any = None,
        *,
        project: Any = None,
        briefing: Any = None,
        ts: Any = TS,
    ) -> int:
        """Add an event. A dict, list or None is stored as JSON, text and bytes unchanged."""
        return self.insert(
            "outbox_events",
            ts=ts,
            type=type,
            project_id=project,
            briefing_id=briefing,
            broadcast_level=level,
            payload_json=json.dumps(payload or {})
            if isinstance(payload, dict | list | None)
            else payload,
        )

    def project(self, project_id: Any, repo_name: Any = None, **values: Any) -> Any:
        row = {"repo_root": f"/code/{project_id!r}", "created_at": TS, "updated_at": TS} | values
        self.insert("projects", project_id=project_id, repo_name=repo_name or project_id, **row)
        return project_id

    def briefing(
        self,
        project: str,
        session: str | None = None,
        status: str = "completed",
        text: Any = "What was done.",
        **values: Any,
    ) -> int:
        row = {"created_at": TS} | values
        return self.insert(
            "briefings",
            project_id=project,
            session_id=session,
            status=status,
            raw_markdown=text,
            **row,
        )

    def session(self, session_id: str, project: str, state: str, **values: Any) -> None:
        row = {"folder": "/work", "state_at": TS, "detail": "", "last_seen_at": TS} | values
        self.insert("sessions", session_id=session_id, project_id=project, state=state, **row)

    def turn(self, briefing_id: int, summary: str) -> None:
        self.insert(
            "turns",
            session_id="",
            turn_key=str(briefing_id),
            briefing_id=briefing_id,
            revision=1,
            summary=summary,
            meaning="",
            source="message",
            facts_partial=0,
            warnings_json="[]",
        )

    def clear(self) -> None:
        """Empty the tables that these tests fill, so that the ids begin at 1 again."""
        for table in CONTENT_TABLES:
            self.connection.execute(f"DELETE FROM {table}")

    # --- reading ---

    def delta(self, after: int = 0, room: int = hot_settings.BUDGET) -> str:
        return self._read(delta, after, room)

    def recap(self, after: int = 0, room: int = hot_settings.BUDGET) -> str:
        return self._read(recap, after, room)

    def _read(self, build: Callable[..., tuple[str, int]], after: int, room: int) -> str:
        connection = open_database(self.home)
        try:
            with within(seconds=5):
                text, through = build(connection, after, room)
        finally:
            connection.close()
        newest = self.connection.execute("SELECT max(event_id) FROM outbox_events").fetchone()[0]
        assert through == max(after, newest or 0)
        return text

    def has_label(self, label: str) -> bool:
        """Whether `fleet briefings show` finds this id."""
        table, column, number = (
            ("outbox_events", "event_id", label[2:])
            if label.startswith("#e")
            else ("briefings", "briefing_id", label[1:])
        )
        row = self.connection.execute(
            f"SELECT 1 FROM {table} WHERE {column} = ?", (int(number),)
        ).fetchone()
        return row is not None


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail instead of hanging if a loop over another program's rows does not end."""

    def stop(*_: object) -> None:
        raise AssertionError(f"the prelude did not finish within {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def section(text: str, title: str) -> list[str]:
    """The item lines under `title:`."""
    lines = text.split("\n")
    if f"{title}:" not in lines:
        return []
    found = []
    for line in lines[lines.index(f"{title}:") + 1 :]:
        if not line.startswith("- "):
            break
        found.append(line)
    return found


def label_of(line: str) -> str:
    """The id in an item line."""
    match = re.match(r"- (#e?\d+) ", line)
    assert match, f"no id in {line!r}"
    return match[1]


def utf16_length(text: str) -> int:
    """The number of characters as Claude Code counts them."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def statements_of(home: str, read: Callable[[sqlite3.Connection], object]) -> list[str]:
    """The SQL statements that `read` runs, with their values filled in."""
    connection = open_database(home)
    seen: list[str] = []
    try:
        connection.set_trace_callback(seen.append)
        read(connection)
        connection.set_trace_callback(None)
    finally:
        connection.close()
    return seen
