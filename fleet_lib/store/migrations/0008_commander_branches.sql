-- One session may be open in several Claude Code processes, each of which continues it in a branch of
-- its own: what one of them was shown the others do not know. The cursor of commander_sessions is the
-- one of the branch that ended the last turn, from which a resumed session goes on.
CREATE TABLE commander_branches (
  session_id TEXT NOT NULL,
  client TEXT NOT NULL,               -- the process, PID:START; '' if it is not known
  cursor_event_id INTEGER NOT NULL,   -- committed by the Stop of a turn
  start_through_event_id INTEGER NOT NULL,  -- shown by its latest SessionStart
  updated_at TEXT NOT NULL,
  PRIMARY KEY (session_id, client)
) WITHOUT ROWID;

-- Commander sessions in which the conversation does not continue.
CREATE TABLE commander_sessions_apart (
  session_id TEXT PRIMARY KEY,
  reason TEXT NOT NULL                -- question: asked beside an open Commander; reset: `--reset`
) WITHOUT ROWID;
