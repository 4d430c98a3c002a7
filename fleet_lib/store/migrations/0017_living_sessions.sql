-- The few sessions that have not ended, among all that there ever were: every drain looks at them.
CREATE INDEX sessions_living ON sessions(last_seen_at) WHERE ended_at IS NULL;
