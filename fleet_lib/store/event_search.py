"""Which events pass a filter, found along indexes, so that the cost does not grow with the history:
of a project, of a machine, of a class and type, or since a time."""

import heapq
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from fleet_lib.rules import ALERT, CLASS, HIGHLIGHT, MENTION

SILENT = 4
CLASSES = (ALERT, HIGHLIGHT, MENTION, SILENT)
_TYPES = 40  # kinds of event, of other programs too, that are looked at
# So many events of this machine next to each other may have come late: a folder did not answer.
_LATE = 300
_LOOKED_AT = 2000  # events, for as many of this machine

# Letter for letter the beginnings of the indexes outbox_events_by_type and outbox_events_by_group.
_OF_TYPE = f"({CLASS}) = :kind AND type = :type"
_OF_GROUP = f"({CLASS}) = :kind AND ifnull(project_id, '') = :project AND type = :type"
_CAME = "EXISTS (SELECT 1 FROM relay_events r WHERE r.local_event_id = e.event_id)"
# The newest time of this machine's events near :event_id; NULL where there are none.
_NEWEST_NEAR = f"""
SELECT max(CASE WHEN ts GLOB '[0-9]*' THEN ts END) FROM (
  SELECT ts FROM (SELECT event_id, ts FROM outbox_events WHERE event_id <= ?
    ORDER BY event_id DESC LIMIT {_LOOKED_AT}) e WHERE NOT {_CAME} LIMIT {_LATE})
"""


class Kind(NamedTuple):
    """Events that an index holds in a row."""

    kind: int  # the class
    type: str
    project: str | None


class Wanted(NamedTuple):
    """A filter; what is None does not filter. `machine` is another machine's name, or "" for this
    one; `since` an ISO time."""

    project_id: str | None = None
    machine: str | None = None
    since: str | None = None


def ids_of(
    connection: sqlite3.Connection,
    wanted: Wanted,
    limit: int,
    *,
    after: int = 0,
    is_newest: bool = False,
) -> list[int]:
    """The first `limit` events after one, or the last ones, oldest first."""
    if wanted.since:
        after = max(after, last_before(connection, wanted.since))
    return _ids_of(connection, wanted, limit, after, is_newest=is_newest)


def pages_of(connection: sqlite3.Connection, wanted: Wanted, size: int) -> Iterator[list[int]]:
    """All of them, oldest first."""
    after = last_before(connection, wanted.since) if wanted.since else 0
    while page := _ids_of(connection, wanted, size, after):
        yield page
        after = page[-1]


def _ids_of(
    connection: sqlite3.Connection,
    wanted: Wanted,
    limit: int,
    after: int,
    *,
    is_newest: bool = False,
) -> list[int]:
    order = "DESC" if is_newest else "ASC"
    more = "AND e.ts >= :since" if wanted.since else ""
    values = {**wanted._asdict(), "after": after, "limit": limit}
    if wanted.machine:
        if wanted.project_id is not None:
            more += " AND e.project_id = :project_id"
        rows = connection.execute(
            f"{_of_machine(more)} AND r.local_event_id > :after"
            f" ORDER BY r.local_event_id {order} LIMIT :limit",
            values,
        )
        return sorted(row[0] for row in rows)
    if wanted.machine == "":
        more += f" AND NOT {_CAME}"
    sql = f"SELECT event_id FROM outbox_events e WHERE {{}} AND event_id > :after {more}"
    sql += f" ORDER BY event_id {order} LIMIT :limit"
    if wanted.project_id is None:
        found = [row[0] for row in connection.execute(sql.format("1"), values)]
    else:
        sql = sql.format(_OF_GROUP)
        found = [
            row[0]
            for kind in kinds_of(connection, wanted.project_id)
            for row in connection.execute(sql, values | kind._asdict())
        ]
    choose = heapq.nlargest if is_newest else heapq.nsmallest
    return sorted(choose(limit, found))


def last_before(connection: sqlite3.Connection, moment: str) -> int:
    """An event up to which all are older than a time, and not many after it are. There is no index
    over the times: it is searched by halves, since numbers grow with time, but for what came late
    (`_LATE`) and what came from other machines, which is never older than its number."""
    low = 0
    high = int(
        connection.execute("SELECT ifnull(max(event_id), 0) FROM outbox_events").fetchone()[0]
    )
    while low < high:
        middle = (low + high + 1) // 2
        newest = connection.execute(_NEWEST_NEAR, (middle,)).fetchone()[0]
        if newest is not None and newest < moment:
            low = middle
        else:
            high = middle - 1
    return low


def kinds_of(
    connection: sqlite3.Connection,
    project_id: str | None,
    classes: Sequence[int] = CLASSES,
    type: str | None = None,
) -> list[Kind]:
    """The kinds that there are, of these classes, of one project or one type if it is given."""
    return [
        Kind(kind, name, project_id)
        for kind in classes
        for name in ([type] if type else _types(connection, kind, project_id))
    ]


def walk_back(
    connection: sqlite3.Connection, kinds: Sequence[Kind], before: int, machine: str | None
) -> Iterator[int]:
    """The events of these kinds before one, newest first, read as they are wanted. `machine` as in
    `Wanted`."""
    if machine:
        return _walk_back_of_machine(connection, kinds, before, machine)
    walks = [_walk_back(connection, kind, before, is_here=machine == "") for kind in kinds]
    return heapq.merge(*walks, reverse=True)


def _types(connection: sqlite3.Connection, kind: int, project_id: str | None) -> list[str]:
    """The types of a class, of one project if it is given. It hops along the index."""
    where = f"({CLASS}) = :kind"
    if project_id is not None:
        where += " AND ifnull(project_id, '') = :project"
    found = [""]
    while len(found) <= _TYPES:
        row = connection.execute(
            f"SELECT type FROM outbox_events WHERE {where} AND type > :after ORDER BY type LIMIT 1",
            {"kind": kind, "project": project_id, "after": found[-1]},
        ).fetchone()
        if row is None or not isinstance(row[0], str) or row[0] <= found[-1]:
            break
        found.append(row[0])
    return found[1:]


def _walk_back(
    connection: sqlite3.Connection, kind: Kind, before: int, *, is_here: bool
) -> Iterator[int]:
    where = _OF_TYPE if kind.project is None else _OF_GROUP
    rows = connection.execute(
        f"SELECT event_id FROM outbox_events e WHERE {where} AND event_id < :before"
        f" {f'AND NOT {_CAME}' if is_here else ''} ORDER BY event_id DESC",
        kind._asdict() | {"before": before},
    )
    return (int(row[0]) for row in rows)


def _walk_back_of_machine(
    connection: sqlite3.Connection, kinds: Sequence[Kind], before: int, machine: str
) -> Iterator[int]:
    """Along the machine's events, which are a part of all."""
    values: dict[str, Any] = {"machine": machine, "before": before}
    more = ""
    if kinds and kinds[0].project is not None:
        more = "AND ifnull(e.project_id, '') = :project"
        values["project"] = kinds[0].project
    rows = connection.execute(
        f"SELECT event_id, kind, type FROM ({_of_machine(more)}"
        " AND r.local_event_id < :before ORDER BY r.local_event_id DESC)",
        values,
    )
    wanted = {(kind.kind, kind.type) for kind in kinds}
    return (int(row[0]) for row in rows if (row[1], row[2]) in wanted)


def _of_machine(more: str) -> str:
    return (
        f"SELECT e.event_id, ({CLASS}) AS kind, type FROM relay_events r CROSS JOIN outbox_events e"
        " ON e.event_id = r.local_event_id WHERE r.machine = :machine"
        f" AND r.local_event_id IS NOT NULL {more}"
    )
