"""The sessions that Claude Code has a file of, as they are now: the stored state, corrected by the
client's own. Every reader that shows a state asks here."""

import time

from fleet_lib import live
from fleet_lib.rules import LEFT_OPEN, OPEN_SESSIONS, STUCK, moments

TYPE_CHECKING = False  # mypy knows the name; typing itself would cost more than the whole hook
if TYPE_CHECKING:
    import sqlite3

_DIALOG = "waiting_for_permission"
NEEDS_YOU = ("waiting_for_permission", "waiting_for_input", "blocked", "failed")
_ABOUT_MS = 5000  # a request's words belong to the dialog that opened at most this long after it

# The newest request that is not answered yet of the session `s`, of any of its threads.
_REQUEST = (
    "(SELECT {} FROM permission_requests r WHERE r.session_id = s.session_id"
    " ORDER BY r.asked_at DESC LIMIT 1)"
)
_SESSIONS_SQL = f"""
SELECT s.session_id, s.project_id, s.state, s.state_at, s.detail, s.ended_at,
  {STUCK}, {LEFT_OPEN},
  {_REQUEST.format("r.text")}, {_REQUEST.format("r.asked_at")}, {_REQUEST.format("r.is_question")},
  EXISTS (SELECT 1 FROM permission_requests r WHERE r.session_id = s.session_id
    AND r.agent_id = '' AND r.is_question AND r.is_announced),
  EXISTS (SELECT 1 FROM projects p WHERE p.project_id = s.project_id
    AND ifnull(p.status, 'active') = 'active')
FROM sessions s WHERE s.session_id IN (SELECT value FROM json_each(:ids))
"""


class LiveSession:
    """One session that has a file. `state` is one of the stored ones or `ended`; `text` says in one
    line why it needs a person."""

    __slots__ = (
        "is_active",
        "is_headless",
        "is_left_open",
        "is_said_by_file",
        "is_stuck",
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
        self.session_id, self.project_id = str(row[0]), str(row[1])
        self.stored_state, self.stored_at, detail = str(row[2]), str(row[3]), str(row[4])
        ended_at = None if row[5] is None else str(row[5])
        self.is_stuck = bool(row[6])  # by the stored state
        self.is_left_open = bool(row[7])  # by the stored state
        asked, asked_at, is_question = row[8:11]
        is_question_announced = bool(row[11])
        self.is_active = bool(row[12])  # not of an archived project
        self.is_headless = all(file.is_headless() for file in files)  # `claude -p`
        is_dialog = self.stored_state == _DIALOG or (
            self.stored_state == "waiting_for_input" and is_question_announced
        )
        stored = live.Stored(self.stored_state, self.stored_at, ended_at, is_dialog)
        self.state, self.since, updated_ms = live.corrected(stored, files, now_ms, thorough)
        self.is_said_by_file = updated_ms > 0
        # An ended session says what it waited for.
        self.text = detail if self.state in (self.stored_state, "ended") else ""
        if updated_ms and self.state in ("waiting_for_permission", "waiting_for_input"):
            is_about = isinstance(asked_at, str) and asked_at >= live.iso(updated_ms - _ABOUT_MS)
            if is_about:
                # Older clients say "permission prompt" of a question too.
                self.state = "waiting_for_input" if is_question else self.state
                self.text = str(asked)
            elif not is_dialog or self.stored_at < live.iso(updated_ms):
                self.text = ""  # the words of an earlier prompt

    def needs_you(self) -> bool:
        """Whether it needs a person now. A dismissed session stays hidden until it says something
        new."""
        is_stored = self.state == self.stored_state and self.since <= self.stored_at
        is_news = self.is_said_by_file and not is_stored
        is_shown = is_news or self.is_stuck or self.is_left_open
        return self.is_active and is_shown and self.state in NEEDS_YOU

    def is_new(self) -> bool:
        """Whether no event and no stored row says what it waits for."""
        is_killed = self.state == "ended" and self.is_stuck
        return is_killed or (self.is_said_by_file and self.state != self.stored_state)

    def went_on(self) -> bool:
        """Whether what it waited for is over: answered, or the client has gone with its dialog."""
        is_gone = self.state == "ended" and self.stored_state == _DIALOG
        return is_gone or self.state in ("working", "completed")

    def is_now_left_open(self) -> bool:
        """Whether it has ended and its last turn waits for a person."""
        is_open = self.is_left_open or (self.is_stuck and self.stored_state != _DIALOG)
        return is_open and self.state == "ended"


def live_sessions(
    connection: "sqlite3.Connection", is_thorough: bool = False
) -> "dict[str, LiveSession]":
    """{session id: session} of the known sessions that have a file. `is_thorough` looks at the
    process of every session, and not only where a person would be called."""
    files = live.read(connection)
    if not files:
        return {}
    now_ms = time.time_ns() // 1_000_000
    rows = connection.execute(
        _SESSIONS_SQL,
        {**moments(), "ids": '["' + '","'.join(files) + '"]'},
    )
    return {row[0]: LiveSession(tuple(row), files[row[0]], now_ms, is_thorough) for row in rows}


def count_needing(connection: "sqlite3.Connection") -> int:
    """How many sessions need a person now."""
    count = connection.execute(
        f"SELECT count(*) FROM {OPEN_SESSIONS} WHERE {STUCK}", moments()
    ).fetchone()[0]
    for session in live_sessions(connection).values():
        count += session.needs_you() - session.is_stuck
    return int(count)
