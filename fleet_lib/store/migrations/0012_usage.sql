-- What was used: tokens by turn, quarter of an hour, model and context tier. A quarter of an hour,
-- since every time zone's day begins with one.
CREATE TABLE usage_kinds (
  kind_id INTEGER PRIMARY KEY,
  model TEXT NOT NULL,                -- as Claude Code writes it
  speed TEXT NOT NULL,                -- standard|fast
  tier INTEGER NOT NULL,              -- a message's context is over so many tokens
  UNIQUE (model, speed, tier)
);

CREATE TABLE usage_sums (
  sum_id INTEGER PRIMARY KEY,
  session_id TEXT NOT NULL,
  turn_key TEXT NOT NULL,             -- or a follow-up's prompt; '' if no line says it
  project_id TEXT,                    -- NULL: the session's
  quarter INTEGER NOT NULL,           -- Unix time in quarters of an hour
  kind_id INTEGER NOT NULL REFERENCES usage_kinds(kind_id),
  input_tokens INTEGER NOT NULL,      -- without the cache's
  output_tokens INTEGER NOT NULL,
  cache_read_tokens INTEGER NOT NULL,
  cache_write_5m_tokens INTEGER NOT NULL,
  cache_write_1h_tokens INTEGER NOT NULL,
  UNIQUE (session_id, turn_key, quarter, kind_id)
);

CREATE INDEX usage_sums_by_time ON usage_sums(quarter);

-- Every message that was counted, so that none is counted twice. Prune leaves it.
CREATE TABLE usage_messages (
  message INTEGER PRIMARY KEY,        -- 64 bits of its id's digest
  sum_id INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cache_read_tokens INTEGER NOT NULL,
  cache_write_5m_tokens INTEGER NOT NULL,
  cache_write_1h_tokens INTEGER NOT NULL
);

-- How far each transcript was read. A row that is missing costs a second reading and counts nothing
-- twice.
CREATE TABLE usage_files (
  file INTEGER PRIMARY KEY,           -- 64 bits of its path's digest
  read_to INTEGER NOT NULL,           -- bytes
  tail INTEGER NOT NULL,              -- digest of the bytes before that: a rewritten file has others
  turn_key TEXT NOT NULL,             -- of the next line
  read_at TEXT NOT NULL
);

-- List prices, as the price library had them when `fleet usage` or the dashboard last asked.
CREATE TABLE usage_rates (
  kind_id INTEGER NOT NULL REFERENCES usage_kinds(kind_id),
  from_quarter INTEGER NOT NULL,
  to_quarter INTEGER NOT NULL,        -- excluded
  input_usd REAL,                     -- for a million tokens, like the others; NULL: unknown model
  output_usd REAL,
  cache_read_usd REAL,
  cache_write_5m_usd REAL,
  cache_write_1h_usd REAL,
  library TEXT NOT NULL,              -- the library's version
  priced_at TEXT NOT NULL,
  PRIMARY KEY (kind_id, from_quarter)
) WITHOUT ROWID;

-- What the client itself says that a session cost.
CREATE TABLE client_costs (
  session_id TEXT PRIMARY KEY,
  cost_usd REAL NOT NULL
) WITHOUT ROWID;
