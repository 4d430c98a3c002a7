-- Turns that were taken in from a transcript, and the order of briefings: an import adds old ones later, so
-- that ids say nothing about time.

CREATE TABLE imported_turns (
  briefing_id INTEGER PRIMARY KEY REFERENCES briefings(briefing_id) ON DELETE CASCADE,
  imported_at TEXT NOT NULL,
  reported_at TEXT                    -- when the turn's own hook reported it after all
);

-- The keys of turns that were pruned, so that no import brings them back.
CREATE TABLE pruned_turns (
  session_id TEXT NOT NULL,
  turn_key TEXT NOT NULL,
  PRIMARY KEY (session_id, turn_key)
) WITHOUT ROWID;

CREATE INDEX turns_by_key ON turns(turn_key);

DROP INDEX briefings_by_project;

CREATE INDEX briefings_by_project_end
  ON briefings(project_id, ifnull(ended_at, created_at), briefing_id);

CREATE INDEX briefings_by_end ON briefings(ifnull(ended_at, created_at), briefing_id);
