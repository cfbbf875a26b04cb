"""Webhooks: the list, a new one, one with its state, its settings, its end."""

from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from postbell.errors import BadInput, Conflict, PostbellError
from postbell.records import ReplayState
from postbell.reports import marks
from postbell.text.numerals import whole
from postbell.web import standing, webhook_form
from postbell.web.page import page
from postbell.web.problems import explain
from postbell.web.site import Site
from postbell.web.standing import StandingView, standing_view
from postbell.web.visit import Visit, with_query
from postbell.web.webhook_form import Typed
from postbell.web.webhook_page import (
    change,
    create,
    created,
    first_form,
    form_page,
    is_step,
    stored_form,
)

PATH = "/webhooks"
ON_A_PAGE = 50
BATCHES_SHOWN = 10
MAX_COUNTED = 20_000
"""Events of a replay that are counted before it is said "and more"."""


def routes(site: Site) -> list[Route]:
    """Return the routes of webhooks."""
    one = PATH + "/{id}"
    return [
        page(site, PATH, GET=_list),
        page(site, PATH + "/new", GET=_new, POST=_create, again=_create_again),
        page(site, one, GET=_show),
        page(site, one + "/settings", GET=_settings, POST=_change, again=_change_again),
        page(site, one + "/delete", GET=_ask_delete, POST=_delete),
        page(site, one + "/pause", GET=_back, POST=_pause),
        page(site, one + "/resume", GET=_back, POST=_resume),
        page(site, one + "/replay", GET=_back, POST=_replay, again=_show),
    ]


async def view_of(visit: Visit) -> StandingView:
    """Return the view of the webhook in the path, with its state in one word."""
    return standing_view(await visit.site.reports.webhook(visit.account_id, visit.id))


async def _list(visit: Visit) -> Response:
    reports, after = visit.site.reports, marks.read(visit.query("after"))
    states = standing.ranked(await reports.states(visit.account_id))
    later = [each for each in states if standing.key_of(each) > after]
    sums = await reports.outcomes.recent(visit.account_id)
    rows = [
        standing_view(
            await reports.webhook_view(each.webhook), each.word, sums.get(each.webhook.id)
        )
        for each in later[:ON_A_PAGE]
    ]
    mark = ".".join(map(str, standing.key_of(later[ON_A_PAGE - 1]))) if later[ON_A_PAGE:] else ""
    words = [each.word for each in states]
    return visit.render(
        "webhooks.html",
        rows=rows,
        sentence=standing.sentence(visit.say, visit.format.number, words),
        has_any=bool(states),
        next_page=with_query(PATH, {"after": mark}) if mark else "",
        first_page=PATH if visit.query("after") else "",
        pictures=await visit.site.picture("webhook_sparks", visit, rows),
    )


async def _new(visit: Visit) -> Response:
    values = first_form(visit)
    values.url = visit.query("url")
    return form_page(visit, "webhook_new.html", values, {})


async def _create(visit: Visit) -> Response:
    if is_step(visit):
        values = webhook_form.typed(visit.form)
        values = webhook_form.change_dialect(visit.site.desk, values)
        return form_page(visit, "webhook_new.html", values, {})
    made = await create(visit)
    if isinstance(made, Typed):
        return form_page(visit, "webhook_new.html", made, {})
    return visit.redirect(f"{PATH}/{made.id}", created(visit))


async def _create_again(visit: Visit) -> Response:
    return form_page(visit, "webhook_new.html", webhook_form.typed(visit.form), {})


async def _show(visit: Visit) -> Response:
    return await _webhook_page(visit)


async def _webhook_page(
    visit: Visit, problem: str = "", status: int = 200, *, counted: int | None = None
) -> Response:
    reports = visit.site.reports
    view = await view_of(visit)
    sums = await reports.outcomes.recent(visit.account_id, visit.id)
    opened = await reports.open.newest(visit.account_id, visit.id, enough=BATCHES_SHOWN)
    waiting = [row for row in opened.rows if row.state == "waiting"]
    parked = [row for row in opened.rows if row.state == "parked"]
    waiting.sort(key=lambda row: row.next_at.timestamp() if row.next_at else 0)
    finished = await reports.finished_batches(
        visit.account_id, webhook_id=visit.id, limit=BATCHES_SHOWN
    )
    next_at = [row.next_at for row in opened.rows if row.next_at]
    recent = sums.get(visit.id)
    return visit.render(
        "webhook.html",
        status,
        webhook=view,
        tab="state",
        sum=recent,
        waiting=waiting[:BATCHES_SHOWN],
        waiting_count=len(waiting),
        parked=parked[:BATCHES_SHOWN],
        parked_count=opened.parked,
        finished=finished.rows,
        next_at=min(next_at, default=None),
        last=recent.errors[0] if recent is not None and recent.errors else None,
        problem=problem,
        counted=counted,
        max_counted=MAX_COUNTED,
        replays=(await reports.replays(visit.account_id, webhook_id=visit.id, limit=5)).rows,
        picture=await visit.site.picture("webhook_picture", visit, view),
    )


async def _settings(visit: Visit) -> Response:
    webhook = await visit.site.desk.find_webhook(visit.account_id, visit.id)
    values = stored_form(visit, webhook)
    return form_page(visit, "webhook_settings.html", values, await _settings_context(visit))


async def _change(visit: Visit) -> Response:
    desk = visit.site.desk
    webhook = await desk.find_webhook(visit.account_id, visit.id)
    context = await _settings_context(visit)
    if is_step(visit):
        values = webhook_form.change_dialect(desk, webhook_form.typed(visit.form))
        return form_page(visit, "webhook_settings.html", values, context)
    changed = await change(visit, webhook)
    if isinstance(changed, Typed):
        return form_page(visit, "webhook_settings.html", changed, context)
    is_new = changed.revisions[-1].number > webhook.revisions[-1].number
    done = "webhook_revised" if is_new else "webhook_changed"
    return visit.redirect(f"{PATH}/{visit.id}/settings", done)


async def _change_again(visit: Visit) -> Response:
    values, context = webhook_form.typed(visit.form), await _settings_context(visit)
    return form_page(visit, "webhook_settings.html", values, context)


async def _settings_context(visit: Visit) -> dict[str, Any]:
    return {"webhook": await view_of(visit), "tab": "settings"}


async def _ask_delete(visit: Visit) -> Response:
    webhook = await visit.site.desk.find_webhook(visit.account_id, visit.id)
    return visit.render(
        "webhook_delete.html",
        webhook=await view_of(visit),
        tab="settings",
        has_key=bool(webhook.secrets),
    )


async def _delete(visit: Visit) -> Response:
    await visit.site.desk.delete_webhook(visit.account_id, visit.id)
    return visit.redirect(PATH, "webhook_deleted")


async def _back(visit: Visit) -> Response:
    return visit.redirect(f"{PATH}/{visit.id}")


async def _pause(visit: Visit) -> Response:
    await visit.site.desk.pause(visit.account_id, visit.id)
    return visit.redirect(f"{PATH}/{visit.id}", "webhook_paused")


async def _resume(visit: Visit) -> Response:
    skip = visit.form.text("skip") == "true"
    await visit.site.desk.resume(
        visit.account_id, visit.id, skip=skip, parked=visit.form.has("parked")
    )
    return visit.redirect(f"{PATH}/{visit.id}", "webhook_skipped" if skip else "webhook_resumed")


async def _replay(visit: Visit) -> Response:
    """Count what a replay would send, begin it, or cancel one that runs."""
    form, desk = visit.form, visit.site.desk
    try:
        if form.has("cancel"):
            running = form.text("cancel")
            ended = await desk.cancel_replay(visit.account_id, whole(running) or 0)
            is_cancelled = ended.state is ReplayState.CANCELLED
            done = "replay_cancelled" if is_cancelled else "replay_over"
            return visit.redirect(f"{PATH}/{visit.id}", done)
        made: dict[str, Any] = {"parked": True} if form.has("parked") else {}
        for name in ("since", "until"):
            if not made.get("parked") and form.text(name):
                made[name] = visit.format.read_moment(form.text(name), name)
        if form.text("step") == "count":
            return await _webhook_page(visit, counted=await _count(visit, made))
        await desk.create_replay(visit.account_id, visit.id, made)
    except (BadInput, Conflict) as error:
        return await _refused(visit, error)
    return visit.redirect(f"{PATH}/{visit.id}#replay", "replay_begun")


async def _count(visit: Visit, form: dict[str, Any]) -> int:
    """Return how many events a replay would send, more than MAX_COUNTED for "and more"."""
    desk = visit.site.desk
    plan = await desk.plan_replay(visit.account_id, visit.id, form)
    count = 0
    async for events in desk.preview_replay(plan):
        count += len(events)
        if count > MAX_COUNTED:
            break
    return count


async def _refused(visit: Visit, error: PostbellError) -> Response:
    return await _webhook_page(visit, explain(visit.say, error), error.status)
