-- name: server_now
-- Microseconds since 1970 by the server's clock, now and not as the transaction began.
SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint);

-- name: room
-- The first id that the newest part of ?1 has no room for.
SELECT beyond FROM parts WHERE of = ?1 ORDER BY first DESC LIMIT 1;

-- name: make_room
-- There is room in ?1 for the ids from ?2 to ?3; it is ?4.
SELECT make_room(?1, ?2, ?3, ?4);

-- name: hide_blocks
-- At most ?2 of the blocks below ?1 are too old, the oldest first; how many is returned.
WITH old AS (SELECT id FROM kept_blocks WHERE id < ?1 ORDER BY id LIMIT ?2),
edge AS (SELECT count(*) AS blocks, max(id) + 1 AS block FROM old),
hidden AS (
    UPDATE meta SET value = greatest(value, block) FROM edge
    WHERE name = 'blocks_from' AND block IS NOT NULL
)
SELECT blocks FROM edge;

-- name: hide_journal
-- Every journal row below ?1 is too old.
UPDATE meta SET value = greatest(value, ?1) WHERE name = 'journal_from';

-- name: oldest_journal
-- Journal rows in their order, the oldest first, from the row ?1 on.
SELECT last_at, id, body FROM kept_journal WHERE id >= ?1 ORDER BY id LIMIT ?2;

-- name: old_parts
-- Parts of which something is too old, since when that is known, and below what.
SELECT of, first, beyond, old_at, meta.value FROM parts JOIN meta ON meta.name = of || '_from'
WHERE first < meta.value ORDER BY of, first;

-- name: set_old_at
-- At ?3 something of a part is too old.
UPDATE parts SET old_at = ?3 WHERE of = ?1 AND first = ?2 AND old_at IS NULL;

-- name: drop_part
-- A part of ?1 below ?2 is gone, and true returned, unless somebody is at work in it.
SELECT drop_part(?1, ?2);

-- name: left_blocks
-- The oldest block that there is, kept or not.
SELECT min(id) FROM blocks;

-- name: left_journal
-- The oldest journal row that there is.
SELECT min(id) FROM journal;

-- name: delete_blocks
-- No block below ?1 is there.
DELETE FROM blocks WHERE id < ?1;

-- name: delete_journal
-- No journal row below ?1 is there.
DELETE FROM journal WHERE id < ?1;

-- name: delete_journal_webhooks
-- No journal row below ?1 is found by a webhook.
DELETE FROM journal_webhooks WHERE journal_id < ?1;
