"""The longer prelude, for a context that starts empty: the projects, the sessions that need you,
those that are left open, and the delta."""

from fleet_lib.lines import BRIEFING_SUMMARY, without_front_matter
from fleet_lib.machines import apart, at, of_session
from fleet_lib.prelude.database import sqlite3
from fleet_lib.prelude.delta import Frame, delta_lines
from fleet_lib.prelude.events import newest_event
from fleet_lib.prelude.lines import Names, minute, state_in_words
from fleet_lib.prelude.live_sessions import LiveSession, live_sessions
from fleet_lib.rules import LEFT_OPEN, OPEN_SESSIONS, STUCK, moments
from fleet_lib.text import clean, size

TYPE_CHECKING = False  # mypy knows the name; typing itself would cost more than the whole hook
if TYPE_CHECKING:
    from typing import Any

_LISTED = 200  # rows of a list that are read; fewer than that fit


def recap(connection: sqlite3.Connection, after: int, budget: int) -> "tuple[str, int]":
    """(text, through): the projects, the sessions that wait for a person and the events up to
    `through`, in at most `budget` characters."""
    through = newest_event(connection)
    frame = Frame("Fleet: the projects, who needs you, what is left open, and what is new.")
    budget -= frame.size
    roster, projects = _roster(connection)
    lines = _section("Projects", roster, projects, budget * 3 // 10, "projects")
    listed: "set[int | None]" = set()  # turns that ask, which the delta need not show again
    live = live_sessions(connection)
    needing = [session for session in live.values() if session.needs_you()]
    left_open = [session for session in live.values() if session.is_now_left_open()]
    for title, rule, now, part in (
        ("Needs you", STUCK, needing, budget // 4),
        ("Left open", LEFT_OPEN, left_open, budget // 6),
    ):
        entries, asking, total = _open_sessions(connection, rule, after, live, now)
        section = _section(title, entries, total, part, "sessions")
        lines += section
        listed.update([turn for entry, turn in zip(entries, asking) if entry in section])
    listed.discard(None)
    lines += delta_lines(connection, after, through, budget - size(lines), listed)
    return frame.wrap(lines), max(after, through)


def _roster(connection: sqlite3.Connection) -> "tuple[list[str], int]":
    """(a line for each active project with a briefing, newest briefing first; how many)."""
    source = """
        FROM projects p JOIN briefings b ON b.briefing_id =
          (SELECT briefing_id FROM briefings WHERE project_id = p.project_id
            ORDER BY ifnull(ended_at, created_at) DESC, briefing_id DESC LIMIT 1)
        WHERE ifnull(p.status, 'active') = 'active'
        """
    rows, total = _newest_rows(
        connection,
        f"""
        SELECT p.project_id, b.briefing_id, b.status, ifnull(b.ended_at, b.created_at),
          {BRIEFING_SUMMARY}, {of_session("b.session_id")}
        """,
        source,
        "ORDER BY ifnull(b.ended_at, b.created_at) DESC, b.briefing_id DESC",
        {},
    )
    names = Names(connection)
    return [
        f"- #{briefing_id} {at(names(project_id), clean(machine, 40))} · {state_in_words(status)}"
        f" · {clean(without_front_matter(text), 120)} · {minute(moment)}"
        for project_id, briefing_id, status, moment, text, machine in rows
    ], total


def _open_sessions(
    connection: sqlite3.Connection,
    rule: str,
    after: int,
    live: "dict[str, LiveSession]",
    now: "list[LiveSession]",
) -> "tuple[list[str], list[int | None], int]":
    """(a line for each session of the rule; the briefing of each that asks, else None; how many
    sessions). Those whose alert is in the delta are left out. A turn that asks is no alert, so such
    a session is always listed.

    `live` has the sessions whose state is corrected; of them, `now` is of the rule."""
    rows, total = _newest_rows(
        connection,
        """
        SELECT s.session_id, s.project_id, s.state, s.detail, s.event_id, s.state_at,
          (SELECT b.briefing_id FROM briefings b
            WHERE b.briefing_id = s.briefing_id AND s.state <> 'waiting_for_permission')
        """,
        f"FROM {OPEN_SESSIONS} WHERE {rule}"
        " AND (s.event_id <= :after OR s.state = 'waiting_for_input')",
        "ORDER BY s.state_at DESC, s.session_id",
        {**moments(), "after": after},
    )
    names = Names(connection)
    stored = {row[0] for row in rows}
    lines: list[str] = []
    asking: "list[int | None]" = []
    for session in now:
        if session.session_id not in stored and session.is_new():
            state = session.stored_state if session.state == "ended" else session.state
            total += 1
            asking.append(None)
            lines.append(
                f"- {clean(session.session_id, 8)} {names(session.project_id)}"
                f" · {state_in_words(state)} · {clean(session.text, 160)}"
                f" · since {minute(session.since)}"
            )
    current = {session.session_id: session for session in now}
    for session_id, project_id, state, detail, event_id, state_at, briefing_id in rows:
        if session_id in live:
            if session_id not in current:
                total -= 1
                continue
            session = current[session_id]
            detail, state_at = session.text, session.since
            state = state if session.state == "ended" else session.state
        asking.append(briefing_id if state == "waiting_for_input" else None)
        label = f"#e{event_id}" if briefing_id is None else f"#{briefing_id}"
        lines.append(
            f"- {label} {at(names(project_id), clean(apart(session_id)[1], 40))}"
            f" · {state_in_words(state)} · {clean(detail, 160)}"
            f" · since {minute(state_at)}"
        )
    return lines, asking, total


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
