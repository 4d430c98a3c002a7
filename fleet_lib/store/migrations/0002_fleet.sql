-- Fleet's additions. Additive only: the original system's daemon still reads and writes the file.
-- No expression below may fail on any payload_json, or other programs' inserts would.

-- What the prelude reads. The expressions are fleet_lib/rules.py's CLASS, SESSION and STATUS, letter for
-- letter (SQLite uses an expression index only for the same expression; a test holds it).
CREATE INDEX outbox_events_by_class ON outbox_events(
  (CASE
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
CREATE INDEX outbox_events_by_session ON outbox_events(
  (CASE WHEN typeof(payload_json) = 'text' AND json_valid(payload_json) THEN json_extract(payload_json, '$.sessionId') END),
  event_id
);
CREATE INDEX outbox_events_completed ON outbox_events(
  (CASE WHEN typeof(payload_json) = 'text' AND json_valid(payload_json) THEN json_extract(payload_json, '$.sessionId') END),
  event_id
) WHERE type = 'briefing_added' AND (
  CASE WHEN typeof(payload_json) = 'text' AND json_valid(payload_json)
    THEN coalesce(json_extract(payload_json, '$.briefing.status'), json_extract(payload_json, '$.status')) END
) = 'completed';
CREATE INDEX outbox_events_by_briefing ON outbox_events(briefing_id, event_id);
CREATE INDEX outbox_events_undelivered ON outbox_events(event_id) WHERE delivered = 0;

CREATE INDEX briefings_by_project ON briefings(project_id, briefing_id);
CREATE INDEX briefings_by_session ON briefings(session_id, briefing_id);
CREATE INDEX projects_by_root ON projects(repo_root);
CREATE INDEX projects_by_name ON projects(repo_name);
CREATE INDEX jobs_by_status ON jobs(status, job_id);

-- One turn, one briefing: which briefing a prompt's turn became.
CREATE TABLE turns (
  session_id TEXT NOT NULL,
  turn_key TEXT NOT NULL,             -- prompt_id, or what stands for it in an old client
  briefing_id INTEGER NOT NULL REFERENCES briefings(briefing_id) ON DELETE CASCADE,
  revision INTEGER NOT NULL,
  summary TEXT NOT NULL,              -- one line
  meaning TEXT NOT NULL,              -- digest of what a reader would call news
  source TEXT NOT NULL,               -- block|status_file|message
  facts_partial INTEGER NOT NULL,     -- boolean: the transcript was not complete
  warnings_json TEXT NOT NULL,        -- JSON array: what the parser dropped
  PRIMARY KEY (session_id, turn_key)
);
CREATE INDEX turns_by_briefing ON turns(briefing_id);

-- The payloads already applied to a turn, so that a replay of any of them changes nothing.
CREATE TABLE turn_inputs (
  session_id TEXT NOT NULL,
  turn_key TEXT NOT NULL,
  digest TEXT NOT NULL,
  PRIMARY KEY (session_id, turn_key, digest)
) WITHOUT ROWID;

-- The latest state of every worker session.
CREATE TABLE sessions (
  session_id TEXT PRIMARY KEY,
  project_id TEXT NOT NULL REFERENCES projects(project_id),
  folder TEXT NOT NULL,               -- the session's project folder
  state TEXT NOT NULL,                -- working|completed|blocked|failed|waiting_for_input|waiting_for_permission
  state_at TEXT NOT NULL,
  detail TEXT NOT NULL,               -- one line: why
  briefing_id INTEGER,                -- the latest
  event_id INTEGER,                   -- the event that announced the state
  last_seen_at TEXT NOT NULL,
  ended_at TEXT,
  head_commit TEXT,                   -- HEAD as last known, for the commits of the next turn
  head_at INTEGER,                    -- Unix time, nanoseconds, at which HEAD was that
  status_digest TEXT,                 -- the status file last ingested, and for which turn
  status_turn TEXT
);
CREATE INDEX sessions_by_folder ON sessions(folder, last_seen_at);
CREATE INDEX sessions_by_project ON sessions(project_id, last_seen_at);
CREATE INDEX sessions_open_alerts ON sessions(state_at)
  WHERE ended_at IS NULL AND state IN ('blocked', 'failed', 'waiting_for_permission');

-- How far each Commander session has been told, and what it was shown but has not answered yet.
CREATE TABLE commander_sessions (
  session_id TEXT PRIMARY KEY,
  conversation_id TEXT NOT NULL REFERENCES conversations(conversation_id),
  cursor_event_id INTEGER NOT NULL,   -- committed by the Stop of a turn
  start_through_event_id INTEGER NOT NULL,  -- shown by its latest SessionStart
  updated_at TEXT NOT NULL
);
CREATE TABLE prelude_shown (
  session_id TEXT NOT NULL,
  prompt_id TEXT NOT NULL,
  through_event_id INTEGER NOT NULL,
  PRIMARY KEY (session_id, prompt_id)
) WITHOUT ROWID;

-- The (source, document) pairs that were warned of, with both contents at that moment.
CREATE TABLE doc_drift_pairs (
  project_id TEXT NOT NULL REFERENCES projects(project_id),
  source TEXT NOT NULL,
  document TEXT NOT NULL,
  source_digest TEXT NOT NULL,
  document_digest TEXT NOT NULL,
  PRIMARY KEY (project_id, source, document)
) WITHOUT ROWID;

-- A running job's stream, a row a chunk; it becomes jobs.stream_chunks_json when the job ends.
CREATE TABLE job_stream_chunks (
  job_id INTEGER NOT NULL REFERENCES jobs(job_id) ON DELETE CASCADE,
  chunk_number INTEGER NOT NULL,
  chunk TEXT NOT NULL,
  PRIMARY KEY (job_id, chunk_number)
) WITHOUT ROWID;

-- Full-text search over what briefings say.
CREATE VIRTUAL TABLE briefings_fts USING fts5(
  raw_markdown, blockers_json, next_steps_json, files_touched_json, branch, task_id,
  content = 'briefings', content_rowid = 'briefing_id', tokenize = 'unicode61'
);
CREATE TRIGGER briefings_fts_insert AFTER INSERT ON briefings BEGIN
  INSERT INTO briefings_fts(
    rowid, raw_markdown, blockers_json, next_steps_json, files_touched_json, branch, task_id
  ) VALUES (
    new.briefing_id, new.raw_markdown, new.blockers_json, new.next_steps_json,
    new.files_touched_json, new.branch, new.task_id
  );
END;
CREATE TRIGGER briefings_fts_delete AFTER DELETE ON briefings BEGIN
  INSERT INTO briefings_fts(
    briefings_fts, rowid, raw_markdown, blockers_json, next_steps_json, files_touched_json,
    branch, task_id
  ) VALUES (
    'delete', old.briefing_id, old.raw_markdown, old.blockers_json, old.next_steps_json,
    old.files_touched_json, old.branch, old.task_id
  );
END;
CREATE TRIGGER briefings_fts_update AFTER UPDATE OF
  raw_markdown, blockers_json, next_steps_json, files_touched_json, branch, task_id
ON briefings BEGIN
  INSERT INTO briefings_fts(
    briefings_fts, rowid, raw_markdown, blockers_json, next_steps_json, files_touched_json,
    branch, task_id
  ) VALUES (
    'delete', old.briefing_id, old.raw_markdown, old.blockers_json, old.next_steps_json,
    old.files_touched_json, old.branch, old.task_id
  );
  INSERT INTO briefings_fts(
    rowid, raw_markdown, blockers_json, next_steps_json, files_touched_json, branch, task_id
  ) VALUES (
    new.briefing_id, new.raw_markdown, new.blockers_json, new.next_steps_json,
    new.files_touched_json, new.branch, new.task_id
  );
END;
INSERT INTO briefings_fts(briefings_fts) VALUES ('rebuild');
