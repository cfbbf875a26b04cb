"""How much may wait for a writer of a SQL engine, and how much of it becomes one commit."""

MAX_JOBS = 2048
MAX_QUEUED_BYTES = 64 << 20
RESERVED_JOBS = 4096
"""Room beyond MAX_JOBS that only the ledger uses, so that a flood of events stops no delivery."""
GROUP_JOBS = 256
GROUP_BYTES = 8 << 20
