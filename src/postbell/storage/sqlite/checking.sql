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

-- name: head_behind
-- The newest block and what the head says it is, where that is an older one.
SELECT max(id), (SELECT next_sequence - 1 FROM heads WHERE account_id = 0) AS head
FROM blocks HAVING max(id) > head;

-- name: index_ahead
-- How far the index has read, and the newest block, where that is before it.
SELECT value, next_sequence - 1 FROM meta, heads
WHERE heads.account_id = 0 AND name = 'index_block' AND value >= next_sequence;

-- name: suppressed_ahead
-- How far the suppression list has read, and the newest block, where that is before it.
SELECT value, next_sequence - 1 FROM meta, heads
WHERE heads.account_id = 0 AND name = 'suppressed_block' AND value >= next_sequence;

-- name: sealed
-- What was sealed with the secret key: URLs, headers, keys, answers.
SELECT url FROM webhooks WHERE length(url) > 0
UNION ALL SELECT headers FROM webhooks WHERE length(headers) > 0
UNION ALL SELECT value FROM secrets
UNION ALL SELECT secret FROM second_factors
UNION ALL SELECT answer FROM answers WHERE length(answer) > 0;

-- name: orphans
-- Rows that belong to a row that is not there, with the table of both.
PRAGMA foreign_key_check;

-- name: texts
-- For each table that has texts a statement that reads them.
SELECT tables.name,
    format('SELECT %s FROM "%w"', group_concat(format('"%w"', columns.name), ', '), tables.name)
FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns
WHERE tables.type = 'table' AND columns.type = 'TEXT' GROUP BY tables.name;

-- name: trail
-- What of the audit trail is more than a text.
SELECT id, actor_kind, old, new FROM trail;
