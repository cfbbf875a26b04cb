"""`postbell replay`: old events again, as new batches with the same event ids."""

from typing import Any

import click

from postbell.cli.forms import TYPE_HELP, split_types
from postbell.cli.office import at_desk
from postbell.cli.options import SettingsCommand, with_settings
from postbell.cli.show import json_option, print_record
from postbell.reports.views import replay_view
from postbell.settings.members import Settings


@click.command("replay", cls=SettingsCommand)
@click.argument("webhook_id", type=int)
@click.option("--since", metavar="TIME", help="From this time on (RFC 3339). [default: all]")
@click.option("--until", metavar="TIME", help="Before this time. [default: now]")
@click.option("--parked", is_flag=True, help="The events of all parked batches instead.")
@click.option(
    "--from",
    "from_webhook_id",
    type=int,
    metavar="ID",
    help="With --parked: those of another webhook of the account.",
)
@click.option("--type", "types", multiple=True, metavar="TYPE", help=TYPE_HELP)
@click.option("--recipient", help="Only events of this recipient.")
@click.option("--message", help="Only events of this message.")
@click.option("--rate", "rate_per_s", type=float, metavar="N", help="Events a second at most.")
@json_option
@with_settings("storage")
def command(
    settings: Settings,
    webhook_id: int,
    parked: bool,
    types: tuple[str, ...],
    as_json: bool,
    **given: Any,
) -> None:
    """Send old events again, as new batches.

    Event ids stay the same, so a receiver that looks at them notices what it knows.
    """
    if given["from_webhook_id"] is not None and not parked:
        raise click.UsageError("--from goes with --parked only; a time range is of the account")
    form = {name: value for name, value in given.items() if value is not None}
    form |= {"parked": True} if parked else {}
    form |= {"types": split_types(types)} if types else {}
    replay = at_desk(settings, lambda o: o.desk.create_replay(None, webhook_id, form))
    print_record(replay_view(replay), as_json=as_json)
