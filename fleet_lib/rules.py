"""The rules that several readers share, as SQL: the class of an event, which sessions need
you, which are left open, and which are at work. Hot path."""

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

# Whether the last turn of the session `s` waits for a person: it is blocked, has failed, asks, or,
# while the session lives, needs permission. Not in an archived project. `:alerts_since` is now less
# OPEN_ALERT_SECONDS.
OPEN = """(s.state IN ('blocked', 'failed', 'waiting_for_input', 'waiting_for_permission')
    AND s.state_at > :alerts_since
    AND (s.ended_at IS NULL OR s.state <> 'waiting_for_permission')
    AND EXISTS (SELECT 1 FROM projects open_in WHERE open_in.project_id = s.project_id
      AND ifnull(open_in.status, 'active') = 'active'))"""

# A snoozed session is hidden until its time, a dismissed one until DISMISSED. `:now` is the time.
_SHOWN = "(s.hidden_until IS NULL OR s.hidden_until <= :now)"
DISMISSED = "9999-12-31T23:59:59.999Z"

# Whether the session `s` needs you: it lives and waits for a person.
STUCK = f"(s.ended_at IS NULL AND {OPEN} AND {_SHOWN})"

# Whether the session `s` is left open: it has ended and still waits for a person.
LEFT_OPEN = f"(s.ended_at IS NOT NULL AND {OPEN} AND {_SHOWN})"

# Either of the two.
WAITING = f"({OPEN} AND {_SHOWN})"

# Where the sessions of these rules are looked for. Left to itself, SQLite would take the index
# of all states, which has every session that ever failed; this one has those of the last days first.
OPEN_SESSIONS = "sessions s INDEXED BY sessions_open"

# Whether the session `s` is at work. `:active_since` is now less ACTIVE_SESSION_SECONDS.
AT_WORK = "(s.ended_at IS NULL AND s.last_seen_at > :active_since)"


def moments() -> "dict[str, str]":
    """The times that the rules above compare with."""
    return {
        "now": seconds_ago(0),
        "alerts_since": seconds_ago(OPEN_ALERT_SECONDS),
        "active_since": seconds_ago(ACTIVE_SESSION_SECONDS),
    }


def seconds_ago(seconds: int) -> str:
    """A time to compare with the database's."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() - seconds))
