"""`postbell webhooks`: where events go, and how it is going."""

from collections.abc import Callable
from typing import Any

import click

from postbell.cli.forms import CREATE_OPTIONS, FormCommand, form_of, form_options
from postbell.cli.office import Office, at_desk
from postbell.cli.options import SettingsCommand, with_settings
from postbell.cli.show import json_option, print_record, print_records
from postbell.desk.keys import DEFAULT_OVERLAP_S
from postbell.records import Verdict, Webhook
from postbell.reports.batch_views import attempt_view
from postbell.reports.views import (
    NewWebhookView,
    RevisedWebhookView,
    WebhookView,
    extended,
    secret_view,
)
from postbell.settings.members import Settings

COLUMNS = ("id", "account", "dialect", "api_user", "state", "health", "waiting", "parked", "url")
SECRET_COLUMNS = ("id", "kind", "value", "public_key", "active_at", "expires_at")


@click.group("webhooks")
def command() -> None:
    """Webhooks: where events go."""


@command.command("create", cls=FormCommand)
@click.argument("account")
@click.argument("url")
@form_options(*CREATE_OPTIONS)
@json_option
@with_settings("storage", "outgoing")
def create(settings: Settings, account: str, url: str, as_json: bool, **given: Any) -> None:
    """Create a webhook of an account; its signing key is printed with it."""

    async def change(office: Office) -> WebhookView:
        owner = await office.desk.find_account(account)
        webhook = await office.desk.create_webhook(owner.id, {"url": url, **form_of(given)})
        return await _with_secrets(office, webhook)

    print_record(at_desk(settings, change), as_json=as_json)


@command.command("update", cls=FormCommand)
@click.argument("webhook_id", type=int)
@click.option("--url", help="Call this URL from now on.")
@form_options()
@json_option
@with_settings("storage", "outgoing")
def update(
    settings: Settings, webhook_id: int, url: str | None, as_json: bool, **given: Any
) -> None:
    """Change what is given of a webhook; the rest stays.

    What selects and renders (types, api user, dialect, options) counts for events accepted from
    'effective_from' on, what was accepted before is sent as before; the rest counts at once.
    """
    changes = form_of(given) | ({} if url is None else {"url": url})

    async def change(office: Office) -> WebhookView:
        revised = await office.desk.revise_webhook(None, webhook_id, changes)
        view = await office.reports.webhook_view(revised.webhook)
        return extended(view, RevisedWebhookView, effective_from=revised.effective_from)

    print_record(at_desk(settings, change), as_json=as_json)


@command.command("list", cls=SettingsCommand)
@click.argument("account", required=False)
@json_option
@with_settings("storage")
def list_command(settings: Settings, account: str | None, as_json: bool) -> None:
    """List webhooks."""

    async def read(office: Office) -> list[WebhookView]:
        owner = await office.desk.find_account(account) if account else None
        found = await office.reports.matching_webhooks(owner.id if owner else None)
        return [await office.reports.webhook_view(webhook) for webhook in found]

    print_records(
        at_desk(settings, read),
        COLUMNS,
        as_json=as_json,
        empty="no webhooks; create one with 'postbell webhooks create ACCOUNT URL'",
    )


@command.command("show", cls=SettingsCommand)
@click.argument("webhook_id", type=int)
@click.option("--secrets", is_flag=True, help="Show its signing keys, too.")
@json_option
@with_settings("storage")
def show(settings: Settings, webhook_id: int, secrets: bool, as_json: bool) -> None:
    """Show a webhook and how its delivery stands."""

    async def read(office: Office) -> WebhookView:
        webhook = await office.desk.find_webhook(None, webhook_id)
        if secrets:
            return await _with_secrets(office, webhook)
        return await office.reports.webhook_view(webhook)

    print_record(at_desk(settings, read), as_json=as_json)


@command.command("delete", cls=SettingsCommand)
@click.argument("webhook_id", type=int)
@json_option
@with_settings("storage")
def delete(settings: Settings, webhook_id: int, as_json: bool) -> None:
    """Delete a webhook with its open and parked batches; its events stay in the log."""
    at_desk(settings, lambda o: o.desk.delete_webhook(None, webhook_id))
    if as_json:
        print_record({"id": webhook_id, "deleted": True}, as_json=True)
    else:
        click.echo(f"deleted webhook {webhook_id}")


@command.command("pause", cls=SettingsCommand)
@click.argument("webhook_id", type=int)
@json_option
@with_settings("storage")
def pause(settings: Settings, webhook_id: int, as_json: bool) -> None:
    """Stop delivering; events wait in the log."""
    _change(settings, as_json, lambda o: o.desk.pause(None, webhook_id, "operator"))


@command.command("resume", cls=SettingsCommand)
@click.argument("webhook_id", type=int)
@click.option(
    "--skip",
    is_flag=True,
    help="Leave out all that waits, in batches and in the log; replays go on.",
)
@click.option("--parked", is_flag=True, help="Try the parked batches again, too.")
@json_option
@with_settings("storage")
def resume(settings: Settings, webhook_id: int, skip: bool, parked: bool, as_json: bool) -> None:
    """Deliver again; everything that waits is due at once."""
    _change(
        settings,
        as_json,
        lambda o: o.desk.resume(None, webhook_id, skip=skip, parked=parked),
    )


@command.command("rotate", cls=SettingsCommand)
@click.argument("webhook_id", type=int)
@click.option(
    "--overlap",
    "overlap_s",
    type=float,
    default=DEFAULT_OVERLAP_S,
    show_default=True,
    metavar="S",
    help="Seconds that the old key signs on; 0 to 604800.",
)
@click.option("--kind", help="Kind of key: whsec, whsk or appkey.")
@click.option("--secret", help="Take this key. [default: a new one is made]")
@json_option
@with_settings("storage")
def rotate(
    settings: Settings,
    webhook_id: int,
    overlap_s: float,
    kind: str | None,
    secret: str | None,
    as_json: bool,
) -> None:
    """Give a webhook a new signing key; print all that have not ended."""
    keys = at_desk(
        settings,
        lambda o: o.desk.rotate_secret(None, webhook_id, overlap_s, kind, secret=secret),
    )
    views = [secret_view(key) for key in keys]
    has_public = any(view.public_key for view in views)
    columns = [name for name in SECRET_COLUMNS if name != "public_key" or has_public]
    print_records(views, columns, as_json=as_json, empty="no keys")


@command.command("test", cls=SettingsCommand)
@click.argument("webhook_id", type=int)
@click.option("--type", "event_type", help="Send a sample of this type only.")
@json_option
@with_settings("storage", "outgoing")
def test(settings: Settings, webhook_id: int, event_type: str | None, as_json: bool) -> int:
    """Send sample events to a webhook; exit status 1 when it does not take them."""
    entry = at_desk(settings, lambda o: o.desk.test_webhook(None, webhook_id, event_type))
    print_record(attempt_view(entry), as_json=as_json)
    return 0 if entry.verdict is Verdict.DELIVERED else 1


def _change(settings: Settings, as_json: bool, change: Callable[[Office], Any]) -> None:
    async def work(office: Office) -> WebhookView:
        return await office.reports.webhook_view(await change(office))

    print_record(at_desk(settings, work), as_json=as_json)


async def _with_secrets(office: Office, webhook: Webhook) -> WebhookView:
    view = await office.reports.webhook_view(webhook)
    return extended(view, NewWebhookView, secrets=await office.reports.secrets(webhook))
