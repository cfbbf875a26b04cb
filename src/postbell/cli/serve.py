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
    from postbell.errors import TakenOver
    from postbell.serving import process
    from postbell.signals import log

    chosen = next(one for one in ROLES if one == role)

    def ready(url: str) -> None:
        print(f"postbell is ready: {url or 'delivering'}", flush=True)

    async def serve_on() -> None:
        """Serve, and once more from the beginning whenever the database has become another one."""
        process.keep_owner()
        is_over = False
        while not is_over:
            try:
                await serve(settings, chosen, ready=ready)
                is_over = True
            except* TakenOver:
                log("starts_anew", role=role)

    uvloop.run(serve_on())
