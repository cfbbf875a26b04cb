"""`postbell events`: a customer's events, sent to a server over HTTP."""

import contextlib
import secrets
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import click

from postbell.cli.client import ApiClient
from postbell.cli.lines import chunks, items
from postbell.cli.options import SettingsCommand, with_settings
from postbell.cli.send import SendCount, send
from postbell.cli.show import json_option, print_json
from postbell.errors import BadInput
from postbell.settings.members import Settings
from postbell.text.printable import one_line


@click.group("events")
def command() -> None:
    """Events: send them to a server."""


@command.command("send", cls=SettingsCommand)
@click.argument("file", metavar="FILE|-", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--follow", is_flag=True, help="Go on with what is appended, through rotation.")
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where --follow notes how far it got. [default: FILE.checkpoint]",
)
@click.option(
    "--give-up",
    "give_up_s",
    type=click.FloatRange(0),
    default=15.0,
    show_default=True,
    metavar="S",
    help="Seconds to try again while the server is away; --follow never gives up.",
)
@json_option
@with_settings("client", "outgoing")
def send_command(
    settings: Settings,
    file: Path,
    follow: bool,
    checkpoint: Path | None,
    give_up_s: float,
    as_json: bool,
) -> int:
    """Send events from a file or standard input.

    FILE holds a JSON array, one object, or an object on each line. Nothing is stored twice when
    a request is tried again. Exit status 1 when the server rejected an event.
    """
    for name in ("api_user", "api_key"):
        if not getattr(settings, name):
            raise BadInput(
                f"{name} is not set; give --{name.replace('_', '-')} or POSTBELL_{name.upper()}"
            )
    client = ApiClient(
        settings.server_url,
        settings.api_user,
        settings.api_key,
        ca_file=settings.ca_file,
        give_up_s=None if follow else give_up_s,
        notice=lambda sentence: print(one_line(sentence), file=sys.stderr, flush=True),
    )
    with contextlib.closing(client):
        if follow:
            from postbell.cli.follow import Follower

            if str(file) == "-":
                raise BadInput("--follow needs a file; standard input has no place to go on from")
            if file.is_dir():
                raise BadInput(f"{file} is a folder; name a file")
            kept = checkpoint or file.with_name(file.name + ".checkpoint")
            Follower(file, kept, client).run()
        tally = _send_all(client, file)
    if as_json:
        print_json(
            {
                "accepted": tally.accepted,
                "duplicates": tally.duplicates,
                "rejected": tally.rejected,
            }
        )
    else:
        click.echo(
            f"{tally.accepted} accepted, {tally.duplicates} duplicates, {tally.rejected} rejected"
        )
    return 1 if tally.rejected else 0


def _send_all(client: ApiClient, file: Path) -> SendCount:
    tally = SendCount()
    with opened(file) as stream, _progress(file, stream, tally) as advance:
        for chunk in chunks(items(stream, str(file))):
            send(client, chunk, "send-" + secrets.token_urlsafe(18), tally)
            advance()
    return tally


@contextlib.contextmanager
def opened(file: Path) -> Iterator[BinaryIO]:
    """Give a file, or standard input for `-`; raise BadInput where it cannot be read."""
    if str(file) == "-":
        yield sys.stdin.buffer
        return
    try:
        stream = file.open("rb")
    except OSError as error:
        raise BadInput(f"cannot read {file}: {(error.strerror or '').lower()}") from None
    with stream:
        yield stream


@contextlib.contextmanager
def _progress(file: Path, stream: BinaryIO, tally: SendCount) -> Iterator[Callable[[], None]]:
    """Show a bar of the bytes read while on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    size = file.stat().st_size if stream is not sys.stdin.buffer else None
    columns = (
        TextColumn("sending"),
        BarColumn(),
        TextColumn("{task.fields[events]:,} events"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("sending", total=size, events=0)

        def advance() -> None:
            position = stream.tell() if size is not None else 0
            progress.update(task, completed=position, events=tally.total)

        yield advance
