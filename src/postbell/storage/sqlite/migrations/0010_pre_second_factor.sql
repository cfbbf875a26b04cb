-- What people see of their sessions, and one-time codes as a second factor of signing in.

ALTER TABLE sessions ADD COLUMN device TEXT NOT NULL DEFAULT '';    -- browser and system
ALTER TABLE sessions ADD COLUMN place TEXT NOT NULL DEFAULT '';     -- network address, last use

CREATE TABLE second_factors (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner_id INTEGER NOT NULL UNIQUE REFERENCES owners (id) ON DELETE CASCADE,
    secret BLOB NOT NULL,           -- sealed
    password_hash TEXT NOT NULL,    -- the owner's when it was begun
    created_at INTEGER NOT NULL,
    since INTEGER,                  -- in force; NULL while its first code is awaited
    last_step INTEGER NOT NULL      -- the newest time step whose code was used
) STRICT;

CREATE TABLE recovery_codes (
    factor_id INTEGER NOT NULL REFERENCES second_factors (id) ON DELETE CASCADE,
    digest BLOB NOT NULL,
    PRIMARY KEY (factor_id, digest)
) STRICT, WITHOUT ROWID;

CREATE TABLE half_sign_ins (
    digest BLOB PRIMARY KEY,
    owner_id INTEGER NOT NULL REFERENCES owners (id) ON DELETE CASCADE,
    password_hash TEXT NOT NULL,    -- the one that was verified
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX half_sign_ins_of_owner ON half_sign_ins (owner_id);
