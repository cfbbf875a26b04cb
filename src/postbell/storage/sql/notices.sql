-- name: told
-- Up to ?2 of what was told after the version ?1, in order.
SELECT version, subject, condition, worse_at, worse FROM told WHERE version > ?1
ORDER BY version LIMIT ?2;

-- name: told_of
-- The version of what was told of a subject last.
SELECT version FROM told WHERE subject = ?1;

-- name: forget_told
-- Nothing was told of the subject, where that was the last.
DELETE FROM told WHERE subject = ?1 AND version = ?2;

-- name: add_letter
-- A notice about account ?2 waits for a recipient.
INSERT INTO letters (recipient, account_id, notice) VALUES (?1, ?2, ?3);

-- name: drop_letters
-- The newest ?2 notices wait for the recipient, no older ones.
DELETE FROM letters WHERE recipient = ?1 AND id <= (
    SELECT id FROM letters WHERE recipient = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2
);

-- name: recipients
-- For whom notices wait.
SELECT DISTINCT recipient FROM letters;

-- name: letters
-- The first ?2 notices that wait for a recipient.
SELECT recipient, account_id, notice, id FROM letters WHERE recipient = ?1 ORDER BY id LIMIT ?2;

-- name: drop_letter
-- This one does not wait any more.
DELETE FROM letters WHERE id = ?1;

-- name: hold_notices
-- ?1 hands notices over until ?2; no row where another one does so at ?3.  A lease that
-- ends after ?4 is from before the clock was set back.
INSERT INTO leases (name, owner, until, epoch) VALUES ('notices', ?1, ?2, 1)
ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until,
    epoch = CASE WHEN leases.owner = excluded.owner THEN leases.epoch ELSE leases.epoch + 1 END
WHERE leases.owner = ?1 OR leases.until <= ?3 OR leases.until > ?4
RETURNING owner;

-- name: release_notices
-- ?1 does not hand notices over any more.
UPDATE leases SET owner = '', until = 0 WHERE name = 'notices' AND owner = ?1;

-- name: free_notices
-- Nobody hands notices over.
UPDATE leases SET owner = '', until = 0 WHERE name = 'notices';
