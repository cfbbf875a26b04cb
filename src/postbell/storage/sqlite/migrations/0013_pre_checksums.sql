-- A checksum over the whole of each block, NULL for those from before.
ALTER TABLE blocks ADD COLUMN checksum BLOB;
