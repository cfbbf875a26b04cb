"""`postbell batches`: what is open, parked or done."""

import click

from postbell.cli.office import Office, at_desk
from postbell.cli.options import SettingsCommand, with_settings
from postbell.cli.show import json_option, members, print_record, print_records
from postbell.desk.forms import check_moment
from postbell.reports import Page
from postbell.reports.batch_views import BatchView, batch_view
from postbell.reports.singles import Where
from postbell.reports.views import every
from postbell.settings.members import Settings

COLUMNS = (
    "id", "webhook_id", "state", "events", "attempts", "last_status", "last_error", "next_at",
)  # fmt: skip
ATTEMPT_COLUMNS = ("at", "attempt", "status", "error", "verdict", "next_at")
PAGE = 500
MOST_SEARCHED = 5_000_000


@click.group("batches")
def command() -> None:
    """Batches: what is open, parked or done."""


@command.command("list", cls=SettingsCommand)
@click.option("--webhook", "webhook_id", type=int, metavar="ID", help="Only of this webhook.")
@click.option("--state", type=click.Choice(["waiting", "parked"]), help="Only in this state.")
@click.option("--all", "with_finished", is_flag=True, help="Finished ones, too, the newest first.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="At most N. [default: all]")
@json_option
@with_settings("storage")
def list_command(
    settings: Settings,
    webhook_id: int | None,
    state: str | None,
    with_finished: bool,
    limit: int | None,
    as_json: bool,
) -> None:
    """List the open and parked batches of the installation."""

    async def read(office: Office) -> list[BatchView]:
        if webhook_id is not None:
            await office.desk.find_webhook(None, webhook_id)

        async def open_page(after: str) -> Page[BatchView]:
            return await office.reports.batches(
                webhook_id=webhook_id, state=state, after=after, limit=PAGE
            )

        async def finished_page(after: str) -> Page[BatchView]:
            return await office.reports.finished_batches(
                webhook_id=webhook_id, after=after, limit=PAGE
            )

        rows = await every(open_page, limit)
        if with_finished and state is None and (limit is None or len(rows) < limit):
            rows += await every(finished_page, limit and limit - len(rows))
        return rows

    print_records(
        at_desk(settings, read),
        COLUMNS,
        as_json=as_json,
        empty="no batches" if with_finished else "no open or parked batches",
    )


@command.command("show", cls=SettingsCommand)
@click.argument("batch_id")
@click.option("--webhook", "webhook_id", type=int, metavar="ID", help="It was this webhook's.")
@click.option("--since", metavar="TIME", help="It arrived from then on (RFC 3339).")
@click.option("--until", metavar="TIME", help="It arrived before then.")
@json_option
@with_settings("storage")
def show(
    settings: Settings,
    batch_id: str,
    webhook_id: int | None,
    since: str | None,
    until: str | None,
    as_json: bool,
) -> None:
    """Show a batch with its attempts, the newest first.

    A single event that was delivered at once is searched for among the newest five million;
    where that takes long or is not enough, say which webhook's it was, and about when it arrived.
    """
    where = Where(
        webhook_id,
        check_moment(since, "since") if since is not None else None,
        check_moment(until, "until") if until is not None else None,
        MOST_SEARCHED,
    )
    view = at_desk(settings, lambda o: o.reports.batch(None, batch_id, where))
    if as_json:
        print_record(view, as_json=True)
        return
    shown = members(view)
    attempts = shown.pop("attempts_made")
    print_record(shown, as_json=False)
    click.echo()
    print_records(attempts, ATTEMPT_COLUMNS, as_json=False, empty="not attempted yet")


@command.command("retry", cls=SettingsCommand)
@click.argument("batch_id")
@json_option
@with_settings("storage")
def retry(settings: Settings, batch_id: str, as_json: bool) -> None:
    """Make an open batch due now; a parked one gets all its retries again."""
    batch = at_desk(settings, lambda o: o.desk.retry_batch(batch_id))
    print_record(batch_view(batch), as_json=as_json)


@command.command("split", cls=SettingsCommand)
@click.argument("batch_id")
@json_option
@with_settings("storage")
def split(settings: Settings, batch_id: str, as_json: bool) -> None:
    """Halve an open or parked batch; both halves are due now, under new ids."""
    halves = at_desk(settings, lambda o: o.desk.split_batch(batch_id))
    print_records([batch_view(half) for half in halves], COLUMNS, as_json=as_json, empty="")


@command.command("bisect", cls=SettingsCommand)
@click.argument("batch_id")
@json_option
@with_settings("storage")
def bisect(settings: Settings, batch_id: str, as_json: bool) -> None:
    """Find the event of an open or parked batch that its receiver refuses.

    The batch is sent now, and whatever the failure is, it is split at once, and so on; the events
    that are refused are parked, each by itself, once anything else was taken.
    """
    batch = at_desk(settings, lambda o: o.desk.bisect_batch(batch_id))
    print_record(batch_view(batch), as_json=as_json)


@command.command("park", cls=SettingsCommand)
@click.argument("batch_id")
@json_option
@with_settings("storage")
def park(settings: Settings, batch_id: str, as_json: bool) -> None:
    """Give a waiting batch up; it stays visible and can be sent again."""
    batch = at_desk(settings, lambda o: o.desk.park_batch(batch_id))
    print_record(batch_view(batch), as_json=as_json)


@command.command("skip", cls=SettingsCommand)
@click.argument("batch_id")
@click.argument("event_id")
@json_option
@with_settings("storage")
def skip(settings: Settings, batch_id: str, event_id: str, as_json: bool) -> None:
    """Leave one event out of an open or parked batch; it is counted as skipped.

    What is left of the batch is due now, in batches with ids of their own.
    """
    rest = at_desk(settings, lambda o: o.desk.skip_event(batch_id, event_id))
    views = [batch_view(part) for part in rest]
    print_records(views, COLUMNS, as_json=as_json, empty="nothing is left of the batch")
