-- Headless jobs: who runs one, what it may cost and did cost; and what a model may say of a briefing.

-- One run of a job: the lease of the runner that has it, and the process that it started. A run without an
-- end is at work, or its runner is dead.
CREATE TABLE job_runs (
  job_id INTEGER NOT NULL REFERENCES jobs(job_id) ON DELETE CASCADE,
  attempt INTEGER NOT NULL,           -- 1 for the first
  runner TEXT NOT NULL,               -- host, process id and start of the process that holds the lease
  lease_until TEXT NOT NULL,
  budget_usd REAL NOT NULL,           -- what it may cost; counted as its cost until that is known
  process_id INTEGER,                 -- of `claude`
  process_started REAL,               -- Unix seconds: an id alone may be another program's by now
  cancel_requested_at TEXT,
  session_id TEXT,                    -- Claude Code's
  cost_usd REAL,
  input_tokens INTEGER,
  output_tokens INTEGER,
  started_at TEXT NOT NULL,
  ended_at TEXT,
  PRIMARY KEY (job_id, attempt)
) WITHOUT ROWID;
CREATE INDEX job_runs_at_work ON job_runs(job_id) WHERE ended_at IS NULL;
CREATE INDEX job_runs_by_start ON job_runs(started_at);

-- What Fleet derived of a briefing because nobody wrote it: {field: value}, null for a field that somebody
-- classified since. A model is asked about such a briefing once.
CREATE TABLE briefing_derived (
  briefing_id INTEGER PRIMARY KEY REFERENCES briefings(briefing_id) ON DELETE CASCADE,
  fields_json TEXT NOT NULL,
  changed_something INTEGER NOT NULL, -- boolean: only then is a model worth its cost
  asked_job_id INTEGER                -- the job that asked
);
CREATE INDEX briefing_derived_unasked ON briefing_derived(briefing_id)
  WHERE asked_job_id IS NULL AND changed_something = 1;

-- A Commander's own turn is nothing that the Commander is told of, also when it failed.
DROP INDEX IF EXISTS outbox_events_by_class;
DROP INDEX IF EXISTS outbox_events_by_group;
DROP INDEX IF EXISTS outbox_events_by_type;
CREATE INDEX outbox_events_by_class ON outbox_events(
  (CASE
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
  END),
  event_id
);
CREATE INDEX outbox_events_by_group ON outbox_events(
  (CASE
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
  END),
  ifnull(project_id, ''),
  type,
  event_id
);
CREATE INDEX outbox_events_by_type ON outbox_events(
  (CASE
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
  END),
  type,
  event_id
);
