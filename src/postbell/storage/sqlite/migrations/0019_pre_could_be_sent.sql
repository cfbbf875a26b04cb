-- Since when a webhook is active (NULL: since it was made), and since when a batch could be sent
-- where that is later than its events came in: of a replay, or one that was parked until then.
ALTER TABLE webhooks ADD COLUMN active_since INTEGER;
ALTER TABLE batches ADD COLUMN opened_at INTEGER;
UPDATE batches SET opened_at = cut_at WHERE replay_id IS NOT NULL;
