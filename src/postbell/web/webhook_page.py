"""What the pages of webhooks share: rendering the form, with errors beside their fields."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from postbell.errors import BadInput
from postbell.records import Webhook
from postbell.web import webhook_form
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
    default = webhook_form.defaults(desk, values)
    return {
        "values": values,
        "dialects": sorted(desk.dialects.values(), key=lambda each: each.title),
        "chosen": chosen,
        "ticks": chosen.ticks(chosen.check_options(options)),
        "default": default,
        "default_waits": webhook_form.waits_text(default.retry_waits_s),
        "users": desk.directory.api_users_of(visit.account_id),
        "batch_fields": webhook_form.BATCH_FIELDS,
        "more_fields": webhook_form.MORE_FIELDS,
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


async def change(visit: Visit, webhook: Webhook) -> Webhook | Typed:
    """Change a webhook as the visit's form says; return the form where something is wrong."""
    values = webhook_form.typed(visit.form)
    made = webhook_form.members(values, visit.site.desk, visit.say, webhook)
    if values.problems:
        return values
    try:
        return await visit.site.desk.update_webhook(visit.account_id, webhook.id, made)
    except BadInput as error:
        note(visit, values, error)
        return values


def is_step(visit: Visit) -> bool:
    """Return whether the form only asks for the words of another dialect."""
    return visit.form.text("step") == "dialect"


def note(visit: Visit, values: Typed, error: BadInput) -> None:
    """Note an error of the desk beside the field that it is about."""
    member = error.member
    place = member if member.startswith(("policy.", "options.")) else member.partition(".")[0]
    values.problems[place or "url"] = explain(visit.say, error)


def form_page(
    visit: Visit, template: str, values: Typed, context: Mapping[str, Any], status: int = 0
) -> Response:
    """Return a page with the form; its status is 422 where something is wrong."""
    status = status or (422 if values.problems else 200)
    return visit.render(template, status, **form_context(visit, values), **context)
