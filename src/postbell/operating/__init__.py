"""What an operator watches by: `metrics`, `notices` over a webhook and `mailing`, `standings` of
all webhooks, `tracing`; `wiring` starts those that are set."""
