-- name: add_owner
-- The owner exists; the id is returned.
INSERT INTO owners (account_id, email, password_hash, created_at, language, time_zone,
    wants_notices, is_operator, seen_language)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) RETURNING id;

-- name: users
-- The users of an account, which operators are not.
SELECT id, account_id, email, password_hash, created_at, language, time_zone, wants_notices,
    is_operator, seen_language
FROM owners WHERE account_id = ?1 AND is_operator = 0 ORDER BY id;

-- name: count_users
-- How many users an account has.
SELECT count(*) FROM owners WHERE account_id = ?1 AND is_operator = 0;

-- name: count_operators
-- How many operators the installation has.
SELECT count(*) FROM owners WHERE is_operator = 1;

-- name: prefer
-- What is not NULL replaces the owner's language, time zone and wish for notices.
UPDATE owners SET language = coalesce(?2, language), time_zone = coalesce(?3, time_zone),
    wants_notices = coalesce(?4, wants_notices)
WHERE id = ?1
RETURNING id, account_id, email, password_hash, created_at, language, time_zone, wants_notices,
    is_operator, seen_language;

-- name: set_operator
-- The owner is an operator, or none.
UPDATE owners SET is_operator = ?2 WHERE id = ?1
RETURNING id, account_id, email, password_hash, created_at, language, time_zone, wants_notices,
    is_operator, seen_language;

-- name: set_password
-- The password of the owner is ?2.
UPDATE owners SET password_hash = ?2 WHERE id = ?1
RETURNING id, account_id, email, password_hash, created_at, language, time_zone, wants_notices,
    is_operator, seen_language;

-- name: note_sign_in
-- The owner whose password is ?2 has it as ?3, and was seen speaking ?4 where that says something.
UPDATE owners SET password_hash = ?3,
    seen_language = CASE ?4 WHEN '' THEN seen_language ELSE ?4 END
WHERE id = ?1 AND password_hash = ?2
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
FROM owners WHERE CAST(?1 AS BIGINT) IS NULL OR account_id = ?1 ORDER BY id;

-- name: open_session
-- The session is open.
INSERT INTO sessions (digest, owner_id, account_id, created_at, seen_at, device, place)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7);

-- name: session
-- The session of this digest.
SELECT digest, owner_id, account_id, created_at, seen_at, device, place
FROM sessions WHERE digest = ?1;

-- name: sessions_of_owner
-- The sessions of this owner, the one used last first.
SELECT digest, owner_id, account_id, created_at, seen_at, device, place
FROM sessions WHERE owner_id = ?1 ORDER BY seen_at DESC, digest;

-- name: session_holds
-- The session ?1, where its owner may act in account ?2, and is an operator if ?3 is 1.
SELECT owner_id FROM sessions JOIN owners ON owners.id = owner_id
WHERE digest = ?1 AND (is_operator = 1 OR (owners.account_id = ?2 AND NOT ?3));

-- name: touch_session
-- The session was seen at ?2, from ?3.
UPDATE sessions SET seen_at = ?2, place = ?3 WHERE digest = ?1;

-- name: look_at
-- The session of an operator looks at account ?2, where there is one.
UPDATE sessions SET account_id = ?2
WHERE digest = ?1 AND EXISTS (SELECT 1 FROM accounts WHERE id = ?2)
    AND (SELECT is_operator FROM owners WHERE owners.id = owner_id) = 1
RETURNING digest;

-- name: end_session
-- The session is over, and returned where there was one.
DELETE FROM sessions WHERE digest = ?1 RETURNING digest;

-- name: end_sessions_of_owner
-- The owner's sessions but ?2 are over, and returned.
DELETE FROM sessions WHERE owner_id = ?1 AND digest <> ?2 RETURNING digest;

-- name: drop_many_sessions
-- Of this owner's sessions the ?2 that were used last are left.
DELETE FROM sessions WHERE digest IN (
    SELECT digest FROM sessions WHERE owner_id = ?1 ORDER BY seen_at DESC LIMIT 9223372036854775807 OFFSET ?2
);

-- name: reset
-- Whose the reset is, and when it expires.
SELECT owner_id, expires_at FROM resets WHERE digest = ?1;

-- name: drop_resets_of_owner
-- The owner has no reset.
DELETE FROM resets WHERE owner_id = ?1;

-- name: drop_old_sessions
-- Sessions not seen since ?1, or opened before ?2, are over.
DELETE FROM sessions WHERE seen_at < ?1 OR created_at < ?2;

-- name: drop_old_resets
-- Resets that expired by ?1 are gone.
DELETE FROM resets WHERE expires_at <= ?1;
