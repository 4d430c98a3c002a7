-- Lists that do not grow with history: an index for each filter of `fleet briefings list` and
-- `fleet jobs list`, for the newest capture and the sessions at work, and for what Claude Code itself
-- says that a session cost. The expression is that of briefings_by_end.

CREATE INDEX briefings_by_status ON briefings(status, ifnull(ended_at, created_at), briefing_id);

CREATE INDEX briefings_by_project_status
  ON briefings(project_id, status, ifnull(ended_at, created_at), briefing_id);

CREATE INDEX briefings_by_impact
  ON briefings(impact_level, ifnull(ended_at, created_at), briefing_id)
  WHERE impact_level IS NOT NULL;

CREATE INDEX briefings_by_level
  ON briefings(broadcast_level, ifnull(ended_at, created_at), briefing_id)
  WHERE broadcast_level IS NOT NULL;

CREATE INDEX briefings_by_drift
  ON briefings(doc_drift_risk, ifnull(ended_at, created_at), briefing_id)
  WHERE doc_drift_risk IS NOT NULL;

CREATE INDEX sessions_by_time ON sessions(last_seen_at);

CREATE INDEX jobs_by_project ON jobs(project_id, job_id);

CREATE INDEX job_runs_by_session ON job_runs(session_id) WHERE session_id IS NOT NULL;
