-- name: find_answer
-- What stands under an Idempotency-Key.
SELECT account_id, key, digest, answer, at FROM answers WHERE account_id = ?1 AND key = ?2;

-- name: put_answer
-- This stands under the Idempotency-Key.
INSERT INTO answers (account_id, key, at, digest, answer) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (account_id, key) DO UPDATE SET
    at = excluded.at, digest = excluded.digest, answer = excluded.answer;

-- name: keep_answer
-- The answer stands under the key, where the key was taken by the same request.
UPDATE answers SET answer = ?4 WHERE account_id = ?1 AND key = ?2 AND digest = ?3;

-- name: drop_answer
-- Nothing stands under the key.
DELETE FROM answers WHERE account_id = ?1 AND key = ?2;

-- name: drop_answers
-- At most ?2 of the answers older than ?1 are gone.
DELETE FROM answers WHERE (account_id, key) IN (
    SELECT account_id, key FROM answers WHERE at < ?1 ORDER BY at LIMIT ?2
);
