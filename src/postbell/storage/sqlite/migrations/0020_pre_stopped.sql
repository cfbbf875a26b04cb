-- Until when somebody may change a batch, or all that waits of a lane, of which no request is begun meanwhile, and whether none is
-- under way.
ALTER TABLE batches ADD COLUMN stop_until INTEGER;
ALTER TABLE batches ADD COLUMN is_still INTEGER NOT NULL DEFAULT 0;
ALTER TABLE lanes ADD COLUMN stop_until INTEGER;
ALTER TABLE lanes ADD COLUMN is_still INTEGER NOT NULL DEFAULT 0;
CREATE INDEX stopped_batches ON batches (webhook_id) WHERE stop_until IS NOT NULL;
