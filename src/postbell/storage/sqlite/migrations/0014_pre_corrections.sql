-- Block `block` was the newest one, and `was` its time, when the clock turned out to be at `at`
-- only: later blocks have times below it.
CREATE TABLE corrections (
    block INTEGER PRIMARY KEY,
    was INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT;
