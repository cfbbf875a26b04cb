"""`postbell sources`: ways events come in beside the API, and how far each is."""

import click
from msgspec.structs import asdict

from postbell.cli.check import command as check
from postbell.cli.office import Office, at_desk
from postbell.cli.options import SettingsCommand, with_settings
from postbell.cli.quarantine import command as quarantine
from postbell.cli.show import json_option, print_record, print_records
from postbell.reports.sources import OperatorSourceView
from postbell.settings.members import Settings

COLUMNS = (
    "name", "kind", "account", "state", "position", "taken", "refused", "unmatched", "quarantined",
    "lag_bytes", "per_s", "moved_at", "place", "fault", "refusal",
)  # fmt: skip


@click.group("sources")
def command() -> None:
    """Sources: how events come in beside the API.

    The settings name them, `postbell serve` runs them.
    """


@command.command("list", cls=SettingsCommand)
@json_option
@with_settings("storage")
def list_command(settings: Settings, as_json: bool) -> None:
    """List the sources and how they do.

    What was wrong last stays there until something else is: the state says what is now.
    """

    async def read(office: Office) -> list[OperatorSourceView]:
        return await office.reports.sources.all()

    print_records(
        [asdict(view) for view in at_desk(settings, read)],
        COLUMNS,
        as_json=as_json,
        empty="no source ever ran; name one in the settings, as [source.NAME]",
    )


@command.command("forget", cls=SettingsCommand)
@click.argument("name")
@json_option
@with_settings("storage")
def forget(settings: Settings, name: str, as_json: bool) -> None:
    """Forget where a source stands, and all that is kept of it.

    One that runs begins anew within seconds: what has no id and no time of its own comes in again.
    """

    async def work(office: Office) -> dict[str, str]:
        await office.desk.forget_source(name)
        return {"forgotten": name}

    print_record(at_desk(settings, work), as_json=as_json)


command.add_command(check)
command.add_command(quarantine)
