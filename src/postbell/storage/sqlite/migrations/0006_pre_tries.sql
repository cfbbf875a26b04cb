-- How often somebody tried to sign in: one count for all processes. Keys are digests.

CREATE TABLE tries (
    key BLOB PRIMARY KEY,
    count INTEGER NOT NULL,
    since INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tries_by_age ON tries (since);
