"""`postbell verp`: return paths that say whose a mail was when it comes back."""

import sys
from collections.abc import Iterator

import click

from postbell.cli.office import at_desk
from postbell.cli.options import SettingsCommand, with_settings
from postbell.cli.show import json_option, print_json, print_record, print_records
from postbell.errors import NotFound
from postbell.sealing import load_or_create
from postbell.settings.members import Settings
from postbell.verp import BOUNCE, HEADER, PURPOSE, UNSUBSCRIBE, Tracer

PURPOSES = {BOUNCE: "bounces", UNSUBSCRIBE: "unsubscribe", HEADER: "header"}
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
) -> None:
    """Make addresses and a header for mails of an API user.

    Without a recipient, lines are read from standard input: a recipient each, and behind a blank
    the message's id, if there is one; for each a line of JSON is printed.
    """
    user = at_desk(settings, lambda office: office.desk.find_api_user(api_user))
    tracer = _tracer(settings)

    if recipients:
        rows = [tracer.addresses(user.id, each, message_id, domain) for each in recipients]
        print_records(rows, COLUMNS, as_json=as_json, empty="")
        return
    for recipient, message in _lines(message_id):
        print_json(tracer.addresses(user.id, recipient, message, domain))


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


def _lines(message: str) -> Iterator[tuple[str, str]]:
    for line in sys.stdin.buffer:
        recipient, _, own = line.decode("utf-8", "replace").strip().partition(" ")
        if recipient:
            yield recipient, own.strip() or message
