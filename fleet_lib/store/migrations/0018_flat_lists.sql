-- Lists that do not grow with history: an index for each filter of `fleet briefings list` and
-- `fleet jobs list`, and for what Claude Code itself says that a session cost. The expression is
-- that of briefings_by_end.

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

CREATE INDEX jobs_by_project ON jobs(project_id, job_id);

CREATE INDEX jobs_by_time ON jobs(ts_created);

CREATE INDEX job_runs_by_session ON job_runs(session_id) WHERE session_id IS NOT NULL;

-- The sums of usage_sums by quarter of an hour, which triggers keep: a report over all time reads
-- these and not each turn's. Nothing in SQL but plain statements, so any program may write the sums.

CREATE TABLE usage_quarters (
  kind_id INTEGER NOT NULL,
  quarter INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cache_read_tokens INTEGER NOT NULL,
  cache_write_5m_tokens INTEGER NOT NULL,
  cache_write_1h_tokens INTEGER NOT NULL,
  PRIMARY KEY (kind_id, quarter)
) WITHOUT ROWID;

INSERT INTO usage_quarters
  SELECT kind_id, quarter, sum(input_tokens), sum(output_tokens), sum(cache_read_tokens),
    sum(cache_write_5m_tokens), sum(cache_write_1h_tokens)
  FROM usage_sums GROUP BY kind_id, quarter;

CREATE TRIGGER usage_sums_insert AFTER INSERT ON usage_sums BEGIN
  INSERT INTO usage_quarters SELECT new.kind_id, new.quarter, 0, 0, 0, 0, 0 WHERE NOT EXISTS
    (SELECT 1 FROM usage_quarters WHERE kind_id = new.kind_id AND quarter = new.quarter);
  UPDATE usage_quarters SET
    input_tokens = input_tokens + new.input_tokens,
    output_tokens = output_tokens + new.output_tokens,
    cache_read_tokens = cache_read_tokens + new.cache_read_tokens,
    cache_write_5m_tokens = cache_write_5m_tokens + new.cache_write_5m_tokens,
    cache_write_1h_tokens = cache_write_1h_tokens + new.cache_write_1h_tokens
  WHERE kind_id = new.kind_id AND quarter = new.quarter;
END;

CREATE TRIGGER usage_sums_update AFTER UPDATE OF
  input_tokens, output_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens
ON usage_sums BEGIN
  UPDATE usage_quarters SET
    input_tokens = input_tokens + new.input_tokens - old.input_tokens,
    output_tokens = output_tokens + new.output_tokens - old.output_tokens,
    cache_read_tokens = cache_read_tokens + new.cache_read_tokens - old.cache_read_tokens,
    cache_write_5m_tokens =
      cache_write_5m_tokens + new.cache_write_5m_tokens - old.cache_write_5m_tokens,
    cache_write_1h_tokens =
      cache_write_1h_tokens + new.cache_write_1h_tokens - old.cache_write_1h_tokens
  WHERE kind_id = new.kind_id AND quarter = new.quarter;
END;

CREATE TRIGGER usage_sums_delete AFTER DELETE ON usage_sums BEGIN
  UPDATE usage_quarters SET
    input_tokens = input_tokens - old.input_tokens,
    output_tokens = output_tokens - old.output_tokens,
    cache_read_tokens = cache_read_tokens - old.cache_read_tokens,
    cache_write_5m_tokens = cache_write_5m_tokens - old.cache_write_5m_tokens,
    cache_write_1h_tokens = cache_write_1h_tokens - old.cache_write_1h_tokens
  WHERE kind_id = old.kind_id AND quarter = old.quarter;
END;
