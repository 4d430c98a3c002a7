"""The sessions that Claude Code has a file of, as they are now: the stored state, corrected by the
client's own. Every reader that shows a state asks here."""

import time

from fleet_lib import live
from fleet_lib.rules import OPEN_ALERT_SECONDS, STUCK, seconds_ago

TYPE_CHECKING = False  # mypy knows the name; typing itself would cost more than the whole hook
if TYPE_CHECKING:
    import sqlite3

NEEDS_SOMEBODY = ("waiting_for_permission", "waiting_for_input", "blocked", "failed")
_ABOUT_MS = 5000  # a request's words belong to the dialog that opened at most this long after it

# The newest request that is not answered yet of the session `s`, of any of its threads.
_REQUEST = "(SELECT {} FROM permission_requests r WHERE r.session_id = s.session_id ORDER BY r.asked_at DESC LIMIT 1)"
_SESSIONS_SQL = f"""
SELECT s.session_id, s.project_id, s.folder, s.state, s.state_at, s.detail, s.briefing_id,
  s.event_id, s.last_seen_at, s.ended_at, {STUCK},
  {_REQUEST.format("r.text")}, {_REQUEST.format("r.asked_at")},
  EXISTS (SELECT 1 FROM permission_requests r WHERE r.session_id = s.session_id
    AND r.agent_id = '' AND r.is_question AND r.is_announced),
  EXISTS (SELECT 1 FROM projects p WHERE p.project_id = s.project_id
    AND ifnull(p.status, 'active') = 'active')
FROM sessions s WHERE s.session_id IN (SELECT value FROM json_each(:ids))
"""


class LiveSession:
    """One session that has a file. `state` is one of the stored ones or `ended`; `text` says in one
    line why it needs somebody."""

    __slots__ = (
        "briefing_id",
        "detail",
        "ended_at",
        "event_id",
        "files",
        "folder",
        "is_active",
        "is_stuck",
        "last_seen_at",
        "project_id",
        "session_id",
        "since",
        "state",
        "stored_at",
        "stored_state",
        "text",
    )

    def __init__(
        self, row: "tuple[object, ...]", files: "list[live.ClientFile]", now_ms: int, thorough: bool
    ) -> None:
        self.session_id, self.project_id, self.folder = str(row[0]), str(row[1]), str(row[2])
        self.stored_state, self.stored_at, self.detail = str(row[3]), str(row[4]), str(row[5])
        self.briefing_id, self.event_id = row[6], row[7]
        self.last_seen_at = str(row[8])
        self.ended_at = None if row[9] is None else str(row[9])
        self.is_stuck = bool(row[10])  # by the stored state
        self.is_active = bool(row[14])  # not of an archived project
        self.files = files
        is_dialog = self.stored_state == "waiting_for_permission" or (
            self.stored_state == "waiting_for_input" and bool(row[13])
        )
        stored = live.Stored(self.stored_state, self.stored_at, self.ended_at, is_dialog)
        self.state, self.since, updated_ms = live.corrected(stored, files, now_ms, thorough)
        self.text = self.detail if self.state == self.stored_state else ""
        if updated_ms and self.state in ("waiting_for_permission", "waiting_for_input"):
            asked, asked_at = row[11], row[12]
            is_about = isinstance(asked_at, str) and asked_at >= live.iso(updated_ms - _ABOUT_MS)
            if is_about:
                self.text = str(asked)
            elif not is_dialog or self.stored_at < live.iso(updated_ms):
                self.text = ""  # the words of an earlier prompt

    def needs_somebody(self) -> bool:
        return self.is_active and self.state in NEEDS_SOMEBODY


def live_sessions(
    connection: "sqlite3.Connection", home: str, is_thorough: bool = False
) -> "dict[str, LiveSession]":
    """{session id: session} of the known sessions that have a file. `is_thorough` looks at the
    process of every session, and not only where somebody would be called."""
    files = live.read(connection, home)
    if not files:
        return {}
    now_ms = time.time_ns() // 1_000_000
    rows = connection.execute(
        _SESSIONS_SQL,
        {
            "ids": '["' + '","'.join(files) + '"]',
            "alerts_since": seconds_ago(OPEN_ALERT_SECONDS),
        },
    )
    return {row[0]: LiveSession(tuple(row), files[row[0]], now_ms, is_thorough) for row in rows}


def count_needing(connection: "sqlite3.Connection", home: str) -> int:
    """How many sessions need somebody now."""
    count = connection.execute(
        f"SELECT count(*) FROM sessions s WHERE {STUCK}",
        {"alerts_since": seconds_ago(OPEN_ALERT_SECONDS)},
    ).fetchone()[0]
    for session in live_sessions(connection, home).values():
        count += session.needs_somebody() - session.is_stuck
    return int(count)
