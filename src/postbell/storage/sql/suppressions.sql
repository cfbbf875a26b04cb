-- name: suppression_rules
-- The rules of accounts that have some, and how many entries are in force.
SELECT account_id, rules, since_block, entries FROM suppression_rules;

-- name: suppression_rules_of
-- The rules of one account.
SELECT account_id, rules, since_block, entries FROM suppression_rules WHERE account_id = ?1;

-- name: set_suppression_rules
-- The account has these rules from a block on.
INSERT INTO suppression_rules VALUES (?1, ?2, ?3, 0)
ON CONFLICT (account_id) DO UPDATE SET rules = ?2, since_block = ?3;

-- name: count_suppressions
-- The account has ?2 more entries in force, and how many these are is returned; ?3 are the rules of
-- one that has none yet.
INSERT INTO suppression_rules VALUES (?1, ?3, 0, ?2)
ON CONFLICT (account_id) DO UPDATE SET entries = suppression_rules.entries + ?2
RETURNING entries;

-- name: followed
-- How far the list has read, the newest rebuild and where that is done.
SELECT block.value, generation.value, rebuild_to.value
FROM meta AS block, meta AS generation, meta AS rebuild_to
WHERE block.name = 'suppressed_block' AND generation.name = 'suppressed_generation'
    AND rebuild_to.name = 'suppressed_rebuild_to';

-- name: set_followed
-- The mark ?1 is ?2.
UPDATE meta SET value = ?2 WHERE name = ?1;

-- name: next_suppression_revision
-- A revision that was never used.
UPDATE meta SET value = value + 1 WHERE name = 'suppressed_revision' RETURNING value;

-- name: rules_of_all_time
-- Every rule is in force for the whole log.
UPDATE suppression_rules SET since_block = 0;

-- name: forget_all_days
-- Nothing was counted.
DELETE FROM suppression_days;

-- name: suppression
-- One entry.
SELECT account_id, key, api_user_id, address, reason, since, until, block, event_id, note,
    removed_at, removed_block, revision, generation
FROM suppressions WHERE account_id = ?1 AND key = ?2 AND api_user_id = ?3;

-- name: suppressions_of_key
-- The entries of an address in an account.
SELECT account_id, key, api_user_id, address, reason, since, until, block, event_id, note,
    removed_at, removed_block, revision, generation
FROM suppressions WHERE account_id = ?1 AND key = ?2;

-- name: put_suppression
-- This is the entry.
INSERT INTO suppressions (account_id, key, api_user_id, address, reason, since, until, block,
    event_id, note, removed_at, removed_block, revision, generation)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
ON CONFLICT (account_id, key, api_user_id) DO UPDATE SET
    address = excluded.address, reason = excluded.reason, since = excluded.since,
    until = excluded.until, block = excluded.block, event_id = excluded.event_id,
    note = excluded.note, removed_at = excluded.removed_at,
    removed_block = excluded.removed_block, revision = excluded.revision,
    generation = excluded.generation;

-- name: drop_suppression
-- The entry is gone.
DELETE FROM suppressions WHERE account_id = ?1 AND key = ?2 AND api_user_id = ?3;

-- name: suppression_edge
-- The last of so many places after one.
SELECT key, api_user_id FROM suppressions
WHERE account_id = ?1 AND (key, api_user_id) > (?2, ?3)
ORDER BY key, api_user_id LIMIT 1 OFFSET ?4;

-- name: suppressions_since
-- Entries that changed after a revision.
SELECT account_id, key, api_user_id, address, reason, since, until, block, event_id, note,
    removed_at, removed_block, revision, generation
FROM suppressions WHERE revision > ?1 ORDER BY revision LIMIT ?2;

-- name: ended_suppressions
-- Some entries whose time is over.
SELECT account_id, key, api_user_id, address, reason, since, until, block, event_id, note,
    removed_at, removed_block, revision, generation
FROM suppressions WHERE until IS NOT NULL AND until <= ?1 AND removed_at IS NULL
ORDER BY until LIMIT ?2;

-- name: unfounded_suppressions
-- Some entries that came from the log, and that a rebuild did not look at.
SELECT account_id, key, api_user_id, address, reason, since, until, block, event_id, note,
    removed_at, removed_block, revision, generation
FROM suppressions WHERE removed_at IS NULL AND block > 0 AND generation < ?1 LIMIT ?2;

-- name: keep_suppressions
-- What a block caused in an account is of this generation.
UPDATE suppressions SET generation = ?3 WHERE account_id = ?1 AND block = ?2;

-- name: drop_removed_suppressions
-- At most ?3 removed entries are gone that only older blocks could cause, removed before ?2.
DELETE FROM suppressions WHERE (account_id, key, api_user_id) IN (
    SELECT account_id, key, api_user_id FROM suppressions
    WHERE removed_at IS NOT NULL AND removed_block < ?1 AND removed_at < ?2 LIMIT ?3
);

-- name: suppression_days
-- The days on which something came that counts for an address.
SELECT days FROM suppression_days WHERE account_id = ?1 AND key = ?2 AND api_user_id = ?3;

-- name: set_suppression_days
-- These are the days, until ?5 at least.
INSERT INTO suppression_days VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (account_id, key, api_user_id) DO UPDATE SET
    days = ?4,
    until_day = CASE WHEN suppression_days.until_day > ?5 THEN suppression_days.until_day ELSE ?5 END;

-- name: forget_suppression_days
-- Nothing is counted for the address.
DELETE FROM suppression_days WHERE account_id = ?1 AND key = ?2 AND api_user_id = ?3;

-- name: drop_old_suppression_days
-- At most ?2 of the counts that nobody needs on ?1 are gone.
DELETE FROM suppression_days WHERE (account_id, key, api_user_id) IN (
    SELECT account_id, key, api_user_id FROM suppression_days WHERE until_day <= ?1 LIMIT ?2
);

-- name: add_suppression_change
-- The change waits to be told.
INSERT INTO suppression_changes VALUES (?1, ?2);

-- name: suppression_changes
-- Changes that wait to be told.
SELECT revision, change FROM suppression_changes WHERE revision > ?1 ORDER BY revision LIMIT ?2;

-- name: drop_told_changes
-- No change up to a revision waits.
DELETE FROM suppression_changes WHERE revision <= ?1;

-- name: drop_suppression_changes
-- At most ?2 of the changes up to a revision are gone.
DELETE FROM suppression_changes WHERE revision IN (
    SELECT revision FROM suppression_changes WHERE revision <= ?1 ORDER BY revision LIMIT ?2
);
