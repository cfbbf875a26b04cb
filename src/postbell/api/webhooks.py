"""Native /api/v1/webhooks: everything a customer can set, and the verbs of a webhook."""

import re
from typing import Any

from msgspec.structs import replace
from starlette.responses import Response

from postbell.api import asked, schemas
from postbell.api.operations import (
    AFTER_ID,
    LIMIT,
    PREFIX,
    Group,
    text,
    word,
)
from postbell.api.replies import json_response
from postbell.api.resources import Call
from postbell.desk import forms
from postbell.desk.keys import DEFAULT_OVERLAP_S
from postbell.desk.webhooks import tag_of
from postbell.records import Webhook
from postbell.reports.batch_views import AttemptView, attempt_view
from postbell.reports.views import NewWebhookView, RevisedWebhookView, WebhookView, extended
from postbell.rights import Right

PATH = PREFIX + "/webhooks"
ONE = PATH + "/{id}"
TAG = "webhooks"
HIDDEN = "***"


async def _list(call: Call) -> Response:
    page = await call.reports.webhooks(call.account_id, **call.query)
    seen = [_seen(call, row) for row in page.rows]
    return json_response(schemas.WebhookPage(seen, page.next))


def _form(call: Call) -> dict[str, Any]:
    """Return the body; an empty api_user is one that was not given."""
    if call.form.get("api_user") == "":
        del call.form["api_user"]
    return call.form


async def _create(call: Call) -> Response:
    webhook = await call.desk.create_webhook(call.account_id, _form(call))
    view = await call.reports.webhook_view(webhook)
    view = extended(view, NewWebhookView, secrets=await call.reports.secrets(webhook))
    headers = {"location": f"{PATH}/{webhook.id}", "etag": _etag(webhook)}
    return json_response(view, 201, headers)


async def _show(call: Call) -> Response:
    return await _shown(call, await call.desk.find_webhook(call.account_id, call.id))


async def _change(call: Call) -> Response:
    revised = await call.desk.revise_webhook(
        call.account_id, call.id, _form(call), only_if=call.only_if
    )
    return await _shown(call, revised.webhook, effective_from=revised.effective_from)


async def _delete(call: Call) -> Response:
    await call.desk.delete_webhook(call.account_id, call.id, only_if=call.only_if)
    return Response(status_code=204)


async def _pause(call: Call) -> Response:
    return await _shown(call, await call.desk.pause(call.account_id, call.id))


async def _resume(call: Call) -> Response:
    webhook = await call.desk.resume(
        call.account_id,
        call.id,
        skip=forms.check_flag(call.form.get("skip"), "skip"),
        parked=forms.check_flag(call.form.get("parked"), "parked"),
    )
    return await _shown(call, webhook)


async def _test(call: Call) -> Response:
    event_type = forms.check_text(call.form.get("type"), "type")
    return json_response(
        attempt_view(await call.desk.test_webhook(call.account_id, call.id, event_type))
    )


async def _secrets(call: Call) -> Response:
    webhook = await call.desk.find_webhook(call.account_id, call.id)
    return json_response(schemas.SecretList(await call.reports.secrets(webhook)))


async def _rotate(call: Call) -> Response:
    form = call.form
    await call.desk.rotate_secret(
        call.account_id,
        call.id,
        DEFAULT_OVERLAP_S if form.get("overlap_s") is None else form["overlap_s"],
        form.get("kind"),
        secret=form.get("secret"),
    )
    webhook = await call.desk.find_webhook(call.account_id, call.id)
    return json_response(schemas.SecretList(await call.reports.secrets(webhook)), 201)


async def _shown(call: Call, webhook: Webhook, **revised: Any) -> Response:
    view = _seen(call, await call.reports.webhook_view(webhook))
    if revised:
        view = extended(view, RevisedWebhookView, **revised)
    return json_response(view, headers={"etag": _etag(webhook)})


def _seen(call: Call, view: WebhookView) -> WebhookView:
    """Return a webhook's view as the caller may see it: to a key for reading the values of headers,
    by which receivers know us, are hidden, and so are a password and a query in its URL."""
    if call.caller.may(Right.MANAGE):
        return view
    url = _QUERY.sub(f"?{HIDDEN}", _USER.sub(rf"\1{HIDDEN}@", view.url, count=1))
    return replace(view, headers=dict.fromkeys(view.headers, HIDDEN), url=url)


_USER = re.compile(r"^([a-z]+://)[^/?@]*(?:@[^/?@]*)*@", re.IGNORECASE)
_QUERY = re.compile(r"\?.+", re.DOTALL)


def _etag(webhook: Webhook) -> str:
    return f'"{tag_of(webhook)}"'


_OF = Group(TAG)
OPERATIONS = (
    _OF.read(
        PATH,
        _list,
        "list webhooks by id",
        schemas.WebhookPage,
        query={
            "after": AFTER_ID,
            "limit": LIMIT,
            "api_user": text("only with exactly this scope"),
            "dialect": text("only of this dialect"),
            "state": word("only in this state", "active", "paused"),
        },
    ),
    _OF.act(
        PATH,
        _create,
        "create a webhook; the answer shows its signing keys",
        NewWebhookView,
        about="The webhook is active at once and gets what is accepted from `start` on.",
        body=asked.NewWebhook,
        status=201,
        headers=("ETag", "Location"),
        refusals=(409,),
    ),
    _OF.read(
        ONE,
        _show,
        "show a webhook and how its delivery stands",
        WebhookView,
        about="The ETag is of what can be set, not of how the delivery stands.",
        headers=("ETag",),
    ),
    _OF.act(
        ONE,
        _change,
        "change the members that are given",
        RevisedWebhookView,
        method="PATCH",
        about="RFC 7396: `null` resets a member; `options` and `policy` are merged. URL, headers,"
        " secrets and policy count at once, for what waits, too. Types, api user, dialect and"
        " options count for what is accepted from `effective_from` on; what was accepted before"
        " is still sent as it was selected then. What others change meanwhile stays; where they"
        " changed a member that is given, too, after this request came, nothing is changed: 409."
        " If-Match asks for more: that nothing was changed since the tag was read.",
        body=asked.WebhookChange,
        body_types=("application/merge-patch+json", "application/json"),
        headers=("ETag",),
        refusals=(409, 412),
        takes_if_match=True,
    ),
    _OF.act(
        ONE,
        _delete,
        "delete a webhook with its open batches",
        None,
        method="DELETE",
        body=None,
        about="What was not sent yet is not sent; the events stay in the log, the attempts in the"
        " journal.",
        status=204,
        refusals=(412,),
        takes_if_match=True,
    ),
    _OF.act(
        ONE + "/pause",
        _pause,
        "stop delivering; events go on waiting",
        WebhookView,
        headers=("ETag",),
        refusals=(409,),
    ),
    _OF.act(
        ONE + "/resume",
        _resume,
        "deliver again; with `skip` from now on, with `parked` the parked batches, too",
        WebhookView,
        about="`skip` leaves out all that waits, in batches and in the log; it is counted and"
        " journaled as skipped. Replays go on.",
        body=asked.Resumption,
        headers=("ETag",),
        refusals=(409,),
    ),
    _OF.act(
        ONE + "/test",
        _test,
        "send sample events now and show the outcome",
        AttemptView,
        about="Signed as real ones are, journaled as a test, counted nowhere.",
        body=asked.Trial,
        refusals=(409,),
    ),
    _OF.read(
        ONE + "/secrets", _secrets, "show the signing keys", schemas.SecretList, right=Right.MANAGE
    ),
    _OF.act(
        ONE + "/secrets",
        _rotate,
        "rotate a signing key; the old one signs, too, for `overlap_s`",
        schemas.SecretList,
        body=asked.Rotation,
        status=201,
        refusals=(409,),
    ),
)
