"""Which rows of the history may be deleted, as SQL conditions. Nothing is deleted here.

Deleted: briefings with their turns, inputs, events and search rows; events of no briefing; finished
jobs; sessions; Commander sessions that have long been silent. Kept, however old:

- every event after a cursor, with its briefing and job. The Commander's cursor always counts; that
  of one of its sessions, or of an MCP client, counts only while it moved within CURSOR_DAYS (asked
  later, it is shown what is left). Where none ever looked there is no cursor, and only age decides.
- what other machines have not been sent yet, as long as the relay still sends it
- what waits for a person: the session that needs you or is left open, snoozed or not; its event, its
  briefing
- the newest briefing of each project (the roster), and the latest of each session that is at work
- jobs that are queued or running, projects, and the pairs of doc_drift_pairs, which have no age
- the newest event and job, so that no id is ever given twice, AUTOINCREMENT or not
"""

import sqlite3
from typing import Any

from fleet_lib import clock
from fleet_lib.rules import (
    ACTIVE_SESSION_SECONDS,
    AT_WORK,
    OPEN,
    OPEN_ALERT_SECONDS,
    OPEN_SESSIONS,
    SESSION,
)
from fleet_lib.store.job_runs import start_of_day

CURSOR_DAYS = 30
SENT_DAYS = 90  # relay/names.py: nothing older is sent

_LAST_ID = (1 << 63) - 1

# The smallest cursor. Every statement reads it again: a hook may move one between two transactions.
_SMALLEST_CURSOR = f"""ifnull((SELECT min(cursor) FROM (
    SELECT ifnull(last_outbox_event_id_seen, 0) AS cursor FROM conversations
      WHERE kind <> 'mcp' OR updated_at >= :cursors_since
    UNION ALL SELECT cursor_event_id FROM commander_sessions WHERE updated_at >= :cursors_since
    UNION ALL SELECT cursor_event_id FROM commander_branches WHERE updated_at >= :cursors_since
    UNION ALL SELECT min(o.event_id) - 1 FROM relay_shares r JOIN outbox_events o
      ON o.project_id = r.project_id AND o.event_id > r.scanned_through AND o.ts >= :sent_since
      WHERE ifnull(r.is_shared, 1) = 1 AND r.refused = ''
  )), {_LAST_ID})"""

_OPEN = f"FROM {OPEN_SESSIONS} WHERE {OPEN}"

_OLD_BRIEFING = "b.created_at < :before"
_ALERT_BRIEFING = f"""b.briefing_id IN (
    SELECT ifnull(s.briefing_id, 0) {_OPEN}
    UNION ALL SELECT ifnull(o.briefing_id, 0) FROM outbox_events o
      WHERE o.event_id IN (SELECT s.event_id {_OPEN}))"""
_UNSEEN_BRIEFING = f"""EXISTS (SELECT 1 FROM outbox_events o
    WHERE o.briefing_id = b.briefing_id AND o.event_id > {_SMALLEST_CURSOR})"""
_WORKING_BRIEFING = f"""b.briefing_id IN (
    SELECT s.briefing_id FROM sessions s WHERE s.briefing_id IS NOT NULL AND {AT_WORK})"""
_NEWEST_BRIEFING = """b.briefing_id = (
    SELECT n.briefing_id FROM briefings n WHERE n.project_id = b.project_id
      ORDER BY ifnull(n.ended_at, n.created_at) DESC, n.briefing_id DESC LIMIT 1)"""
# The newest event may belong to a briefing; then both stay.
_LAST_EVENT_BRIEFING = """b.briefing_id = (
    SELECT o.briefing_id FROM outbox_events o ORDER BY o.event_id DESC LIMIT 1)"""
_KEPT_BRIEFING = (
    f"({_ALERT_BRIEFING} OR {_NEWEST_BRIEFING} OR {_WORKING_BRIEFING} OR {_UNSEEN_BRIEFING}"
    f" OR ifnull({_LAST_EVENT_BRIEFING}, 0))"
)
DELETABLE_BRIEFING = f"({_OLD_BRIEFING} AND NOT {_KEPT_BRIEFING})"

DELETABLE_SESSION = f"""(s.last_seen_at < :before
    AND s.session_id NOT IN (SELECT s.session_id {_OPEN})
    AND (s.ended_at IS NOT NULL OR s.last_seen_at < :cursors_since))"""

# An event of a briefing goes with it. A session's start is remembered as long as the session, or
# its SessionStart, applied again, would be announced again.
_WITHOUT_BRIEFING = "NOT EXISTS (SELECT 1 FROM briefings b WHERE b.briefing_id = e.briefing_id)"
_ALERT_EVENT = f"e.event_id IN (SELECT ifnull(s.event_id, 0) {_OPEN})"
_START_OF_KEPT_SESSION = f"""(e.type = 'session_started' AND EXISTS (SELECT 1 FROM sessions s
    WHERE s.session_id = ({SESSION}) AND NOT {DELETABLE_SESSION}))"""
DELETABLE_EVENT = f"""(e.ts < :before AND e.event_id <= {_SMALLEST_CURSOR}
    AND e.event_id < (SELECT max(event_id) FROM outbox_events)
    AND {_WITHOUT_BRIEFING} AND NOT {_ALERT_EVENT} AND NOT {_START_OF_KEPT_SESSION})"""

JOB_ENDED = "ifnull(j.ts_finished, j.ts_created)"
_UNSEEN_JOB = f"""j.job_id IN (SELECT json_extract(payload_json, '$.job.jobId') FROM outbox_events
    WHERE event_id > {_SMALLEST_CURSOR} AND type = 'job_completed'
      AND CASE WHEN typeof(payload_json) = 'text' THEN json_valid(payload_json) ELSE 0 END)"""
# What today's jobs cost counts towards the cap of the day.
DELETABLE_JOB = f"""(j.status IN ('completed', 'failed', 'canceled') AND {JOB_ENDED} < :before
    AND j.job_id < (SELECT max(job_id) FROM jobs) AND NOT ifnull({_UNSEEN_JOB}, 0)
    AND NOT EXISTS (SELECT 1 FROM job_runs r
      WHERE r.job_id = j.job_id AND r.started_at >= :today))"""

DELETABLE_COMMANDER = """(c.updated_at < min(:before, :cursors_since)
    AND c.session_id NOT IN (SELECT claude_session_id FROM conversations
      WHERE claude_session_id IS NOT NULL))"""


def bounds(before: str | None) -> dict[str, Any]:
    """The values of the conditions above. Without `before` nothing is old."""
    return {
        "before": before or "",
        "today": start_of_day(),
        "cursors_since": clock.ago(CURSOR_DAYS * 86400),
        "sent_since": clock.ago(SENT_DAYS * 86400),
        "alerts_since": clock.ago(OPEN_ALERT_SECONDS),
        "active_since": clock.ago(ACTIVE_SESSION_SECONDS),
    }


def count_deleted(connection: sqlite3.Connection, values: dict[str, Any]) -> dict[str, int]:
    """{table: rows that a run would delete}."""
    briefings = f"SELECT b.briefing_id FROM briefings b WHERE {DELETABLE_BRIEFING}"
    of_briefings = f"FROM outbox_events WHERE briefing_id IN ({briefings})"
    loose = f"FROM outbox_events e WHERE {DELETABLE_EVENT}"
    return _counts(
        connection,
        values,
        {
            "briefings": f"SELECT count(*) FROM ({briefings})",
            "outbox_events": f"SELECT (SELECT count(*) {of_briefings}) + (SELECT count(*) {loose})",
            "turns": f"SELECT count(*) FROM turns WHERE briefing_id IN ({briefings})",
            "jobs": f"SELECT count(*) FROM jobs j WHERE {DELETABLE_JOB}",
            "sessions": f"SELECT count(*) FROM sessions s WHERE {DELETABLE_SESSION}",
            "commander_sessions": "SELECT count(*) FROM commander_sessions c"
            f" WHERE {DELETABLE_COMMANDER}",
        },
    )


def count_kept(connection: sqlite3.Connection, values: dict[str, Any]) -> dict[str, int]:
    """{reason: rows that are old enough and stay}."""
    old = f"SELECT count(*) FROM briefings b WHERE {_OLD_BRIEFING} AND NOT {_ALERT_BRIEFING}"
    seen = f"{old} AND NOT {_UNSEEN_BRIEFING}"
    found = _counts(
        connection,
        values,
        {
            "sessions that wait for you": f"SELECT count(*) {_OPEN} AND s.state_at < :before",
            "briefings after a cursor": f"{old} AND {_UNSEEN_BRIEFING}",
            "other events after a cursor": "SELECT count(*) FROM outbox_events e"
            f" WHERE e.ts < :before AND e.event_id > {_SMALLEST_CURSOR} AND {_WITHOUT_BRIEFING}",
            "newest of their project": f"{seen} AND {_NEWEST_BRIEFING}",
            "latest of a session at work": f"{seen} AND NOT {_NEWEST_BRIEFING}"
            f" AND {_WORKING_BRIEFING}",
            "jobs not finished": "SELECT count(*) FROM jobs j WHERE j.ts_created < :before"
            " AND j.status IN ('queued', 'running')",
        },
    )
    return {reason: count for reason, count in found.items() if count}


def count_young(connection: sqlite3.Connection, values: dict[str, Any]) -> int:
    """Briefings that are too young to be deleted."""
    sql = f"SELECT count(*) FROM briefings b WHERE NOT {_OLD_BRIEFING}"
    return int(connection.execute(sql, values).fetchone()[0])


def _counts(
    connection: sqlite3.Connection, values: dict[str, Any], queries: dict[str, str]
) -> dict[str, int]:
    return {
        name: int(connection.execute(sql, values).fetchone()[0]) for name, sql in queries.items()
    }
