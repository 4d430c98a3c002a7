-- Lists of sessions, newest first, at the same cost however many there are.

CREATE INDEX sessions_by_time ON sessions(last_seen_at);

-- Those that failed, asked or were blocked last, far back too.
CREATE INDEX sessions_by_state ON sessions(state, last_seen_at);

CREATE INDEX sessions_living ON sessions(last_seen_at) WHERE ended_at IS NULL;
