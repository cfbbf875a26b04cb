"""Every write of every face: one row each, with what it takes to do it."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

EVENT = {"type": "delivered", "recipient": "ada@example.net"}
DEAD_URL = "{dead}/hook"
"""Where nobody listens; the world fills it in."""
PASSWORD = "correct horse battery"
NEW_PASSWORD = "battery staple correct"
V2 = "/v2/email-service/webhook"
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


class Write(NamedTuple):
    """One write: a path whose braces are filled with names of what there is, and what is sent.

    *done* is the status of a success.
    """

    method: str
    path: str
    sent: Mapping[str, Any] | list[Any]
    done: int
    names: Mapping[str, str] = {}
    type: str = "application/json"

    @property
    def title(self) -> str:
        return f"{self.method} {self.path}"


def _page(path: str, done: int = 303, /, _id: str = "webhook", **fields: Any) -> Write:
    fields = {name.replace("__", "."): value for name, value in fields.items()}
    return Write("POST", path, fields, done, {"id": _id})


CODE_ASKED = 422
"""The form is good but for the code, which only an authenticator knows."""
NO_FACTOR = 404
"""There is nothing to renew or to turn off before a first code."""
HOOK = {"url": DEAD_URL, "api_user": "all", "dialect": "native", "types": "delivered"}
RULES = {
    f"{rule}__{member}": "1"
    for rule in ("hard_bounce", "soft_bounce", "complaint", "unsubscribe")
    for member in ("after", "within_days", "lasts_days")
}
PAGES = (
    _page("/webhooks/new", **HOOK),
    _page("/webhooks/{id}/settings", **HOOK | {"url": DEAD_URL + "/changed"}),
    _page("/webhooks/{id}/secrets", overlap_h="1"),
    _page("/webhooks/{id}/test", 200, only="full"),
    _page("/webhooks/{id}/pause"),
    _page("/webhooks/{id}/resume", skip="false"),
    _page("/webhooks/{id}/replay"),
    _page("/batches/{id}/retry", _id="second"),
    _page("/batches/{id}/park", _id="second"),
    _page("/batches/{id}/split", _id="second"),
    _page("/batches/{id}/skip", _id="third", event="of-third"),
    _page("/batches/{id}/bisect", _id="fifth"),
    _page("/webhooks/{id}/delete", _id="spare"),
    _page("/suppressions", addresses="ada@example.net"),
    _page("/suppressions/remove", address="left@example.net", api_user="all"),
    _page("/suppressions/rules", is_on="on", **RULES),
    _page("/settings/api", **HOOK),
    _page("/settings/api/users", 200, name="shop"),
    _page("/settings/api/users/{id}/keys", 200, _id="user", scope="read"),
    _page("/settings/api/keys/{id}/rotate", 200, _id="user_key", overlap_h="1"),
    _page("/settings/api/keys/{id}/revoke", _id="user_key"),
    _page("/settings/api/users/{id}/revoke", _id="user"),
    _page("/settings/account", language="fr", time_zone="Europe/Paris"),
    _page("/settings/account/users", email="eve@example.com", user_password=PASSWORD),
    _page("/settings/account/users/{id}/remove", _id="colleague"),
    _page("/settings/account/sessions/{id}/end", _id="session"),
    _page("/settings/account/sessions/others/end"),
    _page("/settings/account/second-factor/begin", 200, present=PASSWORD),
    _page("/settings/account/second-factor/confirm", CODE_ASKED, code="000000"),
    _page(
        "/settings/account/second-factor/recovery",
        NO_FACTOR,
        renew_present=PASSWORD,
        renew_code="000000",
    ),
    _page(
        "/settings/account/second-factor/off", NO_FACTOR, off_present=PASSWORD, off_code="000000"
    ),
    _page("/settings/account/password", present=PASSWORD, password=NEW_PASSWORD),
    _page("/settings/account/sessions/all/end"),
)
"""Of somebody who is signed in to an account; the last ones change what the others stand on."""
OPERATOR_PAGES = (
    _page("/operator/look/{id}", _id="account"),
    _page("/operator/sources/{id}/retry", _id="source", fact="{fact}"),
    _page("/operator/sources/{id}/drop", _id="source", fact="{fact}"),
)
OPEN_PAGES = {
    ("POST", "/login"): "a password is checked after the form was read, and again as it opens",
    ("POST", "/login/code"): "the half sign-in it finishes is looked at in the same write",
    ("POST", "/logout"): "it ends the session it comes with, nothing else",
    ("POST", "/forgot"): "anybody may ask; the link goes to the address alone",
    ("POST", "/reset/{id}"): "the link is used up in the write that sets the password",
}


def _native(method: str, path: str, done: int, /, _id: str = "webhook", **members: Any) -> Write:
    return Write(method, "/api/v1" + path, members, done, {"id": _id})


NATIVE = (
    Write("POST", "/api/v1/events", [EVENT], 202),
    _native("POST", "/webhooks", 201, url=DEAD_URL),
    _native("PATCH", "/webhooks/{id}", 200, url=DEAD_URL + "/changed"),
    _native("POST", "/webhooks/{id}/pause", 200),
    _native("POST", "/webhooks/{id}/resume", 200),
    _native("POST", "/webhooks/{id}/test", 200),
    _native("POST", "/webhooks/{id}/secrets", 201, overlap_s=60),
    _native("POST", "/batches/{id}/retry", 200, "batch"),
    _native("POST", "/batches/{id}/park", 200, "batch"),
    _native("POST", "/batches/{id}/split", 200, "batch"),
    _native("POST", "/batches/{id}/skip", 200, "fourth", event_id="of-fourth"),
    _native("POST", "/batches/{id}/bisect", 200, "sixth"),
    _native("POST", "/replays", 201, webhook_id="{webhook}"),
    _native("POST", "/replays/dry-run", 200, webhook_id="{webhook}"),
    _native("POST", "/replays/dry-run/events", 200, webhook_id="{webhook}"),
    _native("POST", "/replays/{id}/cancel", 200, "replay"),
    _native("DELETE", "/webhooks/{id}", 204, "other"),
    _native("POST", "/suppressions", 200, address="ada@example.net"),
    _native("POST", "/suppressions/check", 200, addresses=["ada@example.net"]),
    Write("POST", "/api/v1/suppressions/import", ["a@b.example"], 200, type="text/csv"),
    _native("DELETE", "/suppressions/{id}", 204, "suppressed"),
    _native("PATCH", "/suppression-rules", 200, is_on=True),
    _native("POST", "/return-paths", 200, domain="b.example", mails=[{"recipient": "a@b.example"}]),
    _native("POST", "/sources/{id}/quarantine/retry", 200, "source", ids=[2]),
    _native("POST", "/sources/{id}/quarantine/drop", 200, "source", ids=[2]),
    _native("POST", "/api-users", 201, name="till"),
    _native("POST", "/api-users/{id}/keys", 201, "of third", scope="read"),
    _native("POST", "/api-keys/{id}/rotate", 200, "one_key"),
    _native("POST", "/api-keys/{id}/revoke", 200, "one_key"),
    _native("POST", "/api-users/{id}/rotate", 200, "other_user"),
    _native("POST", "/api-users/{id}/revoke", 200, "other_user"),
)
ENGAGELAB = (
    Write("POST", "/v1/webhooks", {"url": DEAD_URL}, 200),
    Write("PUT", "/v1/webhooks/{id}", {"event": [1]}, 200, {"id": "engagelab"}),
    Write("POST", "/v1/webhooks/{id}", {"event": [1]}, 200, {"id": "engagelab"}),
    Write("DELETE", "/v1/webhooks/{id}", {}, 200, {"id": "engagelab"}),
)
SENDPULSE = (
    Write("POST", V2, {"url": DEAD_URL, "actions": ["open"]}, 200),
    Write("PUT", V2 + "/{id}", {"url": DEAD_URL + "/changed"}, 200, {"id": "sendpulse"}),
    Write("DELETE", V2 + "/{id}", {}, 200, {"id": "sendpulse"}),
)
GRANT = Write(
    "POST",
    "/oauth/access_token",
    {"grant_type": "client_credentials", "client_id": "alice", "client_secret": "{key}"},
    200,
)
OF_KEYS = (*NATIVE, *ENGAGELAB, *SENDPULSE)


def filled(write: Write, known: Mapping[str, Any]) -> tuple[str, bytes]:
    """Return path and body with the names and ids of what there is."""
    path = write.path
    if "{id}" in path:
        path = path.replace("{id}", str(known[write.names["id"]]))
    if write in (*PAGES, *OPERATOR_PAGES):
        return path, urlencode(_filled(write.sent, known)).encode()
    if write.type == "text/csv":
        return path, "\n".join(map(str, write.sent)).encode()
    return path, json.dumps(_filled(write.sent, known)).encode()


def _filled(value: Any, known: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        return {name: _filled(each, known) for name, each in value.items()}
    if not isinstance(value, str) or not value.startswith("{"):
        return value
    name, _, rest = value[1:].partition("}")
    return f"{known[name]}{rest}" if rest else known[name]
