"""How anybody reads the log: which events a webhook wants (`match`), the blocks that hold them,
kept once for all who read (`reader`, `cache`),
what was read (`found`), and how many are still to come (`tally`)."""
