-- name: add_owner
-- The owner exists; the id is returned.
INSERT INTO owners (account_id, email, password_hash, created_at, language, time_zone,
    wants_notices, is_operator, seen_language)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) RETURNING id;

-- name: set_owner
-- The owner stands as given, and is returned.
UPDATE owners SET email = ?2, password_hash = ?3, language = ?4, time_zone = ?5,
    wants_notices = ?6, is_operator = ?7, seen_language = ?8
WHERE id = ?1
RETURNING id, account_id, email, password_hash, created_at, language, time_zone, wants_notices,
    is_operator, seen_language;

-- name: remove_owner
-- The owner is gone; the id is returned.
DELETE FROM owners WHERE id = ?1 RETURNING id;

-- name: owner
-- The owner of this id.
SELECT id, account_id, email, password_hash, created_at, language, time_zone, wants_notices,
    is_operator, seen_language
FROM owners WHERE id = ?1;

-- name: owner_of_email
-- The owner of this address.
SELECT id, account_id, email, password_hash, created_at, language, time_zone, wants_notices,
    is_operator, seen_language
FROM owners WHERE email = ?1;

-- name: owners
-- The owners of an account, or with NULL all.
SELECT id, account_id, email, password_hash, created_at, language, time_zone, wants_notices,
    is_operator, seen_language
FROM owners WHERE ?1 IS NULL OR account_id = ?1 ORDER BY id;

-- name: open_session
-- The session is open.
INSERT INTO sessions (digest, owner_id, account_id, created_at, seen_at)
VALUES (?1, ?2, ?3, ?4, ?5);

-- name: session
-- The session of this digest.
SELECT digest, owner_id, account_id, created_at, seen_at FROM sessions WHERE digest = ?1;

-- name: touch_session
-- The session was seen at ?2 and looks at account ?3.
UPDATE sessions SET seen_at = ?2, account_id = ?3 WHERE digest = ?1;

-- name: end_session
-- The session is over.
DELETE FROM sessions WHERE digest = ?1;

-- name: end_sessions_of_owner
-- The owner's sessions but ?2 are over.
DELETE FROM sessions WHERE owner_id = ?1 AND digest <> ?2;

-- name: add_reset
-- The owner has this reset and no other.
INSERT OR REPLACE INTO resets (owner_id, digest, expires_at) VALUES (?1, ?2, ?3);

-- name: take_reset
-- The reset is used up; its owner and end are returned.
DELETE FROM resets WHERE digest = ?1 RETURNING owner_id, expires_at;

-- name: drop_resets_of_owner
-- The owner has no reset.
DELETE FROM resets WHERE owner_id = ?1;

-- name: drop_old_sessions
-- Sessions not seen since ?1, or opened before ?2, are over.
DELETE FROM sessions WHERE seen_at < ?1 OR created_at < ?2;

-- name: drop_old_resets
-- Resets that expired by ?1 are gone.
DELETE FROM resets WHERE expires_at <= ?1;
