"""`postbell accounts` and `postbell app-key`."""

from pathlib import Path
from typing import Any

import click

from postbell.cli.office import Office, at_desk
from postbell.cli.options import SettingsCommand, with_settings
from postbell.cli.owners import check_owner, operator_option, password_option, read_password
from postbell.cli.show import json_option, members, print_record, print_records
from postbell.desk.keys import DEFAULT_OVERLAP_S
from postbell.records import Secret
from postbell.reports.views import account_view, secret_view
from postbell.settings.members import Settings

COLUMNS = ("id", "name", "created_at")
KEY_COLUMNS = ("id", "value", "active_at", "expires_at")


@click.group("accounts")
def command() -> None:
    """Accounts: the customers."""


@command.command("create", cls=SettingsCommand)
@click.argument("name")
@click.option("--owner", metavar="EMAIL", help="Let this person sign in to its pages.")
@password_option
@operator_option
@json_option
@with_settings("storage")
def create(
    settings: Settings,
    name: str,
    owner: str | None,
    password_file: Path | None,
    is_operator: bool,
    as_json: bool,
) -> None:
    """Create an account, and its first owner.

    A password that is made is shown this once.
    """
    if owner is None and (password_file is not None or is_operator):
        raise click.UsageError("--password-file and --operator say something of an --owner")

    async def work(office: Office) -> dict[str, Any]:
        if owner is None:
            return members(account_view(await office.desk.create_account(name)))
        password, shown = read_password(password_file)
        await check_owner(office, owner)
        account = await office.desk.create_account(name)
        made = await office.desk.create_owner(account.id, owner, password, is_operator=is_operator)
        return members(account_view(account)) | {"owner": made.email} | shown

    print_record(at_desk(settings, work, may_create=True), as_json=as_json)


@command.command("list", cls=SettingsCommand)
@json_option
@with_settings("storage")
def list_command(settings: Settings, as_json: bool) -> None:
    """List the accounts."""

    print_records(
        at_desk(settings, lambda o: o.reports.accounts()),
        COLUMNS,
        as_json=as_json,
        empty="no accounts; create one with 'postbell accounts create NAME'",
    )


@click.command("app-key", cls=SettingsCommand)
@click.argument("account")
@click.option("--rotate", is_flag=True, help="Schedule a new one; print both.")
@click.option(
    "--overlap",
    "overlap_s",
    type=float,
    metavar="S",
    help="With --rotate: seconds that the old key signs on; 0 to 604800. [default: 86400.0]",
)
@json_option
@with_settings("storage")
def app_key(
    settings: Settings, account: str, rotate: bool, overlap_s: float | None, as_json: bool
) -> None:
    """Show an account's APP KEY, which signs where a dialect has one.

    Only one signature fits into a request: after --rotate the old key signs until the new one
    begins.
    """
    if overlap_s is not None and not rotate:
        raise click.UsageError("--overlap says something of --rotate")

    async def read(office: Office) -> str:
        found = await office.desk.find_account(account)
        return (await office.desk.app_key(found.id)).value

    async def schedule(office: Office) -> list[Secret]:
        found = await office.desk.find_account(account)
        overlap = DEFAULT_OVERLAP_S if overlap_s is None else overlap_s
        return await office.desk.rotate_app_key(found.id, overlap)

    if rotate:
        views = [secret_view(key) for key in at_desk(settings, schedule)]
        print_records(views, KEY_COLUMNS, as_json=as_json, empty="no keys")
        return
    key = at_desk(settings, read)
    if as_json:
        print_record({"account": account, "app_key": key}, as_json=True)
    else:
        click.echo(key)


command.add_command(app_key)
