-- The name that a person gave a session (`/rename`, `claude --name`).

ALTER TABLE sessions ADD COLUMN title TEXT /* one line, redacted; NULL: it has none */;
