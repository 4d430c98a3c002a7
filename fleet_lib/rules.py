"""The rules that several readers share: the class of an event, who is stuck, who is at work. Hot path."""

import time

OPEN_ALERT_SECONDS = 7 * 86400
ACTIVE_SESSION_SECONDS = 12 * 3600
ALERT, HIGHLIGHT, MENTION, SILENT = 1, 2, 3, 4
VALID_JSON = "typeof(payload_json) = 'text' AND json_valid(payload_json)"


# Letter for letter the expressions of the indexes in migrations/0003_jobs.sql. What the Commander was asked
# and answered is nothing to tell it.
CLASS = """CASE
    WHEN type = 'job_completed' AND typeof(payload_json) = 'text' AND json_valid(payload_json)
      AND json_extract(payload_json, '$.job.type') = 'commander_turn' THEN 4
    WHEN type IN ('error', 'session_blocked', 'doc_drift_warning') OR broadcast_level = 'alert' THEN 1
    WHEN typeof(payload_json) = 'text' AND json_valid(payload_json) AND (
      json_extract(payload_json, '$.briefing.status') IN ('blocked', 'failed')
      OR json_extract(payload_json, '$.session.status') IN ('blocked', 'failed')
      OR json_extract(payload_json, '$.job.status') IN ('blocked', 'failed')
      OR json_extract(payload_json, '$.status') IN ('blocked', 'failed')) THEN 1
    WHEN broadcast_level = 'highlight' THEN 2
    WHEN broadcast_level = 'silent' OR (broadcast_level IS NULL AND type = 'session_started') THEN 4
    ELSE 3
  END"""

SESSION = (
    "CASE WHEN typeof(payload_json) = 'text' AND json_valid(payload_json)"
    " THEN json_extract(payload_json, '$.sessionId') END"
)

STATUS = (
    "CASE WHEN typeof(payload_json) = 'text' AND json_valid(payload_json)"
    " THEN coalesce(json_extract(payload_json, '$.briefing.status'),"
    " json_extract(payload_json, '$.status')) END"
)

# Who is stuck and needs a human, since when.
STUCK_SQL = """
FROM sessions s JOIN projects p ON p.project_id = s.project_id
WHERE s.ended_at IS NULL AND s.state IN ('blocked', 'failed', 'waiting_for_permission')
  AND s.state_at > ? AND ifnull(p.status, 'active') = 'active'
"""


def seconds_ago(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() - seconds))
