-- Facts that sources did not understand, and how many of each source the bounds of that made leave it.
CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    source TEXT NOT NULL,
    at INTEGER NOT NULL,
    place TEXT NOT NULL,
    code TEXT NOT NULL,
    message TEXT NOT NULL,
    size INTEGER NOT NULL,
    is_wanted INTEGER NOT NULL DEFAULT 0,
    raw BLOB NOT NULL
) STRICT;
CREATE INDEX quarantine_of_source ON quarantine (source, id, size);
CREATE INDEX quarantine_by_time ON quarantine (at);
CREATE INDEX quarantine_wanted ON quarantine (source, id) WHERE is_wanted;
ALTER TABLE sources ADD COLUMN crowded_out INTEGER NOT NULL DEFAULT 0;
