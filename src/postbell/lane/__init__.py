"""One webhook's lane in a worker's hands; nothing here waits, writes, sends or reads storage.

`held` is what to do next, `image` what is held: `slots` the open batches, each in a `stage`,
`intake` what was read and not cut, `cut` where a batch ends.  `gate` says what may be sent now,
`judge` what an outcome means, `changes` what becomes of a lane: they alone make what is written.
`work` is what is handed out, `run` and `split` what single events and refused batches become.
"""
