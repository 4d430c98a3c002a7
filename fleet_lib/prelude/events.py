"""One event of the outbox as the prelude reads it, and the statements that choose and count events.
What the classes mean is in `rules`, what an event says in `lines`; how it is shown is not here."""

from fleet_lib.lines import BRIEFING_SUMMARY, EVENT_LINE, EVENT_STATUS, without_front_matter
from fleet_lib.prelude.database import sqlite3
from fleet_lib.rules import ALERT, CLASS, HIGHLIGHT, MENTION, STATUS, VALID_JSON

TYPE_CHECKING = False  # mypy knows the name; typing itself would cost more than the whole hook
if TYPE_CHECKING:
    from typing import Any

COUNTED = 5_000  # what is left out is counted exactly up to here
INDIVIDUAL = 150  # more single lines than this never fit a budget

# `j` is the payload if it is JSON, else NULL. A briefing that is gone gives its event no id.
# The briefing and the session of the event `e`; NULL where they are not known.
_BRIEFING = "(SELECT b.briefing_id FROM briefings b WHERE b.briefing_id = e.briefing_id)"
EVENT_SESSION = (
    "coalesce(json_extract(j, '$.sessionId'),"
    " (SELECT b.session_id FROM briefings b WHERE b.briefing_id = e.briefing_id))"
)
# `e`: the events of some ids, newest first. `j` is the payload if it is JSON, else NULL.
CHOSEN = f"""(SELECT *, CASE WHEN {VALID_JSON} THEN payload_json END AS j FROM outbox_events
  WHERE event_id IN (SELECT value FROM json_each(?)) ORDER BY event_id DESC) e"""
_KEYS_SQL = f"SELECT event_id, type, project_id, {EVENT_SESSION}, {_BRIEFING} FROM {CHOSEN}"
_EVENT_SQL = f"""
SELECT event_id, type, project_id, {_BRIEFING}, ts, {EVENT_SESSION}, {EVENT_STATUS},
  substr(coalesce({EVENT_LINE},
    (SELECT {BRIEFING_SUMMARY} FROM briefings b WHERE b.briefing_id = e.briefing_id)), 1, 2000),
  json_extract(j, '$.job.jobId'), j IS NULL,
  CASE json_type(j, '$.machine') WHEN 'text' THEN json_extract(j, '$.machine') END
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
        self.text = without_front_matter(text)

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


def count_class(connection: sqlite3.Connection, kind: int, after: int) -> int:
    """How many of a class, exactly up to COUNTED."""
    row = connection.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM outbox_events WHERE ({CLASS}) = ?"
        f" AND event_id > ? LIMIT {COUNTED})",
        (kind, after),
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


def read_keys(connection: sqlite3.Connection, event_ids: "list[int]") -> "list[Any]":
    """(event_id, type, project_id, session_id, briefing_id) of these events, newest first: a tenth
    of what `read_events` costs."""
    return connection.execute(_KEYS_SQL, (str(event_ids),)).fetchall()


def read_events(connection: sqlite3.Connection, event_ids: "list[int]") -> "list[Event]":
    """The events of these ids, newest first."""
    return [Event(row) for row in connection.execute(_EVENT_SQL, (str(event_ids),))]


def read_groups(
    connection: sqlite3.Connection, kind: int, after: int
) -> "list[tuple[str | None, str, int, int]]":
    """[(project_id, type, count, newest event id)] of a class, in no order; not all of them if
    there are more than could be shown.

    The statement hops along the index, because a GROUP BY would sort every event, and groups are
    asked for when there are many. It hops in SQL, because what other programs put into these
    columns may not survive the way through Python."""
    return connection.execute(_GROUPS_SQL, {"kind": kind, "after": after}).fetchall()


_GROUPS_SQL = f"""
WITH RECURSIVE hop(project, type) AS (
  SELECT * FROM (SELECT ifnull(project_id, ''), type FROM outbox_events WHERE ({CLASS}) = :kind
    ORDER BY ifnull(project_id, ''), type LIMIT 1)
  UNION ALL
  SELECT ifnull(o.project_id, ''), o.type FROM hop JOIN outbox_events o ON o.event_id = coalesce(
    (SELECT event_id FROM outbox_events WHERE ({CLASS}) = :kind
      AND ifnull(project_id, '') = hop.project AND type > hop.type ORDER BY type LIMIT 1),
    (SELECT event_id FROM outbox_events WHERE ({CLASS}) = :kind
      AND ifnull(project_id, '') > hop.project ORDER BY ifnull(project_id, ''), type LIMIT 1))
  LIMIT 1000)
SELECT nullif(project, ''), type,
  (SELECT count(*) FROM outbox_events WHERE ({CLASS}) = :kind
    AND ifnull(project_id, '') = hop.project AND type = hop.type AND event_id > :after),
  (SELECT max(event_id) FROM outbox_events WHERE ({CLASS}) = :kind
    AND ifnull(project_id, '') = hop.project AND type = hop.type AND event_id > :after) AS newest
FROM hop WHERE newest IS NOT NULL LIMIT {INDIVIDUAL + 1}
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
