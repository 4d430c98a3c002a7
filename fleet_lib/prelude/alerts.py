"""The alerts of a delta: all of them, merged by session or turn, as many singly as fit."""

from fleet_lib.prelude.database import sqlite3
from fleet_lib.prelude.events import (
    CHOSEN,
    EVENT_SESSION,
    INDIVIDUAL,
    Event,
    count_class,
    count_types,
    read_groups,
    read_newest,
)
from fleet_lib.prelude.lines import (
    WORDS_LIMIT,
    Names,
    event_text,
    is_briefing,
    kind_of,
    minute,
    place,
)
from fleet_lib.prelude.live_sessions import live_sessions
from fleet_lib.rules import ALERT, SESSION, STATUS
from fleet_lib.text import size

TYPE_CHECKING = False  # mypy knows the name; typing itself would cost more than the whole hook
if TYPE_CHECKING:
    from fleet_lib.prelude.live_sessions import LiveSession

_EXAMINED = 400  # events that are looked at one by one; more than that are counted in SQL
_FIRST = 120  # of these, where there are more: their lines usually fill the budget
_BLOCK = 30  # alerts that are looked at at once
_HEAD = "Alerts:"
_LIMITS = (WORDS_LIMIT, 100, 60)  # characters of an alert's words, the first that lets all fit
_REST_SIZE = 400  # characters of the line that counts what does not fit
_OTHERS = "\0others"  # no project has this id


def alert_lines(
    connection: sqlite3.Connection, names: Names, after: int, budget: int
) -> "list[str]":
    """Every alert: a line for each session. If they do not all fit, as many as fit, newest first,
    and one line that counts the rest by project."""
    total = count_class(connection, ALERT, after, _EXAMINED + 1)
    if not total:
        return []
    has_all = total <= _EXAMINED
    alerts = _grouped(read_newest(connection, ALERT, after, _EXAMINED if has_all else _FIRST))
    live = live_sessions(connection)
    if has_all and len(alerts) <= INDIVIDUAL:
        _resolve(connection, live, alerts)
        alerts.sort(key=lambda alert: alert.is_resolved)
        for limit in _LIMITS:
            lines = [_single_line(names, alert, limit) for alert in alerts]
            if size([_HEAD, *lines]) <= budget:
                return [_HEAD, *lines]
    lines, shown = _as_many_as_fit(connection, live, names, alerts, budget - _REST_SIZE)
    if not has_all and len(shown) == len(alerts):
        alerts = _grouped(read_newest(connection, ALERT, after, _EXAMINED))
        lines, shown = _as_many_as_fit(connection, live, names, alerts, budget - _REST_SIZE)
    if has_all:
        counts = _count_projects([(alert.project_id, 1) for alert in alerts if alert not in shown])
        noun = "more"
    else:
        # Too many to be read one by one: the rest is counted in events, which is exact.
        groups, are_all = read_groups(connection, ALERT, after, is_counted=True)
        singly = [(event.project_id, -1) for alert in shown for event in alert.events]
        counts = _count_projects([*[(group[0], group[2]) for group in groups], *singly])
        if not are_all:
            total = sum([number for _, number, _ in count_types(connection, ALERT, after)])
            read = sum([len(alert.events) for alert in shown]) + sum(counts.values())
            counts[_OTHERS] = total - read
        noun = "more events"
    return [*lines, _rest_line(names, counts, noun, after)]


def _as_many_as_fit(
    connection: sqlite3.Connection,
    live: "dict[str, LiveSession]",
    names: Names,
    alerts: "list[_Alert]",
    budget: int,
) -> "tuple[list[str], list[_Alert]]":
    """(the lines with their head, the alerts that they show): unresolved ones first. Of many alerts
    only those are looked at that come before the budget's end."""
    lines: list[str] = [_HEAD]
    shown: list[_Alert] = []
    resolved: list[_Alert] = []
    left = budget - size(lines)

    def add(some: "list[_Alert]") -> bool:
        nonlocal left
        for alert in some:
            line = _single_line(names, alert, _LIMITS[-1])
            left -= size([line])
            if left < 0:
                return False
            lines.append(line)
            shown.append(alert)
        return True

    for start in range(0, min(len(alerts), INDIVIDUAL), _BLOCK):
        block = alerts[start : start + _BLOCK]
        _resolve(connection, live, block)
        resolved += [alert for alert in block if alert.is_resolved]
        if not add([alert for alert in block if not alert.is_resolved]):
            return lines, shown
    add(resolved)
    return lines, shown


def _count_projects(numbers: "list[tuple[str | None, int]]") -> "dict[str | None, int]":
    counts: dict[str | None, int] = {}
    for project_id, number in numbers:
        counts[project_id] = counts.get(project_id, 0) + number
    return counts


def _rest_line(names: Names, counts: "dict[str | None, int]", noun: str, after: int) -> str:
    """How many alerts are not shown, by project, the largest numbers first."""
    total = sum(counts.values())
    end = f": `fleet events list --after {after}` has all."
    order = sorted(
        [project for project in counts if counts[project] > 0 and project != _OTHERS],
        key=lambda project: (
            -counts[project],
            str(project),
        ),  # of any type: other programs write too
    )
    parts: list[str] = []
    for number, project in enumerate(order):
        part = f"{names(project)} {counts[project]}"
        left = total - sum([counts[one] for one in order[: number + 1]])
        if (
            size([", ".join([*parts, part]), f"- and {total} {noun} ({left} others){end}"])
            > _REST_SIZE
        ):
            break
        parts.append(part)
    others = total - sum([counts[project] for project in order[: len(parts)]])
    if others:
        parts.append(f"others {others}")
    return f"- and {total} {noun} ({', '.join(parts)}){end}"


class _Alert:
    """The alerts of one session, or of one turn if the session is not known, newest first."""

    __slots__ = ("events", "is_resolved", "project_id", "stuck_at")

    def __init__(self, project_id: "str | None") -> None:
        self.project_id = project_id  # of the newest
        self.events: list[Event] = []
        # (session, event) of the newest that a later turn may resolve, if the session is known
        self.stuck_at: tuple[object, int] | None = None
        self.is_resolved = False

    def stuck(self) -> "list[Event]":
        """All but the warnings about documents, which no later turn resolves."""
        return [event for event in self.events if event.type != "doc_drift_warning"]

    def documents(self, limit: int) -> "list[str]":
        """What each warning names, in at most `limit` characters, once."""
        warnings = [event for event in self.events if event.type == "doc_drift_warning"]
        return list(dict.fromkeys([event_text(event, limit) for event in warnings]))


def _grouped(events: "list[Event]") -> "list[_Alert]":
    """The alerts by session or turn, newest first."""
    by_key: dict[tuple[str, object], _Alert] = {}
    for event in events:
        if event.session_id is not None:
            key = ("session", event.session_id)
        elif event.briefing_id is not None:
            key = ("briefing", event.briefing_id)
        else:
            key = ("event", event.event_id)
        alert = by_key.setdefault(key, _Alert(event.project_id))
        alert.events.append(event)
        is_stuck = event.type != "doc_drift_warning" and event.session_id is not None
        if alert.stuck_at is None and is_stuck:
            alert.stuck_at = event.session_id, event.event_id
    return list(by_key.values())


def _resolve(
    connection: sqlite3.Connection, live: "dict[str, LiveSession]", alerts: "list[_Alert]"
) -> None:
    """Find out whether the sessions of these alerts went on: by their live state, or by a turn that
    they completed later, a silent one included."""
    asked = [alert.stuck_at[1] for alert in alerts if alert.stuck_at is not None]
    completed = {row[0] for row in connection.execute(_COMPLETED_SQL, (str(asked),))}
    for alert in alerts:
        if alert.stuck_at is not None:
            session = live.get(str(alert.stuck_at[0]))
            went_on = session is not None and session.went_on()
            alert.is_resolved = went_on or alert.stuck_at[1] in completed


# Those of some events after which their session completed a turn.
_COMPLETED_SQL = f"""
SELECT k.event_id FROM (SELECT event_id, {EVENT_SESSION} AS session FROM {CHOSEN}) k
WHERE EXISTS (SELECT 1 FROM outbox_events WHERE type = 'briefing_added'
    AND ({STATUS}) = 'completed' AND ({SESSION}) = k.session AND event_id > k.event_id)
  OR EXISTS (SELECT 1 FROM briefings b JOIN outbox_events o ON o.briefing_id = b.briefing_id
    WHERE b.session_id = k.session AND o.event_id > k.event_id AND o.type = 'briefing_added'
      AND coalesce(({STATUS}), b.status) = 'completed')
"""


def _single_line(names: Names, alert: _Alert, limit: int) -> str:
    newest = alert.events[0]
    parts = [f"- {newest.label()} {place(names, newest)}"]
    if alert.is_resolved:
        parts.append("resolved")
    stuck = alert.stuck()
    if stuck:
        kinds = list(dict.fromkeys([kind_of(event) for event in stuck]))
        parts.append(f"{' and '.join(kinds[:3])}: {_words(stuck, limit)}")
    if len(stuck) < len(alert.events):
        documents = alert.documents(limit)
        # Earlier versions warned of each document singly.
        shown = 1
        while shown < min(len(documents), 3) and size(documents[: shown + 1]) <= limit:
            shown += 1
        more = f" and {len(documents) - shown} more" if len(documents) > shown else ""
        parts.append(f"documents may be stale: {', '.join(documents[:shown])}{more}")
    parts.append(minute(newest.ts))
    return " · ".join(parts)


def _words(stuck: "list[Event]", limit: int) -> str:
    """The turn's summary, and what it is blocked on: two events of one turn."""
    if len(stuck) == 1:
        return event_text(stuck[0], limit)
    # A turn's own words say more than the event that announces it.
    same_turn = (e for e in stuck if is_briefing(e) and e.briefing_id == stuck[0].briefing_id)
    spoken = next(same_turn, stuck[0])
    blocker = next((e for e in stuck if e.type == "session_blocked"), spoken)
    if blocker.briefing_id == spoken.briefing_id and blocker.text != spoken.text:
        return f"{event_text(spoken, limit // 2)} — {event_text(blocker, limit // 2)}"
    return event_text(spoken, limit)
