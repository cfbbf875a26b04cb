-- How many facts of each source were about mail that no rule gave to anybody.
ALTER TABLE sources ADD COLUMN unmatched INTEGER NOT NULL DEFAULT 0;
