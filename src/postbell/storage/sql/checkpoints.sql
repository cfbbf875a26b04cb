-- name: tell_source
-- The source is known, by this standing; its revision is returned, ?2 where it is new.
INSERT INTO sources (name, revision, standing) VALUES (?1, ?2, ?3)
ON CONFLICT (name) DO UPDATE SET standing = excluded.standing
RETURNING revision;

-- name: told_of_source
-- How a source did last.
SELECT standing FROM sources WHERE name = ?1;

-- name: source
-- What is kept of a source.
SELECT name, revision, checkpoint, position, taken, duplicates, refused, moved_at, standing, crowded_out, unmatched,
    count(quarantine.id)
FROM sources LEFT JOIN quarantine ON quarantine.source = sources.name
WHERE sources.name = ?1 GROUP BY sources.name;

-- name: sources
-- What is kept of every source.
SELECT name, revision, checkpoint, position, taken, duplicates, refused, moved_at, standing, crowded_out, unmatched,
    count(quarantine.id)
FROM sources LEFT JOIN quarantine ON quarantine.source = sources.name
GROUP BY sources.name ORDER BY sources.name;

-- name: move_source
-- The source stands further on; no row changes where it was not at revision ?2.
UPDATE sources SET revision = revision + 1, checkpoint = ?3, position = ?4, taken = taken + ?5,
    duplicates = duplicates + ?6, refused = refused + ?7, unmatched = unmatched + ?8, moved_at = ?9
WHERE name = ?1 AND revision = ?2;

-- name: drop_source
-- Nothing is kept of the source.
DELETE FROM sources WHERE name = ?1;

-- name: drop_all_remembered
-- The source remembers nothing.
DELETE FROM remembered WHERE source = ?1;

-- name: change_remembered
-- The key has this value; no row changes where there is none.
UPDATE remembered SET value = ?3, until = ?4 WHERE source = ?1 AND key = ?2;

-- name: add_remembered
-- The key, which is new, has this value.
INSERT INTO remembered (source, key, value, until) VALUES (?1, ?2, ?3, ?4);

-- name: drop_remembered
-- Nothing is remembered under the key.
DELETE FROM remembered WHERE source = ?1 AND key = ?2;

-- name: count_remembered
-- The source remembers ?2 keys more, and how many these are is returned.
UPDATE sources SET remembered = remembered + ?2 WHERE name = ?1 RETURNING remembered;

-- name: drop_first_ending
-- At most ?2 of what the source remembers are gone, those that end first.
DELETE FROM remembered WHERE source = ?1 AND key IN (
    SELECT key FROM remembered WHERE source = ?1 ORDER BY until, key LIMIT ?2
);

-- name: drop_ended
-- At most ?2 of what has ended at ?1 are gone; whose they were is returned.
DELETE FROM remembered WHERE (source, key) IN (
    SELECT source, key FROM remembered WHERE until <= ?1 ORDER BY until LIMIT ?2
)
RETURNING source;
