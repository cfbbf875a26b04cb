"""`postbell audit`: promise 2, recomputed from the log and the journal."""

import contextlib
import sys
from collections.abc import Callable, Iterator

import click
import msgspec

from postbell.audit import Audit, AuditProgress, AuditRow, audit
from postbell.cli.office import Office, at_desk
from postbell.cli.options import SettingsCommand, with_settings
from postbell.cli.show import json_option, print_record, print_table, text
from postbell.desk.forms import check_moment
from postbell.dialects import DIALECTS
from postbell.settings.members import Settings

SHOWN = 10


@click.command("audit", cls=SettingsCommand)
@click.option("--since", metavar="TIME", help="Only what was recorded from then on (RFC 3339).")
@click.option("--until", metavar="TIME", help="Only what was recorded before then.")
@json_option
@with_settings("storage")
def command(settings: Settings, since: str | None, until: str | None, as_json: bool) -> int:
    """Prove from log and journal that nothing was lost.

    For each webhook: matching = delivered + waiting + parked + skipped + expired, and the
    batches cover the log without gap or overlap. A running server need not stop. Exit status 1
    where that does not hold, with the first place that does not add up.
    """
    first = check_moment(since, "since") if since is not None else None
    end = check_moment(until, "until") if until is not None else None

    async def work(office: Office) -> Audit:
        with _progress() as progress:
            return await audit(office.engine, DIALECTS, since=first, until=end, progress=progress)

    found = at_desk(settings, work)
    if as_json:
        members = {name: getattr(found, name) for name in found.__struct_fields__}
        lists = {name: msgspec.to_builtins(members.pop(name)) for name in ("rows", "problems")}
        print_record({"holds": found.holds, **members, **lists}, as_json=True)
    else:
        _print(found)
    return 0 if found.holds else 1


def _print(found: Audit) -> None:
    columns = AuditRow.__struct_fields__
    if found.rows:
        print_table([[text(getattr(r, c)) for c in columns] for r in found.rows], columns)
    for place, problem in enumerate(found.problems[:SHOWN]):
        print("first:  " if place == 0 else "further:", text(problem), file=sys.stderr)
    if len(found.problems) > SHOWN:
        print(f"and {len(found.problems) - SHOWN} more; --json has them", file=sys.stderr)
    click.echo(
        f"{found.events} events in {found.blocks} blocks{_range(found)},"
        f" {found.webhooks} webhooks: "
        + ("every event is accounted for" if found.holds else "the promise does not hold")
    )


def _range(found: Audit) -> str:
    """Return which part of the log was looked at, empty for all of it."""
    words = []
    if found.since is not None:
        words.append(f"from {text(found.since)}")
    if found.until is not None:
        words.append(f"before {text(found.until)}")
    return f" recorded {' and '.join(words)}" if words else ""


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[AuditProgress], None] | None]:
    """Show a bar of the webhooks while on a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("auditing", total=None)
        yield lambda at: bar.update(task, completed=at.done, total=at.total)
