"""`postbell accounts` and `postbell app-key`."""

import click

from postbell.cli.office import Office, at_desk
from postbell.cli.options import SettingsCommand, with_settings
from postbell.cli.show import json_option, print_record, print_records
from postbell.reports.views import account_view
from postbell.settings import Settings

COLUMNS = ("id", "name", "created_at")


@click.group("accounts")
def command() -> None:
    """Accounts: the customers."""


@command.command("create", cls=SettingsCommand)
@click.argument("name")
@json_option
@with_settings("storage")
def create(settings: Settings, name: str, as_json: bool) -> None:
    """Create an account."""

    account = at_desk(settings, lambda o: o.desk.create_account(name), may_create=True)
    print_record(account_view(account), as_json=as_json)


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
@json_option
@with_settings("storage")
def app_key(settings: Settings, account: str, as_json: bool) -> None:
    """Show an account's APP KEY, which signs EngageLab deliveries."""

    async def read(office: Office) -> str:
        found = await office.desk.find_account(account)
        return (await office.desk.app_key(found.id)).value

    key = at_desk(settings, read)
    if as_json:
        print_record({"account": account, "app_key": key}, as_json=True)
    else:
        click.echo(key)


command.add_command(app_key)
