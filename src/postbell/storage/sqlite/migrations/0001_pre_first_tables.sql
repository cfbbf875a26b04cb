-- The first tables. Times are microseconds since 1970 in UTC; columns that hold JSON or
-- MessagePack say so. Large columns stand last, so that reading what is before them never
-- touches their overflow pages.

CREATE TABLE accounts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE api_users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id INTEGER NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL UNIQUE,
    key_hash TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;

-- A deleted webhook stays as a tombstone: its id and version, nothing that was sealed.
CREATE TABLE webhooks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id INTEGER NOT NULL REFERENCES accounts (id),
    api_user TEXT NOT NULL,
    dialect TEXT NOT NULL,
    state TEXT NOT NULL,
    state_reason TEXT NOT NULL,
    start_block INTEGER NOT NULL,
    start_offset INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER,
    version INTEGER NOT NULL,
    types TEXT,                     -- JSON list, NULL for all
    options TEXT NOT NULL,          -- JSON
    policy TEXT NOT NULL,           -- JSON
    url BLOB NOT NULL,              -- sealed
    headers BLOB NOT NULL           -- sealed JSON, empty for none
) STRICT;
CREATE INDEX webhooks_by_version ON webhooks (version);
CREATE INDEX webhooks_of_account ON webhooks (account_id);

CREATE TABLE revisions (
    webhook_id INTEGER NOT NULL REFERENCES webhooks (id),
    number INTEGER NOT NULL,
    start_block INTEGER NOT NULL,
    start_offset INTEGER NOT NULL,
    api_user_id INTEGER,
    dialect TEXT NOT NULL,
    types TEXT,                     -- JSON list, NULL for all
    options TEXT NOT NULL,          -- JSON
    PRIMARY KEY (webhook_id, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE secrets (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook_id INTEGER REFERENCES webhooks (id),
    account_id INTEGER REFERENCES accounts (id),
    kind TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    active_at INTEGER NOT NULL,
    expires_at INTEGER,
    value BLOB NOT NULL,            -- sealed
    CHECK ((webhook_id IS NULL) <> (account_id IS NULL))
) STRICT;
CREATE INDEX secrets_of_webhook ON secrets (webhook_id) WHERE webhook_id IS NOT NULL;
CREATE INDEX secrets_of_account ON secrets (account_id) WHERE account_id IS NOT NULL;

-- The next sequence number of each account. Row 0 stands for the log itself: its next number is
-- the next block's id, and recorded_at the time of the newest block; it outlives the blocks. All
-- in one table, so that an append writes one page less.
CREATE TABLE heads (
    account_id INTEGER PRIMARY KEY,
    next_sequence INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO heads VALUES (0, 1, 0);

CREATE TABLE blocks (
    id INTEGER PRIMARY KEY,
    account_id INTEGER NOT NULL,
    api_user_id INTEGER NOT NULL,
    first_sequence INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    codes BLOB NOT NULL,
    sizes BLOB NOT NULL,
    hashes BLOB NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX blocks_of_account ON blocks (account_id, id);

-- Idempotency-Key headers.
CREATE TABLE keys (
    account_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    at INTEGER NOT NULL,
    digest BLOB NOT NULL,
    answer BLOB NOT NULL,
    PRIMARY KEY (account_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX keys_by_age ON keys (at);

-- lease_until is 0 while nobody holds the lane.
CREATE TABLE lanes (
    webhook_id INTEGER PRIMARY KEY REFERENCES webhooks (id),
    account_id INTEGER NOT NULL,
    cursor_block INTEGER NOT NULL,
    cursor_offset INTEGER NOT NULL,
    epoch INTEGER NOT NULL DEFAULT 0,
    writes INTEGER NOT NULL DEFAULT 0,
    failing_since INTEGER,
    failures INTEGER NOT NULL DEFAULT 0,
    last_success_at INTEGER,
    hold_until INTEGER,
    delivered INTEGER NOT NULL DEFAULT 0,
    owner TEXT NOT NULL DEFAULT '',
    lease_until INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX lanes_by_lease ON lanes (lease_until);
CREATE INDEX lanes_by_owner ON lanes (owner);

CREATE TABLE batches (
    id TEXT PRIMARY KEY,
    webhook_id INTEGER NOT NULL REFERENCES webhooks (id),
    account_id INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    start_block INTEGER NOT NULL,
    start_offset INTEGER NOT NULL,
    end_block INTEGER NOT NULL,
    end_offset INTEGER NOT NULL,
    count INTEGER NOT NULL,
    cut_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    next_at INTEGER,
    last_status INTEGER,
    last_error TEXT NOT NULL,
    body_hash BLOB NOT NULL,
    done BLOB,
    replay_id INTEGER,
    parked_at INTEGER,
    parent TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;
CREATE INDEX batches_of_webhook ON batches (webhook_id, id);
CREATE INDEX batches_of_account ON batches (account_id, id);

CREATE TABLE replays (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id INTEGER NOT NULL,
    webhook_id INTEGER NOT NULL REFERENCES webhooks (id),
    revision INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    rate_per_s REAL NOT NULL,
    position_block INTEGER NOT NULL,
    position_offset INTEGER NOT NULL,
    state TEXT NOT NULL,
    events INTEGER NOT NULL,
    filter TEXT NOT NULL,           -- JSON
    ranges TEXT NOT NULL            -- JSON list
) STRICT;
CREATE INDEX replays_of_account ON replays (account_id, id);
CREATE INDEX replays_of_webhook ON replays (webhook_id, id);

CREATE TABLE journal (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    count INTEGER NOT NULL,
    body BLOB NOT NULL              -- MessagePack list of entries
) STRICT;
CREATE INDEX journal_by_age ON journal (last_at);

-- Which journal rows speak of a webhook.
CREATE TABLE journal_webhooks (
    webhook_id INTEGER NOT NULL,
    journal_id INTEGER NOT NULL,
    account_id INTEGER NOT NULL,
    PRIMARY KEY (webhook_id, journal_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX journal_of_account ON journal_webhooks (account_id, journal_id);

INSERT INTO meta VALUES ('registry_version', 0), ('ready_at', 0);
