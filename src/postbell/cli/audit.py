"""`postbell audit`: promise 2, recomputed from the log and the journal."""

import contextlib
import sys
from collections.abc import Callable, Iterator

import click
import msgspec

from postbell.cli.office import Office, at_desk
from postbell.cli.options import SettingsCommand, with_settings
from postbell.cli.show import json_option, print_record, print_table, text
from postbell.dialects import DIALECTS
from postbell.pipeline.audit import Audit, AuditRow, Progress, audit
from postbell.settings import Settings


@click.command("audit", cls=SettingsCommand)
@json_option
@with_settings("storage")
def command(settings: Settings, as_json: bool) -> int:
    """Prove from log and journal that nothing was lost.

    For each webhook: matching = delivered + waiting + parked + skipped + expired, and the
    batches cover the log without gap or overlap. Exit status 1 where that does not hold.
    """

    async def work(office: Office) -> Audit:
        with _progress() as progress:
            return await audit(office.engine, DIALECTS, progress=progress)

    found = at_desk(settings, work)
    if as_json:
        built = msgspec.to_builtins(found)
        print_record({"holds": found.holds, **built}, as_json=True)
    else:
        columns = AuditRow.__struct_fields__
        if found.rows:
            print_table([[text(getattr(r, c)) for c in columns] for r in found.rows], columns)
        for problem in found.problems:
            print(f"problem: {problem}", file=sys.stderr)
        click.echo(
            f"{found.events} events, {len(found.rows)} rows: "
            + ("every event is accounted for" if found.holds else "the promise does not hold")
        )
    return 0 if found.holds else 1


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[Progress], None] | None]:
    """Show a bar of the webhooks while on a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("auditing", total=None)
        yield lambda at: bar.update(task, completed=at.done, total=at.total)
