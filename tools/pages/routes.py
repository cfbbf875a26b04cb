"""What each route does; the page of HTTP fails where one is missing here, or one too many."""

MEANINGS = {
    ("POST", "/api/v1/events"): "take in events; 202 once they are durable",
    ("GET", "/api/v1/webhooks"): "list webhooks by id",
    ("POST", "/api/v1/webhooks"): "create a webhook; the answer shows its signing keys",
    ("GET", "/api/v1/webhooks/{id}"): "show a webhook and how its delivery stands",
    ("PATCH", "/api/v1/webhooks/{id}"): "change the members that are given",
    ("DELETE", "/api/v1/webhooks/{id}"): "delete a webhook with its open batches",
    ("POST", "/api/v1/webhooks/{id}/pause"): "stop delivering; events go on waiting",
    ("POST", "/api/v1/webhooks/{id}/resume"): "deliver again; with `skip` from now on, with"
    " `parked` the parked batches, too",
    ("POST", "/api/v1/webhooks/{id}/test"): "send one sample event now and show the outcome",
    ("GET", "/api/v1/webhooks/{id}/secrets"): "show the signing keys",
    ("POST", "/api/v1/webhooks/{id}/secrets"): "rotate a signing key; the old one signs, too, for"
    " `overlap_s`",
    ("GET", "/api/v1/batches"): "list open and parked batches, finished ones with `finished=true`",
    ("GET", "/api/v1/batches/{id}"): "show a batch",
    ("POST", "/api/v1/batches/{id}/retry"): "send an open or parked batch now",
    ("GET", "/api/v1/attempts"): "list attempts, the newest first",
    ("GET", "/api/v1/replays"): "list replays, the newest first",
    ("POST", "/api/v1/replays"): "send old events again, as new batches",
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
    ("GET", "/readyz"): "200 once ingest can commit, else 503; no credentials needed",
}
