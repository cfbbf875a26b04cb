-- name: read_marks
-- How far the index has read, block and journal.
SELECT log.value, journal.value FROM meta AS log, meta AS journal
WHERE log.name = 'index_block' AND journal.name = 'index_journal';

-- name: set_mark
-- The mark ?1 is ?2.
UPDATE meta SET value = ?2 WHERE name = ?1;

-- name: next_segment
-- A segment id that was never used; ids begin anew when the index is cleared.
UPDATE meta SET value = value + 1 WHERE name = 'index_segment' RETURNING value;

-- name: newest_segments
-- Segments of an account that begin at or before a block, the newest first.
SELECT first_block, last_block, id, entries, fences FROM index_segments
WHERE account_id = ?1 AND first_block <= ?2 ORDER BY first_block DESC LIMIT ?3;

-- name: page
-- The sorted keys of one page.
SELECT body FROM index_pages WHERE id = ?1;

-- name: pages
-- The keys of a segment's pages, in order.
SELECT body FROM index_pages WHERE id >= ?1 AND id < ?2 ORDER BY id;

-- name: add_segment
-- The segment is found from now on.
INSERT INTO index_segments VALUES (?1, ?2, ?3, ?4, ?5, ?6);

-- name: add_page
-- The page is there.
INSERT INTO index_pages VALUES (?1, ?2);

-- name: drop_segment
-- The segment is found no more.
DELETE FROM index_segments WHERE account_id = ?1 AND first_block = ?2;

-- name: drop_pages
-- The pages of a segment are gone.
DELETE FROM index_pages WHERE id >= ?1 AND id < ?2;

-- name: old_segments
-- Some segments that end before a block.
SELECT account_id, first_block, id FROM index_segments WHERE last_block < ?1 LIMIT ?2;

-- name: add_count
-- The counter is ?6 higher.
INSERT INTO index_counts VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (by_hour, series, owner_id, at, slot) DO UPDATE SET n = index_counts.n + ?6;

-- name: counts
-- Counters of one owner in a stretch of time.
SELECT at, slot, n FROM index_counts
WHERE by_hour = ?1 AND series = ?2 AND owner_id = ?3 AND at >= ?4 AND at < ?5
ORDER BY at, slot;

-- name: next_counted
-- The next owner of counters after one.
SELECT series, owner_id FROM index_counts
WHERE by_hour = ?1 AND (series, owner_id) > (?2, ?3) ORDER BY series, owner_id LIMIT 1;

-- name: drop_counts
-- The owner's counters before a time are gone.
DELETE FROM index_counts WHERE by_hour = ?1 AND series = ?2 AND owner_id = ?3 AND at < ?4;

-- name: add_visit
-- The journal block is known to speak of the range.
INSERT INTO index_visits VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING;

-- name: visits
-- Ranges of a webhook that begin at or before an event, the nearest first.
SELECT start, journal_id, "end" FROM index_visits
WHERE webhook_id = ?1 AND start <= ?2 ORDER BY start DESC, journal_id DESC LIMIT ?3;

-- name: next_visited
-- The next webhook with visits after one.
SELECT webhook_id FROM index_visits WHERE webhook_id > ?1 ORDER BY webhook_id LIMIT 1;

-- name: drop_visits
-- The webhook's visits of blocks that are gone are gone too.
DELETE FROM index_visits WHERE webhook_id = ?1 AND start < ?2 AND "end" <= ?2;

-- name: put_message
-- This is known of the message.
INSERT INTO index_messages (account_id, key, minute, seen, weight)
VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (account_id, key) DO UPDATE SET
    minute = excluded.minute, seen = excluded.seen, weight = excluded.weight;

-- name: drop_messages
-- At most ?2 of the messages that count before ?1 are gone.
DELETE FROM index_messages WHERE (account_id, key) IN (
    SELECT account_id, key FROM index_messages WHERE minute < ?1 ORDER BY minute LIMIT ?2
);

-- name: clear_messages
-- Nothing is known of any message.
DELETE FROM index_messages;

-- name: clear_segments
-- No segment is left.
DELETE FROM index_segments;

-- name: clear_pages
-- No page is left.
DELETE FROM index_pages;

-- name: clear_counts
-- No counter is left.
DELETE FROM index_counts;

-- name: clear_visits
-- No visit is left.
DELETE FROM index_visits;
