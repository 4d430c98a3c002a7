"""The longer prelude, for a context that starts empty: the projects, the open alerts, the delta."""

from fleet_lib.lines import BRIEFING_SUMMARY, without_front_matter
from fleet_lib.prelude.database import sqlite3
from fleet_lib.prelude.delta import Frame, delta_lines
from fleet_lib.prelude.events import newest_event
from fleet_lib.prelude.lines import Names, minute, state_in_words
from fleet_lib.rules import OPEN_ALERT_SECONDS, STUCK, seconds_ago
from fleet_lib.text import clean, size

TYPE_CHECKING = False  # mypy knows the name; typing itself would cost more than the whole hook
if TYPE_CHECKING:
    from typing import Any

_LISTED = 200  # rows of a list that are read; fewer than that fit


def recap(connection: sqlite3.Connection, after: int, budget: int) -> "tuple[str, int]":
    """(text, through): the projects, the open alerts and the events up to `through`, in at most
    `budget` characters."""
    through = newest_event(connection)
    frame = Frame("Fleet: the projects, the open alerts, and what is new.")
    budget -= frame.size
    roster, projects = _roster(connection)
    lines = _section("Projects", roster, projects, budget * 3 // 10, "projects")
    alerts, stuck = _open_alerts(connection, after)
    lines += _section("Open alerts from before", alerts, stuck, budget // 4, "open alerts")
    lines += delta_lines(connection, after, through, budget - size(lines))
    return frame.wrap(lines), max(after, through)


def _roster(connection: sqlite3.Connection) -> "tuple[list[str], int]":
    """(a line for each active project with a briefing, newest briefing first; how many)."""
    source = """
        FROM projects p JOIN briefings b ON b.briefing_id =
          (SELECT max(briefing_id) FROM briefings WHERE project_id = p.project_id)
        WHERE ifnull(p.status, 'active') = 'active'
        """
    rows, total = _newest_rows(
        connection,
        f"""
        SELECT p.project_id, b.briefing_id, b.status, ifnull(b.ended_at, b.created_at),
          {BRIEFING_SUMMARY}
        """,
        source,
        "ORDER BY b.briefing_id DESC",
        {},
    )
    names = Names(connection)
    return [
        f"- #{briefing_id} {names(project_id)} · {state_in_words(status)}"
        f" · {clean(without_front_matter(text), 120)} · {minute(moment)}"
        for project_id, briefing_id, status, moment, text in rows
    ], total


def _open_alerts(connection: sqlite3.Connection, after: int) -> "tuple[list[str], int]":
    """(a line for each stuck session whose alert is not in the delta; how many sessions)."""
    rows, total = _newest_rows(
        connection,
        """
        SELECT s.project_id, s.state, s.detail, s.event_id, s.state_at,
          (SELECT b.briefing_id FROM briefings b
            WHERE b.briefing_id = s.briefing_id AND s.state <> 'waiting_for_permission')
        """,
        f"FROM sessions s WHERE {STUCK} AND s.event_id <= :after",
        "ORDER BY s.state_at DESC, s.session_id",
        {"alerts_since": seconds_ago(OPEN_ALERT_SECONDS), "after": after},
    )
    names = Names(connection)
    lines = []
    for project_id, state, detail, event_id, state_at, briefing_id in rows:
        label = f"#e{event_id}" if briefing_id is None else f"#{briefing_id}"
        lines.append(
            f"- {label} {names(project_id)} · {state_in_words(state)} · {clean(detail, 160)}"
            f" · since {minute(state_at)}"
        )
    return lines, total


def _newest_rows(
    connection: sqlite3.Connection, select: str, source: str, order: str, values: "dict[str, Any]"
) -> "tuple[list[Any], int]":
    """(the first rows, more than fit; how many rows there are)."""
    rows = connection.execute(f"{select} {source} {order} LIMIT {_LISTED}", values).fetchall()
    if len(rows) < _LISTED:
        return rows, len(rows)
    return rows, connection.execute(f"SELECT count(*) {source}", values).fetchone()[0]


def _section(title: str, entries: "list[str]", total: int, budget: int, noun: str) -> "list[str]":
    """A titled list of at most `budget` characters; the entries that do not fit are counted."""
    if not entries:
        return []
    lines = [title + ":"]
    for entry in entries:
        if size([*lines, entry]) > budget - 60:
            break
        lines.append(entry)
    if left := total - len(lines) + 1:
        lines.append(f"- and {left} more {noun}: `fleet status`")
    return lines
