"""What happened, newest first, a page at a time, as far back as the database goes. One row is one
thing that happened: a turn with all its events, a job, an alert of its own. The cost of a page does
not grow with the history: each kind of event is walked back along an index of its own."""

import sqlite3
from dataclasses import dataclass
from typing import Literal

from fleet_lib import lines
from fleet_lib.machines import apart
from fleet_lib.rules import ALERT, CLASS, HIGHLIGHT, MENTION
from fleet_lib.store.briefings import BriefingRepo
from fleet_lib.store.event_search import SILENT, Kind, kinds_of, walk_back
from fleet_lib.store.outbox import OutboxEvent, OutboxRepo
from fleet_lib.views.events import job_number
from fleet_lib.views.projects import NamesOnDemand

Level = Literal["alert", "highlight", "mention", "silent"]
_CLASSES: dict[Level, int] = {
    "alert": ALERT,
    "highlight": HIGHLIGHT,
    "mention": MENTION,
    "silent": SILENT,
}
_LOOKED_AT = 10  # times the rows of a page: so many events may be part of another row
_OF_BRIEFING = 30  # events of one turn that its row counts
_NEWEST = 2**62
_UNASKED = "session_started"  # a third of all events, and none of them news


@dataclass(frozen=True)
class Also:
    """Another event of the same turn."""

    event_id: int
    type: str
    line: str


@dataclass(frozen=True)
class Row:
    event_id: int
    ts: str
    type: str
    level: str | None
    project_id: str | None
    project: str | None
    briefing_id: int | None
    job_id: int | None
    session_id: str | None
    machine: str | None  # another one's name
    status: str
    title: str | None
    line: str
    also: list[Also]


@dataclass(frozen=True)
class Timeline:
    rows: list[Row]
    next: int | None  # None: this is the beginning


def timeline(
    connection: sqlite3.Connection,
    *,
    before: int | None = None,
    project_id: str | None = None,
    type: str | None = None,
    level: Level | None = None,
    machine: str | None = None,
    until: str | None = None,
    limit: int = 50,
) -> Timeline:
    """A page of the rows before an event; a filter that is None does not filter. `machine` is
    another machine's name, or "" for this one. `until` is an ISO time, to begin there instead."""
    last_event = event_before(connection, until) if until else _NEWEST
    start = min(before or _NEWEST, last_event + 1)
    # The events of the pages before this one.
    pages_before = range(start, last_event + 1) if before else range(0)
    classes = [_CLASSES[level]] if level else list(_CLASSES.values())
    kinds = [
        kind
        for kind in kinds_of(connection, project_id, classes, type)
        if type or kind.type != _UNASKED
    ]
    names = NamesOnDemand(connection)
    rows: list[Row] = []
    seen: set[int] = set()
    last: int | None = None
    for number, event_id in enumerate(walk_back(connection, kinds, start, machine)):
        if len(rows) == limit or number == limit * _LOOKED_AT:
            return Timeline(rows, last)
        last = event_id
        event = OutboxRepo(connection).get(event_id)
        if event is None:
            continue
        key = event.briefing_id
        if key is not None and (
            key in seen or _is_in(connection, event.briefing_id, pages_before, kinds)
        ):
            continue
        if key is not None:
            seen.add(key)
        rows.append(_row(connection, event, names, is_turn=type is None))
    return Timeline(rows, None)


def event_before(connection: sqlite3.Connection, moment: str) -> int:
    """The newest event that is not later than a time. Numbers grow with time, so it is searched by
    halves: there is no index over the times."""
    low, high = 0, OutboxRepo(connection).latest_id()
    while low < high:
        middle = (low + high + 1) // 2
        row = connection.execute(
            "SELECT event_id, ts FROM outbox_events WHERE event_id <= ?"
            " ORDER BY event_id DESC LIMIT 1",
            (middle,),
        ).fetchone()
        # Another program's text that is no time says nothing.
        if row is None or str(row[1]) <= moment or not str(row[1])[:1].isdigit():
            low = middle
        else:
            high = min(middle - 1, int(row[0]) - 1)
    return low


def _is_in(
    connection: sqlite3.Connection, briefing_id: int | None, events: range, kinds: list[Kind]
) -> bool:
    """Whether an event of the turn that passes the filters is among these."""
    if not events:
        return False
    rows = connection.execute(
        f"SELECT ({CLASS}), type FROM outbox_events WHERE briefing_id = ?"
        f" AND event_id BETWEEN ? AND ? LIMIT {_OF_BRIEFING}",
        (briefing_id, events[0], events[-1]),
    )
    wanted = {(kind.kind, kind.type) for kind in kinds}
    return any((row[0], row[1]) in wanted for row in rows)


def _row(
    connection: sqlite3.Connection, event: OutboxEvent, names: dict[str, str], *, is_turn: bool
) -> Row:
    others = _of_briefing(connection, event.briefing_id) if is_turn else []
    # The turn's own words stand for it, whichever of its events came last.
    main = next((one for one in others if one.type == "briefing_added"), event)
    payload = main.payload or {}
    number, session_id = job_number(payload), payload.get("sessionId")
    briefing_id = event.briefing_id if isinstance(event.briefing_id, int) else None
    turn = BriefingRepo(connection).turn_of(briefing_id) if briefing_id else None
    project_id = None if event.project_id is None else str(event.project_id)
    return Row(
        event_id=event.event_id,
        ts=str(event.ts),
        type=str(main.type),
        level=None if main.broadcast_level is None else str(main.broadcast_level),
        project_id=project_id,
        project=names.get(project_id, project_id) if project_id else None,
        briefing_id=briefing_id,
        job_id=number if isinstance(number, int) else None,
        session_id=apart(session_id)[0] if isinstance(session_id, str) else None,
        machine=main.machine,
        status=lines.event_status(payload),
        title=turn.title if turn else None,
        line=lines.line_of(main.type, payload),
        also=[
            Also(
                event_id=one.event_id,
                type=str(one.type),
                line=lines.line_of(one.type, one.payload or {}),
            )
            for one in others
            # The row's status and line say these already.
            if one is not main and one.type not in ("briefing_added", "session_blocked", "error")
        ],
    )


def _of_briefing(connection: sqlite3.Connection, briefing_id: object) -> list[OutboxEvent]:
    """The events of a turn, newest first."""
    if not isinstance(briefing_id, int):
        return []
    rows = connection.execute(
        "SELECT event_id FROM outbox_events WHERE briefing_id = ?"
        f" ORDER BY event_id DESC LIMIT {_OF_BRIEFING}",
        (briefing_id,),
    ).fetchall()
    found = [OutboxRepo(connection).get(row[0]) for row in rows]
    return [event for event in found if event]
