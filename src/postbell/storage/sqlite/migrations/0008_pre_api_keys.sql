-- Keys of api users, several for each: with what they are for, when they end, when they were last
-- used. api_users.key_hash stays for processes of the release before, which still run while this
-- is done; nothing reads it any more, and new api users have it empty.

CREATE TABLE api_keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    api_user_id INTEGER NOT NULL REFERENCES api_users (id),
    key_hash TEXT NOT NULL,
    scope TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,             -- NULL: when it is revoked
    used_at INTEGER,
    hint TEXT NOT NULL DEFAULT ''   -- the end of a key that was made here
) STRICT;
CREATE INDEX api_keys_of_api_user ON api_keys (api_user_id);
CREATE INDEX api_users_of_account ON api_users (account_id);

INSERT INTO api_keys (api_user_id, key_hash, scope, created_at, expires_at)
SELECT id, key_hash, 'everything', created_at, revoked_at FROM api_users ORDER BY id;
