"""`postbell demo`: everything at once, on one machine, to see it work and to try it by hand."""

import click
import msgspec

from postbell.cli.options import SettingsCommand, given, with_settings
from postbell.settings.members import Settings


@click.command("demo", cls=SettingsCommand)
@click.option(
    "--rate",
    type=click.FloatRange(0.1, 5000),
    default=6.0,
    show_default=True,
    metavar="N",
    help="Events a second.",
)
@click.option(
    "--events",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Send N events and write no mail log, then only serve. [default: without end]",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0),
    default=0.0,
    metavar="S",
    help="End after S seconds. [default: at Ctrl-C]",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the events.")
@with_settings("storage", "service", "outgoing")
def command(settings: Settings, rate: float, events: int, seconds: float, seed: int) -> None:
    """Start everything with sample webhooks and a stream of events.

    The service, a receiver, an account with an API user, webhooks in the dialects native,
    sendpulse and engagelab, and a log as Postfix writes it, which a source reads. Its data is in
    the folder demo of the data folder, or in --data-dir when given; started again there, it goes
    on.
    """
    import uvloop

    from postbell import signals
    from postbell.cli.demo.run import Plan, run

    chosen = given()
    if "data_dir" not in chosen:
        settings = msgspec.structs.replace(settings, data_dir=settings.data_dir / "demo")
    if "log_level" not in chosen:
        signals.configure(settings.log_format, "warning")
    uvloop.run(
        run(
            settings,
            Plan(rate, events, seconds, seed),
            is_address_free_to_choose="listen" not in chosen,
        )
    )
