"""`postbell sources check`: what a source of the settings would make of a sample."""

from pathlib import Path

import click
from msgspec.structs import asdict

from postbell import sources
from postbell.cli.events import opened
from postbell.cli.lines import plain
from postbell.cli.office import Office, at_desk
from postbell.cli.options import SettingsCommand, with_settings
from postbell.cli.show import json_option, print_json, print_records, say
from postbell.errors import NotFound
from postbell.ports import Source
from postbell.serving.opening import open_sealer, require_database
from postbell.settings.members import Settings
from postbell.sources.checking import SampleRefusal, SampleResult, check
from postbell.text.compressed import DAMAGED

EVENTS = ("place", "type", "occurred_at", "recipient", "account", "api_user", "rule")
REFUSED = ("place", "code", "message", "begin")
COUNTS = ("account", "api_user", "rule", "type", "events")


@click.command("check", cls=SettingsCommand)
@click.argument("name")
@click.argument("file", metavar="FILE|-", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--limit",
    type=click.IntRange(0, 100_000),
    default=100,
    show_default=True,
    metavar="N",
    help="Show the first N events, and the first N facts that make none; all are counted.",
)
@json_option
@with_settings("storage")
def command(settings: Settings, name: str, file: Path, limit: int, as_json: bool) -> int:
    """Show what a source would make of a sample; nothing is stored.

    NAME is a source of the settings, FILE what it would read: lines of a log, say, also compressed.
    Shows which events come in, for whom, by which rule, and what is not understood; and which
    accounts and api users that the settings name are not there. Exit status 1 for these, and where
    something makes no event.
    """
    source = _source(settings, name)
    result = SampleResult(limit)

    async def work(office: Office) -> None:
        now, known = office.desk.clock.now(), office.directory.known
        lacking = (known.lacking(*owner) for owner in sources.owners(settings.source[name]))
        result.lacking = list(dict.fromkeys(filter(None, lacking)))
        try:
            with opened(file) as stream:
                facts = source.sample(plain(stream, str(file)))
                async for found in check(source, facts, known, now):
                    result.add(found)
        except DAMAGED as error:
            said = f"it cannot be read on: {error}"
            result.add(SampleRefusal(place=str(file), code="malformed", message=said, begin=""))

    at_desk(settings, work)
    _print(result, as_json=as_json)
    return 1 if result.refusals or result.lacking else 0


def _source(settings: Settings, name: str) -> Source:
    from postbell.verp import PURPOSE, Tracer

    if name not in settings.source:
        raise NotFound(
            f"no source {name!r} in the settings; known: {', '.join(settings.source) or 'none'};"
            " name the file of settings with --config"
        )
    require_database(settings)
    tracer = Tracer(open_sealer(settings).derived(PURPOSE))
    return sources.open(settings.source[name], tracer)


def _print(result: SampleResult, *, as_json: bool) -> None:
    counts = [dict(zip(COUNTS, (*of, n), strict=True)) for of, n in sorted(result.counts.items())]
    if as_json:
        print_json(
            {
                "events": result.events,
                "refused": result.refused,
                "counts": counts,
                "refusals": result.refusals,
                "lacking": result.lacking,
            }
        )
        return
    for said in result.lacking:
        say(said)
    for rows, columns, total in (
        (result.events, EVENTS, result.counts.total()),
        (result.refused, REFUSED, result.refusals.total()),
    ):
        if rows:
            print_records([asdict(row) for row in rows], columns, as_json=False, empty="")
            if total > len(rows):
                click.echo(f"... and {total - len(rows)} more")
            click.echo()
    print_records(counts, COUNTS, as_json=False, empty="no event")
    said = ", ".join(f"{n} {code}" for code, n in sorted(result.refusals.items()))
    click.echo(f"\nevents: {result.counts.total()}; facts that make none: {said or 'none'}")
