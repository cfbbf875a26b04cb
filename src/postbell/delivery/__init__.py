"""Who moves lanes: the only tasks.

`worker` hears of new blocks and starts pumps; `batches`, `singles` and `replays` are what those do;
`courier` signs and sends, `settle` writes down what became of it.  `catching_up` reads for lanes
that fell behind, `prune` drops what retention is over for, `expiring` warns before, `scrub` reads
old blocks again.
"""
