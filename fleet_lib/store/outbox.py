"""The outbox: events that other readers follow, each from a cursor of its own."""

from __future__ import annotations

from collections.abc import Iterable

from fleet_lib import clock, json_text, lines
from fleet_lib.errors import BadInput
from fleet_lib.json_text import json_object_or_none
from fleet_lib.records import Record
from fleet_lib.rules import ALERT, CLASS, SESSION

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    import sqlite3
    from typing import Any

    from fleet_lib.levels import ColleagueNews, EventType

# Those of EventType, for a program that runs.
EVENT_TYPES: tuple[EventType, ...] = (
    "briefing_added",
    "session_started",
    "session_blocked",
    "doc_drift_warning",
    "skill_updated",
    "file_overlap",
    "job_completed",
    "error",
)
# Whatever came from another person's machine (relay/apply.py): never an alert.
COLLEAGUE_NEWS: ColleagueNews = "colleague_news"


class OutboxEvent(Record):
    event_id: int
    ts: str
    type: str  # another program may have written one that is not in EVENT_TYPES
    project_id: str | None
    briefing_id: int | None
    broadcast_level: str | None
    payload_json: str
    delivered: bool

    @property
    def machine(self) -> str | None:
        """The machine that it came from; None for this one's."""
        machine = (self.payload or {}).get("machine")
        return machine if isinstance(machine, str) else None

    @property
    def payload(self) -> dict[str, Any] | None:
        """The payload as an object, None where another program wrote something else."""
        return json_object_or_none(self.payload_json)


# Numbers beyond it are no longer exact in JavaScript, and the largest leaves none for another event.
_LARGEST_ID = 2**53


def renumber_outliers(connection: sqlite3.Connection) -> int:
    """Give events of other programs whose numbers are beyond all use the numbers after the newest
    other one, so that more can be added; how many there were."""
    row = connection.execute(
        "SELECT seq FROM sqlite_sequence WHERE name = 'outbox_events'"
    ).fetchone()
    if row is None or row[0] < _LARGEST_ID:
        return 0
    select = "SELECT event_id FROM outbox_events WHERE event_id >= ? ORDER BY event_id"
    outliers = [row[0] for row in connection.execute(select, (_LARGEST_ID,))]
    newest = connection.execute(
        "SELECT coalesce(max(event_id), 0) FROM outbox_events WHERE event_id < ?", (_LARGEST_ID,)
    ).fetchone()[0]
    for number, event_id in enumerate(outliers, start=newest + 1):
        for table in ("outbox_events", "sessions"):
            connection.execute(
                f"UPDATE {table} SET event_id = ? WHERE event_id = ?", (number, event_id)
            )
    connection.execute(
        "UPDATE sqlite_sequence SET seq = ? WHERE name = 'outbox_events'", (newest + len(outliers),)
    )
    return len(outliers)


class OutboxRepo:
    """Takes a connection; the caller's transaction holds what it does."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(
        self,
        *,
        type: EventType | ColleagueNews,
        payload: dict[str, Any] | None = None,
        payload_json: str | None = None,
        project_id: str | None = None,
        briefing_id: int | None = None,
        broadcast_level: str | None = None,
        ts: str | None = None,
    ) -> int:
        """Append an event and return its id. Raises BadInput for an unknown type.

        `payload` gets its `line` here; a `payload_json` is stored as it is."""
        if type not in (*EVENT_TYPES, COLLEAGUE_NEWS):
            raise BadInput(f"{type!r} is not an event type; use one of {', '.join(EVENT_TYPES)}")
        text = payload_json if payload_json is not None else _text(_with_line(type, payload or {}))
        cursor = self._connection.execute(
            "INSERT INTO outbox_events (ts, type, project_id, briefing_id, broadcast_level,"
            " payload_json) VALUES (?, ?, ?, ?, ?, ?)",
            (ts or clock.now(), type, project_id, briefing_id, broadcast_level, text),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def has_alert(self, type: EventType, payload: dict[str, Any]) -> bool:
        """Whether this very alert was announced before, also by a version that wrote no `line`."""
        row = self._connection.execute(
            f"SELECT 1 FROM outbox_events WHERE ({CLASS}) = {ALERT} AND type = ?"
            " AND payload_json IN (?, ?) LIMIT 1",
            (type, _text(_with_line(type, payload)), _text(payload)),
        ).fetchone()
        return row is not None

    def has_of_session(self, type: EventType, session_id: str) -> bool:
        """Whether an event of this type names this session."""
        row = self._connection.execute(
            f"SELECT 1 FROM outbox_events WHERE ({SESSION}) = ? AND type = ? LIMIT 1",
            (session_id, type),
        ).fetchone()
        return row is not None

    def get(self, event_id: int) -> OutboxEvent | None:
        row = self._connection.execute(
            "SELECT * FROM outbox_events WHERE event_id = ?", (event_id,)
        ).fetchone()
        return _from_row(row) if row else None

    def get_after(self, event_id: int, limit: int = 100) -> list[OutboxEvent]:
        """The events after a cursor, oldest first; page on from the last one's id."""
        rows = self._connection.execute(
            "SELECT * FROM outbox_events WHERE event_id > ? ORDER BY event_id LIMIT ?",
            (event_id, limit),
        )
        return [_from_row(row) for row in rows]

    def get_all(self, event_ids: Iterable[int]) -> list[OutboxEvent]:
        """These events, oldest first."""
        rows = self._connection.execute(
            "SELECT * FROM outbox_events WHERE event_id IN (SELECT value FROM json_each(?))"
            " ORDER BY event_id",
            (json_text.dumps(list(event_ids)),),
        )
        return [_from_row(row) for row in rows]

    def get_undelivered(self, limit: int = 100) -> list[OutboxEvent]:
        """The events that no live subscriber took yet, oldest first."""
        rows = self._connection.execute(
            "SELECT * FROM outbox_events WHERE delivered = 0 ORDER BY event_id LIMIT ?", (limit,)
        )
        return [_from_row(row) for row in rows]

    def get_latest(self, limit: int = 20) -> list[OutboxEvent]:
        """The newest events, oldest of them first."""
        rows = self._connection.execute(
            "SELECT * FROM outbox_events ORDER BY event_id DESC LIMIT ?", (limit,)
        ).fetchall()
        return [_from_row(row) for row in reversed(rows)]

    def latest_id(self) -> int:
        return int(
            self._connection.execute(
                "SELECT ifnull(max(event_id), 0) FROM outbox_events"
            ).fetchone()[0]
        )

    def mark_delivered(self, event_id: int) -> bool:
        """False if it was delivered before, or is not there."""
        cursor = self._connection.execute(
            "UPDATE outbox_events SET delivered = 1 WHERE event_id = ? AND delivered = 0",
            (event_id,),
        )
        return cursor.rowcount == 1

    def mark_all_delivered(self, event_ids: Iterable[int]) -> int:
        """How many of them were not delivered before."""
        cursor = self._connection.execute(
            "UPDATE outbox_events SET delivered = 1 WHERE delivered = 0"
            " AND event_id IN (SELECT value FROM json_each(?))",
            (json_text.dumps(list(event_ids)),),
        )
        return cursor.rowcount


def _with_line(type: str, payload: dict[str, Any]) -> dict[str, Any]:
    line = lines.line_of(type, payload)
    return {**payload, "line": line} if line else payload


def _text(payload: dict[str, Any]) -> str:
    return json_text.dumps(payload, ensure_ascii=False, separators=(",", ":"))


def _from_row(row: sqlite3.Row) -> OutboxEvent:
    return OutboxEvent(
        row["event_id"],
        row["ts"],
        row["type"],
        row["project_id"],
        row["briefing_id"],
        row["broadcast_level"],
        row["payload_json"] if isinstance(row["payload_json"], str) else repr(row["payload_json"]),
        bool(row["delivered"]),
    )
