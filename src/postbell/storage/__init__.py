"""The engines: `memory` (the reference, for tests) and `sqlite`, each opened by its `open`; what
they share lies beside them, what SQL engines share in `sql`."""
