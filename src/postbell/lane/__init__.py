"""One webhook's lane in a worker's hands; nothing here writes, sends or reads storage.

`held` is the lane: `intake` has what it has read and not cut, `cut` says where a batch ends,
`due` when an open one may be sent, `pace` when anything may, `judge` what an outcome means.  `work`
is what it hands out, `run` and `split` what single events and refused batches become.
"""
