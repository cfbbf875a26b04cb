"""How anybody reads the log: which events a webhook wants (`match`), the blocks that hold them,
kept once for all who read (`reader`, `cache`), long lists page by page (`paging`), what was read
(`found`), and how many events are still to come (`tally`)."""
