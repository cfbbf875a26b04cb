"""`postbell api-users`: who may call, each with a key that is shown once."""

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import click

from postbell.cli.office import Office, at_desk
from postbell.cli.options import SettingsCommand, with_settings
from postbell.cli.show import json_option, print_record, print_records
from postbell.desk.people import NewKey
from postbell.reports.views import api_user_view
from postbell.settings import Settings

COLUMNS = ("id", "account", "name", "created_at", "revoked_at")

key_option = click.option(
    "--api-key", metavar="KEY", help="Take this key. [default: a strong one is made]"
)


@click.group("api-users")
def command() -> None:
    """API users: who sends, each with a key."""


@command.command("create", cls=SettingsCommand)
@click.argument("account")
@click.argument("api_user")
@key_option
@json_option
@with_settings("storage")
def create(
    settings: Settings, account: str, api_user: str, api_key: str | None, as_json: bool
) -> None:
    """Create an API user of an account; its key is shown this once."""
    _tell(settings, lambda office: office.desk.create_api_user(account, api_user, api_key), as_json)


@command.command("rotate", cls=SettingsCommand)
@click.argument("api_user")
@key_option
@json_option
@with_settings("storage")
def rotate(settings: Settings, api_user: str, api_key: str | None, as_json: bool) -> None:
    """Give an API user a new key; the old one is refused from now on."""
    _tell(settings, lambda office: office.desk.rotate_api_user(api_user, api_key), as_json)


@command.command("revoke", cls=SettingsCommand)
@click.argument("api_user")
@json_option
@with_settings("storage")
def revoke(settings: Settings, api_user: str, as_json: bool) -> None:
    """Refuse an API user from now on; its events and webhooks stay."""

    user = at_desk(settings, lambda o: o.desk.revoke_api_user(api_user))
    print_record(api_user_view(user), as_json=as_json)


@command.command("list", cls=SettingsCommand)
@click.argument("account", required=False)
@json_option
@with_settings("storage")
def list_command(settings: Settings, account: str | None, as_json: bool) -> None:
    """List API users, revoked ones too."""

    async def read(office: Office) -> list[dict[str, Any]]:
        owner = await office.desk.find_account(account) if account else None
        return await office.reports.api_users(owner.id if owner else None)

    print_records(
        at_desk(settings, read),
        COLUMNS,
        as_json=as_json,
        empty="no API users; create one with 'postbell api-users create ACCOUNT API_USER'",
    )


def _tell(settings: Settings, make: Callable[[Office], Awaitable[NewKey]], as_json: bool) -> None:
    """Print an API user with its key, under the names that settings have for the two."""
    made = at_desk(settings, make)
    if made.warning:
        print(f"warning: {made.warning}", file=sys.stderr)
    view = api_user_view(made.api_user)
    print_record(view | {"api_user": made.api_user.name, "api_key": made.key}, as_json=as_json)
