-- name: add_quarantined
-- The fact is in quarantine.
INSERT INTO quarantine (source, at, place, code, message, size, raw)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7);

-- name: refuse_again
-- The fact, which was read again, stays for this reason; no row changes where it is gone.
UPDATE quarantine SET code = ?3, message = ?4, is_wanted = 0 WHERE id = ?2 AND source = ?1;

-- name: leave_quarantine
-- The fact is in quarantine no more; no row changes where it was gone before.
DELETE FROM quarantine WHERE id = ?2 AND source = ?1;

-- name: drop_crowded
-- Of the source's facts none is left that is beyond the newest ?2, or the newest of ?3 bytes, each counted as ?4 at most.
DELETE FROM quarantine WHERE id IN (
    SELECT id FROM (
        SELECT id, count(*) OVER newest AS facts, sum(min(size, ?4)) OVER newest AS bytes
        FROM quarantine WHERE source = ?1
        WINDOW newest AS (ORDER BY id DESC ROWS UNBOUNDED PRECEDING)
    ) WHERE facts > ?2 OR bytes > ?3
);

-- name: count_crowded
-- The source counts ?2 more facts that the bounds of its quarantine made leave it.
UPDATE sources SET crowded_out = crowded_out + ?2 WHERE name = ?1;

-- name: quarantined
-- The source's facts below an id, the newest first, with the beginning of their bytes.
SELECT id, source, at, place, code, message, size, is_wanted, substr(raw, 1, ?4)
FROM quarantine WHERE source = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3;

-- name: quarantined_one
-- One fact with all its bytes.
SELECT id, source, at, place, code, message, size, is_wanted, raw
FROM quarantine WHERE id = ?1;

-- name: want
-- These facts, all of the source where ?2 is null, are to be read again, if they are whole: of ?3 bytes at most.
UPDATE quarantine SET is_wanted = 1
WHERE source = ?1 AND size BETWEEN 1 AND ?3
    AND (?2 IS NULL OR id IN (SELECT value FROM json_each(?2)))
RETURNING id;

-- name: next_wanted
-- The source's first fact after an id that is to be read again.
SELECT id, source, at, place, code, message, size, is_wanted, raw
FROM quarantine WHERE source = ?1 AND id > ?2 AND is_wanted ORDER BY id LIMIT 1;

-- name: drop_quarantined
-- These facts, all of the source where ?2 is null, are gone.
DELETE FROM quarantine
WHERE source = ?1 AND (?2 IS NULL OR id IN (SELECT value FROM json_each(?2)))
RETURNING id;

-- name: drop_old_quarantined
-- At most ?2 of what was refused before ?1 are gone.
DELETE FROM quarantine WHERE id IN (
    SELECT id FROM quarantine WHERE at < ?1 ORDER BY at LIMIT ?2
);
