-- What notices were told of each subject, those that wait for a recipient (JSON), and who does what
-- only one process does, until when.
CREATE TABLE told (
    version INTEGER PRIMARY KEY AUTOINCREMENT,
    subject TEXT NOT NULL UNIQUE,
    condition TEXT NOT NULL,
    worse_at INTEGER,
    worse TEXT NOT NULL
) STRICT;
CREATE TABLE letters (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    recipient TEXT NOT NULL,
    account_id INTEGER NOT NULL,
    notice BLOB NOT NULL
) STRICT;
CREATE INDEX letters_of_recipient ON letters (recipient, id);
CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
