"""`postbell sources`: ways events come in beside the API, and how far each is."""

import click
from msgspec.structs import asdict

from postbell.cli.office import Office, at_desk
from postbell.cli.options import SettingsCommand, with_settings
from postbell.cli.show import json_option, print_record, print_records
from postbell.errors import NotFound
from postbell.reports.sources import OperatorSourceView
from postbell.settings.members import Settings
from postbell.trail import Change, Subject

COLUMNS = (
    "name", "kind", "account", "state", "position", "taken", "refused", "lag_bytes", "moved_at",
    "place", "fault", "refusal",
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
        row = await office.engine.checkpoints.read(name)
        account = "" if row is None else row.standing.account
        of = await office.directory.find(lambda known: known.account_named(account))
        change = Change("source.forgotten", of.id if of is not None else None, _named(name))
        forgetting = office.engine.checkpoints.forget(name)
        if not await office.desk.trailed(forgetting, lambda was: change if was else None):
            raise NotFound(f"no source {name!r}; 'postbell sources list' shows those there are")
        return {"forgotten": name}

    print_record(at_desk(settings, work), as_json=as_json)


def _named(name: str) -> Subject:
    return Subject("source", "", name)
