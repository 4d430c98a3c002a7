"""The briefings table, and the turns that became briefings."""

from __future__ import annotations

from collections.abc import Sequence

from fleet_lib import clock, json_text
from fleet_lib.json_text import json_array_or_none
from fleet_lib.machines import machine_of
from fleet_lib.records import Record

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    import sqlite3
    from typing import Any, Required, TypedDict, Unpack

    from fleet_lib.levels import BroadcastLevel, DocDriftRisk, ImpactLevel, Status

    class BriefingFields(TypedDict, total=False):
        """What a briefing is made of; what is left out is NULL."""

        project_id: Required[str]
        status: Required[Status]
        raw_markdown: Required[str]
        session_id: str | None
        task_id: str | None
        started_at: str | None
        ended_at: str | None
        impact_level: ImpactLevel | None
        broadcast_level: BroadcastLevel | None
        doc_drift_risk: DocDriftRisk | None
        base_commit: str | None
        head_commit: str | None
        branch: str | None
        blockers: Sequence[str] | None
        next_steps: Sequence[str] | None
        docs_touched: Sequence[str] | None
        files_touched: Sequence[str] | None

    class SemanticFields(TypedDict, total=False):
        """What a later reader may say of a briefing."""

        status: Status
        impact_level: ImpactLevel
        broadcast_level: BroadcastLevel
        doc_drift_risk: DocDriftRisk
        blockers: Sequence[str]
        next_steps: Sequence[str]
        docs_touched: Sequence[str]
        files_touched: Sequence[str]


class BriefingRecord(Record):
    briefing_id: int
    project_id: str
    session_id: str | None
    task_id: str | None
    status: str
    started_at: str | None
    ended_at: str | None
    impact_level: str | None
    broadcast_level: str | None
    doc_drift_risk: str | None
    base_commit: str | None
    head_commit: str | None
    branch: str | None
    blockers: tuple[str, ...]
    next_steps: tuple[str, ...]
    docs_touched: tuple[str, ...]
    files_touched: tuple[str, ...]
    raw_markdown: str
    created_at: str


class Turn(Record):
    """A prompt, its answer and its follow-ups, and the briefing that it became."""

    session_id: str
    turn_key: str
    briefing_id: int
    revision: int  # of the last announcement: 1 for the first, one more if the meaning changed
    summary: str  # one line
    meaning: str  # digest, as last announced; "" with revision 0: not announced yet
    source: str  # block|status_file|message
    facts_partial: bool
    warnings: tuple[str, ...]
    question: str | None = None  # one line: what it asks its reader
    stopped_at: str = ""  # when its newest Stop was received
    agents: tuple[str, ...] | None = None  # the session's that ran then; None: not known
    is_placed: bool = True  # whether the transcript had its prompt
    title: str | None = None  # one line: the first one that a person wrote


# When a briefing's turn ended: letter for letter the indexes' expression in
# migrations/0007_imports.sql. Ids say nothing about time: an import gives old turns new ones.
ENDED = "ifnull(ended_at, created_at)"

_LISTS = ("blockers", "next_steps", "docs_touched", "files_touched")
# {index: the filters that it answers, and then the time}; those with more filters come first.
_INDEXES = {
    "briefings_by_session": ("session_id",),
    "briefings_by_project_status": ("project_id", "status"),
    "briefings_by_project_machine": ("project_id", "machine"),
    "briefings_by_project_end": ("project_id",),
    "briefings_by_status": ("status",),
    "briefings_by_impact": ("impact_level",),
    "briefings_by_level": ("broadcast_level",),
    "briefings_by_drift": ("doc_drift_risk",),
    "briefings_by_machine": ("machine",),
}
_ALL = "briefings_by_end"
_FILTERED = {"machine": machine_of("session_id")}
# Those of BriefingFields, for a program that runs.
FIELDS = tuple(
    name for name in BriefingRecord.__annotations__ if name not in ("briefing_id", "created_at")
)
_COLUMNS = {
    **{name: name for name in FIELDS},
    **{name: f"{name}_json" for name in _LISTS},
}


class BriefingRepo:
    """Takes a connection; the caller's transaction holds what it does."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def insert(self, **fields: Unpack[BriefingFields]) -> int:
        """Insert and return the id; the id of the one that is there, if the same turn's is.

        SQLite's UNIQUE lets NULLs repeat, so sameness is checked here: call it inside an IMMEDIATE
        transaction.
        """
        found = self.find_same(**fields)
        if found is not None:
            return found
        return self.add(**fields)

    def add(self, **fields: Unpack[BriefingFields]) -> int:
        """Insert a briefing of which the caller knows that it is not there; its id."""
        columns = _stored(fields) | {"created_at": clock.now()}
        cursor = self._connection.execute(
            f"INSERT INTO briefings ({', '.join(columns)})"
            f" VALUES ({', '.join('?' * len(columns))})",
            tuple(columns.values()),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def upsert(self, **fields: Unpack[BriefingFields]) -> int:
        """Insert, or set the given fields of the one that is there; return its id."""
        found = self.find_same(**fields)
        if found is None:
            return self.add(**fields)
        self.update(found, **fields)
        return found

    def update(self, briefing_id: int, **fields: Unpack[BriefingFields]) -> bool:
        """Set the given fields. False if there is no such briefing."""
        return self._set(briefing_id, _stored(fields))

    def update_semantic_fields(self, briefing_id: int, **fields: Unpack[SemanticFields]) -> bool:
        """Set what a reader says of a briefing. False if there is no such briefing. From then on
        neither a model nor a later Stop of the turn changes these fields."""
        stored = _stored(fields)
        known = "".join(f", '$.{name}', NULL" for name in fields)
        self._connection.execute(
            f"UPDATE briefing_derived SET fields_json = json_replace(fields_json{known})"
            " WHERE briefing_id = ?",
            (briefing_id,),
        )
        return self._set(briefing_id, stored)

    def get(self, briefing_id: int) -> BriefingRecord | None:
        row = self._connection.execute(
            "SELECT * FROM briefings WHERE briefing_id = ?", (briefing_id,)
        ).fetchone()
        return _from_row(row) if row else None

    def query(
        self,
        *,
        project_id: str | None = None,
        session_id: str | None = None,
        status: str | None = None,
        impact_level: str | None = None,
        broadcast_level: str | None = None,
        doc_drift_risk: str | None = None,
        since: str | None = None,
        machine: str | None = None,
        limit: int = 50,
    ) -> list[BriefingRecord]:
        """Newest first, by the time at which the turn ended; a filter that is None does not filter.
        `since` is the ISO time at or after which the turn ended; `machine` is another machine's
        name, or "" for this one."""
        from fleet_lib.store.narrowest import narrowest  # no drain asks for a list

        filters = {
            "project_id": project_id,
            "session_id": session_id,
            "status": status,
            "impact_level": impact_level,
            "broadcast_level": broadcast_level,
            "doc_drift_risk": doc_drift_risk,
            "machine": machine,
        }
        values = {name: value for name, value in filters.items() if value is not None}
        conditions = {name: f"{_FILTERED.get(name, name)} = :{name}" for name in values}
        indexes = {
            index: " AND ".join(conditions[name] for name in names)
            for index, names in _INDEXES.items()
            if all(name in values for name in names)
        }
        at = f"{ENDED} >= :since" if since is not None else "1"
        values["since"] = since or ""
        index = narrowest(self._connection, "briefings", indexes, at, values) if indexes else _ALL
        rows = self._connection.execute(
            f"SELECT * FROM briefings INDEXED BY {index}"
            f" WHERE {' AND '.join((at, *conditions.values()))}"
            f" ORDER BY {ENDED} DESC, briefing_id DESC LIMIT :limit",
            {**values, "limit": limit},
        )
        return [_from_row(row) for row in rows]

    def neighbours(self, briefing: BriefingRecord) -> tuple[int | None, int | None]:
        """The briefings of the turns before and after it in its session."""
        found = []
        for sign, order in (("<", "DESC"), (">", "ASC")):
            row = self._connection.execute(
                f"SELECT briefing_id FROM briefings WHERE session_id = ?"
                f" AND ({ENDED}, briefing_id) {sign} (?, ?)"
                f" ORDER BY {ENDED} {order}, briefing_id {order} LIMIT 1",
                (
                    briefing.session_id,
                    briefing.ended_at or briefing.created_at,
                    briefing.briefing_id,
                ),
            ).fetchone()
            found.append(int(row[0]) if row else None)
        return found[0], found[1]

    def get_recent(self, limit: int = 20) -> list[BriefingRecord]:
        return self.query(limit=limit)

    def get_by_project(self, project_id: str, limit: int = 50) -> list[BriefingRecord]:
        return self.query(project_id=project_id, limit=limit)

    def get_high_doc_drift_risk(self, limit: int = 10) -> list[BriefingRecord]:
        return self.query(doc_drift_risk="high", limit=limit)

    # --- turns ---

    def get_turn(self, session_id: str, turn_key: str) -> Turn | None:
        row = self._connection.execute(
            "SELECT * FROM turns WHERE session_id = ? AND turn_key = ?", (session_id, turn_key)
        ).fetchone()
        return _turn_from_row(row) if row else None

    def turn_of(self, briefing_id: int) -> Turn | None:
        row = self._connection.execute(
            "SELECT * FROM turns WHERE briefing_id = ? LIMIT 1", (briefing_id,)
        ).fetchone()
        return _turn_from_row(row) if row else None

    def last_title(self, session_id: str, before: str = "~", other_than: str = "") -> str | None:
        """The title of the session's newest turn that has one: of those that stopped before an ISO
        time, without the turn of one key."""
        row = self._connection.execute(
            "SELECT title FROM turns WHERE session_id = ? AND stopped_at < ? AND turn_key <> ?"
            " AND title IS NOT NULL ORDER BY stopped_at DESC, briefing_id DESC LIMIT 1",
            (session_id, before, other_than),
        ).fetchone()
        return str(row[0]) if row else None

    def titles_of(self, session_id: str, limit: int) -> dict[str, str]:
        """{number of a briefing: title} of the session's newest turns that have one."""
        rows = self._connection.execute(
            "SELECT briefing_id, title FROM turns WHERE session_id = ? AND title IS NOT NULL"
            " ORDER BY stopped_at DESC LIMIT ?",
            (session_id, limit),
        )
        return {str(row[0]): row[1] for row in rows}

    def set_title(self, session_id: str, turn_key: str, title: str | None) -> None:
        self._connection.execute(
            "UPDATE turns SET title = ? WHERE session_id = ? AND turn_key = ?",
            (title, session_id, turn_key),
        )

    def save_turn(self, turn: Turn) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO turns (session_id, turn_key, briefing_id, revision, summary,"
            " question, meaning, source, facts_partial, warnings_json, stopped_at, agents_json,"
            " is_placed, title) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                turn.session_id,
                turn.turn_key,
                turn.briefing_id,
                turn.revision,
                turn.summary,
                turn.question,
                turn.meaning,
                turn.source,
                turn.facts_partial,
                _list(turn.warnings),
                turn.stopped_at,
                None if turn.agents is None else _list(turn.agents),
                turn.is_placed,
                turn.title,
            ),
        )

    def has_input(self, session_id: str, digest: str) -> bool:
        """Whether this payload is applied to any turn of the session."""
        row = self._connection.execute(
            "SELECT 1 FROM turn_inputs WHERE session_id = ? AND digest = ?", (session_id, digest)
        ).fetchone()
        return row is not None

    def mark_seen(self, session_id: str, turn_key: str, digest: str) -> bool:
        """Record that this payload is applied to the turn. False for a replay: it was applied
        before."""
        cursor = self._connection.execute(
            "INSERT OR IGNORE INTO turn_inputs (session_id, turn_key, digest) VALUES (?, ?, ?)",
            (session_id, turn_key, digest),
        )
        return cursor.rowcount == 1

    def find_same(self, **fields: Unpack[BriefingFields]) -> int | None:
        """The briefing of the same project, session, task and end, NULLs being the same."""
        row = self._connection.execute(
            "SELECT briefing_id FROM briefings WHERE project_id = ? AND session_id IS ?"
            " AND task_id IS ? AND ended_at IS ? LIMIT 1",
            (
                fields["project_id"],
                fields.get("session_id"),
                fields.get("task_id"),
                fields.get("ended_at"),
            ),
        ).fetchone()
        return int(row[0]) if row else None

    def _set(self, briefing_id: int, columns: dict[str, object]) -> bool:
        if not columns:
            return False
        cursor = self._connection.execute(
            f"UPDATE briefings SET {', '.join(f'{column} = ?' for column in columns)}"
            " WHERE briefing_id = ?",
            (*columns.values(), briefing_id),
        )
        return cursor.rowcount == 1


def _stored(fields: BriefingFields | SemanticFields) -> dict[str, object]:
    """Column names and values. Raises TypeError for a name that is no field."""
    stored: dict[str, object] = {}
    for name, value in fields.items():
        if name not in _COLUMNS:
            raise TypeError(f"a briefing has no field {name!r}")
        column = _COLUMNS[name]
        is_list = column != name and value is not None
        stored[column] = _list(value) if is_list else value  # type: ignore[arg-type]
    return stored


def _list(texts: Sequence[str]) -> str:
    return json_text.dumps(list(texts), ensure_ascii=False) if texts else "[]"


def _from_row(row: sqlite3.Row) -> BriefingRecord:
    values: dict[str, Any] = {
        name: _texts(row[f"{name}_json"]) if name in _LISTS else row[name]
        for name in BriefingRecord.__annotations__
    }
    return BriefingRecord(**values)


def _turn_from_row(row: sqlite3.Row) -> Turn:
    columns = {"warnings": "warnings_json", "agents": "agents_json"}
    values: dict[str, Any] = {name: row[columns.get(name, name)] for name in Turn.__annotations__}
    agents = None if values["agents"] is None else _texts(values["agents"])
    read = {"warnings": _texts(values["warnings"]), "agents": agents}
    flags = {name: bool(values[name]) for name in ("facts_partial", "is_placed")}
    return Turn(**(values | read | flags))


def _texts(stored: str | None) -> tuple[str, ...]:
    """A JSON array of texts; whatever else another program stored there reads as none."""
    return tuple(str(item) for item in json_array_or_none(stored) or ())
