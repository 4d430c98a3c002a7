-- A session may have thousands of turns: what each new one asks about those before it, by index.

CREATE INDEX turns_titled ON turns(session_id, stopped_at, briefing_id) WHERE title IS NOT NULL;
CREATE INDEX turns_not_placed ON turns(session_id) WHERE NOT is_placed;
