"""`postbell sources quarantine`: what sources did not understand, and having it read again."""

import asyncio
import sys

import click

from postbell.cli.office import Office, at_desk
from postbell.cli.options import SettingsCommand, with_settings
from postbell.cli.show import json_option, members, print_record, print_records, say
from postbell.ports import MOST_QUARANTINED, SourceState
from postbell.reports.sources import FactView, QuarantinedView
from postbell.settings.members import Settings

COLUMNS = ("id", "at", "place", "code", "message", "size_bytes", "is_wanted", "begin")
WAIT_S = 30.0
LOOK_S = 0.2
_ids = click.argument("ids", metavar="[ID]...", type=click.IntRange(1, (1 << 63) - 1), nargs=-1)


@click.group("quarantine")
def command() -> None:
    """What sources did not understand.

    A source keeps such facts, at most a thousand of 16 MiB, and goes on; the oldest make room.
    """


@command.command("list", cls=SettingsCommand)
@click.argument("name")
@json_option
@with_settings("storage")
def list_command(settings: Settings, name: str, as_json: bool) -> None:
    """List what a source did not understand, the newest first."""

    async def read(office: Office) -> list[QuarantinedView]:
        await office.desk.find_source(None, name)
        return await _all(office, name)

    empty = f"nothing is in the quarantine of {name!r}"
    print_records(at_desk(settings, read), COLUMNS, as_json=as_json, empty=empty)


@command.command("show", cls=SettingsCommand)
@click.argument("name")
@click.argument("fact_id", metavar="ID", type=int)
@click.option("--raw", "is_raw", is_flag=True, help="Print its bytes as they are, nothing else.")
@json_option
@with_settings("storage")
def show(settings: Settings, name: str, fact_id: int, is_raw: bool, as_json: bool) -> None:
    """Show what is kept of a fact that a source did not understand."""

    async def read(office: Office) -> tuple[FactView, bytes]:
        await office.desk.find_source(None, name)
        return await office.reports.sources.fact(fact_id, source=name)

    view, raw = at_desk(settings, read)
    if is_raw:
        sys.stdout.buffer.write(raw)
        return
    shown = members(view)
    if not as_json:
        del shown["raw"], shown["begin"]
    print_record(shown, as_json=as_json)
    if not as_json:
        click.echo()
        for line in raw.decode("utf-8", "replace").splitlines():
            say(line)


@command.command("retry", cls=SettingsCommand)
@click.argument("name")
@_ids
@json_option
@with_settings("storage")
def retry(settings: Settings, name: str, ids: tuple[int, ...], as_json: bool) -> None:
    """Read facts in quarantine again, all of a source without an ID.

    The service that runs the source does it: what makes events now leaves the quarantine with them.
    This waits for that for half a minute, unless the source is not run now.
    """

    async def work(office: Office) -> dict[str, int]:
        wanted = await office.desk.retry_quarantined(None, name, ids or None)
        return await _outcome(office, name, set(wanted))

    print_record(at_desk(settings, work), as_json=as_json)


@command.command("drop", cls=SettingsCommand)
@click.argument("name")
@_ids
@json_option
@with_settings("storage")
def drop(settings: Settings, name: str, ids: tuple[int, ...], as_json: bool) -> None:
    """Let go of facts in quarantine, of all of a source without an ID."""

    async def work(office: Office) -> dict[str, int]:
        return {"dropped": len(await office.desk.drop_quarantined(None, name, ids or None))}

    print_record(at_desk(settings, work), as_json=as_json)


async def _outcome(office: Office, name: str, wanted: set[int]) -> dict[str, int]:
    """Return how many of these facts were understood, are refused again, or wait to be read."""
    clock = office.desk.clock
    ends_s = clock.monotonic_s() + WAIT_S
    while True:
        is_run = any(
            each.name == name and each.state is not SourceState.STOPPED
            for each in await office.reports.sources.all()
        )
        left = {each.id: each for each in await _all(office, name) if each.id in wanted}
        waiting = sum(each.is_wanted for each in left.values())
        if not waiting or not is_run or clock.monotonic_s() >= ends_s:
            return {
                "understood": len(wanted) - len(left),
                "refused": len(left) - waiting,
                "waiting": waiting,
            }
        await asyncio.sleep(LOOK_S)


async def _all(office: Office, name: str) -> list[QuarantinedView]:
    return (await office.reports.sources.quarantine(name, limit=MOST_QUARANTINED)).rows
