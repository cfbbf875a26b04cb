-- name: raise_version
-- The registry's version is one higher; it is returned.
UPDATE meta SET value = value + 1 WHERE name = 'registry_version' RETURNING value;

-- name: read_version
-- The registry's version.
SELECT value FROM meta WHERE name = 'registry_version';

-- name: touch_ready
-- A row was really written.
UPDATE meta SET value = ?1 WHERE name = 'ready_at';

-- name: read_head
-- The newest block's id and time, also after retention emptied the log.
SELECT next_sequence - 1, recorded_at FROM heads WHERE account_id = 0;

-- name: set_head
-- Block ?1 of time ?2 is the newest.
UPDATE heads SET next_sequence = ?1 + 1, recorded_at = ?2 WHERE account_id = 0;

-- name: next_sequence
-- The sequence number that the account's next event gets.
SELECT next_sequence FROM heads WHERE account_id = ?1;

-- name: set_next_sequence
-- The account's next event gets the sequence number ?2.
INSERT INTO heads (account_id, next_sequence) VALUES (?1, ?2)
ON CONFLICT (account_id) DO UPDATE SET next_sequence = ?2;

-- name: add_block
-- The block is in the log.
INSERT INTO blocks (id, account_id, api_user_id, first_sequence, recorded_at, codes, sizes,
    hashes, body, checksum)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10);

-- name: corrections
-- Every correction of the clock that matters to blocks from ?1 on.
SELECT block, was, at FROM corrections WHERE block >= ?1 ORDER BY block;

-- name: add_correction
-- When block ?1 of time ?2 was the newest one, it was ?3.
INSERT INTO corrections (block, was, at) VALUES (?1, ?2, ?3)
ON CONFLICT (block) DO UPDATE SET at = excluded.at;

-- name: drop_corrections
-- At most ?2 of the corrections that only concern blocks below ?1 are gone.
DELETE FROM corrections WHERE block IN (
    SELECT block FROM corrections WHERE block < ?1 ORDER BY block LIMIT ?2
);

-- name: correct_keys
-- At most ?2 of the keys that are later than ?1 are of that time.
UPDATE keys SET at = ?1 WHERE (account_id, key) IN (
    SELECT account_id, key FROM keys WHERE at > ?1 ORDER BY at LIMIT ?2
);

-- name: set_trusted
-- At ?1 the clock could be relied on.
INSERT INTO meta (name, value) VALUES ('trusted_at', ?1)
ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: trusted
-- When the clock could be relied on last.
SELECT value FROM meta WHERE name = 'trusted_at';

-- name: drop_blocks
-- At most ?2 of the blocks below ?1 are gone, the oldest first.
DELETE FROM blocks WHERE id IN (SELECT id FROM blocks WHERE id < ?1 ORDER BY id LIMIT ?2);

-- name: find_key
-- What is kept under an Idempotency-Key.
SELECT account_id, key, digest, answer, at FROM keys WHERE account_id = ?1 AND key = ?2;

-- name: set_key
-- The Idempotency-Key is taken; no row changes where it was since ?6.
INSERT INTO keys (account_id, key, digest, answer, at) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (account_id, key) DO UPDATE SET
    digest = excluded.digest, answer = excluded.answer, at = excluded.at
WHERE keys.at < ?6;

-- name: drop_keys
-- At most ?2 of the keys older than ?1 are gone.
DELETE FROM keys WHERE (account_id, key) IN (
    SELECT account_id, key FROM keys WHERE at < ?1 ORDER BY at LIMIT ?2
);

-- name: renew_lanes
-- All lanes of the owner are held until ?2; they are returned.
UPDATE lanes SET lease_until = ?2 WHERE owner = ?1 RETURNING webhook_id;

-- name: shorten_leases
-- Of the leases that would end after ?2, since the clock was set back, at most ?3 end at ?1.
UPDATE lanes SET lease_until = ?1 WHERE webhook_id IN (
    SELECT webhook_id FROM lanes WHERE lease_until > ?2 ORDER BY lease_until DESC LIMIT ?3
);

-- name: hand_over_lane
-- ?3 holds the lane of ?2 until ?4, with a higher epoch; no row changes where ?2 does not hold it.
UPDATE lanes SET owner = ?3, lease_until = ?4, epoch = epoch + 1, work = ?5
WHERE webhook_id = ?1 AND owner = ?2;

-- name: release_lanes
-- The owner holds nothing.
UPDATE lanes SET owner = '', lease_until = 0 WHERE owner = ?1;

-- name: release_all_lanes
-- Nobody holds anything.
UPDATE lanes SET owner = '', lease_until = 0 WHERE owner > '';

-- name: read_lane
-- One lane, whoever holds it.
SELECT webhook_id, account_id, cursor_block, cursor_offset, epoch, writes, failing_since,
    failures, last_success_at, hold_until, delivered, refused_at, refused_bytes, taken_bytes,
    parked_batches, parked_events, lease_until, stop_until, is_still, work
FROM lanes WHERE webhook_id = ?1;

-- name: read_held_lane
-- One lane, if ?2 holds it.
SELECT webhook_id, account_id, cursor_block, cursor_offset, epoch, writes, failing_since,
    failures, last_success_at, hold_until, delivered, refused_at, refused_bytes, taken_bytes,
    parked_batches, parked_events, lease_until, stop_until, is_still, work
FROM lanes WHERE webhook_id = ?1 AND owner = ?2;

-- name: begin_change
-- The lane, if it has this epoch (and ?3 writes, where not NULL), has one write more.
UPDATE lanes SET writes = writes + 1
WHERE webhook_id = ?1 AND epoch = ?2 AND (CAST(?3 AS BIGINT) IS NULL OR writes = ?3)
RETURNING account_id;

-- name: raise_epoch
-- Writes under the lane's epoch of before are refused.
UPDATE lanes SET epoch = epoch + 1 WHERE webhook_id = ?1;

-- name: set_lane
-- The lane, if it has this epoch (and ?3 writes, where not NULL), stands as given; its epoch and
-- its holder are as before.
UPDATE lanes SET writes = writes + 1, cursor_block = ?4, cursor_offset = ?5, failing_since = ?6,
    failures = ?7, last_success_at = ?8, hold_until = ?9, delivered = ?10,
    refused_at = ?11, refused_bytes = ?12, taken_bytes = ?13, stop_until = ?14, is_still = ?15
WHERE webhook_id = ?1 AND epoch = ?2 AND (CAST(?3 AS BIGINT) IS NULL OR writes = ?3)
RETURNING account_id;

-- name: add_lane
-- The webhook has a lane that nobody holds.
INSERT INTO lanes (webhook_id, account_id, cursor_block, cursor_offset) VALUES (?1, ?2, ?3, ?4);

-- name: drop_lane
-- The webhook has no lane.
DELETE FROM lanes WHERE webhook_id = ?1;

-- name: put_batch
-- The batch is open as given; no row changes where another batch has its id.
INSERT INTO batches (id, webhook_id, account_id, revision, start_block, start_offset, end_block,
    end_offset, count, cut_at, state, attempts, next_at, last_status, last_error, body_hash, done,
    replay_id, parked_at, parent, opened_at, bisect_since, stop_until, is_still)
VALUES
    (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20,
    ?21, ?22, ?23, ?24)
ON CONFLICT (id) DO UPDATE SET
    count = excluded.count, cut_at = excluded.cut_at, state = excluded.state,
    attempts = excluded.attempts, next_at = excluded.next_at, last_status = excluded.last_status,
    last_error = excluded.last_error, body_hash = excluded.body_hash, done = excluded.done,
    parked_at = excluded.parked_at, parent = excluded.parent, opened_at = excluded.opened_at,
    bisect_since = excluded.bisect_since, stop_until = excluded.stop_until,
    is_still = excluded.is_still
WHERE batches.webhook_id = excluded.webhook_id AND batches.revision = excluded.revision
    AND batches.start_block = excluded.start_block
    AND batches.start_offset = excluded.start_offset
    AND batches.end_block = excluded.end_block AND batches.end_offset = excluded.end_offset
    AND batches.replay_id IS NOT DISTINCT FROM excluded.replay_id
    AND (
        batches.body_hash = excluded.body_hash
        OR length(batches.body_hash) = 0 OR length(excluded.body_hash) = 0
    );

-- name: drop_batch
-- The batch of this webhook is closed.
DELETE FROM batches WHERE id = ?1 AND webhook_id = ?2;

-- name: drop_batches
-- No batch of the webhook is open.
DELETE FROM batches WHERE webhook_id = ?1;

-- name: batch
-- One open or parked batch.
SELECT id, webhook_id, revision, start_block, start_offset, end_block, end_offset, count, cut_at,
    state, attempts, next_at, last_status, last_error, body_hash, done, replay_id,
    parked_at, parent, opened_at, bisect_since, stop_until, is_still
FROM batches WHERE id = ?1;

-- name: batches
-- Batches of the installation in state ?3 after an id.
SELECT id, webhook_id, revision, start_block, start_offset, end_block, end_offset, count, cut_at,
    state, attempts, next_at, last_status, last_error, body_hash, done, replay_id,
    parked_at, parent, opened_at, bisect_since, stop_until, is_still
FROM batches WHERE id > ?1 AND state = ?3 ORDER BY id LIMIT ?2;

-- name: batches_of_account
-- The same of an account.
SELECT id, webhook_id, revision, start_block, start_offset, end_block, end_offset, count, cut_at,
    state, attempts, next_at, last_status, last_error, body_hash, done, replay_id,
    parked_at, parent, opened_at, bisect_since, stop_until, is_still
FROM batches WHERE account_id = ?4 AND id > ?1 AND state = ?3 ORDER BY id LIMIT ?2;

-- name: batches_of_webhook
-- The same of a webhook (where ?5 is its account, or NULL).
SELECT id, webhook_id, revision, start_block, start_offset, end_block, end_offset, count, cut_at,
    state, attempts, next_at, last_status, last_error, body_hash, done, replay_id,
    parked_at, parent, opened_at, bisect_since, stop_until, is_still
FROM batches WHERE webhook_id = ?4 AND id > ?1 AND state = ?3 AND (CAST(?5 AS BIGINT) IS NULL OR account_id = ?5)
ORDER BY id LIMIT ?2;

-- name: waiting_batches
-- The first ?2 batches of a webhook that wait, runs before all others, in the order of the log.
SELECT id, webhook_id, revision, start_block, start_offset, end_block, end_offset, count, cut_at,
    state, attempts, next_at, last_status, last_error, body_hash, done, replay_id,
    parked_at, parent, opened_at, bisect_since, stop_until, is_still
FROM batches WHERE webhook_id = ?1 AND state = 'waiting'
ORDER BY done IS NULL, start_block, start_offset, id LIMIT ?2;

-- name: stopped_batches
-- Those of a webhook's that somebody is about to change.
SELECT id, webhook_id, revision, start_block, start_offset, end_block, end_offset, count, cut_at,
    state, attempts, next_at, last_status, last_error, body_hash, done, replay_id,
    parked_at, parent, opened_at, bisect_since, stop_until, is_still
FROM batches WHERE webhook_id = ?1 AND state = 'waiting' AND stop_until IS NOT NULL;

-- name: parked_of_account
-- Parked batches of an account cut before a moment (or then, with an id below), the newest first.
SELECT id, webhook_id, revision, start_block, start_offset, end_block, end_offset, count, cut_at,
    state, attempts, next_at, last_status, last_error, body_hash, done, replay_id,
    parked_at, parent, opened_at, bisect_since, stop_until, is_still
FROM batches WHERE account_id = ?4 AND state = 'parked' AND (cut_at, id) < (?1, ?2)
ORDER BY cut_at DESC, id DESC LIMIT ?3;

-- name: parked_of_webhook
-- The same of a webhook (where ?5 is its account, or NULL).
SELECT id, webhook_id, revision, start_block, start_offset, end_block, end_offset, count, cut_at,
    state, attempts, next_at, last_status, last_error, body_hash, done, replay_id,
    parked_at, parent, opened_at, bisect_since, stop_until, is_still
FROM batches WHERE webhook_id = ?4 AND state = 'parked' AND (cut_at, id) < (?1, ?2)
    AND (CAST(?5 AS BIGINT) IS NULL OR account_id = ?5)
ORDER BY cut_at DESC, id DESC LIMIT ?3;

-- name: count_parked
-- How many batches of an account are parked, and how many events they hold.
SELECT CAST(coalesce(sum(parked_batches), 0) AS BIGINT),
    CAST(coalesce(sum(parked_events), 0) AS BIGINT)
FROM lanes WHERE account_id = ?1;

-- name: add_replay
-- The replay runs; its id is returned.
INSERT INTO replays (account_id, webhook_id, revision, created_at, rate_per_s, position_block,
    position_offset, state, events, filter, ranges)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) RETURNING id;

-- name: set_replay
-- The replay stands as given.
UPDATE replays SET revision = ?3, created_at = ?4, rate_per_s = ?5, position_block = ?6,
    position_offset = ?7, state = ?8, events = ?9, filter = ?10, ranges = ?11
WHERE id = ?1 AND webhook_id = ?2;

-- name: replay
-- One replay.
SELECT id, account_id, webhook_id, revision, created_at, rate_per_s, position_block,
    position_offset, state, events, filter, ranges
FROM replays WHERE id = ?1;

-- name: replays
-- Replays of the installation before an id, the newest first.
SELECT id, account_id, webhook_id, revision, created_at, rate_per_s, position_block,
    position_offset, state, events, filter, ranges
FROM replays WHERE id < ?2 ORDER BY id DESC LIMIT ?1;

-- name: replays_of_account
-- Replays of an account before an id, the newest first.
SELECT id, account_id, webhook_id, revision, created_at, rate_per_s, position_block,
    position_offset, state, events, filter, ranges
FROM replays WHERE account_id = ?3 AND id < ?2 ORDER BY id DESC LIMIT ?1;

-- name: replays_of_webhook
-- Replays into a webhook (where ?4 is its account, or NULL) before an id, the newest first.
SELECT id, account_id, webhook_id, revision, created_at, rate_per_s, position_block,
    position_offset, state, events, filter, ranges
FROM replays WHERE webhook_id = ?3 AND id < ?2 AND (CAST(?4 AS BIGINT) IS NULL OR account_id = ?4)
ORDER BY id DESC LIMIT ?1;

-- name: running_replays
-- Replays into a webhook that are not finished, the oldest first.
SELECT id, account_id, webhook_id, revision, created_at, rate_per_s, position_block,
    position_offset, state, events, filter, ranges
FROM replays WHERE webhook_id = ?1 AND state = 'running' ORDER BY id;

-- name: drop_replays
-- The webhook has no replays.
DELETE FROM replays WHERE webhook_id = ?1;

-- name: add_journal_webhook
-- The journal row is found by this webhook and account.
INSERT INTO journal_webhooks (webhook_id, journal_id, account_id) VALUES (?1, ?2, ?3);

-- name: drop_journal
-- The journal row is gone.
DELETE FROM journal WHERE id = ?1;

-- name: drop_journal_webhook
-- The journal row is not found by this webhook.
DELETE FROM journal_webhooks WHERE webhook_id = ?1 AND journal_id = ?2;
