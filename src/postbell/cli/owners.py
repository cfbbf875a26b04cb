"""`postbell owners`: who signs in to the pages, users of accounts and operators, and `--owner` of
a new account."""

import secrets
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from postbell.cli.office import Office, at_desk
from postbell.cli.options import SettingsCommand, with_settings
from postbell.cli.show import json_option, members, print_record, print_records
from postbell.desk import noting
from postbell.desk.passwords import check_password
from postbell.desk.throttle import unlock
from postbell.errors import BadInput, Conflict
from postbell.reports.views import owner_view
from postbell.settings.members import Settings
from postbell.text import mailboxes, networks, small_files
from postbell.trail import Change, Subject

MAX_LINE_BYTES = 4096
"""Of a file with a password: four times the longest one, in any script."""
COLUMNS = ("id", "account", "email", "is_operator", "second_factor", "created_at")
SESSION_COLUMNS = ("id", "device", "place", "seen_at", "created_at")

password_option = click.option(
    "--password-file",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="File whose first line is the password, - for stdin. [default: one is made and shown]",
)
operator_option = click.option(
    "--operator",
    "is_operator",
    is_flag=True,
    help="An operator: may open every account, and is no user of this one.",
)


@click.group("owners")
def command() -> None:
    """Owners: who signs in to the pages.

    A user of an account sees that account. An operator may open every account; the account named
    for one is only where sessions begin: its users do not see him and cannot remove him.
    """


@command.command("add", cls=SettingsCommand)
@click.argument("account")
@click.argument("email")
@password_option
@operator_option
@json_option
@with_settings("storage")
def add(
    settings: Settings,
    account: str,
    email: str,
    password_file: Path | None,
    is_operator: bool,
    as_json: bool,
) -> None:
    """Let somebody sign in: a user of an account, or with --operator an operator.

    A password that is made is shown this once.
    """
    password, shown = read_password(password_file)

    async def work(office: Office) -> dict[str, Any]:
        found = await office.desk.find_account(account)
        owner = await office.desk.create_owner(found.id, email, password, is_operator=is_operator)
        return members(owner_view(owner, found.name))

    print_record(at_desk(settings, work) | shown, as_json=as_json)


@command.command("list", cls=SettingsCommand)
@click.argument("account", required=False)
@click.option("--operators", is_flag=True, help="Only operators, whatever their account.")
@json_option
@with_settings("storage")
def list_command(settings: Settings, account: str | None, operators: bool, as_json: bool) -> None:
    """List who signs in: all, who has a place in an account, or the operators."""

    async def read(office: Office) -> list[dict[str, Any]]:
        chosen = await office.desk.find_account(account) if account else None
        names = {each.id: each.name for each in await office.engine.registry.accounts()}
        owners = await office.engine.owners.of(chosen.id if chosen else None)
        with_factor = await office.engine.second_factors.in_force()
        return [
            members(owner_view(owner, names.get(owner.account_id, "")))
            | {"second_factor": owner.id in with_factor}
            for owner in owners
            if owner.is_operator or not operators
        ]

    print_records(
        at_desk(settings, read),
        COLUMNS,
        as_json=as_json,
        empty="nobody signs in; let somebody with 'postbell owners add ACCOUNT EMAIL'",
    )


@command.command("reset-password", cls=SettingsCommand)
@click.argument("email")
@password_option
@json_option
@with_settings("storage")
def reset_password(
    settings: Settings, email: str, password_file: Path | None, as_json: bool
) -> None:
    """Set somebody's password and end all of that person's sessions."""
    password, shown = read_password(password_file)
    owner = at_desk(settings, lambda office: office.desk.reset_password(email, password))
    print_record({"email": owner.email} | shown, as_json=as_json)


@command.command("sessions", cls=SettingsCommand)
@click.argument("email")
@json_option
@with_settings("storage")
def sessions(settings: Settings, email: str, as_json: bool) -> None:
    """List the browsers that somebody is signed in with, the one used last first."""

    async def read(office: Office) -> list[dict[str, Any]]:
        owner = await office.desk.find_owner(email)
        return [
            {
                "id": each.id,
                "device": each.device,
                "place": each.place,
                "seen_at": each.seen_at,
                "created_at": each.created_at,
            }
            for each in await office.desk.sessions_of(owner.id)
        ]

    print_records(
        at_desk(settings, read), SESSION_COLUMNS, as_json=as_json, empty=f"no session of {email}"
    )


@command.command("sign-out", cls=SettingsCommand)
@click.argument("email")
@json_option
@with_settings("storage")
def sign_out(settings: Settings, email: str, as_json: bool) -> None:
    """End every session of somebody; who has the password signs in again."""

    async def work(office: Office) -> dict[str, Any]:
        owner = await office.desk.find_owner(email)
        return {"email": owner.email, "ended": await office.desk.sign_out_everywhere(owner)}

    print_record(at_desk(settings, work), as_json=as_json)


@command.command("reset-second-factor", cls=SettingsCommand)
@click.argument("email")
@json_option
@with_settings("storage")
def reset_second_factor(settings: Settings, email: str, as_json: bool) -> None:
    """Remove somebody's second factor, for a phone that is lost.

    All of that person's sessions end. The password alone signs in then, and sets up a new one where
    the setting second_factor demands it: be sure who asks.
    """
    owner = at_desk(settings, lambda office: office.desk.reset_second_factor(email))
    print_record({"email": owner.email, "second_factor": False}, as_json=as_json)


@command.command("set-role", cls=SettingsCommand)
@click.argument("email")
@click.argument("role", type=click.Choice(["operator", "user"]))
@json_option
@with_settings("storage")
def set_role(settings: Settings, email: str, role: str, as_json: bool) -> None:
    """Make somebody an operator, or a user of an account.

    All of that person's sessions end. The last operator of the installation stays one.
    """
    owner = at_desk(settings, lambda o: o.desk.set_operator(email, role == "operator"))
    print_record({"email": owner.email, "is_operator": owner.is_operator}, as_json=as_json)


@command.command("remove", cls=SettingsCommand)
@click.argument("email")
@json_option
@with_settings("storage")
def remove(settings: Settings, email: str, as_json: bool) -> None:
    """Let somebody sign in no more.

    The last user of an account and the last operator of the installation stay.
    """
    owner = at_desk(settings, lambda office: office.desk.remove_person(email))
    print_record({"removed": owner.email, "is_operator": owner.is_operator}, as_json=as_json)


@command.command("unlock", cls=SettingsCommand)
@click.argument("email", required=False)
@click.option("--network", metavar="ADDRESS", help="Lift the lock of a client's network instead.")
@json_option
@with_settings("storage")
def unlock_command(
    settings: Settings, email: str | None, network: str | None, as_json: bool
) -> None:
    """Lift the lock of an account, or of a network, after too many tries to sign in.

    It lets people try again at once; it changes no password and ends no session.
    """
    if (email is None) == (network is None):
        raise BadInput("EMAIL or --network ADDRESS expected, one of them", member="email")
    if network is not None and networks.parse(network) is None:
        raise BadInput(f"{network[:80]!r} is not an IP address", member="network")

    async def work(office: Office) -> dict[str, Any]:
        tries, desk = office.engine.tries, office.desk
        if network is not None:
            whole = networks.network_of(network)
            change = Change("lock.lifted", None, Subject("network", whole))
            lifted = await desk.trailed(unlock(tries, address=network), _if_any(change))
            return {"network": whole, "lifted": lifted}
        owner = await desk.find_owner(email or "")
        change = noting.of_owner("lock.lifted", owner)
        lifted = await desk.trailed(unlock(tries, email=owner.email), _if_any(change))
        return {"email": owner.email, "lifted": lifted}

    print_record(at_desk(settings, work), as_json=as_json)


def _if_any(change: Change) -> Callable[[int], Change | None]:
    return lambda lifted: change if lifted else None


def read_password(file: Path | None) -> tuple[str, dict[str, str]]:
    """Return a password, and what to print of it: a made one, never one that was given."""
    if file is None:
        made = secrets.token_urlsafe(15)
        return made, {"password": made}
    try:
        is_stdin = str(file) == "-"
        with nullcontext(sys.stdin.buffer) if is_stdin else file.open("rb") as stream:
            line = small_files.first_line(stream, MAX_LINE_BYTES)
        password = line.decode("utf-8").rstrip("\r\n")
    except OSError as error:
        reason = error.strerror or error
        raise BadInput(f"cannot read {file}: {reason}", member="password_file") from None
    except UnicodeDecodeError:
        raise BadInput(f"{file} is not UTF-8", member="password_file") from None
    check_password(password)
    return password, {}


async def check_owner(office: Office, email: str) -> None:
    """Raise BadInput or Conflict unless somebody new may sign in as *email*."""
    if await office.engine.owners.find(email=mailboxes.read(email).address) is not None:
        raise Conflict(f"{email} signs in already; choose another address")
