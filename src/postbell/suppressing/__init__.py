"""The suppression list: a further cursor over the log, and what an event says of an address."""
