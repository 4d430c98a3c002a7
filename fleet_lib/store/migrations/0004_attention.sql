-- What a turn asks its reader, and which sessions a person does not want to see for now.

ALTER TABLE turns ADD COLUMN question TEXT /* one line: what it asks its reader, if it asks */;

ALTER TABLE sessions ADD COLUMN hidden_until TEXT /* not shown as open before; NULL: shown */;

-- An interrupted turn left its session idle, which was stored as if the session had asked.
UPDATE sessions SET state = 'completed'
  WHERE state = 'waiting_for_input' AND NOT EXISTS (SELECT 1 FROM briefings b
    WHERE b.briefing_id = sessions.briefing_id AND b.status = 'waiting_for_input');

DROP INDEX sessions_open_alerts;

-- The rules STUCK and LEFT_OPEN of fleet_lib/rules.py.
CREATE INDEX sessions_open ON sessions(state_at)
  WHERE state IN ('blocked', 'failed', 'waiting_for_input', 'waiting_for_permission');
