-- Why the queue of jobs waits, when the model's service refuses all of them alike (a usage limit, an
-- expired login). At most one row; without one nothing is held.

CREATE TABLE job_hold (
  only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
  reason TEXT NOT NULL,               -- one line, redacted
  since TEXT NOT NULL,
  held_until TEXT NOT NULL,           -- one job is tried then
  refusals INTEGER NOT NULL           -- in a row; the pause grows with them
);
