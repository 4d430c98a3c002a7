"""Which alerts wait to be sent to a target, and what was sent of them. An alert is the event that
announced that a session needs a person, or that a job has failed."""

import sqlite3
from collections.abc import Iterable

from fleet_lib import clock
from fleet_lib.lines import EVENT_LINE, PROJECT_NAME
from fleet_lib.records import Record
from fleet_lib.rules import CLASS, VALID_JSON, moments

MOST_ATTEMPTS = 5
_RETRY_SECONDS = (60, 300, 900, 3600)  # after the first, second … attempt
_DAY_SECONDS = 86400
_RETRY_UNTIL_SECONDS = _DAY_SECONDS  # after the alert
_JOB_UNTIL_SECONDS = _DAY_SECONDS
_KEPT_SECONDS = 30 * _DAY_SECONDS  # rows; no alert is sent that is as old
_LISTED_JOBS = 50

# An alert `a` (event_id, at) that was not sent to `:target` yet, or may be tried again.
_UNSENT = """NOT EXISTS (SELECT 1 FROM notifications n
    WHERE n.target = :target AND n.event_id = a.event_id AND NOT (
      n.state = 'failed' AND n.attempts < :most AND n.retry_after <= :now AND a.at > :retry_since))"""
# Also those that have ended: else the alert of one that ended within its grace would be sent when it
# is resumed. Not those that are dismissed or snoozed, and not those that a relay brought from another
# machine, which has targets of its own: their ids name it.
_SESSIONS = """SELECT s.session_id, s.event_id, s.state_at AS at FROM sessions s
    WHERE s.state IN ('blocked', 'failed', 'waiting_for_input', 'waiting_for_permission')
      AND s.state_at > :alerts_since AND s.event_id IS NOT NULL
      AND (s.hidden_until IS NULL OR s.hidden_until <= :now)
      AND instr(s.session_id, '@relay/') = 0"""
_JOBS = f"""SELECT NULL AS session_id, event_id, ts AS at FROM (
    SELECT event_id, ts, payload_json FROM outbox_events
    WHERE ({CLASS}) = 1 AND type = 'job_completed' ORDER BY event_id DESC LIMIT {_LISTED_JOBS})
    WHERE ts > :jobs_since AND CASE WHEN {VALID_JSON}
      THEN json_extract(payload_json, '$.job.status') = 'failed'
        AND json_extract(payload_json, '$.machine') IS NULL END"""


class Waiting(Record):
    """An alert that was not sent to a target yet."""

    event_id: int
    at: str
    session_id: str | None  # None: the alert is a failed job


class Notification(Record):
    """What became of an alert at one target."""

    target: str
    event_id: int
    target_name: str
    state: str
    attempts: int
    at: str
    retry_after: str
    error: str


class NotificationRepo:
    """Takes a connection; the caller's transaction holds what it does."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def waiting(self, target: str) -> list[Waiting]:
        """The alerts that wait to be sent to the target, oldest first. Some may be over."""
        rows = self._connection.execute(
            f"SELECT session_id, event_id, at FROM ({_SESSIONS} UNION ALL {_JOBS}) a"
            f" WHERE {_UNSENT} ORDER BY at, event_id",
            {
                **moments(),
                "target": target,
                "most": MOST_ATTEMPTS,
                "retry_since": clock.ago(_RETRY_UNTIL_SECONDS),
                "jobs_since": clock.ago(_JOB_UNTIL_SECONDS),
            },
        )
        return [Waiting(row[1], row[2], row[0]) for row in rows]

    def note(self, target: str, name: str, event_ids: Iterable[int]) -> list[int]:
        """Claim alerts before they are sent; those that no other process has claimed."""
        now = clock.now()
        claimed = []
        for event_id in event_ids:
            cursor = self._connection.execute(
                "INSERT INTO notifications VALUES (?, ?, ?, 'noted', 1, ?, '', '')"
                " ON CONFLICT (target, event_id) DO UPDATE SET state = 'noted', at = excluded.at,"
                " attempts = attempts + 1, retry_after = '', error = '' WHERE state = 'failed'",
                (target, event_id, name, now),
            )
            if cursor.rowcount == 1:
                claimed.append(event_id)
        self._connection.execute(
            "DELETE FROM notifications WHERE at < ?", (clock.ago(_KEPT_SECONDS),)
        )
        return claimed

    def settle(self, target: str, event_ids: Iterable[int], error: str) -> None:
        """Store what became of alerts that were noted; `error` is empty if they were sent."""
        for event_id in event_ids:
            row = self._connection.execute(
                "SELECT attempts FROM notifications WHERE target = ? AND event_id = ?",
                (target, event_id),
            ).fetchone()
            pause = _RETRY_SECONDS[min(row[0] if row else 1, len(_RETRY_SECONDS)) - 1]
            self._connection.execute(
                "UPDATE notifications SET state = ?, at = ?, retry_after = ?, error = ?"
                " WHERE target = ? AND event_id = ? AND state = 'noted'",
                (
                    "failed" if error else "sent",
                    clock.now(),
                    clock.ahead(pause) if error else "",
                    error,
                    target,
                    event_id,
                ),
            )

    def leave_out(self, target: str, name: str, event_ids: Iterable[int], state: str) -> None:
        """Never send these alerts: they are `over`, or were there `earlier` than the target."""
        self._connection.executemany(
            "INSERT INTO notifications VALUES (?, ?, ?, ?, 0, ?, '', '')"
            " ON CONFLICT (target, event_id) DO UPDATE SET state = excluded.state,"
            " at = excluded.at, retry_after = '' WHERE state = 'failed'",
            [(target, event_id, name, state, clock.now()) for event_id in event_ids],
        )

    def newest(self, limit: int) -> list[tuple[Notification, str, str]]:
        """(what became of it, project, the alert in one line) of the newest that were sent or
        tried."""
        rows = self._connection.execute(
            f"""SELECT n.*, ifnull({PROJECT_NAME}, '') AS project, (SELECT {EVENT_LINE} FROM
              (SELECT e.type, CASE WHEN {VALID_JSON} THEN payload_json END AS j)) AS line
            FROM notifications n LEFT JOIN outbox_events e USING (event_id)
              LEFT JOIN projects p ON p.project_id = e.project_id
            WHERE n.attempts > 0 ORDER BY n.at DESC, n.event_id DESC LIMIT ?""",
            (limit,),
        )
        return [(_from_row(row), row["project"], row["line"] or "") for row in rows]

    def last_of(self, target: str) -> Notification | None:
        """The newest that was sent to a target, or tried."""
        row = self._connection.execute(
            "SELECT * FROM notifications WHERE target = ? AND attempts > 0"
            " ORDER BY at DESC, event_id DESC LIMIT 1",
            (target,),
        ).fetchone()
        return _from_row(row) if row else None


def may_retry(one: Notification) -> bool:
    """Whether a failed one is tried again, if its alert is still there and not too old."""
    return one.state == "failed" and one.attempts < MOST_ATTEMPTS


def _from_row(row: sqlite3.Row) -> Notification:
    return Notification(*(row[name] for name in Notification.__annotations__))
