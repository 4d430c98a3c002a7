-- Which session touched which file lately, and which overlaps were announced. Rows older than a day
-- say nothing, and the drainer deletes them.

CREATE TABLE touched_files (
  session_id TEXT NOT NULL,
  file TEXT NOT NULL,                 -- relative to the repository
  project_id TEXT NOT NULL,
  worktree TEXT NOT NULL,             -- the top folder of the working tree
  touched_at TEXT NOT NULL,           -- when the session last ended a turn that touched it
  PRIMARY KEY (session_id, file)
) WITHOUT ROWID;

CREATE INDEX touched_files_by_file ON touched_files(project_id, file, touched_at);
CREATE INDEX touched_files_by_time ON touched_files(touched_at);

CREATE TABLE file_overlaps (
  first_session_id TEXT NOT NULL,     -- the two sessions, in the order of their ids
  second_session_id TEXT NOT NULL,
  file TEXT NOT NULL,
  announced_at TEXT NOT NULL,
  PRIMARY KEY (first_session_id, second_session_id, file)
) WITHOUT ROWID;

CREATE INDEX file_overlaps_by_time ON file_overlaps(announced_at);
