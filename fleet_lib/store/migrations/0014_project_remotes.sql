-- The forms by which a project's remote is known, so that it is found without reading the address of
-- every project.

CREATE TABLE project_remotes (
  project_id TEXT NOT NULL REFERENCES projects(project_id) ON DELETE CASCADE,
  canonical TEXT /* host/path, see fleet_lib/remotes.py; NULL: not worked out yet */
);

CREATE UNIQUE INDEX project_remotes_by_form ON project_remotes(canonical, project_id);

CREATE INDEX project_remotes_by_project ON project_remotes(project_id);

-- Other programs write projects, too. What they write is worked out by the next drain that looks a
-- remote up.
CREATE TRIGGER project_remotes_insert AFTER INSERT ON projects WHEN NEW.git_remote IS NOT NULL BEGIN
  INSERT INTO project_remotes (project_id) VALUES (NEW.project_id);
END;

CREATE TRIGGER project_remotes_update AFTER UPDATE OF git_remote ON projects
WHEN NEW.git_remote IS NOT OLD.git_remote BEGIN
  DELETE FROM project_remotes WHERE project_id = NEW.project_id;
  INSERT INTO project_remotes (project_id) VALUES (NEW.project_id);
END;

CREATE TRIGGER project_remotes_delete AFTER DELETE ON projects BEGIN
  DELETE FROM project_remotes WHERE project_id = OLD.project_id;
END;

INSERT INTO project_remotes (project_id) SELECT project_id FROM projects WHERE git_remote IS NOT NULL;
