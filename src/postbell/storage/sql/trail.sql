-- name: add_entry
-- The entry is in the trail once this commit is durable.
INSERT INTO trail (
    at, account_id, actor_kind, actor_id, actor, address, face, action,
    subject_kind, subject_id, subject, old, new
) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13);

-- name: entries
-- Of the newest ?4 entries since ?1 and before (?2, ?3) up to ?10, the newest first: those of the
-- actor ?5 (names of staff only with ?6), the action ?7, the subject ?8 with the id ?9, where
-- these are not empty.
SELECT * FROM (
    SELECT
        id, at, account_id, actor_kind, actor_id, actor, address, face, action,
        subject_kind, subject_id, subject, old, new
    FROM trail WHERE at >= ?1 AND (at, id) < (?2, ?3)
    ORDER BY at DESC, id DESC LIMIT ?4
) AS found
WHERE (?5 = '' OR actor_kind = ?5
        OR (actor = ?5 AND (?6 = 1 OR actor_kind NOT IN ('operator', 'command'))))
    AND (?7 = '' OR action = ?7)
    AND (?8 = '' OR subject_kind = ?8) AND (?9 = '' OR subject_id = ?9)
LIMIT ?10;

-- name: entries_of_account
-- As `entries`, of account ?11.
SELECT * FROM (
    SELECT
        id, at, account_id, actor_kind, actor_id, actor, address, face, action,
        subject_kind, subject_id, subject, old, new
    FROM trail WHERE account_id = ?11 AND at >= ?1 AND (at, id) < (?2, ?3)
    ORDER BY at DESC, id DESC LIMIT ?4
) AS found
WHERE (?5 = '' OR actor_kind = ?5
        OR (actor = ?5 AND (?6 = 1 OR actor_kind NOT IN ('operator', 'command'))))
    AND (?7 = '' OR action = ?7)
    AND (?8 = '' OR subject_kind = ?8) AND (?9 = '' OR subject_id = ?9)
LIMIT ?10;

-- name: edge
-- The last of the newest ?4 entries since ?1 and before (?2, ?3).
SELECT at, id FROM trail WHERE at >= ?1 AND (at, id) < (?2, ?3)
ORDER BY at DESC, id DESC LIMIT 1 OFFSET ?4 - 1;

-- name: edge_of_account
-- As `edge`, of account ?5.
SELECT at, id FROM trail WHERE account_id = ?5 AND at >= ?1 AND (at, id) < (?2, ?3)
ORDER BY at DESC, id DESC LIMIT 1 OFFSET ?4 - 1;

-- name: drop_entries
-- Up to ?2 of the entries older than ?1 are gone, the oldest.
DELETE FROM trail WHERE id IN (
    SELECT id FROM trail WHERE at < ?1 ORDER BY at LIMIT ?2
) RETURNING id;
