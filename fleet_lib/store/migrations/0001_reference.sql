-- The original system's five tables, names and columns as its specification gives them.
-- IF NOT EXISTS: a database that the original system made is adopted with its rows.

CREATE TABLE IF NOT EXISTS projects (
  project_id TEXT PRIMARY KEY,
  repo_name TEXT NOT NULL,
  repo_root TEXT NOT NULL,
  git_remote TEXT,
  status TEXT DEFAULT 'active',
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS briefings (
  briefing_id INTEGER PRIMARY KEY AUTOINCREMENT,
  project_id TEXT NOT NULL REFERENCES projects(project_id),
  session_id TEXT,
  task_id TEXT,
  status TEXT NOT NULL,
  started_at TEXT,
  ended_at TEXT,
  impact_level TEXT,
  broadcast_level TEXT,
  doc_drift_risk TEXT,
  base_commit TEXT,
  head_commit TEXT,
  branch TEXT,
  blockers_json TEXT,
  next_steps_json TEXT,
  docs_touched_json TEXT,
  files_touched_json TEXT,
  raw_markdown TEXT NOT NULL,
  created_at TEXT NOT NULL,
  UNIQUE(project_id, session_id, task_id, ended_at)
);

CREATE TABLE IF NOT EXISTS outbox_events (
  event_id INTEGER PRIMARY KEY AUTOINCREMENT,
  ts TEXT NOT NULL,
  type TEXT NOT NULL,
  project_id TEXT,
  briefing_id INTEGER,
  broadcast_level TEXT,
  payload_json TEXT NOT NULL,
  delivered INTEGER DEFAULT 0
);

CREATE TABLE IF NOT EXISTS jobs (
  job_id INTEGER PRIMARY KEY AUTOINCREMENT,
  ts_created TEXT NOT NULL,
  ts_started TEXT,
  ts_finished TEXT,
  type TEXT NOT NULL,
  project_id TEXT,
  repo_root TEXT,
  model TEXT NOT NULL,
  status TEXT NOT NULL,
  request_json TEXT NOT NULL,
  stream_chunks_json TEXT,
  result_json TEXT,
  error TEXT
);

CREATE TABLE IF NOT EXISTS conversations (
  conversation_id TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  cwd TEXT NOT NULL,
  model TEXT NOT NULL,
  claude_session_id TEXT,
  last_outbox_event_id_seen INTEGER DEFAULT 0,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL
);
