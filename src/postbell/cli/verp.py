"""`postbell verp`: return paths that say whose a mail was when it comes back."""

import re
import sys
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO

import click

from postbell.cli.lines import plain
from postbell.cli.office import at_desk
from postbell.cli.options import SettingsCommand, with_settings
from postbell.cli.show import json_option, print_json, print_record, print_records
from postbell.errors import BadInput, NotFound
from postbell.sealing import load_or_create
from postbell.settings.members import Settings
from postbell.text.printable import one_line
from postbell.verp import BOUNCE, HEADER, PURPOSE, UNSUBSCRIBE, Tracer, check_domain

PURPOSES = {BOUNCE: "bounces", UNSUBSCRIBE: "unsubscribe", HEADER: "header"}
NAME = "standard input"
MAX_LINE_BYTES = 8192
COLUMNS = ("recipient", "message_id", "return_path", "unsubscribe")


@click.group("verp")
def command() -> None:
    """Return paths: whose a mail was that comes back.

    Addresses of a mail's own (VERP), signed with the secret key of this installation.
    """


@command.command("make", cls=SettingsCommand)
@click.argument("api_user")
@click.argument("recipients", metavar="[RECIPIENT]...", nargs=-1)
@click.option("--domain", required=True, help="Domain whose mails come back to the service.")
@click.option("--message-id", default="", help="Your id of the message, of few letters.")
@json_option
@with_settings("storage")
def make(
    settings: Settings,
    api_user: str,
    recipients: tuple[str, ...],
    domain: str,
    message_id: str,
    as_json: bool,
) -> int:
    """Make addresses and a header for mails of an API user.

    Without a recipient, lines are read from standard input: a recipient each, and behind a blank
    the message's id, if there is one; for each a line of JSON is printed. A line that is wrong
    keeps no other out, and makes the exit status 1.
    """
    user = at_desk(settings, lambda office: office.desk.find_api_user(api_user))
    tracer = _tracer(settings)
    check_domain(domain)

    if recipients:
        rows = [tracer.addresses(user.id, each, message_id, domain) for each in recipients]
        print_records(rows, COLUMNS, as_json=as_json, empty="")
        return 0
    wrong = 0
    for number, recipient, own in _lines(plain(sys.stdin.buffer, NAME)):
        try:
            print_json(tracer.addresses(user.id, recipient, own or message_id, domain))
        except BadInput as error:
            wrong = 1
            click.echo(one_line(f"line {number}: {error.message}"), err=True)
    return wrong


@command.command("read", cls=SettingsCommand)
@click.argument("address")
@json_option
@with_settings("storage")
def read(settings: Settings, address: str, as_json: bool) -> None:
    """Say whose an address is, or what the header says, that was made here."""
    tracer = _tracer(settings)
    trace = tracer.of_address(address) or tracer.of_header(address)
    if trace is None:
        raise NotFound(f"{address[:80]!r} was not made here, or was changed on its way")
    names = at_desk(
        settings, lambda o: o.directory.find(lambda known: known.owner_of(trace.user_id))
    )
    account, user = names or ("", "")
    record = {
        "for": PURPOSES[trace.purpose],
        "account": account,
        "api_user": user,
        "recipient": trace.recipient,
        "message_id": trace.message_id,
    }
    print_record(record, as_json=as_json)


def _tracer(settings: Settings) -> Tracer:
    return Tracer(load_or_create(settings.secret_key_path).derived(PURPOSE))


def _lines(stream: BinaryIO) -> Iterator[tuple[int, str, str]]:
    """Yield the number of each line that is not blank, its recipient, and a message's id."""
    for number, line in enumerate(iter(partial(stream.readline, MAX_LINE_BYTES + 1), b""), 1):
        if len(line) > MAX_LINE_BYTES:
            raise BadInput(f"line {number} of {NAME} has over {MAX_LINE_BYTES} bytes")
        text = line.decode("utf-8", "replace").strip()
        if found := _RECIPIENT.match(text):
            yield number, found[0], text[found.end() :].strip()


_RECIPIENT = re.compile(r'"(?:[^"\\]|\\.)*"@\S+|\S+')
