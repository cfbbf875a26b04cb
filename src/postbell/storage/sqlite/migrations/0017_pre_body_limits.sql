-- What a receiver's 413 taught of how long a body it takes; refused_at is NULL where nothing did.
ALTER TABLE lanes ADD COLUMN refused_at INTEGER;
ALTER TABLE lanes ADD COLUMN refused_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE lanes ADD COLUMN taken_bytes INTEGER NOT NULL DEFAULT 0;
