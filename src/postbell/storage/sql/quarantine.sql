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

-- name: drop_old_quarantined
-- At most ?2 of what was refused before ?1 are gone.
DELETE FROM quarantine WHERE id IN (
    SELECT id FROM quarantine WHERE at < ?1 ORDER BY at LIMIT ?2
);
