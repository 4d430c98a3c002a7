-- What was sent of the alerts to each target of notify.json, so that no message is sent twice. A row
-- is written as `noted` before the message is sent. What is still noted when the sender has gone may
-- have been sent, so it is never tried again.

CREATE TABLE notifications (
  target TEXT NOT NULL,               -- the target's id in notify.json
  event_id INTEGER NOT NULL,          -- the event of the alert
  target_name TEXT NOT NULL,
  state TEXT NOT NULL,                -- noted|sent|failed|over (before it was due)|earlier (than the target)
  attempts INTEGER NOT NULL,
  at TEXT NOT NULL,                   -- when it got this state
  retry_after TEXT NOT NULL,          -- of a failed one: not before
  error TEXT NOT NULL,                -- one line without secrets, "" if there was none
  PRIMARY KEY (target, event_id)
) WITHOUT ROWID;

CREATE INDEX notifications_by_time ON notifications(at);
