"""The alerts of a delta: every one of them, merged by turn and session, in the most telling form that fits."""

from fleet_lib.prelude.database import sqlite3
from fleet_lib.prelude.events import INDIVIDUAL, TYPES_SQL, Event, read_events, read_groups
from fleet_lib.prelude.lines import LINE_LIMIT, Names, event_text, is_briefing, kind_of, minute
from fleet_lib.rules import ALERT, CLASS, SESSION, STATUS
from fleet_lib.text import clean, size

_EXAMINED = 400  # alerts looked at one by one; beyond that they are counted in SQL


def alert_lines(
    connection: sqlite3.Connection, names: "Names", after: int, room: int
) -> "list[str]":
    """Every alert, in the most telling form that fits: a line a session; else a line for each
    project and type with a count; else a line a type; else one line."""
    rows = connection.execute(  # the ids alone, which the index holds
        f"SELECT event_id FROM outbox_events WHERE ({CLASS}) = ? AND event_id > ?"
        f" ORDER BY event_id DESC LIMIT {_EXAMINED + 1}",
        (ALERT, after),
    ).fetchall()
    if not rows:
        return []
    head = "Alerts:"
    if len(rows) <= _EXAMINED:
        stories = _stories(connection, read_events(connection, [row[0] for row in rows]))
        if len(stories) <= INDIVIDUAL:
            for limit in (LINE_LIMIT, 100):
                lines = [head, *(_story_line(names, story, limit) for story in stories)]
                if size(lines) <= room:
                    return lines
    types = connection.execute(TYPES_SQL, {"kind": ALERT, "after": after}).fetchall()
    groups = read_groups(connection, ALERT, after)
    # Fewer, where there are more groups than could be shown: then the types hold them all.
    if sum(group[2] for group in groups) == sum(row[1] for row in types):
        lines = _group_lines(connection, names, groups, room)
        if lines:
            return [head, *lines]
    lines = _group_lines(connection, names, [(None, *row) for row in types], room)
    if lines:
        return [head, *lines]
    count = sum(row[1] for row in types)
    return [head, f"- #e{rows[0][0]} {count} alerts; `fleet events list --after {after}` has all."]


def _group_lines(
    connection: sqlite3.Connection,
    names: "Names",
    groups: "list[tuple[str | None, str, int, int]]",
    room: int,
) -> "list[str]":
    """A line a group, newest first, in the longest form that fits; [] if none does."""
    if len(groups) > INDIVIDUAL:
        return []
    groups.sort(key=lambda group: group[3], reverse=True)
    events = read_events(connection, [group[3] for group in groups])
    for limit in (100, 40):
        lines = [
            f"- {event.label()} {names(project_id)} · {clean(kind, 30)} ×{number},"
            f" newest: {event_text(event, limit)}"
            for (project_id, kind, number, _), event in zip(groups, events)
        ]
        if size(["Alerts:", *lines]) <= room:
            return lines
    return []


class _Story:
    """The alerts of one session (or of one turn, where no session is known), newest first."""

    __slots__ = ("events", "resolved")

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.resolved = False


def _stories(connection: sqlite3.Connection, events: "list[Event]") -> "list[_Story]":
    """Alerts merged by turn and by session, unresolved ones first, then newest first."""
    stories: dict[tuple[str, object], _Story] = {}
    for event in events:
        if event.session_id is not None:
            key = ("session", event.session_id)
        elif event.briefing_id is not None:
            key = ("briefing", event.briefing_id)
        else:
            key = ("event", event.event_id)
        stories.setdefault(key, _Story()).events.append(event)
    if len(stories) > INDIVIDUAL:
        return list(stories.values())
    for story in stories.values():
        stuck = [event for event in story.events if event.type != "doc_drift_warning"]
        if stuck and stuck[0].session_id is not None:
            story.resolved = _completed_after(connection, stuck[0])
    return sorted(stories.values(), key=lambda story: (story.resolved, -story.events[0].event_id))


def _completed_after(connection: sqlite3.Connection, event: Event) -> bool:
    """Whether the event's session finished a turn later, however silent that was."""
    row = connection.execute(
        f"""
        SELECT 1 FROM outbox_events
          WHERE type = 'briefing_added' AND ({STATUS}) = 'completed'
            AND ({SESSION}) = ?1 AND event_id > ?2
        UNION ALL
        SELECT 1 FROM briefings b JOIN outbox_events o ON o.briefing_id = b.briefing_id
          WHERE b.session_id = ?1 AND o.event_id > ?2 AND o.type = 'briefing_added'
            AND coalesce(({STATUS}), b.status) = 'completed'
        LIMIT 1
        """,
        (event.session_id, event.event_id),
    ).fetchone()
    return row is not None


def _story_line(names: Names, story: _Story, limit: int) -> str:
    newest = story.events[0]
    stuck = [event for event in story.events if event.type != "doc_drift_warning"]
    documents = []
    for event in story.events:
        if event.type == "doc_drift_warning" and event.document not in documents:
            documents.append(event.document)
    parts = [f"- {newest.label()} {names(newest.project_id)}"]
    if story.resolved:
        parts.append("resolved")
    if stuck:
        kinds = []
        for event in stuck:
            kind = kind_of(event)
            if kind not in kinds:
                kinds.append(kind)
        # A turn's own words say more than the event that announces it.
        same_turn = (e for e in stuck if is_briefing(e) and e.briefing_id == stuck[0].briefing_id)
        told = next(same_turn, stuck[0])
        words = event_text(told, limit)
        blocker = next((e for e in stuck if e.type == "session_blocked"), told)
        if blocker.briefing_id == told.briefing_id and blocker.text != told.text:
            words = f"{event_text(told, limit // 2)} — {event_text(blocker, limit // 2)}"
        parts.append(f"{' and '.join(kinds[:3])}: {words}")
    if documents:
        shown = ", ".join(clean(document or "-", 60) for document in documents[:3])
        more = f" and {len(documents) - 3} more" if len(documents) > 3 else ""
        parts.append(f"documents may be stale: {shown}{more}")
    parts.append(minute(newest.ts))
    return " · ".join(parts)
