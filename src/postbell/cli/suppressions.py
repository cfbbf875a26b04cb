"""`postbell suppressions`: who is not to be mailed any more, and why."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import click

from postbell.cli.office import Office, at_desk
from postbell.cli.options import SettingsCommand, with_settings
from postbell.cli.show import json_option, print_record, print_records, say
from postbell.desk.suppressions import ADD_MEMBERS, Imported
from postbell.errors import BadInput
from postbell.ports import SuppressionQuery
from postbell.records import ALL, Account
from postbell.reports.suppressions import (
    COLUMNS,
    CheckedAddress,
    SuppressionView,
    cells_of,
)
from postbell.reports.views import every
from postbell.settings.members import Settings
from postbell.suppressing.follower import SuppressionFollower
from postbell.suppressions import SuppressionReason
from postbell.text.numerals import whole
from postbell.text.recipients import key_of
from postbell.text.sheets import rows_of, sheet_of

PAGE = 1000
LINES_AT_ONCE = 10_000
SHOWN = 10
_api_user = click.option(
    "--api-user", metavar="NAME", help="Of this api user's mail, all: of the whole account's."
)


@click.group("suppressions")
def command() -> None:
    """Suppressions: who is not to be mailed any more.

    Events put addresses on an account's list by its rules, which are off until somebody turns them
    on; people do by hand.
    """


@command.command("list", cls=SettingsCommand)
@click.argument("account")
@click.option("--search", metavar="TEXT", default="", help="Only addresses with this in them.")
@click.option(
    "--reason", type=click.Choice([reason.value for reason in SuppressionReason]), help="Only so."
)
@_api_user
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many."
)
@json_option
@with_settings("storage")
def list_command(
    settings: Settings,
    account: str,
    search: str,
    reason: str | None,
    api_user: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List the suppressed addresses of an account."""

    async def read(office: Office) -> list[SuppressionView]:
        found = await office.desk.find_account(account)
        wanted = SuppressionQuery(
            found.id,
            key_of(search),
            SuppressionReason(reason) if reason is not None else None,
            await _user_id(office, found, api_user),
        )
        page = office.reports.suppressions.page
        return await every(lambda after: page(wanted, after=after, limit=min(PAGE, limit)), limit)

    print_records(
        at_desk(settings, read), COLUMNS, as_json=as_json, empty="no address is suppressed so"
    )


@command.command("check", cls=SettingsCommand)
@click.argument("account")
@click.argument("addresses", nargs=-1, required=True)
@_api_user
@json_option
@with_settings("storage")
def check(
    settings: Settings,
    account: str,
    addresses: tuple[str, ...],
    api_user: str | None,
    as_json: bool,
) -> int:
    """Say whether addresses are suppressed; exit status 1 where one is."""

    async def read(office: Office) -> list[CheckedAddress]:
        found = await office.desk.find_account(account)
        user = await _user_id(office, found, api_user)
        return await office.reports.suppressions.check(found.id, addresses, user)

    checked = at_desk(settings, read)
    shown = [
        {"address": each.address, "suppressed": each.is_suppressed, "why": _why(each)}
        for each in checked
    ]
    print_records(
        checked if as_json else shown,
        ("address", "suppressed", "why"),
        as_json=as_json,
        empty="",
    )
    return 1 if any(each.is_suppressed for each in checked) else 0


@command.command("add", cls=SettingsCommand)
@click.argument("account")
@click.argument("address")
@_api_user
@click.option("--note", default="", help="Why, for people.")
@click.option("--until", metavar="TIME", help="Until then (RFC 3339); else until it is removed.")
@json_option
@with_settings("storage")
def add(
    settings: Settings,
    account: str,
    address: str,
    api_user: str | None,
    note: str,
    until: str | None,
    as_json: bool,
) -> None:
    """Put an address on an account's list."""

    async def work(office: Office) -> SuppressionView:
        found = await office.desk.find_account(account)
        form = {"address": address, "api_user": api_user, "note": note, "until": until}
        entry = await office.desk.add_suppression(found.id, form)
        return (await office.reports.suppressions.views([entry]))[0]

    print_record(at_desk(settings, work), as_json=as_json)


@command.command("remove", cls=SettingsCommand)
@click.argument("account")
@click.argument("address")
@_api_user
@json_option
@with_settings("storage")
def remove(
    settings: Settings, account: str, address: str, api_user: str | None, as_json: bool
) -> None:
    """Take an address off an account's list, wherever it is on it.

    Only what happens from now on brings it back, not a rebuild from older events.
    """

    async def work(office: Office) -> list[SuppressionView]:
        found = await office.desk.find_account(account)
        gone = await office.desk.remove_suppression(found.id, address, api_user)
        return await office.reports.suppressions.views(gone)

    print_records(at_desk(settings, work), COLUMNS, as_json=as_json, empty="")


@command.command("import", cls=SettingsCommand)
@click.argument("account")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
@with_settings("storage")
def import_command(settings: Settings, account: str, file: Path, as_json: bool) -> int:
    """Put the addresses of a table (CSV) on an account's list.

    Its first line names the columns: address, and any of api_user, reason, note and until. One
    address on a line, without a head, will do. Exit status 1 where a line was not taken.
    """
    body = file.read_bytes()
    deque(rows_of(body, ADD_MEMBERS), maxlen=0)  # a table that is none is refused as a whole
    lines = rows_of(body, ADD_MEMBERS)

    async def work(office: Office) -> Imported:
        found = await office.desk.find_account(account)
        total = Imported(0, 0, [])
        while part := list(islice(lines, LINES_AT_ONCE)):
            done = await office.desk.import_suppressions(found.id, part)
            total = Imported(
                total.added + done.added, total.known + done.known, total.refused + done.refused
            )
        return total

    done = at_desk(settings, work)
    if as_json:
        refused = [each._asdict() for each in done.refused]
        print_record({**done._asdict(), "refused": refused}, as_json=True)
    else:
        for each in done.refused[:SHOWN]:
            say(f"line {each.line}: {each.message}")
        click.echo(f"{done.added} added, {done.known} known, {len(done.refused)} refused")
    return 1 if done.refused else 0


@command.command("export", cls=SettingsCommand)
@click.argument("account")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@with_settings("storage")
def export(settings: Settings, account: str, file: Path) -> None:
    """Write an account's list to a new file, a table (CSV) that import takes."""

    async def work(office: Office) -> int:
        found = await office.desk.find_account(account)
        entries = 0
        with _new(file) as written:
            written.write(sheet_of(COLUMNS, [], headed=True))
            async for page in office.reports.suppressions.every(SuppressionQuery(found.id)):
                written.write(sheet_of(COLUMNS, map(cells_of, page), headed=False))
                entries += len(page)
        return entries

    try:
        entries = at_desk(settings, work)
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise BadInput(f"cannot write {file}: {reason}") from None
    click.echo(f"{entries} addresses written")


@command.command("rules", cls=SettingsCommand)
@click.argument("account")
@click.option("--on/--off", "is_on", default=None, help="Whether events count at all.")
@click.option(
    "--set",
    "changes",
    metavar="RULE.MEMBER=NUMBER",
    multiple=True,
    help="As soft_bounce.after=3; members: after, within_days, lasts_days.",
)
@json_option
@with_settings("storage")
def rules(
    settings: Settings, account: str, is_on: bool | None, changes: tuple[str, ...], as_json: bool
) -> None:
    """Show or change the rules of an account's list, from now on."""

    async def work(office: Office) -> Any:
        found = await office.desk.find_account(account)
        form = _rules_form(is_on, changes)
        if form:
            await office.desk.set_suppression_rules(found.id, form)
        return await office.reports.suppressions.rules(found.id)

    print_record(at_desk(settings, work), as_json=as_json)


@command.command("rebuild", cls=SettingsCommand)
@with_settings("storage")
def rebuild(settings: Settings) -> None:
    """Make every account's list anew from the log, less what people removed.

    What rules say now is taken to have been so always; entries of people, those whose events are
    gone from the log, and those of an account whose rules are off, stay. A running server need not
    stop.
    """

    async def work(office: Office) -> int:
        await office.desk.rebuild_suppressions()
        await SuppressionFollower(office.engine, office.desk.clock).catch_up()
        return (await office.engine.suppressions.followed()).block

    click.echo(f"the suppression lists are up to block {at_desk(settings, work)}")


@contextmanager
def _new(file: Path) -> Iterator[BinaryIO]:
    """Open a file that is not there yet; whatever ends the block early leaves none behind."""
    with file.open("xb") as written:
        try:
            yield written
            written.flush()
        except BaseException:
            file.unlink(missing_ok=True)
            raise


def _rules_form(is_on: bool | None, changes: tuple[str, ...]) -> dict[str, Any]:
    form: dict[str, Any] = {} if is_on is None else {"is_on": is_on}
    for text in changes:
        name, _, value = text.partition("=")
        rule, _, member = name.partition(".")
        number = whole(value)
        if not member or number is None:
            raise BadInput(f"--set {text}: RULE.MEMBER=NUMBER expected, as soft_bounce.after=3")
        form.setdefault(rule, {})[member] = number
    return form


def _why(checked: CheckedAddress) -> str:
    reasons: Iterator[str] = (
        each.reason.value if each.api_user == ALL else f"{each.reason.value} ({each.api_user})"
        for each in checked.suppressions
    )
    return ", ".join(reasons)


async def _user_id(office: Office, account: Account, name: str | None) -> int | None:
    if name in (None, ALL):
        return None if name is None else 0
    for user in await office.engine.registry.api_users(account.id):
        if user.name == name:
            return user.id
    raise BadInput(f"no api user {name!r} in account {account.name!r}")
