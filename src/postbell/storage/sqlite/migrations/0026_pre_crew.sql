-- The processes that are there, with each new holder of what only one does a higher epoch and a mark
-- of how far the one before came, and of each lane the work that it was when it was handed over.
CREATE TABLE processes (
    name TEXT PRIMARY KEY,
    machine TEXT NOT NULL,
    pid INTEGER NOT NULL,
    role TEXT NOT NULL,
    version TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    work INTEGER NOT NULL,
    behind INTEGER NOT NULL,
    unheld TEXT NOT NULL,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
ALTER TABLE leases ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
ALTER TABLE leases ADD COLUMN mark TEXT NOT NULL DEFAULT '';
ALTER TABLE lanes ADD COLUMN work INTEGER NOT NULL DEFAULT 0;
