-- Whether the ids of a revision's batches name their bytes (`lane.body.batch_id`): what was revised by an
-- earlier release, also by one that still runs, keeps the ids that it had.
ALTER TABLE revisions ADD COLUMN ids_name_bytes bigint NOT NULL DEFAULT 0;
