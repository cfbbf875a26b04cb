-- name: second_factor
-- The factor of this owner, with how many recovery codes are left.
SELECT id, owner_id, secret, created_at, since, last_step,
    (SELECT count(*) FROM recovery_codes WHERE factor_id = second_factors.id)
FROM second_factors WHERE owner_id = ?1;

-- name: factor_and_owner
-- Whose factor this is, the owner's password now and at the factor's beginning, and its state.
SELECT owner_id, owners.password_hash, second_factors.password_hash, second_factors.created_at,
    since, last_step
FROM second_factors JOIN owners ON owners.id = owner_id
WHERE second_factors.id = ?1;

-- name: is_in_force
-- The factor of this owner, if it is in force.
SELECT id FROM second_factors WHERE owner_id = ?1 AND since IS NOT NULL;

-- name: owners_with_factor
-- Owners of an account, or with NULL all, whose factor is in force.
SELECT owner_id FROM second_factors JOIN owners ON owners.id = owner_id
WHERE since IS NOT NULL AND (CAST(?1 AS BIGINT) IS NULL OR account_id = ?1);

-- name: password_of_owner
-- The hash of this owner's password.
SELECT password_hash FROM owners WHERE id = ?1;

-- name: add_factor
-- The owner's factor awaits its first code; its id is returned.
INSERT INTO second_factors (owner_id, secret, password_hash, created_at, last_step)
VALUES (?1, ?2, ?3, ?4, 0) RETURNING id;

-- name: put_factor_in_force
-- The factor is in force since ?2.
UPDATE second_factors SET since = ?2 WHERE id = ?1;

-- name: use_step
-- The newest step of the factor whose code was used is ?2.
UPDATE second_factors SET last_step = ?2 WHERE id = ?1;

-- name: drop_factor
-- The owner has neither a factor nor recovery codes; the factor's id is returned.
DELETE FROM second_factors WHERE owner_id = ?1 RETURNING id;

-- name: recovery_code
-- The recovery code of this factor, if it is left.
SELECT digest FROM recovery_codes WHERE factor_id = ?1 AND digest = ?2;

-- name: use_recovery_code
-- The recovery code is used.
DELETE FROM recovery_codes WHERE factor_id = ?1 AND digest = ?2;

-- name: drop_recovery_codes
-- The factor has no recovery code.
DELETE FROM recovery_codes WHERE factor_id = ?1;

-- name: add_recovery_code
-- The factor has this recovery code.
INSERT INTO recovery_codes (factor_id, digest) VALUES (?1, ?2);

-- name: add_half_sign_in
-- The sign-in is half way.
INSERT INTO half_sign_ins (digest, owner_id, password_hash, expires_at) VALUES (?1, ?2, ?3, ?4);

-- name: half_sign_in
-- The sign-in half way of this digest, while the password is the one that began it.
SELECT half.digest, half.owner_id, half.password_hash, half.expires_at
FROM half_sign_ins AS half JOIN owners ON owners.id = half.owner_id
WHERE half.digest = ?1 AND half.password_hash = owners.password_hash;

-- name: drop_half_sign_in
-- The sign-in half way is used up.
DELETE FROM half_sign_ins WHERE digest = ?1;

-- name: drop_half_sign_ins
-- No sign-in of this owner is half way.
DELETE FROM half_sign_ins WHERE owner_id = ?1;

-- name: drop_old_half_sign_ins
-- Sign-ins half way that expired by ?1 are gone, and of this owner's the newest ?3 are left.
DELETE FROM half_sign_ins WHERE expires_at <= ?1 OR digest IN (
    SELECT digest FROM half_sign_ins WHERE owner_id = ?2
    ORDER BY expires_at DESC LIMIT 9223372036854775807 OFFSET ?3
);
