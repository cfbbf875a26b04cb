-- name: add_entry
-- The entry is in the trail once this commit is durable.
INSERT INTO trail (
    at, account_id, actor_kind, actor_id, actor, address, face, action,
    subject_kind, subject_id, subject, old, new
) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13);

-- name: entries
-- Up to ?9 entries since ?1 and before (?2, ?3), the newest first; of the actor ?4 (names of staff
-- only with ?5), the action ?6, the subject ?7 with the id ?8, where these are not empty.
SELECT
    id, at, account_id, actor_kind, actor_id, actor, address, face, action,
    subject_kind, subject_id, subject, old, new
FROM trail
WHERE at >= ?1 AND (at, id) < (?2, ?3)
    AND (?4 = '' OR actor_kind = ?4
        OR (actor = ?4 AND (?5 OR actor_kind NOT IN ('operator', 'command'))))
    AND (?6 = '' OR action = ?6)
    AND (?7 = '' OR subject_kind = ?7) AND (?8 = '' OR subject_id = ?8)
ORDER BY at DESC, id DESC LIMIT ?9;

-- name: entries_of_account
-- As `entries`, of account ?10.
SELECT
    id, at, account_id, actor_kind, actor_id, actor, address, face, action,
    subject_kind, subject_id, subject, old, new
FROM trail
WHERE account_id = ?10 AND at >= ?1 AND (at, id) < (?2, ?3)
    AND (?4 = '' OR actor_kind = ?4
        OR (actor = ?4 AND (?5 OR actor_kind NOT IN ('operator', 'command'))))
    AND (?6 = '' OR action = ?6)
    AND (?7 = '' OR subject_kind = ?7) AND (?8 = '' OR subject_id = ?8)
ORDER BY at DESC, id DESC LIMIT ?9;

-- name: drop_entries
-- Up to ?2 of the entries older than ?1 are gone, the oldest.
DELETE FROM trail WHERE id IN (
    SELECT id FROM trail WHERE at < ?1 ORDER BY at LIMIT ?2
) RETURNING id;
