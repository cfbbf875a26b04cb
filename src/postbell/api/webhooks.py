"""Native /api/v1/webhooks: everything a customer can set, and the verbs of a webhook."""

from starlette.responses import Response
from starlette.routing import Route

from postbell.api.resources import (
    DEFAULT_LIMIT,
    LIMIT,
    WEBHOOK_ID,
    Call,
    Face,
    json_response,
    page_response,
    route,
    text,
    words,
)
from postbell.desk import forms
from postbell.desk.keys import DEFAULT_OVERLAP_S
from postbell.records import Webhook
from postbell.reports.views import attempt_view

PREFIX = "/api/v1/webhooks"


def routes(face: Face) -> list[Route]:
    """Return the routes of webhooks."""
    one = PREFIX + "/{id}"
    return [
        route(face, PREFIX, GET=_list, POST=_create),
        route(face, one, GET=_show, PATCH=_change, DELETE=_delete),
        route(face, one + "/pause", POST=_pause),
        route(face, one + "/resume", POST=_resume),
        route(face, one + "/test", POST=_test),
        route(face, one + "/secrets", GET=_secrets, POST=_rotate),
    ]


async def _list(call: Call) -> Response:
    query = call.query(
        after=WEBHOOK_ID, limit=LIMIT, api_user=text, dialect=text, state=words("active", "paused")
    )
    page = await call.reports.webhooks(
        call.account_id,
        after=query.pop("after", 0),
        limit=query.pop("limit", DEFAULT_LIMIT),
        **query,
    )
    return page_response("webhooks", page)


async def _create(call: Call) -> Response:
    call.query()
    webhook = await call.desk.create_webhook(call.account_id, await call.form())
    view = await call.reports.webhook_view(webhook)
    view["secrets"] = await call.reports.secrets(webhook)
    return json_response(view, 201, {"location": f"{PREFIX}/{webhook.id}"})


async def _show(call: Call) -> Response:
    call.query()
    return json_response(await call.reports.webhook(call.account_id, call.id))


async def _change(call: Call) -> Response:
    call.query()
    form = await call.form()
    return await _view(call, await call.desk.update_webhook(call.account_id, call.id, form))


async def _delete(call: Call) -> Response:
    call.query()
    await call.desk.delete_webhook(call.account_id, call.id)
    return Response(status_code=204)


async def _pause(call: Call) -> Response:
    call.query()
    forms.known_members(await call.form(), ())
    return await _view(call, await call.desk.pause(call.account_id, call.id))


async def _resume(call: Call) -> Response:
    call.query()
    form = await call.form()
    forms.known_members(form, ("skip", "parked"))
    webhook = await call.desk.resume(
        call.account_id,
        call.id,
        skip=forms.check_flag(form.get("skip"), "skip"),
        parked=forms.check_flag(form.get("parked"), "parked"),
    )
    return await _view(call, webhook)


async def _test(call: Call) -> Response:
    call.query()
    form = await call.form()
    forms.known_members(form, ("type",))
    event_type = forms.check_text(form.get("type"), "type")
    return json_response(
        attempt_view(await call.desk.test_webhook(call.account_id, call.id, event_type))
    )


async def _secrets(call: Call) -> Response:
    call.query()
    webhook = await call.desk.find_webhook(call.account_id, call.id)
    return json_response({"secrets": await call.reports.secrets(webhook)})


async def _rotate(call: Call) -> Response:
    call.query()
    form = await call.form()
    forms.known_members(form, ("overlap_s", "kind", "secret"))
    await call.desk.rotate_secret(
        call.account_id,
        call.id,
        DEFAULT_OVERLAP_S if form.get("overlap_s") is None else form["overlap_s"],
        form.get("kind"),
        secret=form.get("secret"),
    )
    webhook = await call.desk.find_webhook(call.account_id, call.id)
    return json_response({"secrets": await call.reports.secrets(webhook)}, 201)


async def _view(call: Call, webhook: Webhook) -> Response:
    return json_response(await call.reports.webhook_view(webhook))
