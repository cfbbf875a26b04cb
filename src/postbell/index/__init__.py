"""A further cursor over log and journal, for search and figures: `indexer` writes it, in the words
of `terms`; `messages` counts each message once."""
