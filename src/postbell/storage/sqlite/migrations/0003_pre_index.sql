-- The search index: made from log and journal by a cursor of its own, and dropped with them.

-- A segment holds the terms of an account's events in a range of blocks, sorted; small
-- neighbours are merged. fences has the first key of each page, uint64.
CREATE TABLE index_segments (
    account_id INTEGER NOT NULL,
    first_block INTEGER NOT NULL,
    last_block INTEGER NOT NULL,
    id INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    fences BLOB NOT NULL,
    PRIMARY KEY (account_id, first_block)
) STRICT, WITHOUT ROWID;
CREATE INDEX index_segments_by_age ON index_segments (last_block);

-- A page's id is its segment's id << 10, plus its number; its body uint64 keys.
CREATE TABLE index_pages (
    id INTEGER PRIMARY KEY,
    body BLOB NOT NULL
) STRICT;

CREATE TABLE index_counts (
    by_hour INTEGER NOT NULL,
    series TEXT NOT NULL,
    owner_id INTEGER NOT NULL,
    at INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (by_hour, series, owner_id, at, slot)
) STRICT, WITHOUT ROWID;

CREATE TABLE index_visits (
    webhook_id INTEGER NOT NULL,
    start INTEGER NOT NULL,         -- block << 10 | offset
    journal_id INTEGER NOT NULL,
    "end" INTEGER NOT NULL,
    PRIMARY KEY (webhook_id, start, journal_id)
) STRICT, WITHOUT ROWID;

INSERT INTO meta VALUES ('index_block', 0), ('index_journal', 0), ('index_segment', 0);
