-- People who sign in, their browsers, and resets of their passwords.

CREATE TABLE owners (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id INTEGER NOT NULL REFERENCES accounts (id),
    email TEXT NOT NULL UNIQUE,     -- in lower case
    password_hash TEXT NOT NULL,    -- argon2, empty for none
    created_at INTEGER NOT NULL,
    language TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    wants_notices INTEGER NOT NULL,
    is_operator INTEGER NOT NULL
) STRICT;
CREATE INDEX owners_of_account ON owners (account_id);

CREATE TABLE sessions (
    digest BLOB PRIMARY KEY,
    owner_id INTEGER NOT NULL REFERENCES owners (id),
    account_id INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_of_owner ON sessions (owner_id);

CREATE TABLE resets (
    owner_id INTEGER PRIMARY KEY REFERENCES owners (id),
    digest BLOB NOT NULL UNIQUE,
    expires_at INTEGER NOT NULL
) STRICT;
