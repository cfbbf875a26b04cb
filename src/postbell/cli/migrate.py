"""`postbell migrate`: the database brought to this release, or copied to another engine."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from postbell.cli.options import SettingsCommand, SettingsGroup, with_settings
from postbell.cli.show import json_option, print_json, print_record, print_table, say
from postbell.errors import UsageError
from postbell.settings.members import Settings

if TYPE_CHECKING:
    from postbell.storage.copying import Copied, CopyProgress


@click.group("migrate", cls=SettingsGroup, invoke_without_command=True)
@click.option("--check", is_flag=True, help="Only say what would be done; exit status 1 if any.")
@click.option(
    "--phase",
    type=click.Choice(["all", "pre", "post"]),
    default="all",
    show_default=True,
    help="pre before processes of this release start, post when all others have ended.",
)
@json_option
@click.pass_context
@with_settings("storage")
def command(settings: Settings, ctx: click.Context, check: bool, phase: str, as_json: bool) -> int:
    """Bring the database to this release.

    With a database on a server the service need not stop for it: what --phase pre does leaves
    processes of the release before as they are, and lets those of this one start beside them.
    --phase post follows once none of the others runs any more.
    """
    from postbell.ports import MigrationPhase
    from postbell.serving.opening import database, open_sealer

    if ctx.invoked_subcommand is not None:
        return 0
    if check:
        names = database(settings).pending()
        names = [name for name in names if phase == "all" or f"_{phase}_" in name]
    else:
        open_sealer(settings)
        names = database(settings).migrate(MigrationPhase(phase))
    if as_json:
        print_json([{"migration": name} for name in names])
    elif names:
        for name in names:
            click.echo(f"{'pending' if check else 'applied'} {name}")
    else:
        click.echo("the database is up to date")
    return 1 if check and names else 0


@command.command("copy", cls=SettingsCommand)
@click.option("--from", "source", metavar="URL", required=True, help="The database to copy.")
@click.option("--to", "target", metavar="URL", help="An empty one, or a copy begun before.")
@click.option("--finish", is_flag=True, help="Take the last step; processes are to be stopped.")
@click.option("--reopen", is_flag=True, help="Let the one named by --from be served again.")
@json_option
@with_settings("storage")
def copy_command(
    settings: Settings,
    source: str,
    target: str | None,
    finish: bool,
    reopen: bool,
    as_json: bool,
) -> None:
    """Copy the database to another engine, whole.

    Everything keeps its number, its place in the log and its time, so batches keep their ids and
    bytes. Without --finish most of it is copied while the service runs; do that as often as you
    like, it goes on where it was, wherever it was cut off. Then stop the service and take the last
    step with --finish, which takes seconds: it copies what came since and what changes in its
    place, and closes the source. Every row is read back and compared. The secret key file stays
    the same.

    A file must not be open anywhere for the last step. Of a database on a server no worker may hold
    webhooks; what still takes events in answers 503 from then on.
    """
    import asyncio

    from postbell.serving.opening import database
    from postbell.storage.engines import problem

    for url in filter(None, (source, target)):
        if told := problem(url):
            raise UsageError(told)
    if reopen:
        asyncio.run(database(settings, source).reopen())
        click.echo("it can be served again; what a copy of it took in meanwhile is not in it")
        return
    if target is None or source == target:
        raise UsageError("name another database to copy to, with --to URL")
    with _progress() as told_progress:
        copied = asyncio.run(_copied(settings, source, target, finish, told_progress))
    if as_json:
        members = {
            "finished": copied.is_finished,
            "bytes": copied.size_bytes,
            "altered": copied.altered,
            "tables": [table._asdict() for table in copied.tables],
        }
        print_record(members, as_json=True)
    else:
        _print(copied)


async def _copied(
    settings: Settings,
    source: str,
    target: str,
    finish: bool,
    told: "Callable[[CopyProgress], None]",
) -> "Copied":
    from postbell.ports.tables import TablesUse
    from postbell.serving.opening import database
    from postbell.storage.copying import copy

    use = TablesUse.HOLD if finish else TablesUse.READ
    async with (
        database(settings, target).tables(TablesUse.FILL) as filled,
        database(settings, source).tables(use) as read,
    ):
        return await copy(read, filled, finish=finish, told=told)


def _print(copied: "Copied") -> None:
    columns = ("table", "rows", "written")
    print_table([[t.table, str(t.rows), str(t.written)] for t in copied.tables], columns)
    say(f"{copied.size_bytes:,} bytes written, each row read back and compared")
    if copied.altered:
        say(
            f"{copied.altered} rows had U+0000 in a text, which that engine cannot keep: it is"
            " U+FFFD there"
        )
    if copied.is_finished:
        say("the copy is whole, and the source is closed; name the copy in POSTBELL_DATABASE_URL,")
        say("start the service, then: postbell audit")
    else:
        say("next: stop the service, then the same with --finish")


@contextlib.contextmanager
def _progress() -> "Iterator[Callable[[CopyProgress], None]]":
    """Show a bar of the table that is copied while on a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("copying", total=None)

        def told(at: "CopyProgress") -> None:
            about = f"{at.table}, {at.size_bytes >> 20} MB copied"
            bar.update(task, description=about, completed=at.done, total=at.total)

        yield told
