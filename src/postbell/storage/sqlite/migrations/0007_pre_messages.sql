-- What became of single messages, for rates. The index is made anew, so that its counters hold
-- for the whole log.

CREATE TABLE index_messages (
    account_id INTEGER NOT NULL,
    key INTEGER NOT NULL,           -- of message and recipient
    minute INTEGER NOT NULL,        -- of the first result, since 1970
    seen INTEGER NOT NULL,          -- bits
    weight INTEGER NOT NULL,        -- messages that the row stands for
    PRIMARY KEY (account_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX index_messages_by_age ON index_messages (minute);

DELETE FROM index_segments;
DELETE FROM index_pages;
DELETE FROM index_counts;
DELETE FROM index_visits;
UPDATE meta SET value = 0 WHERE name IN ('index_block', 'index_journal');
