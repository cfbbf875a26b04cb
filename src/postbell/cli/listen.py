"""`postbell listen`: a receiver that shows, verifies, answers as told, and keeps every body."""

import asyncio
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import click
import msgspec

from postbell.cli import verify
from postbell.cli.receiver import Reaction, Received, receiving
from postbell.cli.show import print_json
from postbell.clock import rfc3339
from postbell.dialects import DIALECTS
from postbell.errors import ServiceError
from postbell.ports import Check
from postbell.serving.server import bind
from postbell.settings.values import Address
from postbell.text.printable import escaped, one_line


class Listener:
    """Answers deliveries by the options, and tells about each."""

    def __init__(
        self,
        *,
        secret: str,
        dialect: str,
        url: str,
        reply: Reaction,
        fail_first: int,
        count: int,
        out: IO[bytes] | None,
        tell: Callable[[dict[str, Any], Received], None],
    ) -> None:
        self._secret = secret
        self._dialect = dialect
        self._url = url
        self._reply = reply
        self._fail_first = fail_first
        self._count = count
        self._out = out
        self._tell = tell
        self._seen = 0
        self.is_done = asyncio.Event()

    async def answer(self, delivery: Received) -> Reaction:
        """Note the delivery and return the reply to it."""
        if delivery.method in ("GET", "HEAD"):
            return Reaction()
        self._seen += 1
        reply = self._reply
        if self._seen <= self._fail_first:
            reply = reply._replace(status=503)
        looked_at = verify.delivery_of(delivery, self._url)
        dialect = self._dialect or verify.dialect_of(looked_at)
        checked = verify.check(looked_at, self._secret, dialect)
        events = verify.event_count(looked_at, dialect)
        if self._out is not None:
            self._keep(self._out, delivery)
        self._tell(_record(delivery, checked, reply.status, dialect, events), delivery)
        if self._count and self._seen >= self._count:
            asyncio.get_running_loop().call_later(reply.delay_s + 0.05, self.is_done.set)
        return reply

    def _keep(self, out: IO[bytes], delivery: Received) -> None:
        line = {
            "at": rfc3339(delivery.at),
            "path": delivery.path,
            "headers": delivery.headers,
            "body": delivery.body.decode("utf-8", "replace"),
        }
        out.write(escaped(msgspec.json.encode(line).decode()).encode() + b"\n")
        out.flush()


def _record(
    delivery: Received, checked: Check, status: int, dialect: str, events: int
) -> dict[str, Any]:
    return {
        "at": rfc3339(delivery.at),
        "path": delivery.path,
        "dialect": dialect,
        "batch": verify.batch_id_of(delivery.headers),
        "attempt": delivery.headers.get("postbell-attempt"),
        "events": events,
        "bytes": len(delivery.body),
        "verified": checked.is_good,
        "signature": checked.reason,
        "status": status,
    }


@click.command("listen")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8026,
    show_default=True,
    help="Port; 0 picks a free one.",
)
@click.option("--secret", default="", metavar="KEY", help="whsec_..., whpk_... or an APP KEY.")
@click.option(
    "--dialect",
    type=click.Choice(list(DIALECTS)),
    help="Verify as this dialect. [default: what the delivery looks like]",
)
@click.option(
    "--url",
    default="",
    metavar="URL",
    help="The URL as it is registered, where that is signed. [default: what was asked for]",
)
@click.option(
    "--status",
    type=click.IntRange(200, 599),
    default=200,
    show_default=True,
    metavar="CODE",
    help="Answer with this status.",
)
@click.option(
    "--delay",
    type=click.FloatRange(0, 3600),
    default=0.0,
    metavar="S",
    help="Seconds to wait before each answer.",
)
@click.option("--retry-after", metavar="S", help="Retry-After header of each answer.")
@click.option(
    "--fail-first",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Answer the first N deliveries with 503.",
)
@click.option(
    "--count", type=click.IntRange(0), default=0, metavar="N", help="End after N deliveries."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Append every body to this file, one JSON line each: {at, path, headers, body}.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each delivery.")
def command(
    host: str,
    port: int,
    secret: str,
    dialect: str | None,
    url: str,
    status: int,
    delay: float,
    retry_after: str | None,
    fail_first: int,
    count: int,
    out: Path | None,
    as_json: bool,
) -> int:
    """Receive webhooks, show and verify them.

    A developer's receiver: each POST is shown with its batch, its events and whether the
    signature is right; the answer is what the options say.
    """
    verify.check_secret(secret, dialect)
    reply = Reaction(status, (("retry-after", retry_after),) if retry_after else (), delay)
    try:
        kept = out.open("ab") if out else None
    except OSError as error:
        raise ServiceError(f"cannot write to {out}: {error.strerror}") from None

    async def listen() -> int:
        ended_by: list[int] = []

        def end(number: int) -> None:
            ended_by.append(number)
            listener.is_done.set()

        listener = Listener(
            secret=secret,
            dialect=dialect or "",
            url=url,
            reply=reply,
            fail_first=fail_first,
            count=count,
            out=kept,
            tell=_tell_json if as_json else _teller(),
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end, number)
        sock = bind(Address(host, port), "--host and --port")
        async with receiving(sock, listener.answer) as own_url:
            print(f"listening on {own_url}", file=sys.stderr if as_json else sys.stdout, flush=True)
            await listener.is_done.wait()
        return 130 if signal.SIGINT in ended_by else 0

    try:
        return asyncio.run(listen())
    finally:
        if kept:
            kept.close()


def _tell_json(record: dict[str, Any], _delivery: Received) -> None:
    print_json(record)


def _teller() -> Callable[[dict[str, Any], Received], None]:
    """Return what shows a delivery: a coloured line with its body, or a plain line."""
    if not sys.stdout.isatty():
        return lambda record, _delivery: print(_line(record), flush=True)
    from rich.console import Console
    from rich.highlighter import JSONHighlighter
    from rich.text import Text

    console = Console()

    def show(record: dict[str, Any], delivery: Received) -> None:
        colour = {True: "green", False: "red", None: "yellow"}[record["verified"]]
        console.print(Text(_line(record), style=colour))
        shown = delivery.body[:_SHOWN_BYTES]
        try:
            whole = json.dumps(json.loads(shown), indent=2, ensure_ascii=False)
        except (ValueError, RecursionError):
            console.print(Text(one_line(shown.decode("utf-8", "replace"))), soft_wrap=True)
        else:
            console.print(JSONHighlighter()(Text(escaped(whole))), soft_wrap=True)

    return show


def _line(record: dict[str, Any]) -> str:
    attempt = f" attempt {record['attempt']}" if record["attempt"] else ""
    return one_line(
        f"{record['at']} {record['dialect']} {record['batch']}{attempt}"
        f" {record['events']} events {record['bytes']} bytes, signature: {record['signature']},"
        f" answered {record['status']}"
    )


_SHOWN_BYTES = 4096
