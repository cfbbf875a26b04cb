-- name: tries
-- How often a key was tried in its window, which began at since.
SELECT count, since FROM tries WHERE key = ?1;

-- name: put_tries
-- The key was tried ?2 times since ?3.
INSERT INTO tries (key, count, since) VALUES (?1, ?2, ?3)
ON CONFLICT (key) DO UPDATE SET count = excluded.count, since = excluded.since;

-- name: drop_tries
-- The key was not tried.
DELETE FROM tries WHERE key = ?1;

-- name: drop_old_tries
-- Windows that began before ?1 are over, and of the others the newest ?2 are left.
DELETE FROM tries WHERE since < ?1 OR key IN (
    SELECT key FROM tries ORDER BY since DESC LIMIT 9223372036854775807 OFFSET ?2
);

-- name: put_familiar
-- The subject ?1 came with the mark ?2 at ?3.
INSERT INTO familiar (subject, mark, seen_at) VALUES (?1, ?2, ?3)
ON CONFLICT (subject, mark) DO UPDATE SET seen_at = excluded.seen_at;

-- name: familiar
-- When the subject ?1 last came with the mark ?2.
SELECT seen_at FROM familiar WHERE subject = ?1 AND mark = ?2;

-- name: drop_familiar
-- Of the subject ?1 the newest ?2 marks are left.
DELETE FROM familiar WHERE subject = ?1 AND mark IN (
    SELECT mark FROM familiar WHERE subject = ?1
    ORDER BY seen_at DESC, mark DESC LIMIT 9223372036854775807 OFFSET ?2
);

-- name: drop_old_familiar
-- Marks were seen after ?1.
DELETE FROM familiar WHERE seen_at <= ?1;
