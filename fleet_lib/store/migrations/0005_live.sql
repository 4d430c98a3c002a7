-- Live state: where Claude Code keeps its own session files, and what its permission prompts ask.

-- A configuration folder of Claude Code: it has `projects/` and `sessions/`. The drainer fills this
-- from the paths of transcripts, after it could look into the folder.
CREATE TABLE client_folders (
  folder TEXT PRIMARY KEY,
  device INTEGER NOT NULL,            -- st_dev; a folder of another device than the home's may hang
  checked_at TEXT NOT NULL            -- when the drainer last looked into it
) WITHOUT ROWID;

-- The newest permission prompt of each thread of a session, until that thread has ended its turn.
CREATE TABLE permission_requests (
  session_id TEXT NOT NULL REFERENCES sessions(session_id) ON DELETE CASCADE,
  agent_id TEXT NOT NULL,             -- "" for the main thread
  asked_at TEXT NOT NULL,
  text TEXT NOT NULL,                 -- one line, redacted: `Bash: rm -rf build`
  is_question INTEGER NOT NULL,       -- boolean: AskUserQuestion, which asks no permission
  is_announced INTEGER NOT NULL,      -- boolean: an event has announced it
  PRIMARY KEY (session_id, agent_id)
) WITHOUT ROWID;

-- The folder in which a session's file was seen: a session whose file is gone has ended.
CREATE TABLE client_files (
  session_id TEXT PRIMARY KEY REFERENCES sessions(session_id) ON DELETE CASCADE,
  folder TEXT NOT NULL
) WITHOUT ROWID;
