"""`postbell index`: how far the search index is, and making it anew."""

import click

from postbell.cli.office import Office, at_desk
from postbell.cli.options import SettingsCommand, with_settings
from postbell.cli.show import json_option, print_record
from postbell.clock import SystemClock
from postbell.index.indexer import Indexer
from postbell.settings.members import Settings
from postbell.trail import Change, Subject


@click.group("index")
def command() -> None:
    """The index for search and figures: how far it is, make it anew.

    The worker keeps it up to the log, a second or so behind, unless --index is off. Nothing is
    lost without it: it is made from the log and the journal.
    """


@command.command("status", cls=SettingsCommand)
@json_option
@with_settings("storage")
def status(settings: Settings, as_json: bool) -> None:
    """Show how far the index is."""

    async def work(office: Office) -> dict[str, int]:
        marks = await office.engine.index.marks()
        head = await office.engine.log.head()
        return {"block": marks.block, "head": head, "behind": head - marks.block}

    print_record(at_desk(settings, work), as_json=as_json)


@command.command("rebuild", cls=SettingsCommand)
@with_settings("storage")
def rebuild(settings: Settings) -> None:
    """Clear the index and make it anew.

    A running server need not stop; its searches find less until this is done. Works with
    --index off, too.
    """

    async def work(office: Office) -> int:
        await office.desk.trailed(
            office.engine.index.clear(),
            lambda _: Change("index.cleared", None, Subject("index", "")),
        )
        indexer = Indexer(office.engine, SystemClock(), share=1.0)
        await indexer.catch_up()
        return (await office.engine.index.marks()).block

    block = at_desk(settings, work)
    click.echo(f"the index is up to block {block}")
