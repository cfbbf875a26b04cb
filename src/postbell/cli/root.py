"""The table of commands; a command's module is imported only when it is called."""

import importlib
from pathlib import Path
from typing import NamedTuple

import click

from postbell import __version__


class CommandRow(NamedTuple):
    """Where a command is, and the line that the help shows (its own docstring's first)."""

    module: str
    help: str
    attribute: str = "command"


COMMANDS = {
    "serve": CommandRow("serve", "Serve the API, deliver, or both."),
    "demo": CommandRow("demo", "Start everything with sample webhooks and a stream of events."),
    "listen": CommandRow("listen", "Receive webhooks, show and verify them."),
    "health": CommandRow("health", "Ask the service on this machine whether it is well."),
    "migrate": CommandRow("migrate", "Bring the database to this release."),
    "audit": CommandRow("audit", "Prove from log and journal that nothing was lost."),
    "accounts": CommandRow("accounts", "Accounts: the customers."),
    "owners": CommandRow("owners", "Owners: who signs in to the pages."),
    "api-users": CommandRow("api_users", "API users: who sends, each with keys."),
    "webhooks": CommandRow("webhooks", "Webhooks: where events go."),
    "workers": CommandRow("workers", "Processes: which there are, and who holds what."),
    "sources": CommandRow("sources", "Sources: how events come in beside the API."),
    "verp": CommandRow("verp", "Return paths: whose a mail was that comes back."),
    "events": CommandRow("events", "Events: send them to a server."),
    "batches": CommandRow("batches", "Batches: what is open, parked or done."),
    "replay": CommandRow("replay", "Send old events again, as new batches."),
    "suppressions": CommandRow("suppressions", "Suppressions: who is not to be mailed any more."),
    "index": CommandRow("index", "The index for search and figures: how far it is, make it anew."),
    "trail": CommandRow("trail", "Audit trail: who changed what."),
    "backup": CommandRow("backup", "Copy the database while it is in use."),
    "restore": CommandRow("restore", "Put a backup in the place of the database."),
    "compact": CommandRow("compact", "Write the database file anew, without free space."),
    "app-key": CommandRow(
        "accounts", "Show an account's APP KEY, which signs where a dialect has one.", "app_key"
    ),
}


class LazyGroup(click.Group):
    """A group whose commands are rows of COMMANDS."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        row = COMMANDS.get(cmd_name)
        if row is None:
            return None
        module = importlib.import_module(f"postbell.cli.{row.module}")
        found: click.Command = getattr(module, row.attribute)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"No command {args[0]!r}; known: {', '.join(COMMANDS)}", ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, row.help) for name, row in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config", type=click.Path(path_type=Path, dir_okay=False), help="TOML file of settings."
)
@click.option("--profile", metavar="NAME", help="Profile of that file: a data centre.")
@click.version_option(__version__, "-V", "--version", message="postbell %(version)s")
def root(config: Path | None, profile: str | None) -> None:
    """Postbell rings your URL when something happens to your mail."""
