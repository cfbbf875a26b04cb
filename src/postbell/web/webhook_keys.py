"""The keys that sign a webhook's deliveries, and the test button."""

from collections.abc import Sequence

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from postbell.errors import BadInput, Conflict
from postbell.records import SecretKind
from postbell.reports.views import SecretView
from postbell.text.numerals import whole
from postbell.web import merging
from postbell.web.page import page
from postbell.web.problems import explain
from postbell.web.site import Site
from postbell.web.visit import Visit
from postbell.web.webhooks import PATH, view_of

OVERLAPS_H = (0, 1, 24, 168)
MAX_SHOWN_CHARS = 1200


def routes(site: Site) -> list[Route]:
    """Return the routes of a webhook's keys and tests."""
    return [
        page(site, PATH + "/{id}/secrets", GET=_secrets, POST=_rotate, again=_secrets),
        page(site, PATH + "/{id}/test", GET=_test, POST=_play),
    ]


async def _secrets(visit: Visit) -> Response:
    return await _secrets_page(visit)


async def _secrets_page(visit: Visit, problem: str = "", status: int = 200) -> Response:
    desk = visit.site.desk
    webhook = await desk.find_webhook(visit.account_id, visit.id)
    dialect = desk.dialects[webhook.dialect]
    own = {secret.id for secret in webhook.secrets}
    keys = await visit.site.reports.secrets(webhook)
    return visit.render(
        "webhook_secrets.html",
        status,
        webhook=await view_of(visit),
        tab="secrets",
        keys=keys[::-1],
        own=own,
        kinds=dialect.secret_kinds,
        with_several=dialect.signs_with_several,
        overlaps=OVERLAPS_H,
        base=merging.carried(_shown_keys(keys)),
        problem=problem,
    )


def _shown_keys(keys: Sequence[SecretView]) -> dict[str, str]:
    """Return which keys a page shows: a new one is made beside those, and no others."""
    return {"keys": " ".join(str(key.id) for key in keys)}


async def _rotate(visit: Visit) -> Response:
    form, desk = visit.form, visit.site.desk
    hours = form.text("overlap_h", "24")
    number = whole(hours)
    overlap_s = -1.0 if number is None else number * 3600.0
    given = form.text("secret") or None
    webhook = await desk.find_webhook(visit.account_id, visit.id)
    if merging.is_moved(form, _shown_keys(await visit.site.reports.secrets(webhook))):
        return await _secrets_page(visit, visit.say("merge.moved"), 409)
    is_accounts = (
        desk.dialects[webhook.dialect].secret_kinds[:1] == (SecretKind.APP_KEY,)
        and not webhook.secrets
        and not form.has("own")
    )
    try:
        if is_accounts:
            await desk.rotate_app_key(visit.account_id, overlap_s, secret=given)
        else:
            await desk.rotate_secret(
                visit.account_id, visit.id, overlap_s, form.text("kind") or None, secret=given
            )
    except (BadInput, Conflict) as error:
        return await _secrets_page(visit, explain(visit.say, error), error.status)
    return visit.redirect(f"{PATH}/{visit.id}/secrets", "secret_rotated")


async def _test(visit: Visit) -> Response:
    return visit.render(
        "webhook_test.html",
        webhook=await view_of(visit),
        tab="test",
        cases=None,
        good=0,
    )


async def _play(visit: Visit) -> Response:
    await visit.site.throttle.admit("test", f"account {visit.account_id}", f"webhook {visit.id}")
    cases = await visit.site.desk.play_cases(
        visit.account_id, visit.id, only=visit.form.text("only")
    )
    return visit.render(
        "webhook_test.html",
        webhook=await view_of(visit),
        tab="test",
        cases=cases,
        shown=_shown,
        first_bad=next((case for case in cases if case.verdict == "bad"), None),
        good=sum(case.verdict == "good" for case in cases),
        played=sum(case.verdict != "left_out" for case in cases),
    )


def _shown(body: bytes) -> str:
    """Return the beginning of a body, indented where it is JSON."""
    try:
        text = msgspec.json.format(body, indent=2).decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = body.decode("utf-8", "replace")
    return text if len(text) <= MAX_SHOWN_CHARS else text[:MAX_SHOWN_CHARS] + " …"
