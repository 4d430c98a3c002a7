-- Several machines: what this home is called on its relay, the others, and what came from them. Rows
-- of other machines are rows of the tables that were there; these say where they are from.

CREATE TABLE relay_self (
  only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
  machine TEXT NOT NULL,              -- as this home's key is called on the server
  person TEXT NOT NULL,               -- whose it is: a person's machines share titles and dismissals
  epoch TEXT NOT NULL,                -- 16 hex digits: new for a copied home, or one that was set back
  home TEXT NOT NULL,                 -- digest of where the home lies: a copy has another
  url TEXT NOT NULL,
  grants_json TEXT NOT NULL,          -- JSON array: the projects that the server lets it read, or "*"
  joined_at TEXT NOT NULL,            -- when this epoch began
  connected_at TEXT,                  -- when it last exchanged everything
  failing_since TEXT,                 -- NULL: the last exchange succeeded
  failures INTEGER NOT NULL,          -- in a row
  trouble TEXT NOT NULL               -- one line: why it failed
);

CREATE TABLE relay_machines (
  machine TEXT NOT NULL,
  epoch TEXT NOT NULL,
  is_own INTEGER NOT NULL,            -- boolean: of the same person, as the server vouches
  heard_at TEXT NOT NULL,             -- when the server stored its newest message
  sent_event_id INTEGER NOT NULL,     -- the newest event that it says it has sent
  sent_event_at TEXT NOT NULL,
  received_event_id INTEGER NOT NULL, -- the newest of them that is here
  newer INTEGER NOT NULL,             -- messages of a later Fleet, skipped
  set_aside INTEGER NOT NULL,         -- messages that could not be applied
  last_reason TEXT NOT NULL,          -- why the last of these could not
  PRIMARY KEY (machine, epoch)
) WITHOUT ROWID;

CREATE TABLE relay_events (
  machine TEXT NOT NULL,
  epoch TEXT NOT NULL,
  event_id INTEGER NOT NULL,          -- the sender's
  digest TEXT NOT NULL,               -- of the sender's row: copies of a home send the same one
  local_event_id INTEGER,             -- NULL: known before, from another epoch
  received_at TEXT NOT NULL,
  PRIMARY KEY (machine, epoch, event_id)
) WITHOUT ROWID;

CREATE INDEX relay_events_by_local ON relay_events(local_event_id) WHERE local_event_id IS NOT NULL;

CREATE INDEX relay_events_by_digest ON relay_events(machine, event_id, digest);

CREATE TABLE relay_briefings (
  machine TEXT NOT NULL,
  epoch TEXT NOT NULL,
  briefing_id INTEGER NOT NULL,       -- the sender's
  local_briefing_id INTEGER,          -- NULL: only its title has come so far
  revision INTEGER NOT NULL,          -- the sender's
  title TEXT,
  usage_json TEXT,
  PRIMARY KEY (machine, epoch, briefing_id)
) WITHOUT ROWID;

CREATE INDEX relay_briefings_by_local ON relay_briefings(local_briefing_id);

CREATE TABLE relay_positions (
  filter TEXT PRIMARY KEY,            -- the subjects that are read from there
  sequence INTEGER NOT NULL,          -- in the stream, of the last message that was applied
  stored_ns INTEGER NOT NULL,         -- when the server stored it: another stream has another there
  started_at TEXT NOT NULL            -- when it was last read from the beginning
) WITHOUT ROWID;

CREATE TABLE relay_shares (
  project_id TEXT PRIMARY KEY,
  is_shared INTEGER,                  -- boolean: what a person decided; NULL: as relay.share says
  sent_through INTEGER NOT NULL,      -- the newest event that the server has acknowledged
  scanned_through INTEGER NOT NULL,   -- the newest event that was looked at
  refused TEXT NOT NULL               -- why the server does not take it; "" if it does
) WITHOUT ROWID;
