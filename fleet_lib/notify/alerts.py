"""The alerts that wait for a target, as they are now: those of sessions that still need a person,
corrected by Claude Code's own files, and failed jobs."""

import sqlite3
from collections.abc import Mapping

from fleet_lib import clock
from fleet_lib.json_text import json_object
from fleet_lib.lines import PROJECT_NAME, line_of, state_words
from fleet_lib.machines import apart, at
from fleet_lib.prelude.live_sessions import LiveSession, live_sessions
from fleet_lib.records import Record
from fleet_lib.rules import STUCK, moments
from fleet_lib.store.briefings import BriefingRepo
from fleet_lib.store.notifications import Waiting
from fleet_lib.store.sessions import SessionRepo

_SAME_NS = 1_000_000_000
# A client removes its file a moment before its SessionEnd is in the database: until then a session
# without a file is not known to live.
_ENDING_SECONDS = 5
_BE = {"blocked": "is blocked"}  # the others are verbs already


class Alert(Record):
    """One thing that needs a person."""

    event_id: int
    project: str
    says: str  # `needs permission`, `asks you`, `is blocked`, `failed`, `has a failed job (job3)`
    text: str
    title: str  # what the session is called, "" if nothing
    since: str
    is_job: bool = False
    least_seconds: int = 0  # not sent before it is as old, however short the grace is


class AlertsNow:
    """What the database and Claude Code's files say at one moment."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._live: Mapping[str, LiveSession] = live_sessions(connection, is_thorough=True)

    def of(self, waiting: Waiting) -> Alert | None:
        """The alert; None if it is over."""
        if waiting.session_id is None:
            return self._of_job(waiting)
        session = SessionRepo(self._connection).get(waiting.session_id)
        if session is None or session.event_id != waiting.event_id:
            return None
        state, text, since = str(session.state), session.detail, waiting.at
        live = self._live.get(session.session_id)
        if live is None and not self._is_stuck(session.session_id):
            return None
        if live is not None:
            if live.is_headless or not live.needs_you():
                return None
            state, text = live.state, live.text
            if _is_another_prompt(live):
                since = live.since  # an alert of its own comes soon, and then counts
        title = session.title or BriefingRepo(self._connection).last_title(session.session_id)
        words = state_words(state)
        return Alert(
            waiting.event_id,
            at(self._project(session.project_id), apart(session.session_id)[1]),
            _BE.get(words, words),
            text,
            title or "",
            since,
            least_seconds=0 if live else _ENDING_SECONDS,
        )

    def _is_stuck(self, session_id: str) -> bool:
        sql = f"SELECT 1 FROM sessions s WHERE s.session_id = :id AND {STUCK}"
        found = self._connection.execute(sql, {**moments(), "id": session_id})
        return found.fetchone() is not None

    def _of_job(self, waiting: Waiting) -> Alert | None:
        row = self._connection.execute(
            "SELECT type, project_id, payload_json FROM outbox_events WHERE event_id = ?",
            (waiting.event_id,),
        ).fetchone()
        payload = json_object(row[2]) if row and isinstance(row[2], str) else {}
        job = payload.get("job")
        if not isinstance(job, dict):
            return None
        error = job.get("error")
        text = error if isinstance(error, str) and error else line_of(row[0], payload)
        number = job.get("jobId")
        says = f"has a failed job{f' (job{number})' if isinstance(number, int) else ''}"
        return Alert(waiting.event_id, self._project(row[1]), says, text, "", waiting.at, True)

    def _project(self, project_id: str | None) -> str:
        row = self._connection.execute(
            f"SELECT {PROJECT_NAME} FROM projects p WHERE project_id = ?", (project_id,)
        ).fetchone()
        return str(row[0]) if row else (project_id or "Fleet")


def _is_another_prompt(live: LiveSession) -> bool:
    """Whether what the session waits for came after the alert."""
    if not live.is_said_by_file or live.since <= live.stored_at:
        return False
    return clock.nanoseconds(live.since) - clock.nanoseconds(live.stored_at) > _SAME_NS
