-- How much of a webhook is parked is counted where it changes. What waits is found apart from that,
-- by id and in the order of the log, runs first; what is parked by id, there, and by time.

ALTER TABLE lanes ADD COLUMN parked_batches INTEGER NOT NULL DEFAULT 0;
ALTER TABLE lanes ADD COLUMN parked_events INTEGER NOT NULL DEFAULT 0;
UPDATE lanes SET parked_batches = found.batches, parked_events = found.events FROM (
    SELECT webhook_id, count(*) AS batches, sum(count) AS events
    FROM batches WHERE state = 'parked' GROUP BY webhook_id
) AS found WHERE found.webhook_id = lanes.webhook_id;
CREATE INDEX lanes_of_account ON lanes (account_id);

DROP INDEX batches_of_webhook;
DROP INDEX batches_of_account;
CREATE INDEX batches_of_webhook ON batches (webhook_id, state, id);
CREATE INDEX batches_of_account ON batches (account_id, state, id);
CREATE INDEX batches_in_order
ON batches (webhook_id, state, done IS NULL, start_block, start_offset);
CREATE INDEX parked_of_webhook ON batches (webhook_id, cut_at, id) WHERE state = 'parked';
CREATE INDEX parked_of_account ON batches (account_id, cut_at, id) WHERE state = 'parked';

CREATE TRIGGER batch_parked AFTER INSERT ON batches WHEN new.state = 'parked' BEGIN
    UPDATE lanes SET parked_batches = parked_batches + 1, parked_events = parked_events + new.count
    WHERE webhook_id = new.webhook_id;
END;
CREATE TRIGGER parked_batch_changed AFTER UPDATE OF state, count ON batches
WHEN old.state = 'parked' OR new.state = 'parked' BEGIN
    UPDATE lanes SET
        parked_batches = parked_batches - (old.state = 'parked') + (new.state = 'parked'),
        parked_events = parked_events - iif(old.state = 'parked', old.count, 0)
            + iif(new.state = 'parked', new.count, 0)
    WHERE webhook_id = new.webhook_id;
END;
CREATE TRIGGER parked_batch_gone AFTER DELETE ON batches WHEN old.state = 'parked' BEGIN
    UPDATE lanes SET parked_batches = parked_batches - 1, parked_events = parked_events - old.count
    WHERE webhook_id = old.webhook_id;
END;
