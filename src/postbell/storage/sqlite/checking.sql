-- name: tables
-- The names of the tables.
SELECT name FROM sqlite_schema WHERE type = 'table';

-- name: small_tables
-- What SQLite finds wrong in the tables that do not grow with events.
SELECT found.integrity_check
FROM sqlite_schema AS tables, pragma_integrity_check(tables.name) AS found
WHERE tables.type = 'table' AND tables.name IN ('accounts', 'api_users', 'api_keys', 'heads',
    'lanes', 'meta', 'owners', 'revisions', 'secrets', 'webhooks')
    AND found.integrity_check <> 'ok';

-- name: whole
-- What SQLite finds wrong in the database first.
PRAGMA integrity_check(1);

-- name: head_apart
-- The newest block and what the head says it is, where they differ.
SELECT max(id), (SELECT next_sequence - 1 FROM heads WHERE account_id = 0) AS head
FROM blocks HAVING max(id) <> head;

-- name: sequence_apart
-- An account, the number that its next event has by the log, and by its head, where they differ.
SELECT heads.account_id, newest.first_sequence + length(newest.codes) AS number,
    heads.next_sequence
FROM heads JOIN blocks AS newest ON newest.id = (
    SELECT max(id) FROM blocks WHERE account_id = heads.account_id
)
WHERE heads.account_id > 0 AND number <> heads.next_sequence LIMIT 1;

-- name: cursor_ahead
-- A webhook whose cursor is behind the log's end, its block, and the newest one.
SELECT webhook_id, cursor_block, next_sequence - 1 FROM lanes, heads
WHERE heads.account_id = 0 AND cursor_block > next_sequence LIMIT 1;

-- name: batch_ahead
-- A batch that ends behind the log's end, its last block, and the newest one.
SELECT id, end_block, next_sequence - 1 FROM batches, heads
WHERE heads.account_id = 0 AND end_block > next_sequence LIMIT 1;

-- name: index_ahead
-- How far the index has read, and the newest block, where that is before it.
SELECT value, next_sequence - 1 FROM meta, heads
WHERE heads.account_id = 0 AND name = 'index_block' AND value >= next_sequence;

-- name: orphan
-- A table and the one that a row of it misses its parent in.
SELECT "table", parent FROM pragma_foreign_key_check() LIMIT 1;

-- name: sealed
-- What was sealed with the secret key: URLs and signing keys.
SELECT url FROM webhooks WHERE length(url) > 0 UNION ALL SELECT value FROM secrets;
