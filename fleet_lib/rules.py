"""The rules that several readers share, as SQL: the class of an event, which sessions are stuck,
and which are at work. Hot path."""

import time

OPEN_ALERT_SECONDS = 7 * 86400
ACTIVE_SESSION_SECONDS = 12 * 3600
ALERT, HIGHLIGHT, MENTION = 1, 2, 3  # 4 is silent, which no reader asks for
VALID_JSON = "typeof(payload_json) = 'text' AND json_valid(payload_json)"


# CLASS, SESSION and STATUS are letter for letter the expressions of the indexes in
# migrations/0003_jobs.sql; SQLite uses an index only for the same expression. A job of type
# commander_turn is silent: the Commander has seen its own prompt and answer.
CLASS = f"""CASE
    WHEN type = 'job_completed' AND {VALID_JSON}
      AND json_extract(payload_json, '$.job.type') = 'commander_turn' THEN 4
    WHEN type IN ('error', 'session_blocked', 'doc_drift_warning') OR broadcast_level = 'alert' THEN 1
    WHEN {VALID_JSON} AND (
      json_extract(payload_json, '$.briefing.status') IN ('blocked', 'failed')
      OR json_extract(payload_json, '$.session.status') IN ('blocked', 'failed')
      OR json_extract(payload_json, '$.job.status') IN ('blocked', 'failed')
      OR json_extract(payload_json, '$.status') IN ('blocked', 'failed')) THEN 1
    WHEN broadcast_level = 'highlight' THEN 2
    WHEN broadcast_level = 'silent' OR (broadcast_level IS NULL AND type = 'session_started') THEN 4
    ELSE 3
  END"""

SESSION = f"CASE WHEN {VALID_JSON} THEN json_extract(payload_json, '$.sessionId') END"

STATUS = (
    f"CASE WHEN {VALID_JSON}"
    " THEN coalesce(json_extract(payload_json, '$.briefing.status'),"
    " json_extract(payload_json, '$.status')) END"
)

# Whether the session `s` is stuck and needs a person: an open alert. Alerts of an archived project
# are not open. `:alerts_since` is now less OPEN_ALERT_SECONDS.
STUCK = """(s.ended_at IS NULL AND s.state IN ('blocked', 'failed', 'waiting_for_permission')
    AND s.state_at > :alerts_since AND EXISTS (SELECT 1 FROM projects stuck_in
      WHERE stuck_in.project_id = s.project_id AND ifnull(stuck_in.status, 'active') = 'active'))"""

# Whether the session `s` is at work. `:active_since` is now less ACTIVE_SESSION_SECONDS.
AT_WORK = "(s.ended_at IS NULL AND s.last_seen_at > :active_since)"


def seconds_ago(seconds: int) -> str:
    """A time to compare with the database's."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() - seconds))
