-- name: tries
-- How often a key was tried in its window, which began at since.
SELECT count, since FROM tries WHERE key = ?1;

-- name: put_tries
-- The key was tried ?2 times since ?3.
INSERT OR REPLACE INTO tries (key, count, since) VALUES (?1, ?2, ?3);

-- name: drop_tries
-- The key was not tried.
DELETE FROM tries WHERE key = ?1;

-- name: drop_old_tries
-- Windows that began before ?1 are over, and of the others the newest ?2 are left.
DELETE FROM tries WHERE since < ?1 OR key IN (
    SELECT key FROM tries ORDER BY since DESC LIMIT -1 OFFSET ?2
);
