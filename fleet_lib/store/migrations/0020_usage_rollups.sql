-- The sums of usage_sums by hour, for all of them and for each project, and by day for each project:
-- a report over all time reads these, however many turns there were. Prices change at the beginning
-- of a day in UTC, and local days begin at an hour nearly everywhere. Triggers keep it, as they keep
-- usage_quarters: nothing in them but plain statements, so any program may write the sums.

CREATE TABLE usage_rollups (
  quarters INTEGER NOT NULL,          -- length of the time: 4 (an hour) or 96 (a day in UTC)
  project_id TEXT NOT NULL,           -- '*': all of them; '': those whose project is not known
  kind_id INTEGER NOT NULL,
  at INTEGER NOT NULL,                -- Unix time in units of that length
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cache_read_tokens INTEGER NOT NULL,
  cache_write_5m_tokens INTEGER NOT NULL,
  cache_write_1h_tokens INTEGER NOT NULL,
  PRIMARY KEY (quarters, project_id, kind_id, at)
) WITHOUT ROWID;

-- What a session used of a kind, in the proportions that list prices have: the dearest sessions are
-- among those with the largest weights.
CREATE TABLE usage_sessions (
  session_id TEXT NOT NULL,
  kind_id INTEGER NOT NULL,
  project_id TEXT NOT NULL,           -- '' if it is not known
  weight INTEGER NOT NULL,            -- twentieths of an input token
  PRIMARY KEY (session_id, kind_id, project_id)
) WITHOUT ROWID;

-- From now on a sum has its project, once the session is known, and does not change with it.
UPDATE usage_sums SET project_id =
  (SELECT s.project_id FROM sessions s WHERE s.session_id = usage_sums.session_id)
WHERE project_id IS NULL;

INSERT INTO usage_rollups
  SELECT 4, ifnull(project_id, ''), kind_id, quarter / 4, sum(input_tokens), sum(output_tokens),
    sum(cache_read_tokens), sum(cache_write_5m_tokens), sum(cache_write_1h_tokens)
  FROM usage_sums GROUP BY 2, 3, 4;

INSERT INTO usage_rollups
  SELECT 96, project_id, kind_id, at / 24, sum(input_tokens), sum(output_tokens),
    sum(cache_read_tokens), sum(cache_write_5m_tokens), sum(cache_write_1h_tokens)
  FROM usage_rollups GROUP BY 2, 3, 4;

INSERT INTO usage_rollups
  SELECT 4, '*', kind_id, quarter / 4, sum(input_tokens), sum(output_tokens),
    sum(cache_read_tokens), sum(cache_write_5m_tokens), sum(cache_write_1h_tokens)
  FROM usage_quarters GROUP BY 3, 4;

INSERT INTO usage_sessions
  SELECT session_id, kind_id, ifnull(project_id, ''), sum(input_tokens * 20 + output_tokens * 100
    + cache_read_tokens * 2 + cache_write_5m_tokens * 25 + cache_write_1h_tokens * 40)
  FROM usage_sums GROUP BY 1, 2, 3;

CREATE INDEX usage_sessions_by_weight ON usage_sessions(kind_id, weight);
CREATE INDEX usage_sessions_by_project ON usage_sessions(project_id, kind_id, weight);

CREATE TRIGGER usage_rollups_insert AFTER INSERT ON usage_sums BEGIN
  INSERT INTO usage_rollups SELECT quarters, project, new.kind_id, new.quarter / quarters, 0, 0, 0, 0, 0
    FROM (SELECT 4 AS quarters, '*' AS project UNION ALL SELECT 4, ifnull(new.project_id, '')
      UNION ALL SELECT 96, ifnull(new.project_id, '')) n
    WHERE NOT EXISTS (SELECT 1 FROM usage_rollups r WHERE r.quarters = n.quarters
      AND r.project_id = n.project AND r.kind_id = new.kind_id AND r.at = new.quarter / n.quarters);
  UPDATE usage_rollups SET
    input_tokens = input_tokens + new.input_tokens,
    output_tokens = output_tokens + new.output_tokens,
    cache_read_tokens = cache_read_tokens + new.cache_read_tokens,
    cache_write_5m_tokens = cache_write_5m_tokens + new.cache_write_5m_tokens,
    cache_write_1h_tokens = cache_write_1h_tokens + new.cache_write_1h_tokens
  WHERE (quarters = 4 AND project_id IN ('*', ifnull(new.project_id, ''))
      AND kind_id = new.kind_id AND at = new.quarter / 4)
    OR (quarters = 96 AND project_id = ifnull(new.project_id, '')
      AND kind_id = new.kind_id AND at = new.quarter / 96);
  INSERT INTO usage_sessions SELECT new.session_id, new.kind_id, ifnull(new.project_id, ''), 0
    WHERE NOT EXISTS (SELECT 1 FROM usage_sessions WHERE session_id = new.session_id AND kind_id = new.kind_id
      AND project_id = ifnull(new.project_id, ''));
  UPDATE usage_sessions SET weight = weight + new.input_tokens * 20 + new.output_tokens * 100 + new.cache_read_tokens * 2
      + new.cache_write_5m_tokens * 25 + new.cache_write_1h_tokens * 40
  WHERE session_id = new.session_id AND kind_id = new.kind_id
    AND project_id = ifnull(new.project_id, '');
  UPDATE usage_sums SET project_id =
    (SELECT s.project_id FROM sessions s WHERE s.session_id = new.session_id)
  WHERE sum_id = new.sum_id AND project_id IS NULL
    AND EXISTS (SELECT 1 FROM sessions s WHERE s.session_id = new.session_id);
END;

CREATE TRIGGER usage_rollups_update AFTER UPDATE ON usage_sums BEGIN
  UPDATE usage_rollups SET
    input_tokens = input_tokens - old.input_tokens,
    output_tokens = output_tokens - old.output_tokens,
    cache_read_tokens = cache_read_tokens - old.cache_read_tokens,
    cache_write_5m_tokens = cache_write_5m_tokens - old.cache_write_5m_tokens,
    cache_write_1h_tokens = cache_write_1h_tokens - old.cache_write_1h_tokens
  WHERE (quarters = 4 AND project_id IN ('*', ifnull(old.project_id, ''))
      AND kind_id = old.kind_id AND at = old.quarter / 4)
    OR (quarters = 96 AND project_id = ifnull(old.project_id, '')
      AND kind_id = old.kind_id AND at = old.quarter / 96);
  INSERT INTO usage_rollups SELECT quarters, project, new.kind_id, new.quarter / quarters, 0, 0, 0, 0, 0
    FROM (SELECT 4 AS quarters, '*' AS project UNION ALL SELECT 4, ifnull(new.project_id, '')
      UNION ALL SELECT 96, ifnull(new.project_id, '')) n
    WHERE NOT EXISTS (SELECT 1 FROM usage_rollups r WHERE r.quarters = n.quarters
      AND r.project_id = n.project AND r.kind_id = new.kind_id AND r.at = new.quarter / n.quarters);
  UPDATE usage_rollups SET
    input_tokens = input_tokens + new.input_tokens,
    output_tokens = output_tokens + new.output_tokens,
    cache_read_tokens = cache_read_tokens + new.cache_read_tokens,
    cache_write_5m_tokens = cache_write_5m_tokens + new.cache_write_5m_tokens,
    cache_write_1h_tokens = cache_write_1h_tokens + new.cache_write_1h_tokens
  WHERE (quarters = 4 AND project_id IN ('*', ifnull(new.project_id, ''))
      AND kind_id = new.kind_id AND at = new.quarter / 4)
    OR (quarters = 96 AND project_id = ifnull(new.project_id, '')
      AND kind_id = new.kind_id AND at = new.quarter / 96);
  UPDATE usage_sessions SET weight = weight - (old.input_tokens * 20 + old.output_tokens * 100 + old.cache_read_tokens * 2
      + old.cache_write_5m_tokens * 25 + old.cache_write_1h_tokens * 40)
  WHERE session_id = old.session_id AND kind_id = old.kind_id
    AND project_id = ifnull(old.project_id, '');
  INSERT INTO usage_sessions SELECT new.session_id, new.kind_id, ifnull(new.project_id, ''), 0
    WHERE NOT EXISTS (SELECT 1 FROM usage_sessions WHERE session_id = new.session_id AND kind_id = new.kind_id
      AND project_id = ifnull(new.project_id, ''));
  UPDATE usage_sessions SET weight = weight + new.input_tokens * 20 + new.output_tokens * 100 + new.cache_read_tokens * 2
      + new.cache_write_5m_tokens * 25 + new.cache_write_1h_tokens * 40
  WHERE session_id = new.session_id AND kind_id = new.kind_id
    AND project_id = ifnull(new.project_id, '');
END;

CREATE TRIGGER usage_rollups_delete AFTER DELETE ON usage_sums BEGIN
  UPDATE usage_rollups SET
    input_tokens = input_tokens - old.input_tokens,
    output_tokens = output_tokens - old.output_tokens,
    cache_read_tokens = cache_read_tokens - old.cache_read_tokens,
    cache_write_5m_tokens = cache_write_5m_tokens - old.cache_write_5m_tokens,
    cache_write_1h_tokens = cache_write_1h_tokens - old.cache_write_1h_tokens
  WHERE (quarters = 4 AND project_id IN ('*', ifnull(old.project_id, ''))
      AND kind_id = old.kind_id AND at = old.quarter / 4)
    OR (quarters = 96 AND project_id = ifnull(old.project_id, '')
      AND kind_id = old.kind_id AND at = old.quarter / 96);
  UPDATE usage_sessions SET weight = weight - (old.input_tokens * 20 + old.output_tokens * 100 + old.cache_read_tokens * 2
      + old.cache_write_5m_tokens * 25 + old.cache_write_1h_tokens * 40)
  WHERE session_id = old.session_id AND kind_id = old.kind_id
    AND project_id = ifnull(old.project_id, '');
END;

CREATE TRIGGER usage_rollups_session AFTER INSERT ON sessions BEGIN
  UPDATE usage_sums SET project_id = new.project_id
  WHERE session_id = new.session_id AND project_id IS NULL;
END;
