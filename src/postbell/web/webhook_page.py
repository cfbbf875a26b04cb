"""What the pages of webhooks share: rendering the form, with errors beside their fields."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from postbell.desk.webhooks import tag_of
from postbell.errors import BadInput, Conflict, Stale
from postbell.policies import MEMBERS
from postbell.records import ALL, Webhook
from postbell.web import merging, webhook_form
from postbell.web.problems import explain
from postbell.web.visit import Visit
from postbell.web.webhook_form import Typed


def form_context(visit: Visit, values: Typed) -> dict[str, Any]:
    """Return what the template of the form needs."""
    desk = visit.site.desk
    dialect = desk.dialects.get(values.dialect) or webhook_form.blank(desk).dialect
    chosen = desk.dialects[dialect] if isinstance(dialect, str) else dialect
    options = {
        name: text
        for name, text in values.options.items()
        if any(row[0] == name and text in row[1].split(", ") for row in chosen.option_rows())
    }
    return {
        "values": values,
        "dialects": sorted(desk.dialects.values(), key=lambda each: each.title),
        "chosen": chosen,
        "ticks": chosen.ticks(chosen.check_options(options)),
        "default": webhook_form.defaults(desk, values),
        "users": desk.directory.known.api_users_of(visit.account_id),
        "members": MEMBERS,
    }


async def create(visit: Visit) -> Webhook | Typed:
    """Create a webhook from the visit's form; return the form where something is wrong in it."""
    values = webhook_form.typed(visit.form)
    made = webhook_form.members(values, visit.site.desk, visit.say)
    if values.problems:
        return values
    try:
        return await visit.site.desk.create_webhook(visit.account_id, made)
    except BadInput as error:
        note(visit, values, error)
        return values


def created(visit: Visit) -> str:
    """Return the name of the message about the webhook that the visit's form made."""
    start = webhook_form.typed(visit.form).start
    return "webhook_created_oldest" if start == "oldest" else "webhook_created"


def stored_form(visit: Visit, webhook: Webhook) -> Typed:
    """Return the form of a webhook as it is stored, which says so itself."""
    values = webhook_form.stored(visit.site.desk, webhook)
    values.base = merging.carried(_fields(visit, values))
    return values


async def change(visit: Visit, webhook: Webhook) -> Webhook | Typed:
    """Change a webhook as the visit's form says, merged with what others changed since it was
    rendered; return the form where something is wrong, or collides."""
    desk, base = visit.site.desk, merging.base_of(visit.form)
    given = webhook_form.typed(visit.form)
    typed = _fields(visit, given) | {"api_user": given.api_user}
    for _ in range(merging.MAX_TRIES):
        now = _fields(visit, webhook_form.stored(desk, webhook))
        merged = merging.merge(base or now, now, typed)
        values = webhook_form.of_fields(merged.fields)
        values.base = merging.carried(now)
        values.collides = bool(merged.collisions)
        for name, stored in merged.collisions.items():
            values.problems[name] = visit.say("merge.stored", stored=_shown(visit, name, stored))
        made = webhook_form.members(values, desk, visit.say, webhook)
        if values.problems:
            return values
        try:
            seen = {tag_of(webhook)}
            return (
                await desk.revise_webhook(visit.account_id, webhook.id, made, only_if=seen)
            ).webhook
        except BadInput as error:
            note(visit, values, error)
            return values
        except Stale:
            webhook = await desk.find_webhook(visit.account_id, webhook.id)
    raise Conflict("the webhook kept changing while it was changed", reason="kept_moving")


def _fields(visit: Visit, values: Typed) -> dict[str, str]:
    desk = visit.site.desk
    users = [user.name for user in desk.directory.known.api_users_of(visit.account_id)]
    return webhook_form.fields_of(desk, values, users)


def _shown(visit: Visit, name: str, stored: str) -> str:
    """Return a stored value as the form says it."""
    if name == "dialect" and stored in visit.site.desk.dialects:
        return visit.site.desk.dialects[stored].title
    if name == "api_user" and stored == ALL:
        return visit.say("form.every_api_user")
    return merging.cut(stored) or visit.say("form.as_default")


def first_form(visit: Visit) -> Typed:
    """Return the form of a new webhook, in the format that the address names, else in that of
    the account's newest webhook, else in the installation's."""
    desk = visit.site.desk
    own = (
        each
        for each in desk.directory.known.webhooks.values()
        if each.account_id == visit.account_id
    )
    newest = max(own, key=lambda each: each.id, default=None)
    usual = newest.dialect if newest is not None else visit.site.default_dialect
    return webhook_form.blank(desk, visit.query("dialect") or usual)


def is_step(visit: Visit) -> bool:
    """Return whether the form only asks for the words of another dialect."""
    return visit.form.has(webhook_form.FORMAT)


def note(visit: Visit, values: Typed, error: BadInput) -> None:
    """Note an error of the desk beside the field that it is about."""
    member = error.member
    place = member if member.startswith(("policy.", "options.")) else member.partition(".")[0]
    values.problems[place or "url"] = explain(visit.say, error)


def form_page(
    visit: Visit, template: str, values: Typed, context: Mapping[str, Any], status: int = 0
) -> Response:
    """Return a page with the form; its status is 422 where something is wrong, 409 where
    somebody else changed the same."""
    status = status or (409 if values.collides else 422 if values.problems else 200)
    return visit.render(template, status, **form_context(visit, values), **context)
