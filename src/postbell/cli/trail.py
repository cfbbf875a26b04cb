"""`postbell trail`: who changed what, in the whole installation."""

from typing import Any

import click

from postbell.cli.office import Office, at_desk
from postbell.cli.options import SettingsCommand, with_settings
from postbell.cli.show import json_option, print_records
from postbell.clock import rfc3339
from postbell.desk.forms import check_moment
from postbell.ports import TrailQuery
from postbell.reports.trail import TrailEntryView
from postbell.reports.views import every
from postbell.settings.members import Settings
from postbell.trail import ACTIONS

COLUMNS = ("at", "account", "actor", "address", "action", "subject", "change")
PAGE = 1000


@click.group("trail")
def command() -> None:
    """Audit trail: who changed what."""


@command.command("list", cls=SettingsCommand)
@click.option("--account", metavar="NAME", help="Only of this account.")
@click.option("--since", metavar="TIME", help="Only from then on (RFC 3339).")
@click.option("--until", metavar="TIME", help="Only before then.")
@click.option("--actor", metavar="WHO", help="Only by this name, or this kind, as operator.")
@click.option(
    "--action",
    type=click.Choice([action.name for action in ACTIONS]),
    metavar="ACTION",
    help="Only this action, as webhook.changed.",
)
@click.option("--subject", metavar="KIND[:ID]", help="Only of this thing, as webhook:7.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="At most so many, the newest.",
)
@json_option
@with_settings("storage")
def list_command(
    settings: Settings,
    account: str | None,
    since: str | None,
    until: str | None,
    actor: str | None,
    action: str | None,
    subject: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List who changed what, the newest first.

    What it was and what it is are there whole with --json.
    """
    first = check_moment(since, "since") if since is not None else None
    last = check_moment(until, "until") if until is not None else None

    async def read(office: Office) -> list[TrailEntryView]:
        found = await office.desk.find_account(account) if account is not None else None
        wanted = TrailQuery(
            found.id if found is not None else None,
            first,
            last,
            actor or "",
            action or "",
            subject or "",
        )
        entries = office.reports.trail.entries
        return await every(
            lambda after: entries(wanted, after=after, limit=min(PAGE, limit)), limit
        )

    entries = at_desk(settings, read)
    print_records(
        entries if as_json else [_line(entry) for entry in entries],
        COLUMNS,
        as_json=as_json,
        empty="nothing that fits was changed",
    )


def _line(entry: TrailEntryView) -> dict[str, Any]:
    """Return an entry as a row of the table."""
    actor, subject, old, new = entry.actor, entry.subject, entry.old, entry.new
    names = dict.fromkeys((*old, *new))
    return {
        "at": rfc3339(entry.at),
        "account": entry.account or "",
        "actor": f"{actor.kind} {actor.name}".strip(),
        "address": actor.address,
        "action": entry.action,
        "subject": " ".join(filter(None, (subject.kind, subject.id, subject.name))),
        "change": ", ".join(f"{name}: {_change(name, old, new)}" for name in names),
    }


def _change(name: str, old: dict[str, Any], new: dict[str, Any]) -> str:
    sides = [str(side[name]) if name in side else "" for side in (old, new)]
    return " -> ".join(sides).strip()
