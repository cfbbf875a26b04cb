"""`postbell serve`."""

import click

from postbell.cli.options import SettingsCommand, with_settings
from postbell.settings.members import Settings


@click.command("serve", cls=SettingsCommand)
@click.option(
    "--role",
    type=click.Choice(["api", "worker", "all"]),
    default="all",
    show_default=True,
    help="api takes events in and answers; worker delivers.",
)
@with_settings("storage", "service", "outgoing")
def command(settings: Settings, role: str) -> None:
    """Serve the API, deliver, or both.

    Prints one line when it is ready. SIGTERM, Ctrl-C and the end of its terminal end it once
    everything in flight is settled; with a TLS certificate SIGHUP reads that again.
    """
    import uvloop

    from postbell.app import ROLES, serve

    chosen = next(one for one in ROLES if one == role)

    def ready(url: str) -> None:
        print(f"postbell is ready: {url or 'delivering'}", flush=True)

    uvloop.run(serve(settings, chosen, ready=ready))
