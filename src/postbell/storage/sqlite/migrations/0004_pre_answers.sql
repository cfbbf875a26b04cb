-- Answers to management requests that came with an Idempotency-Key.

CREATE TABLE answers (
    account_id INTEGER NOT NULL REFERENCES accounts (id),
    key TEXT NOT NULL,
    at INTEGER NOT NULL,
    digest BLOB NOT NULL,
    answer BLOB NOT NULL,           -- sealed, empty while the request is worked on
    PRIMARY KEY (account_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX answers_by_age ON answers (at);
