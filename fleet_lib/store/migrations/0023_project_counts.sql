-- How many briefings a project has, as a sum: counting half a million takes longer than all else of
-- a list. Triggers keep it, also when another program writes.

CREATE TABLE project_counts (
  project_id TEXT PRIMARY KEY,
  briefings INTEGER NOT NULL
) WITHOUT ROWID;

INSERT INTO project_counts SELECT project_id, count(*) FROM briefings GROUP BY project_id;

CREATE TRIGGER project_counts_insert AFTER INSERT ON briefings BEGIN
  INSERT INTO project_counts SELECT new.project_id, 0
    WHERE NOT EXISTS (SELECT 1 FROM project_counts WHERE project_id = new.project_id);
  UPDATE project_counts SET briefings = briefings + 1 WHERE project_id = new.project_id;
END;

CREATE TRIGGER project_counts_update AFTER UPDATE OF project_id ON briefings
WHEN new.project_id <> old.project_id BEGIN
  UPDATE project_counts SET briefings = briefings - 1 WHERE project_id = old.project_id;
  INSERT INTO project_counts SELECT new.project_id, 0
    WHERE NOT EXISTS (SELECT 1 FROM project_counts WHERE project_id = new.project_id);
  UPDATE project_counts SET briefings = briefings + 1 WHERE project_id = new.project_id;
END;

CREATE TRIGGER project_counts_delete AFTER DELETE ON briefings BEGIN
  UPDATE project_counts SET briefings = briefings - 1 WHERE project_id = old.project_id;
END;
