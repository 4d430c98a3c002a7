"""Which rows of the shared projects are sent, and what a row says on the wire. Reads the database and
sends nothing itself."""

import sqlite3
from typing import Any, get_args

from fleet_lib.json_text import json_object
from fleet_lib.machines import MARK, is_here
from fleet_lib.records import Record
from fleet_lib.relay import payloads, wire
from fleet_lib.relay.scrub import Scrubber
from fleet_lib.relay.sharing import is_address, remotes_of
from fleet_lib.remotes import canonical_remote
from fleet_lib.store.briefings import BriefingRecord, BriefingRepo, Turn
from fleet_lib.store.projects import Project
from fleet_lib.views.usage import of_turn

PAGE = 256  # events that are read at once
_ITEM = 1000  # characters of a list's item

_KINDS = ", ".join(f"'{kind}'" for kind in get_args(wire.EventKind))
# Rows of other machines stay here, and so do the Commander's.
_SENT = f"""e.type IN ({_KINDS}) AND e.ts >= :oldest
  AND NOT EXISTS (SELECT 1 FROM relay_events r WHERE r.local_event_id = e.event_id)
  AND NOT (e.type = 'job_completed' AND typeof(e.payload_json) = 'text'
    AND json_valid(e.payload_json)
    AND json_extract(e.payload_json, '$.job.type') = 'commander_turn')"""


class Row(Record):
    """One event of the outbox that is sent."""

    event_id: int
    digest: str
    ts: str
    type: str
    level: str | None
    payload_json: object
    briefing_id: int | None


def rows_after(
    connection: sqlite3.Connection, project_id: str, event_id: int
) -> tuple[list[Row], int]:
    """(the project's next events that are sent, the newest event that was looked at)."""
    through = connection.execute("SELECT ifnull(max(event_id), 0) FROM outbox_events").fetchone()[0]
    found = connection.execute(
        "SELECT e.event_id, e.ts, e.type, e.broadcast_level, e.payload_json, e.briefing_id"
        f" FROM outbox_events e WHERE e.event_id > :after AND e.event_id <= :through"
        f" AND e.project_id = :project AND {_SENT} ORDER BY e.event_id LIMIT {PAGE}",
        {
            "after": event_id,
            "through": through,
            "project": project_id,
            "oldest": wire.oldest_sent(),
        },
    ).fetchall()
    rows = [
        Row(row[0], wire.row_digest(row[1], row[2], row[4]), row[1], row[2], row[3], row[4], row[5])
        for row in found
    ]
    return rows, rows[-1].event_id if len(rows) == PAGE else through


def count_after(connection: sqlite3.Connection, project_id: str, event_id: int) -> int:
    """How many of the project's events after that one are sent."""
    row = connection.execute(
        f"SELECT count(*) FROM outbox_events e WHERE e.event_id > :after"
        f" AND e.project_id = :project AND {_SENT}",
        {"after": event_id, "project": project_id, "oldest": wire.oldest_sent()},
    ).fetchone()
    return int(row[0])


def digest_here(connection: sqlite3.Connection, event_id: int) -> str | None:
    """The digest of this home's own row; None if it has none of that number."""
    row = connection.execute(
        "SELECT ts, type, payload_json FROM outbox_events WHERE event_id = ?", (event_id,)
    ).fetchone()
    return wire.row_digest(*row) if row else None


class Composer:
    """Says on the wire what the rows of one project are."""

    def __init__(
        self, connection: sqlite3.Connection, home: str, project: Project, machine: str, epoch: str
    ) -> None:
        self._connection = connection
        self._briefings = BriefingRepo(connection)
        self.scrubber = Scrubber(connection, home, project.project_id)
        self._common: dict[str, Any] = {"v": wire.VERSION, "machine": machine, "epoch": epoch}
        self._common["project"] = _project(connection, project, self.scrubber)

    def event(self, row: Row) -> wire.EventMessage:
        payload = json_object(row.payload_json if isinstance(row.payload_json, str) else None)
        briefing = self._briefings.get(row.briefing_id) if row.briefing_id else None
        turn = self._briefings.turn_of(briefing.briefing_id) if briefing else None
        session_id = payload.get("sessionId") or (briefing.session_id if briefing else None)
        level = row.level if row.level in ("silent", "mention", "highlight", "alert") else None
        line = self.scrubber.line
        values = self._common | {
            "event_id": row.event_id,
            "digest": row.digest,
            "session_id": _session(session_id),
            "event": {
                "ts": row.ts[:40],
                "type": row.type,
                "level": level,
                "payload": payloads.kept(row.type, payload, line),
            },
            "briefing": self._briefing(briefing) if briefing else None,
            "turn": self._turn(turn) if turn else None,
        }
        return wire.EventMessage.model_validate(values, strict=False)

    def state(self, values: dict[str, Any]) -> wire.StateMessage:
        return wire.StateMessage.model_validate(self._common | values, strict=False)

    def _briefing(self, briefing: BriefingRecord) -> dict[str, Any]:
        line, file = self.scrubber.line, self.scrubber.file
        texts = {
            name: None if (value := getattr(briefing, name)) is None else line(str(value), limit)
            for name, limit in _TEXTS.items()
        }
        lists = {name: [line(one, _ITEM) for one in getattr(briefing, name)] for name in _LISTS}
        files = {name: [file(one) for one in getattr(briefing, name)] for name in _FILES}
        limited = {name: value[:_LONGEST] for name, value in (lists | files).items()}
        markdown = self.scrubber.text(str(briefing.raw_markdown))
        levels = {name: _known(name, getattr(briefing, name)) for name in _LEVELS}
        return {
            "id": briefing.briefing_id,
            "session_id": _session(briefing.session_id),
            "raw_markdown": markdown[:_MARKDOWN],
            **texts,
            **limited,
            **levels,
            "status": _known("status", briefing.status) or "completed",
        }

    def _turn(self, turn: Turn) -> dict[str, Any]:
        usage = of_turn(self._connection, turn)
        counted = {name: usage[name] for name in wire.UsagePart.model_fields} if usage else None
        return {
            "key": self.scrubber.line(turn.turn_key, 200),
            "summary": self.scrubber.line(turn.summary, 2000),
            "question": self.scrubber.line(turn.question, 2000) if turn.question else None,
            "revision": max(turn.revision, 0),
            "source": turn.source[:200],
            "facts_partial": turn.facts_partial,
            "usage": counted,
        }


_MARKDOWN, _LONGEST = 600_000, 5000
_TEXTS = {
    **dict.fromkeys(("task_id", "branch"), 2000),
    **dict.fromkeys(("base_commit", "head_commit"), 200),
    **dict.fromkeys(("started_at", "ended_at"), 40),
}
_LISTS = ("blockers", "next_steps")
_FILES = ("docs_touched", "files_touched")
_LEVELS = {
    "impact_level": ("trivial", "minor", "moderate", "major"),
    "broadcast_level": ("silent", "mention", "highlight"),
    "doc_drift_risk": ("low", "medium", "high"),
    "status": ("completed", "blocked", "failed", "waiting_for_input"),
}


def _known(name: str, value: object) -> object:
    """The value, if it is one of the specification's: another program may have written any."""
    return value if value in _LEVELS[name] else None


def _session(session_id: object) -> str | None:
    if not isinstance(session_id, str) or not session_id or MARK in session_id:
        return None
    return session_id if len(session_id) <= 200 else wire.session_token(session_id)


def _project(
    connection: sqlite3.Connection, project: Project, scrubber: Scrubber
) -> dict[str, Any]:
    remote = project.git_remote
    is_sent = remote is not None and is_address(canonical_remote(remote))
    return {
        "id": project.project_id,
        "name": scrubber.line(project.repo_name, 200),
        "remote": scrubber.line(remote, 1000) if remote and is_sent else None,
        "remotes": remotes_of(connection, project.project_id),
    }


def sessions_here(connection: sqlite3.Connection, project_id: str, since: str) -> list[str]:
    """The ids of this machine's sessions of a project that were heard of since then."""
    rows = connection.execute(
        f"SELECT session_id FROM sessions s WHERE project_id = ? AND last_seen_at > ?"
        f" AND {is_here('s.session_id')}",
        (project_id, since),
    )
    return [row[0] for row in rows]
