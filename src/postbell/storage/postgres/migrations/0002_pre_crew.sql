-- The processes that are there, with each new holder of what only one does a higher epoch and a mark
-- of how far the one before came, and of each lane the work that it was when it was handed over.
CREATE TABLE processes (
    name text COLLATE "C" PRIMARY KEY,
    machine text COLLATE "C" NOT NULL,
    pid bigint NOT NULL,
    role text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    started_at bigint NOT NULL,
    work bigint NOT NULL,
    behind bigint NOT NULL,
    unheld text COLLATE "C" NOT NULL,
    until bigint NOT NULL
);
ALTER TABLE leases ADD COLUMN epoch bigint NOT NULL DEFAULT 0;
ALTER TABLE leases ADD COLUMN mark text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE lanes ADD COLUMN work bigint NOT NULL DEFAULT 0;
