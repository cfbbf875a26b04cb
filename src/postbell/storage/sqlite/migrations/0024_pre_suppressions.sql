-- Who is not to be mailed any more, what makes it so by itself, what is counted for that, and changes that wait to be told.
CREATE TABLE suppressions (
    account_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    api_user_id INTEGER NOT NULL,
    address TEXT NOT NULL,
    reason TEXT NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER,
    block INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    note TEXT NOT NULL,
    removed_at INTEGER,
    removed_block INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    PRIMARY KEY (account_id, key, api_user_id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX suppressions_by_revision ON suppressions (revision);
CREATE INDEX suppressions_until ON suppressions (until)
    WHERE until IS NOT NULL AND removed_at IS NULL;
CREATE INDEX suppressions_removed ON suppressions (removed_block) WHERE removed_at IS NOT NULL;
CREATE INDEX suppressions_caused ON suppressions (generation)
    WHERE removed_at IS NULL AND block > 0;
CREATE TABLE suppression_days (
    account_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    api_user_id INTEGER NOT NULL,
    days TEXT NOT NULL,
    until_day INTEGER NOT NULL,
    PRIMARY KEY (account_id, key, api_user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX suppression_days_until ON suppression_days (until_day);
CREATE TABLE suppression_rules (
    account_id INTEGER PRIMARY KEY REFERENCES accounts (id),
    rules TEXT NOT NULL,
    since_block INTEGER NOT NULL,
    entries INTEGER NOT NULL
) STRICT;
CREATE TABLE suppression_changes (
    revision INTEGER PRIMARY KEY,
    change TEXT NOT NULL
) STRICT;
INSERT INTO meta VALUES ('suppressed_block', 0);
INSERT INTO meta VALUES ('suppressed_generation', 0);
INSERT INTO meta VALUES ('suppressed_rebuild_to', 0);
INSERT INTO meta VALUES ('suppressed_revision', 0);
