"""Events come in: checked and made canonical one by one (`accepting`, with `moments` and
`user_agents`; those of a request by `parsing`), told from those known (`seen`), queued fairly
(`queueing`), packed into blocks (`packing`) and durable before their request is answered
(`ingest`)."""
