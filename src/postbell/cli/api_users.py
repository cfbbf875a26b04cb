"""`postbell api-users`: who may call, each with keys that are shown once."""

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import click

from postbell.cli.office import Office, at_desk
from postbell.cli.options import SettingsCommand, with_settings
from postbell.cli.show import json_option, members, print_record, print_records
from postbell.desk.forms import check_moment, check_scope
from postbell.desk.people import MAX_OVERLAP_S, NewKey
from postbell.records import ApiUser
from postbell.reports.views import ApiUserView, api_key_view, api_user_view
from postbell.rights import KeyScope, KeyTerms
from postbell.settings.members import Settings

COLUMNS = ("id", "account", "name", "created_at", "revoked_at")
KEY_COLUMNS = (
    "id", "api_user", "scope", "hint", "is_weak", "created_at", "used_at", "expires_at",
)  # fmt: skip

key_option = click.option(
    "--api-key", metavar="KEY", help="Take this key. [default: a strong one is made]"
)
scope_option = click.option(
    "--scope",
    type=click.Choice([scope.value for scope in KeyScope]),
    default=KeyScope.EVERYTHING.value,
    show_default=True,
    help="What the key is for.",
)
end_option = click.option(
    "--expires-at", metavar="TIME", help="When the key ends (RFC 3339). [default: never]"
)


@click.group("api-users")
def command() -> None:
    """API users: who sends, each with keys."""


@command.command("create", cls=SettingsCommand)
@click.argument("account")
@click.argument("api_user")
@key_option
@scope_option
@end_option
@json_option
@with_settings("storage")
def create(
    settings: Settings,
    account: str,
    api_user: str,
    api_key: str | None,
    scope: str,
    expires_at: str | None,
    as_json: bool,
) -> None:
    """Create an API user of an account; its key is shown this once."""
    terms = _terms(scope, expires_at)
    _tell(
        settings,
        lambda office: office.desk.create_api_user(account, api_user, api_key, terms=terms),
        as_json,
    )


@command.command("add-key", cls=SettingsCommand)
@click.argument("api_user")
@key_option
@scope_option
@end_option
@json_option
@with_settings("storage")
def add_key(
    settings: Settings,
    api_user: str,
    api_key: str | None,
    scope: str,
    expires_at: str | None,
    as_json: bool,
) -> None:
    """Give an API user a further key, which is shown this once."""
    terms = _terms(scope, expires_at)
    _tell(settings, lambda office: office.desk.add_api_key(api_user, api_key, terms=terms), as_json)


@command.command("rotate", cls=SettingsCommand)
@click.argument("api_user")
@key_option
@click.option("--key-id", type=int, help="Replace this one of several keys.")
@click.option(
    "--overlap",
    "overlap_s",
    type=click.FloatRange(0, MAX_OVERLAP_S),
    default=0.0,
    metavar="SECONDS",
    help="The old key works for so long. [default: 0]",
)
@json_option
@with_settings("storage")
def rotate(
    settings: Settings,
    api_user: str,
    api_key: str | None,
    key_id: int | None,
    overlap_s: float,
    as_json: bool,
) -> None:
    """Replace a key of an API user.

    The old one is refused from now on, or after an overlap.
    """
    _tell(
        settings,
        lambda office: office.desk.rotate_api_user(
            api_user, api_key, key_id=key_id, overlap_s=overlap_s
        ),
        as_json,
    )


@command.command("keys", cls=SettingsCommand)
@click.argument("api_user")
@json_option
@with_settings("storage")
def keys(settings: Settings, api_user: str, as_json: bool) -> None:
    """List the keys of an API user: scope, last use and end."""
    user = at_desk(settings, lambda office: office.desk.find_api_user(api_user))
    _print_keys(user, as_json)


@command.command("revoke-key", cls=SettingsCommand)
@click.argument("key_id", type=int)
@json_option
@with_settings("storage")
def revoke_key(settings: Settings, key_id: int, as_json: bool) -> None:
    """Refuse one key from now on; the others of its API user work on."""
    user = at_desk(settings, lambda office: office.desk.revoke_api_key(key_id))
    _print_keys(user, as_json)


@command.command("revoke", cls=SettingsCommand)
@click.argument("api_user")
@json_option
@with_settings("storage")
def revoke(settings: Settings, api_user: str, as_json: bool) -> None:
    """Refuse an API user with all its keys from now on.

    Its events and webhooks stay.
    """
    user = at_desk(settings, lambda o: o.desk.revoke_api_user(api_user))
    print_record(_view(user, as_json), as_json=as_json)


@command.command("list", cls=SettingsCommand)
@click.argument("account", required=False)
@json_option
@with_settings("storage")
def list_command(settings: Settings, account: str | None, as_json: bool) -> None:
    """List API users, revoked ones too."""

    async def read(office: Office) -> list[ApiUserView]:
        owner = await office.desk.find_account(account) if account else None
        return await office.reports.api_users(owner.id if owner else None)

    print_records(
        at_desk(settings, read),
        COLUMNS,
        as_json=as_json,
        empty="no API users; create one with 'postbell api-users create ACCOUNT API_USER'",
    )


def _terms(scope: str, expires_at: str | None) -> KeyTerms:
    ends = None if expires_at is None else check_moment(expires_at, "expires_at")
    return KeyTerms(check_scope(scope), ends)


def _tell(settings: Settings, make: Callable[[Office], Awaitable[NewKey]], as_json: bool) -> None:
    """Print an API user with its new key, under the names that settings have for the two."""
    new = at_desk(settings, make)
    if new.warning:
        print(f"warning: {new.warning}", file=sys.stderr)
    key = members(api_key_view(new.made))
    shown = {"key_id": key["id"], "scope": key["scope"], "expires_at": key["expires_at"]}
    shown |= {"api_user": new.api_user.name, "api_key": new.key}
    print_record(_view(new.api_user, as_json) | shown, as_json=as_json)


def _view(user: ApiUser, as_json: bool) -> dict[str, Any]:
    """Return an API user: its keys are in the JSON, and in a table of their own."""
    view = members(api_user_view(user))
    return view if as_json else {name: view[name] for name in view if name != "keys"}


def _print_keys(user: ApiUser, as_json: bool) -> None:
    rows = [{**members(api_key_view(key)), "api_user": user.name} for key in user.keys]
    print_records(rows, KEY_COLUMNS, as_json=as_json, empty="no keys")
