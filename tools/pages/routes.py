"""What each route beside the native API's table does; the page of HTTP fails where one is missing
here, or one too many."""

MEANINGS = {
    ("GET", "/api/v1/openapi.json"): "the OpenAPI document; no credentials needed",
    ("GET", "/api/v1/docs"): "the same as a page to read; no credentials needed",
    ("GET", "/v1/webhooks"): "EngageLab: query, the newest first; takes `offset`, `limit`"
    " (at most 100) and `api_user`",
    ("POST", "/v1/webhooks"): "EngageLab: add a webhook that speaks its dialect",
    ("PUT", "/v1/webhooks/{id}"): "EngageLab: modify (POST works, too)",
    ("DELETE", "/v1/webhooks/{id}"): "EngageLab: delete",
    (
        "POST",
        "/oauth/access_token",
    ): "SendPulse: a bearer token, for an hour, for `client_id` (an api"
    " user) and `client_secret` (its key)",
    ("GET", "/v2/email-service/webhook"): "SendPulse: list the rows, the newest first",
    ("POST", "/v2/email-service/webhook"): "SendPulse: create a row for each of `actions`",
    ("GET", "/v2/email-service/webhook/{id}"): "SendPulse: show a row",
    ("PUT", "/v2/email-service/webhook/{id}"): "SendPulse: change the `url`",
    ("DELETE", "/v2/email-service/webhook/{id}"): "SendPulse: delete a row",
    ("GET", "/healthz"): "200 while the process answers; no credentials needed",
    (
        "GET",
        "/metrics",
    ): "figures for Prometheus, for those who bring `metrics_token`; `metrics_listen` gives"
    " them a listener of their own instead",
    (
        "GET",
        "/readyz",
    ): "200 once ingest can commit, else 503; no credentials needed; 404 for"
    " what a proxy passed on",
}
