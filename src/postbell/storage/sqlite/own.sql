-- name: messages
-- What is known of the messages of an account with these keys, a JSON array.
SELECT account_id, key, minute, seen, weight FROM index_messages
WHERE account_id = ?1 AND key IN (SELECT value FROM json_each(?2));

-- name: tell
-- This was told of the subject last, under a new version.
INSERT OR REPLACE INTO told (subject, condition, worse_at, worse) VALUES (?1, ?2, ?3, ?4);

-- name: add_reset
-- The owner, where there still is one, has this reset and no other.
INSERT OR REPLACE INTO resets (owner_id, digest, expires_at)
SELECT id, ?2, ?3 FROM owners WHERE id = ?1;

-- name: needed
-- The lowest block that each lane needs, of those that need one below ?1, but not of the webhooks in
-- the JSON list ?2.
SELECT lanes.webhook_id, min(cursor_block, coalesce((
    SELECT min((
        SELECT start_block FROM batches
        WHERE webhook_id = lanes.webhook_id AND state = column1 AND (done IS NULL) = column2
        ORDER BY start_block LIMIT 1
    )) FROM (VALUES ('waiting', 0), ('waiting', 1), ('parked', 0), ('parked', 1))
), cursor_block)) AS needed_block
FROM lanes
WHERE lanes.webhook_id NOT IN (SELECT found.value FROM json_each(?2) AS found)
    AND needed_block < ?1;

-- name: hold_lanes
-- No lane changes before this commit, which alone writes.
SELECT 1;

-- name: lock_head
-- As `read_head`; nothing is appended before this commit.
SELECT next_sequence - 1, recorded_at FROM heads WHERE account_id = 0;

-- name: add_journal
-- The entries are written down; the row's id is returned.
INSERT INTO journal (first_at, last_at, count, body) VALUES (?1, ?2, ?3, ?4) RETURNING id;

-- name: claim_lanes
-- ?1 holds at most ?4 lanes more until ?2, that nobody held at ?3, each with a higher epoch.
UPDATE lanes SET owner = ?1, lease_until = ?2, epoch = epoch + 1
WHERE webhook_id IN (
    SELECT webhook_id FROM lanes WHERE lease_until <= ?3 ORDER BY lease_until, webhook_id LIMIT ?4
)
RETURNING webhook_id, account_id, cursor_block, cursor_offset, epoch, writes, failing_since,
    failures, last_success_at, hold_until, delivered, refused_at, refused_bytes, taken_bytes,
    parked_batches, parked_events, lease_until, stop_until, is_still, work;

-- name: recent_journal
-- Journal rows before an id, the newest first; no body where it does not hold the bytes ?3.
SELECT id, CASE WHEN ?3 IS NULL OR instr(body, ?3) THEN body END
FROM journal WHERE id < ?1 ORDER BY id DESC LIMIT ?2;

-- name: recent_journal_of_webhook
-- The same of those that speak of a webhook.
SELECT journal.id, CASE WHEN ?3 IS NULL OR instr(journal.body, ?3) THEN journal.body END
FROM journal_webhooks
CROSS JOIN journal ON journal.id = journal_webhooks.journal_id
WHERE journal_webhooks.webhook_id = ?4 AND journal_webhooks.journal_id < ?1
ORDER BY journal_webhooks.journal_id DESC LIMIT ?2;

-- name: recent_journal_of_account
-- The same of those that speak of an account.
SELECT journal.id, CASE WHEN ?3 IS NULL OR instr(journal.body, ?3) THEN journal.body END FROM (
    SELECT DISTINCT journal_id FROM journal_webhooks
    WHERE account_id = ?4 AND journal_id < ?1 ORDER BY journal_id DESC LIMIT ?2
) AS found CROSS JOIN journal ON journal.id = found.journal_id
ORDER BY found.journal_id DESC;

-- name: queues
-- What stands on each lane of an account.
SELECT lanes.webhook_id, lanes.account_id, cursor_block, cursor_offset, failing_since,
    min(CASE WHEN batches.opened_at IS NULL THEN batches.start_block END),
    min(batches.opened_at), parked_events, last_success_at
FROM webhooks CROSS JOIN lanes ON lanes.webhook_id = webhooks.id
LEFT JOIN batches ON batches.webhook_id = lanes.webhook_id AND batches.state = 'waiting'
WHERE webhooks.account_id = ?1 GROUP BY webhooks.id ORDER BY webhooks.id;

-- name: parked_at
-- The parked batch of a webhook, no replay's, that begins last at or before a position.
SELECT id, webhook_id, revision, start_block, start_offset, end_block, end_offset, count, cut_at,
    state, attempts, next_at, last_status, last_error, body_hash, done, replay_id,
    parked_at, parent, opened_at, bisect_since, stop_until, is_still
FROM batches WHERE webhook_id = ?1 AND state = 'parked' AND (done IS NULL) = 1 AND replay_id IS NULL
    AND (start_block, start_offset) <= (?2, ?3)
ORDER BY start_block DESC, start_offset DESC LIMIT 1;

-- name: want
-- These facts, all of the source where ?2 is null, are to be read again, if they are whole: of ?3 bytes at most.
UPDATE quarantine SET is_wanted = 1
WHERE source = ?1 AND size BETWEEN 1 AND ?3
    AND (?2 IS NULL OR id IN (SELECT value FROM json_each(?2)))
RETURNING id;

-- name: drop_quarantined
-- These facts, all of the source where ?2 is null, are gone.
DELETE FROM quarantine
WHERE source = ?1 AND (?2 IS NULL OR id IN (SELECT value FROM json_each(?2)))
RETURNING id;

-- name: drop_crowded
-- Of the source's facts none is left that is beyond the newest ?2, or the newest of ?3 bytes, each counted as ?4 at most.
DELETE FROM quarantine WHERE id IN (
    SELECT id FROM (
        SELECT id, count(*) OVER newest AS facts, sum(min(size, ?4)) OVER newest AS bytes
        FROM quarantine WHERE source = ?1
        WINDOW newest AS (ORDER BY id DESC ROWS UNBOUNDED PRECEDING)
    ) AS found WHERE facts > ?2 OR bytes > ?3
);

-- name: next_wanted
-- The source's first fact after an id that is to be read again.
SELECT id, source, at, place, code, message, size, is_wanted, raw
FROM quarantine WHERE source = ?1 AND id > ?2 AND is_wanted ORDER BY id LIMIT 1;

-- name: bury_webhook
-- The webhook is a tombstone.
UPDATE webhooks SET deleted_at = ?2, version = ?3, url = x'', headers = x'', types = NULL,
    options = '{}', policy = '{}'
WHERE id = ?1;

-- name: api_keys
-- The keys of an account's api users, or with NULL all, each api user's together.
SELECT api_user_id, api_keys.id, api_keys.key_hash, scope, api_keys.created_at, expires_at,
    used_at, hint
FROM api_users CROSS JOIN api_keys ON api_user_id = api_users.id
WHERE ?1 IS NULL OR account_id = ?1 ORDER BY api_users.id, api_keys.id;

-- name: counted_suppressions
-- Which keys of a JSON array have something counted in the account.
SELECT key FROM suppression_days
WHERE account_id = ?1 AND api_user_id = 0 AND key IN (SELECT value FROM json_each(?2));

-- name: suppression_page
-- Entries in force at ?5 that fit, of ?4 that are looked at after a place.
SELECT account_id, key, api_user_id, address, reason, since, until, block, event_id, note,
    removed_at, removed_block, revision, generation
FROM (
    SELECT * FROM suppressions WHERE account_id = ?1 AND (key, api_user_id) > (?2, ?3)
    ORDER BY key, api_user_id LIMIT ?4
) AS found
WHERE removed_at IS NULL AND (until IS NULL OR until > ?5) AND instr(key, ?6)
    AND (?7 = '' OR reason = ?7) AND (?8 IS NULL OR api_user_id = ?8)
LIMIT ?9;

-- name: forget_tries
-- No key that begins or ends with ?1 was tried; those that were are returned.
DELETE FROM tries
WHERE substr(key, 1, length(?1)) = ?1 OR substr(key, -length(?1)) = ?1
RETURNING key;

-- name: recall
-- What the source remembers under these keys after ?3.
SELECT key, value FROM remembered
WHERE source = ?1 AND key IN (SELECT value FROM json_each(?2)) AND until > ?3;

-- name: tail
-- Headers of all accounts after a block.
SELECT id, account_id, api_user_id, first_sequence, recorded_at, codes, sizes
FROM blocks WHERE id > ?1 ORDER BY id LIMIT ?2;

-- name: headers
-- Headers of one account from a block on.
SELECT id, account_id, api_user_id, first_sequence, recorded_at, codes, sizes
FROM blocks WHERE account_id = ?1 AND id >= ?2 ORDER BY id LIMIT ?3;

-- name: newest_of_account
-- The header of one account's newest block.
SELECT id, account_id, api_user_id, first_sequence, recorded_at, codes, sizes
FROM blocks WHERE account_id = ?1 ORDER BY id DESC LIMIT 1;

-- name: load_block
-- One block with its body.
SELECT id, account_id, api_user_id, first_sequence, recorded_at, codes, sizes, hashes, body,
    checksum
FROM blocks WHERE id = ?1;

-- name: next_block
-- The first block after an id, with its body.
SELECT id, account_id, api_user_id, first_sequence, recorded_at, codes, sizes, hashes, body,
    checksum
FROM blocks WHERE id > ?1 ORDER BY id LIMIT 1;

-- name: block_ids
-- The id hashes after a block.
SELECT id, recorded_at, hashes FROM blocks WHERE id > ?1 ORDER BY id LIMIT ?2;

-- name: oldest_block
-- The id of the oldest block that is kept.
SELECT id FROM blocks ORDER BY id LIMIT 1;

-- name: time_from
-- The first block with at least this id, and its time.
SELECT id, recorded_at FROM blocks WHERE id >= ?1 ORDER BY id LIMIT 1;

-- name: first_of_account
-- The account's first block with at least this id.
SELECT id FROM blocks WHERE account_id = ?1 AND id >= ?2 ORDER BY id LIMIT 1;

-- name: scan_journal
-- Journal rows after an id.
SELECT id, body FROM journal WHERE id > ?1 ORDER BY id LIMIT ?2;

-- name: newest_journal
-- The id of the newest journal row.
SELECT max(id) FROM journal;

-- name: old_journal
-- At most ?4 of the journal rows whose newest entry is older than ?1, after the row ?3 of time ?2.
SELECT last_at, id, body FROM journal
WHERE last_at < ?1 AND (last_at, id) > (?2, ?3) ORDER BY last_at, id LIMIT ?4;

-- name: duty_held
-- Whether the duty is done under this term still.
SELECT 1 FROM leases WHERE name = ?1 AND epoch = ?2;

-- name: until_of
-- Until when the process is there and takes lanes, no row where that is not after ?2.
SELECT until FROM processes WHERE name = ?1 AND until > ?2 AND role <> 'ending';
