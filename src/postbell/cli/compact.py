"""`postbell compact`."""

import click

from postbell.cli.options import SettingsCommand, with_settings
from postbell.cli.show import json_option, print_record, say
from postbell.settings.members import Settings


@click.command("compact", cls=SettingsCommand)
@json_option
@with_settings("storage")
def command(settings: Settings, as_json: bool) -> None:
    """Write the database file anew, without free space.

    Stop the service first. A file of a release that could not shrink it stays so large until this
    was done once; others shrink by themselves, a little at a time. Takes 10 to 25 seconds a GB, and
    free room of twice what the file holds.
    """
    from postbell.serving.opening import require_database

    database = require_database(settings)
    before, after = database.compact()
    if as_json:
        sizes = {"bytes_before": before.database_bytes, "bytes": after.database_bytes}
        print_record({"database": database.place, **sizes}, as_json=True)
    else:
        say(
            f"{database.place}: {before.database_bytes:,} bytes before,"
            f" {after.database_bytes:,} now"
        )
