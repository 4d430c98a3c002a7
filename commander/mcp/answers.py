"""What the tools answer, without MCP: each reads the database for itself, after what hooks captured
was applied. Texts are other people's words, so control characters and escapes are taken out."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from fleet_lib import paths, typed_time
from fleet_lib.drain.foreground import drain_now
from fleet_lib.errors import DatabaseUnusable, NoAnswer, NotFound
from fleet_lib.levels import Status
from fleet_lib.prelude import delta, recap
from fleet_lib.prelude.events import newest_event
from fleet_lib.store import db, migrate
from fleet_lib.store.briefings import BriefingRepo
from fleet_lib.store.conversations import ConversationRepo
from fleet_lib.text import printable
from fleet_lib.views import overview
from fleet_lib.views import search as search_view
from fleet_lib.views.briefings import body_of, briefing_record
from fleet_lib.views.list_prices import current_rates
from fleet_lib.views.projects import find_project, project_id_of, project_names
from fleet_lib.views.usage import as_record, name_of, usage_rows

BUDGET = 9_800  # characters of `whats_new`
_BODY = 40_000  # characters of a briefing's text
_DRAIN_SECONDS = 10.0
_BRIEFINGS_SHOWN = 10  # of a project
_LINE = ("briefing_id", "status", "title", "summary", "ended_at", "session_id", "machine")


def needs_you(home: str) -> dict[str, Any]:
    with _reading(home) as connection:
        report = overview.overview(connection, home, most=0)
        return _safe(
            {key: report[key] for key in ("needs_you", "left_open", "working", "jobs", "capture")}
        )


def whats_new(home: str, reader: str) -> tuple[str, int]:
    """(text, through): what `reader` has not been shown up to the event `through`; a new reader is
    shown the recap."""
    with _reading(home) as connection:
        cursor = ConversationRepo(connection).reader_cursor(reader)
        connection.row_factory = None  # the prelude's queries expect plain tuples
        if cursor is None:
            return recap.recap(connection, newest_event(connection), BUDGET)
        return delta.delta(connection, cursor, BUDGET)


def has_been_shown(home: str, reader: str, through: int) -> None:
    """The reader has what `whats_new` answered; its cursor moves."""
    path = Path(paths.database(home))
    if path.exists():
        with contextlib.closing(db.connect(path)) as connection, db.transaction(connection):
            ConversationRepo(connection).move_reader(reader, home, through)


def search(
    home: str, query: str, project: str | None, status: Status | None, limit: int
) -> dict[str, Any]:
    with _reading(home) as connection:
        names = project_names(connection)
        found = search_view.search(
            connection,
            query,
            project_id=project_id_of(connection, project),
            status=status,
            limit=limit,
        )
        rows = [
            {"project": names.get(record["project_id"]), **_line(record)}
            | {"excerpt": record["excerpt"]}
            for record in found.records
        ]
        return _safe({"briefings": rows, "note": found.note})


def briefing(home: str, briefing_id: int) -> dict[str, Any]:
    with _reading(home) as connection:
        stored = BriefingRepo(connection).get(briefing_id)
        if stored is None:
            raise NotFound(f"there is no briefing {briefing_id}; use search or project to find one")
        record = briefing_record(connection, stored)
        body = body_of(record)
        del record["raw_markdown"]
        text = body if len(body) <= _BODY else f"{body[:_BODY]}\n(cut after {_BODY:,} characters)"
        names = project_names(connection)
        said = {key: value for key, value in record.items() if value not in (None, [], "")}
        return _safe({"project": names.get(stored.project_id), **said, "text": text})


def project(home: str, name: str) -> dict[str, Any]:
    with _reading(home) as connection:
        found = find_project(connection, name)
        report = overview.overview(connection, home, most=0)
        latest = BriefingRepo(connection).get_by_project(found.project_id, limit=_BRIEFINGS_SHOWN)
        return _safe(
            {
                "project_id": found.project_id,
                "project": project_names(connection)[found.project_id],
                "folder": found.repo_root,
                "remote": found.git_remote,
                **{
                    key: [row for row in report[key] if row["project_id"] == found.project_id]
                    for key in ("needs_you", "left_open", "working")
                },
                "briefings": [_line(briefing_record(connection, one)) for one in latest],
            }
        )


def usage(home: str, by: Literal["day", "project", "model"], since: str | None) -> dict[str, Any]:
    start = typed_time.past(since) if since else None
    with _reading(home) as connection:
        names = project_names(connection) if by == "project" else {}
        rows = usage_rows(connection, by, current_rates(connection, home), since=start)
        records = [as_record(row) for row in rows]
        if by == "project":
            records = [row | {"project": name_of(names, row["key"])} for row in records]
        return {"usage": [_safe(row) for row in records]}


def _line(record: dict[str, Any]) -> dict[str, Any]:
    return {key: record[key] for key in _LINE if record.get(key) is not None}


@contextlib.contextmanager
def _reading(home: str) -> Iterator[sqlite3.Connection]:
    """The database, an empty one before the first capture. What cannot be drained now is left to
    the next drain: the answer is what is stored. Raises DatabaseUnusable."""
    with contextlib.suppress(DatabaseUnusable, NoAnswer, OSError):
        drain_now(home, timeout=_DRAIN_SECONDS)
    path = Path(paths.database(home))
    if not path.exists():
        empty = sqlite3.connect(":memory:", isolation_level=None)
        empty.row_factory = sqlite3.Row
        migrate.migrate(empty, None)
        connection = empty
    else:
        connection = db.connect_read_only(path)
    with contextlib.closing(connection), db.transaction(connection, "DEFERRED"):
        yield connection


def _safe(record: dict[str, Any]) -> dict[str, Any]:
    """The record without escape sequences and invisible characters in any text."""
    return {key: _safe_value(value) for key, value in record.items()}


def _safe_value(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return _safe(value)
    if isinstance(value, list | tuple):
        return [_safe_value(item) for item in value]
    return value
