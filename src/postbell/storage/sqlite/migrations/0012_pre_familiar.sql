-- By which marks (browser, network) one who signed in is known again. Both columns are digests.

CREATE TABLE familiar (
    subject BLOB NOT NULL,
    mark BLOB NOT NULL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (subject, mark)
) STRICT, WITHOUT ROWID;
CREATE INDEX familiar_by_age ON familiar (seen_at);
