"""`postbell migrate`."""

import click

from postbell.cli.options import SettingsCommand, with_settings
from postbell.cli.show import json_option, print_json
from postbell.settings.members import Settings


@click.command("migrate", cls=SettingsCommand)
@click.option("--check", is_flag=True, help="Only say what would be done; exit status 1 if any.")
@json_option
@with_settings("storage")
def command(settings: Settings, check: bool, as_json: bool) -> int:
    """Bring the database to this release."""
    from postbell.serving.opening import database, open_sealer

    if check:
        names = database(settings).pending()
    else:
        open_sealer(settings)
        names = database(settings).migrate()
    if as_json:
        print_json([{"migration": name} for name in names])
    elif names:
        for name in names:
            click.echo(f"{'pending' if check else 'applied'} {name}")
    else:
        click.echo("the database is up to date")
    return 1 if check and names else 0
