"""`postbell workers`: which processes there are, and who holds what."""

from typing import Any

import click
from msgspec.structs import asdict

from postbell.cli.office import Office, at_desk
from postbell.cli.options import SettingsCommand, with_settings
from postbell.cli.show import json_option, print_records
from postbell.reports.crew import ProcessView, WebhookHolderView
from postbell.settings.members import Settings

COLUMNS = (
    "name", "role", "machine", "pid", "version", "started_at", "webhooks", "work", "behind_s",
    "lease_s", "does",
)  # fmt: skip
HELD = ("webhook", "worker", "epoch", "lease_s")
PAGE = 1000


@click.command("workers", cls=SettingsCommand)
@click.option("--webhooks", "by_webhook", is_flag=True, help="List webhooks, each with its worker.")
@json_option
@with_settings("storage")
def command(settings: Settings, by_webhook: bool, as_json: bool) -> None:
    """Processes: which there are, and who holds what.

    WORK is what a process's webhooks are a second, in events, of which a request costs as much as
    40 more; workers share it evenly. BEHIND_S is how long the oldest event waits that could have
    been sent by now. A process that says nothing more for LEASE_S loses what it holds to others.
    DOES names what only one process does, each with its epoch: how many have had it.
    """
    if by_webhook:
        print_records(
            at_desk(settings, _webhooks), HELD, as_json=as_json, empty="there is no webhook"
        )
        return
    found = at_desk(settings, _processes)
    rows: list[dict[str, Any]] = list(map(asdict, found))
    if not as_json:
        for row, each in zip(rows, found, strict=True):
            row["does"] = ", ".join(f"{one.duty} {one.epoch}" for one in each.duties)
    print_records(
        rows, COLUMNS, as_json=as_json, empty="no process serves; start one with 'postbell serve'"
    )


async def _processes(office: Office) -> list[ProcessView]:
    return await office.reports.crew.all()


async def _webhooks(office: Office) -> list[WebhookHolderView]:
    found: list[WebhookHolderView] = []
    while page := await office.reports.crew.webhooks(found[-1].webhook if found else 0, PAGE):
        found += page
    return found
