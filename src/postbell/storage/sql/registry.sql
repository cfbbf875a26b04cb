-- name: add_account
-- The account exists; its id is returned.
INSERT INTO accounts (name, created_at) VALUES (?1, ?2) RETURNING id;

-- name: accounts
-- All accounts.
SELECT id, name, created_at FROM accounts ORDER BY id;

-- name: account_name
-- The name of an account.
SELECT name FROM accounts WHERE id = ?1;

-- name: add_api_user
-- The api user exists; its id is returned. (The column key_hash is an older release's.)
INSERT INTO api_users (account_id, name, key_hash, created_at) VALUES (?1, ?2, '', ?3)
RETURNING id;

-- name: count_api_users
-- How many api users of the account are not revoked, and how many are.
SELECT count(*) - count(revoked_at), count(revoked_at) FROM api_users WHERE account_id = ?1;

-- name: revoke_api_user
-- The api user is revoked.
UPDATE api_users SET key_hash = '', revoked_at = coalesce(revoked_at, ?2) WHERE id = ?1;

-- name: api_user
-- One api user.
SELECT api_users.id, account_id, accounts.name, api_users.name, api_users.created_at, revoked_at
FROM api_users LEFT JOIN accounts ON accounts.id = account_id WHERE api_users.id = ?1;

-- name: api_users
-- The api users of an account, or with NULL all.
SELECT api_users.id, account_id, accounts.name, api_users.name, api_users.created_at, revoked_at
FROM api_users LEFT JOIN accounts ON accounts.id = account_id
WHERE CAST(?1 AS BIGINT) IS NULL OR account_id = ?1 ORDER BY api_users.id;

-- name: add_api_key
-- The api user has this key.
INSERT INTO api_keys (api_user_id, key_hash, scope, created_at, expires_at, hint)
VALUES (?1, ?2, ?3, ?4, ?5, ?6);

-- name: end_api_key
-- The api user's key ?1 ends at ?2, or before.
UPDATE api_keys SET expires_at = CASE WHEN expires_at < ?2 THEN expires_at ELSE ?2 END
WHERE id = ?1 AND api_user_id = ?3;

-- name: rehash_api_key
-- The key's hash is another one of the same key; its id is returned unless it was not ?3 any more.
UPDATE api_keys SET key_hash = ?2 WHERE id = ?1 AND key_hash = ?3 RETURNING id;

-- name: note_api_key_used
-- The key was used at ?2.
UPDATE api_keys SET used_at = ?2 WHERE id = ?1;

-- name: drop_ended_api_keys
-- Of the api user's keys that ended by ?2 the last ?3 are left.
DELETE FROM api_keys WHERE id IN (
    SELECT id FROM api_keys WHERE api_user_id = ?1 AND expires_at <= ?2
    ORDER BY expires_at DESC, id DESC LIMIT 9223372036854775807 OFFSET ?3
);

-- name: api_key
-- One key.
SELECT api_user_id, id, key_hash, scope, created_at, expires_at, used_at, hint
FROM api_keys WHERE id = ?1;

-- name: key_holds
-- The key, unless it has ended at ?2.
SELECT id FROM api_keys WHERE id = ?1 AND (expires_at IS NULL OR expires_at > ?2);

-- name: keys_of_api_user
-- The api user's keys.
SELECT api_user_id, id, key_hash, scope, created_at, expires_at, used_at, hint
FROM api_keys WHERE api_user_id = ?1 ORDER BY id;

-- name: api_user_of_account
-- The id of an account's api user by name.
SELECT id FROM api_users WHERE name = ?1 AND account_id = ?2;

-- name: add_webhook
-- The webhook exists; its id, which no webhook ever had, is returned.
INSERT INTO webhooks (account_id, api_user, dialect, state, state_reason, start_block,
    start_offset, created_at, updated_at, version, types, options, policy, url, headers)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) RETURNING id;

-- name: count_webhooks
-- How many webhooks an account has.
SELECT count(*) FROM webhooks WHERE account_id = ?1 AND deleted_at IS NULL;

-- name: set_webhook
-- The webhook stands as given.
UPDATE webhooks SET api_user = ?2, dialect = ?3, state = ?4, state_reason = ?5, updated_at = ?6,
    active_since = ?7, version = ?8, types = ?9, options = ?10, policy = ?11, url = ?12,
    headers = ?13
WHERE id = ?1;

-- name: touch_webhook
-- The webhook was changed by the registry's version ?2.
UPDATE webhooks SET version = ?2 WHERE id = ?1;

-- name: touch_webhooks_of_account
-- The account's webhooks were changed by the registry's version ?2.
UPDATE webhooks SET version = ?2 WHERE account_id = ?1 AND deleted_at IS NULL;

-- name: pause_webhook
-- The webhook is paused for reason ?2.
UPDATE webhooks SET state = 'paused', state_reason = ?2, updated_at = ?3, version = ?4
WHERE id = ?1;

-- name: webhook
-- One webhook that is not deleted.
SELECT webhooks.id, account_id, name, url, api_user, types, dialect, options, policy, headers,
    state, state_reason, start_block, start_offset, webhooks.created_at, updated_at,
    active_since
FROM webhooks LEFT JOIN accounts ON accounts.id = account_id
WHERE webhooks.id = ?1 AND deleted_at IS NULL;

-- name: webhooks
-- Webhooks that are not deleted and that a version after ?1 changed, in any order.
SELECT webhooks.id, account_id, name, url, api_user, types, dialect, options, policy, headers,
    state, state_reason, start_block, start_offset, webhooks.created_at, updated_at,
    active_since
FROM webhooks LEFT JOIN accounts ON accounts.id = account_id
WHERE version > ?1 AND deleted_at IS NULL;

-- name: webhooks_of_account
-- Webhooks of account ?2 that are not deleted and that a version after ?1 changed.
SELECT webhooks.id, account_id, name, url, api_user, types, dialect, options, policy, headers,
    state, state_reason, start_block, start_offset, webhooks.created_at, updated_at,
    active_since
FROM webhooks LEFT JOIN accounts ON accounts.id = account_id
WHERE account_id = ?2 AND version > ?1 AND deleted_at IS NULL ORDER BY webhooks.id;

-- name: deleted_webhooks
-- Webhooks that a version after ?1 deleted, in any order.
SELECT id FROM webhooks WHERE version > ?1 AND deleted_at IS NOT NULL;

-- name: add_revision
-- The webhook has this revision.
INSERT INTO revisions (webhook_id, number, start_block, start_offset, api_user_id, dialect, types,
    options, ids_name_bytes)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9);

-- name: revisions
-- The webhook's revisions.
SELECT number, start_block, start_offset, api_user_id, types, dialect, options, ids_name_bytes
FROM revisions WHERE webhook_id = ?1 ORDER BY number;

-- name: revisions_of_range
-- The revisions of the webhooks ?1 to ?2.
SELECT number, start_block, start_offset, api_user_id, types, dialect, options, ids_name_bytes,
    webhook_id
FROM revisions WHERE webhook_id >= ?1 AND webhook_id <= ?2 ORDER BY webhook_id, number;

-- name: drop_revisions
-- The webhook has no revisions.
DELETE FROM revisions WHERE webhook_id = ?1;

-- name: add_secret
-- The key is kept for the webhook ?1 or the account ?2; its id is returned.
INSERT INTO secrets (webhook_id, account_id, kind, created_at, active_at, expires_at, value)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING id;

-- name: secrets_of_webhook
-- The webhook's keys that have not ended at ?2.
SELECT id, kind, value, created_at, active_at, expires_at FROM secrets
WHERE webhook_id = ?1 AND (expires_at IS NULL OR expires_at > ?2) ORDER BY id;

-- name: secrets_of_range
-- The keys of the webhooks ?2 to ?3 that have not ended at ?1.
SELECT id, kind, value, created_at, active_at, expires_at, webhook_id FROM secrets
WHERE webhook_id >= ?2 AND webhook_id <= ?3 AND (expires_at IS NULL OR expires_at > ?1)
ORDER BY webhook_id, id;

-- name: secrets_of_account
-- The account's keys that have not ended at ?2.
SELECT id, kind, value, created_at, active_at, expires_at FROM secrets
WHERE account_id = ?1 AND (expires_at IS NULL OR expires_at > ?2) ORDER BY id;

-- name: expire_secret_of_webhook
-- The webhook's key ?1 ends at ?2.
UPDATE secrets SET expires_at = ?2 WHERE id = ?1 AND webhook_id = ?3;

-- name: expire_secret_of_account
-- The account's key ?1 ends at ?2.
UPDATE secrets SET expires_at = ?2 WHERE id = ?1 AND account_id = ?3;

-- name: drop_secrets_of_webhook
-- The webhook's keys that ended by ?2 are gone (NULL: all).
DELETE FROM secrets WHERE webhook_id = ?1 AND (CAST(?2 AS BIGINT) IS NULL OR expires_at <= ?2);

-- name: drop_secrets_of_account
-- The account's keys that ended by ?2 are gone.
DELETE FROM secrets WHERE account_id = ?1 AND expires_at <= ?2;
