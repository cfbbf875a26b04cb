-- Who changed what: an entry for each change, written in the change's own commit.

CREATE TABLE trail (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    account_id INTEGER,             -- NULL: the installation's own
    actor_kind TEXT NOT NULL,
    actor_id INTEGER NOT NULL,
    actor TEXT NOT NULL,
    address TEXT NOT NULL,
    face TEXT NOT NULL,
    action TEXT NOT NULL,
    subject_kind TEXT NOT NULL,
    subject_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    old TEXT NOT NULL,              -- JSON, secrets masked
    new TEXT NOT NULL
) STRICT;
CREATE INDEX trail_by_time ON trail (at);
CREATE INDEX trail_of_account ON trail (account_id, at);
