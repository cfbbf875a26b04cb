-- Where each source of events stands, what became of its facts and what it said of itself last; and what sources remember.
CREATE TABLE sources (
    name TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    checkpoint BLOB NOT NULL DEFAULT x'',
    position TEXT NOT NULL DEFAULT '',
    taken INTEGER NOT NULL DEFAULT 0,
    duplicates INTEGER NOT NULL DEFAULT 0,
    refused INTEGER NOT NULL DEFAULT 0,
    moved_at INTEGER,
    remembered INTEGER NOT NULL DEFAULT 0,
    standing TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE remembered (
    source TEXT NOT NULL,
    key TEXT NOT NULL,
    until INTEGER NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (source, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX remembered_until ON remembered (until);
CREATE INDEX remembered_of_source ON remembered (source, until);
