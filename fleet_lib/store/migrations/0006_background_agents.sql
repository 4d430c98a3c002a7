-- Background agents: prompts that Claude Code opened itself, and turns that are not at their end yet.

-- Which turn a prompt belongs to that Claude Code opened itself.
CREATE TABLE follow_ups (
  session_id TEXT NOT NULL,
  prompt_id TEXT NOT NULL,            -- the follow-up's
  turn_key TEXT NOT NULL,             -- the turn's that it belongs to, never a follow-up itself
  PRIMARY KEY (session_id, prompt_id)
) WITHOUT ROWID;

CREATE INDEX follow_ups_by_turn ON follow_ups(session_id, turn_key);

-- When the turn's newest Stop was received; its words are the briefing's.
ALTER TABLE turns ADD COLUMN stopped_at TEXT NOT NULL DEFAULT '';

-- JSON array: the session's background agents that ran then, whoever started them. NULL: not known.
ALTER TABLE turns ADD COLUMN agents_json TEXT;

-- Boolean: whether the transcript had the turn's prompt, so that it is known to be no follow-up.
ALTER TABLE turns ADD COLUMN is_placed INTEGER NOT NULL DEFAULT 1;

-- Turns whose own agents still run: their briefings are silent, and no event says that they ended.
CREATE TABLE provisional_turns (
  session_id TEXT NOT NULL,
  turn_key TEXT NOT NULL,
  since TEXT NOT NULL,                -- when the Stop was received that left the agents running
  agents_json TEXT NOT NULL,          -- JSON array: the turn's own agents that ran then
  news_json TEXT NOT NULL,            -- JSON object: what is announced when the turn has ended
  PRIMARY KEY (session_id, turn_key)
) WITHOUT ROWID;

CREATE INDEX provisional_turns_by_time ON provisional_turns(since);

-- When a session's process last ended, or a new one began: agents from before run no more.
CREATE TABLE session_ends (
  session_id TEXT PRIMARY KEY,
  ended_at TEXT NOT NULL
) WITHOUT ROWID;

CREATE TRIGGER turns_delete AFTER DELETE ON turns BEGIN
  DELETE FROM follow_ups WHERE session_id = old.session_id AND turn_key = old.turn_key;
  DELETE FROM provisional_turns WHERE session_id = old.session_id AND turn_key = old.turn_key;
END;

CREATE TRIGGER sessions_delete AFTER DELETE ON sessions BEGIN
  DELETE FROM session_ends WHERE session_id = old.session_id;
END;
