"""One event of the outbox as the prelude reads it, and the statements that choose and count events.
What the classes mean is in `rules`, what an event says in `lines`; how it is shown is not here."""

from fleet_lib.lines import (
    BRIEFING_SUMMARY,
    EVENT_LINE,
    EVENT_STATUS,
    WRITTEN_LINE,
    without_front_matter,
)
from fleet_lib.prelude.database import sqlite3
from fleet_lib.rules import ALERT, CLASS, HIGHLIGHT, MENTION, STATUS, VALID_JSON

TYPE_CHECKING = False  # mypy knows the name; typing itself would cost more than the whole hook
if TYPE_CHECKING:
    from typing import Any

COUNTED = 1_500  # what is left out is counted exactly up to here
_HOPS = 250  # groups that are looked at, with those that have nothing new
INDIVIDUAL = 150  # more single lines than this never fit a budget

# The session of the event `e`; NULL where it is not known. `j` is the payload if it is JSON.
EVENT_SESSION = (
    "coalesce(json_extract(j, '$.sessionId'),"
    " (SELECT b.session_id FROM briefings b WHERE b.briefing_id = e.briefing_id))"
)
_WITH_JSON = f"SELECT *, CASE WHEN {VALID_JSON} THEN payload_json END AS j FROM outbox_events"
# `e`: the events of some ids, newest first.
CHOSEN = f"""({_WITH_JSON}
  WHERE event_id IN (SELECT value FROM json_each(?)) ORDER BY event_id DESC) e"""
_NEWEST = f"""({_WITH_JSON}
  WHERE ({CLASS}) = ? AND event_id > ? ORDER BY event_id DESC LIMIT ?) e"""
# A briefing that is gone gives its event no id. Nearly every briefing has a turn, whose index is a
# hundredth of the pages.
_COLUMNS = f"""event_id, type, project_id, coalesce(
    (SELECT t.briefing_id FROM turns t WHERE t.briefing_id = e.briefing_id),
    (SELECT b.briefing_id FROM briefings b WHERE b.briefing_id = e.briefing_id)), ts,
  {EVENT_SESSION}, {EVENT_STATUS}, substr({WRITTEN_LINE}, 1, 2000),
  CASE type WHEN 'job_completed' THEN json_extract(j, '$.job.jobId') END, j IS NULL,
  CASE json_type(j, '$.machine') WHEN 'text' THEN json_extract(j, '$.machine') END"""
# Only other programs and earlier versions make events without a line: to compile what derives one
# takes longer than to read a hundred events.
_DERIVED_SQL = f"""
SELECT event_id, substr(coalesce({EVENT_LINE},
  (SELECT {BRIEFING_SUMMARY} FROM briefings b WHERE b.briefing_id = e.briefing_id)), 1, 2000)
FROM {CHOSEN}
"""


class Event:
    """One row of the outbox with what its payload says. Columns may hold any type: other programs
    write here too."""

    __slots__ = (
        "briefing_id",
        "event_id",
        "job_id",
        "machine",
        "project_id",
        "session_id",
        "status",
        "text",
        "ts",
        "type",
        "unreadable",
    )

    def __init__(self, row: "tuple[Any, ...]") -> None:
        self.event_id, self.type, project_id, self.briefing_id, self.ts = row[:5]
        self.project_id = project_id or None
        self.session_id, self.status, text, self.job_id, self.unreadable = row[5:10]
        self.machine = row[10]  # None: this one
        self.text = text  # None: not written into the payload

    def label(self) -> str:
        """The id that `fleet show` takes."""
        return f"#{self.briefing_id}" if self.briefing_id is not None else f"#e{self.event_id}"


def newest_event(connection: sqlite3.Connection) -> int:
    """The newest event's id, 0 if there is none."""
    row = connection.execute("SELECT ifnull(max(event_id), 0) FROM outbox_events").fetchone()
    return int(row[0])


def count_news(connection: sqlite3.Connection, after: int) -> int:
    """How many events after a cursor the prelude reports, each class exactly up to COUNTED."""
    return sum([count_class(connection, kind, after) for kind in (ALERT, HIGHLIGHT, MENTION)])


def count_class(connection: sqlite3.Connection, kind: int, after: int, limit: int = COUNTED) -> int:
    """How many of a class, exactly up to `limit`."""
    row = connection.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM outbox_events WHERE ({CLASS}) = ?"
        " AND event_id > ? LIMIT ?)",
        (kind, after, limit),
    ).fetchone()
    return int(row[0])


def newest_of_class(
    connection: sqlite3.Connection, kind: int, after: int, limit: int
) -> "list[Any]":
    """(event_id, type, project_id, briefing_id, status) of the newest of a class, newest first."""
    return connection.execute(
        f"SELECT event_id, type, project_id, briefing_id, {STATUS} FROM outbox_events"
        f" WHERE ({CLASS}) = ? AND event_id > ? ORDER BY event_id DESC LIMIT {limit}",
        (kind, after),
    ).fetchall()


def newest_of_types(
    connection: sqlite3.Connection, kind: int, after: int, limit: int, limits: "dict[str, int]"
) -> "list[Any]":
    """The same, where some types have a limit of their own."""
    found = []
    for type_, _, _ in count_types(connection, kind, after):
        found += connection.execute(
            f"SELECT event_id, type, project_id, briefing_id, {STATUS} FROM outbox_events"
            f" WHERE ({CLASS}) = ? AND type = ? AND event_id > ? ORDER BY event_id DESC"
            f" LIMIT {min(limit, limits.get(type_, limit))}",
            (kind, type_, after),
        ).fetchall()
    return sorted(found, key=lambda row: -row[0])


def read_newest(connection: sqlite3.Connection, kind: int, after: int, limit: int) -> "list[Event]":
    """The newest events of a class, newest first."""
    return _events(connection, _NEWEST, (kind, after, limit))


def read_events(connection: sqlite3.Connection, event_ids: "list[int]") -> "list[Event]":
    """The events of these ids, newest first."""
    return _events(connection, CHOSEN, (str(event_ids),)) if event_ids else []


def _events(
    connection: sqlite3.Connection, source: str, values: "tuple[object, ...]"
) -> "list[Event]":
    rows = connection.execute(f"SELECT {_COLUMNS} FROM {source}", values)
    events = [Event(row) for row in rows]
    if wordless := [event.event_id for event in events if event.text is None]:
        derived = dict(connection.execute(_DERIVED_SQL, (str(wordless),)).fetchall())
        for event in events:
            if event.text is None:
                event.text = without_front_matter(derived[event.event_id])
    return events


def read_groups(
    connection: sqlite3.Connection, kind: int, after: int, *, is_counted: bool
) -> "tuple[list[tuple[str | None, str, int, int]], bool]":
    """([(project_id, type, count, newest event id)] of a class, in no order; whether these are all).
    A count is a walk over the group, and 0 if it is not asked for.

    The statement hops along the index, because a GROUP BY would sort every event, and groups are
    asked for when there are many. It hops in SQL, because what other programs put into these
    columns may not survive the way through Python."""
    groups, hops = [], 0
    for row in connection.execute(_GROUPS_SQL, (kind, after, is_counted)):
        hops += 1
        if row[3] is not None:
            groups.append(row)
        if len(groups) > INDIVIDUAL:
            break
    return groups, hops < _HOPS and len(groups) <= INDIVIDUAL


_GROUPS_SQL = f"""
WITH RECURSIVE hop(project, type) AS (
  SELECT * FROM (SELECT ifnull(project_id, ''), type FROM outbox_events WHERE ({CLASS}) = ?1
    ORDER BY ifnull(project_id, ''), type LIMIT 1)
  UNION ALL
  SELECT ifnull(o.project_id, ''), o.type FROM hop JOIN outbox_events o ON o.event_id = coalesce(
    (SELECT event_id FROM outbox_events WHERE ({CLASS}) = ?1
      AND ifnull(project_id, '') = hop.project AND type > hop.type ORDER BY type LIMIT 1),
    (SELECT event_id FROM outbox_events WHERE ({CLASS}) = ?1
      AND ifnull(project_id, '') > hop.project ORDER BY ifnull(project_id, ''), type LIMIT 1))
  LIMIT {_HOPS})
SELECT nullif(project, ''), type,
  CASE WHEN ?3 THEN (SELECT count(*) FROM outbox_events WHERE ({CLASS}) = ?1
    AND ifnull(project_id, '') = hop.project AND type = hop.type AND event_id > ?2) ELSE 0 END,
  (SELECT max(event_id) FROM outbox_events WHERE ({CLASS}) = ?1
    AND ifnull(project_id, '') = hop.project AND type = hop.type AND event_id > ?2)
FROM hop
"""


def count_types(connection: sqlite3.Connection, kind: int, after: int) -> "list[Any]":
    """[(type, count, newest event id)] of a class, in no order."""
    return connection.execute(_TYPES_SQL, {"kind": kind, "after": after}).fetchall()


_TYPES_SQL = f"""
WITH RECURSIVE hop(type) AS (
  SELECT * FROM (SELECT type FROM outbox_events WHERE ({CLASS}) = :kind ORDER BY type LIMIT 1)
  UNION ALL
  SELECT (SELECT type FROM outbox_events WHERE ({CLASS}) = :kind AND type > hop.type
    ORDER BY type LIMIT 1) FROM hop WHERE hop.type IS NOT NULL
)
SELECT type,
  (SELECT count(*) FROM outbox_events WHERE ({CLASS}) = :kind AND type = hop.type
    AND event_id > :after),
  (SELECT max(event_id) FROM outbox_events WHERE ({CLASS}) = :kind AND type = hop.type
    AND event_id > :after) AS newest
FROM hop WHERE newest IS NOT NULL
"""
