"""The engines: `memory` (the reference, for tests) and `sqlite`, found by the table in `engines`;
what they share lies beside them, what SQL engines share in `sql`."""
