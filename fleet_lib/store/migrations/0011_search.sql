-- The full-text search, filled by the drainer: words inside Chinese, Japanese and Thai sentences, and
-- titles. Triggers only note what changed, in plain SQL: they run in other programs too, and neither
-- those nor a capture may depend on the index.

DROP TRIGGER IF EXISTS briefings_fts_insert;

DROP TRIGGER IF EXISTS briefings_fts_delete;

DROP TRIGGER IF EXISTS briefings_fts_update;

DROP TABLE IF EXISTS briefings_fts;

CREATE TABLE search_text (
  doc INTEGER PRIMARY KEY,            -- grows with the time at which the turn ended: the newest hits
                                      -- are found first
  briefing_id INTEGER NOT NULL UNIQUE,
  title TEXT NOT NULL,                -- words of title and summary
  body TEXT NOT NULL,                 -- words of everything else
  filters TEXT NOT NULL               -- a word for the project and one for the status
);

CREATE VIRTUAL TABLE search_fts USING fts5(
  title, body, filters,
  content = 'search_text', content_rowid = 'doc',
  tokenize = "unicode61 remove_diacritics 0 categories 'L* N* Co M*'"
);

CREATE TABLE search_changes (
  briefing_id INTEGER NOT NULL        -- inserted, changed or deleted, and not in the index yet
);

CREATE TABLE search_progress (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  filled_from INTEGER NOT NULL        -- briefings with this id or a higher one are in the index
);

CREATE TRIGGER search_briefing_insert AFTER INSERT ON briefings BEGIN
  INSERT INTO search_changes (briefing_id) VALUES (new.briefing_id);
END;

CREATE TRIGGER search_briefing_update AFTER UPDATE OF
  briefing_id, project_id, task_id, status, ended_at, branch, blockers_json, next_steps_json,
  docs_touched_json, files_touched_json, raw_markdown, created_at
ON briefings BEGIN
  INSERT INTO search_changes (briefing_id) VALUES (old.briefing_id), (new.briefing_id);
END;

CREATE TRIGGER search_briefing_delete AFTER DELETE ON briefings BEGIN
  INSERT INTO search_changes (briefing_id) VALUES (old.briefing_id);
END;

CREATE TRIGGER search_turn_insert AFTER INSERT ON turns BEGIN
  INSERT INTO search_changes (briefing_id) VALUES (new.briefing_id);
END;

CREATE TRIGGER search_turn_update AFTER UPDATE OF briefing_id, title, summary, question ON turns BEGIN
  INSERT INTO search_changes (briefing_id) VALUES (old.briefing_id), (new.briefing_id);
END;

CREATE TRIGGER search_turn_delete AFTER DELETE ON turns BEGIN
  INSERT INTO search_changes (briefing_id) VALUES (old.briefing_id);
END;
