"""The alerts of a delta: all of them, merged by session or turn, in the longest form that fits."""

from fleet_lib.prelude.database import sqlite3
from fleet_lib.prelude.events import INDIVIDUAL, Event, count_types, read_events, read_groups
from fleet_lib.prelude.lines import WORDS_LIMIT, Names, event_text, is_briefing, kind_of, minute
from fleet_lib.prelude.live_sessions import live_sessions
from fleet_lib.rules import ALERT, CLASS, SESSION, STATUS
from fleet_lib.text import clean, size

_EXAMINED = 400  # alerts that are read one by one; more than that are counted in SQL
_HEAD = "Alerts:"


def alert_lines(
    connection: sqlite3.Connection, names: Names, after: int, budget: int
) -> "list[str]":
    """Every alert, in the most detailed form that fits: a line for each session; else a line for
    each project and type with a count; else a line for each type; else one line."""
    rows = connection.execute(  # the ids alone, which are in the index
        f"SELECT event_id FROM outbox_events WHERE ({CLASS}) = ? AND event_id > ?"
        f" ORDER BY event_id DESC LIMIT {_EXAMINED + 1}",
        (ALERT, after),
    ).fetchall()
    if not rows:
        return []
    if len(rows) <= _EXAMINED:
        events = read_events(connection, [row[0] for row in rows])
        lines = _single_lines(names, _merged(connection, events), budget)
        if lines:
            return [_HEAD, *lines]
    types = count_types(connection, ALERT, after)
    groups = read_groups(connection, ALERT, after)
    count = sum([number for _, number, _ in types])
    # If there are more groups than can be shown, some are missing; the types have every alert.
    if sum([group[2] for group in groups]) == count:
        lines = _group_lines(connection, names, groups, budget)
        if lines:
            return [_HEAD, *lines]
    lines = _group_lines(connection, names, [(None, *row) for row in types], budget)
    if lines:
        return [_HEAD, *lines]
    return [_HEAD, f"- #e{rows[0][0]} {count} alerts; `fleet events list --after {after}` has all."]


def _group_lines(
    connection: sqlite3.Connection,
    names: Names,
    groups: "list[tuple[str | None, str, int, int]]",
    budget: int,
) -> "list[str]":
    """A line for each group, newest first, in the longest form that fits; [] if none does."""
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
        if size([_HEAD, *lines]) <= budget:
            return lines
    return []


class _Alert:
    """The alerts of one session, or of one turn if the session is not known, newest first."""

    __slots__ = ("events", "is_resolved")

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.is_resolved = False

    def stuck(self) -> "list[Event]":
        """All but the warnings about documents, which no later turn resolves."""
        return [event for event in self.events if event.type != "doc_drift_warning"]

    def documents(self) -> "list[str]":
        """What the warnings name, each once."""
        warnings = [event for event in self.events if event.type == "doc_drift_warning"]
        return list(dict.fromkeys([event_text(event, 60) for event in warnings]))


def _merged(connection: sqlite3.Connection, events: "list[Event]") -> "list[_Alert]":
    """The alerts by session or turn, unresolved ones first, then newest first."""
    by_key: dict[tuple[str, object], _Alert] = {}
    for event in events:
        if event.session_id is not None:
            key = ("session", event.session_id)
        elif event.briefing_id is not None:
            key = ("briefing", event.briefing_id)
        else:
            key = ("event", event.event_id)
        by_key.setdefault(key, _Alert()).events.append(event)
    if len(by_key) > INDIVIDUAL:
        return list(by_key.values())
    live = live_sessions(connection)
    for alert in by_key.values():
        stuck = alert.stuck()
        if stuck and stuck[0].session_id is not None:
            session = live.get(str(stuck[0].session_id))
            alert.is_resolved = (session is not None and session.went_on()) or _completed_after(
                connection, stuck[0]
            )
    return sorted(by_key.values(), key=lambda alert: (alert.is_resolved, -alert.events[0].event_id))


def _completed_after(connection: sqlite3.Connection, event: Event) -> bool:
    """Whether the event's session completed a later turn, a silent one included."""
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


def _single_lines(names: Names, alerts: "list[_Alert]", budget: int) -> "list[str]":
    """A line for each alert, in the longest form that fits; [] if none does."""
    if len(alerts) > INDIVIDUAL:
        return []
    for limit in (WORDS_LIMIT, 100):
        lines = [_single_line(names, alert, limit) for alert in alerts]
        if size([_HEAD, *lines]) <= budget:
            return lines
    return []


def _single_line(names: Names, alert: _Alert, limit: int) -> str:
    newest = alert.events[0]
    parts = [f"- {newest.label()} {names(newest.project_id)}"]
    if alert.is_resolved:
        parts.append("resolved")
    stuck = alert.stuck()
    if stuck:
        kinds = list(dict.fromkeys([kind_of(event) for event in stuck]))
        parts.append(f"{' and '.join(kinds[:3])}: {_words(stuck, limit)}")
    documents = alert.documents()
    if documents:
        more = f" and {len(documents) - 3} more" if len(documents) > 3 else ""
        parts.append(f"documents may be stale: {', '.join(documents[:3])}{more}")
    parts.append(minute(newest.ts))
    return " · ".join(parts)


def _words(stuck: "list[Event]", limit: int) -> str:
    """The turn's summary, and what it is blocked on: two events of one turn."""
    # A turn's own words say more than the event that announces it.
    same_turn = (e for e in stuck if is_briefing(e) and e.briefing_id == stuck[0].briefing_id)
    spoken = next(same_turn, stuck[0])
    blocker = next((e for e in stuck if e.type == "session_blocked"), spoken)
    if blocker.briefing_id == spoken.briefing_id and blocker.text != spoken.text:
        return f"{event_text(spoken, limit // 2)} — {event_text(blocker, limit // 2)}"
    return event_text(spoken, limit)
