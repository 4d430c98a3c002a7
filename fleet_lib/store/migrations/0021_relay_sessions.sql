-- Other machines' sessions by their own machine's clock, which may be another one than this
-- machine's; and what one person's machines decided about hiding a session.

CREATE TABLE relay_sessions (
  session_id TEXT PRIMARY KEY,        -- as in `sessions`
  epoch TEXT NOT NULL,
  state_at TEXT NOT NULL,             -- by the session's own machine
  last_seen_at TEXT NOT NULL          -- the same
) WITHOUT ROWID;

CREATE TABLE relay_hidden (
  session_id TEXT NOT NULL,           -- as in `sessions`, where it may not be yet
  state_at TEXT NOT NULL,             -- the state that is hidden, by the session's own machine
  until TEXT NOT NULL,                -- a time that is over: it is shown again
  version INTEGER NOT NULL,           -- one more for each decision: clocks cannot order them
  is_from_here INTEGER NOT NULL,      -- boolean: this machine decided, and sends it
  noted_at TEXT NOT NULL,
  PRIMARY KEY (session_id, state_at)
) WITHOUT ROWID;

-- Lists of one machine. The expression is letter for letter that of fleet_lib/machines.py.
CREATE INDEX briefings_by_machine ON briefings(ifnull(CASE WHEN instr(session_id, '@relay/') > 0
    THEN substr(session_id, instr(session_id, '@relay/') + 7) END, ''),
  ifnull(ended_at, created_at));
CREATE INDEX briefings_by_project_machine ON briefings(project_id,
  ifnull(CASE WHEN instr(session_id, '@relay/') > 0
    THEN substr(session_id, instr(session_id, '@relay/') + 7) END, ''),
  ifnull(ended_at, created_at));
CREATE INDEX sessions_by_machine ON sessions(ifnull(CASE WHEN instr(session_id, '@relay/') > 0
    THEN substr(session_id, instr(session_id, '@relay/') + 7) END, ''),
  last_seen_at);
CREATE INDEX relay_events_by_machine ON relay_events(machine, local_event_id)
  WHERE local_event_id IS NOT NULL;
