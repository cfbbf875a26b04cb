"""A row that cannot be read is told to who asks for it, and takes no other with it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest

from postbell.audit import audit
from postbell.blocks import START
from postbell.cli import main
from postbell.desk import Desk
from postbell.dialects import DIALECTS
from postbell.directory import Directory
from postbell.errors import DamagedRow, NotFound
from postbell.records import BatchState
from postbell.reports import Reports
from postbell.sealing import Sealer
from postbell.signals import heard
from postbell.storage import sqlite
from postbell.suppressing.follower import SuppressionFollower
from postbell.suppressions import Suppression, SuppressionReason, SuppressionRules
from tests.contract.making import Shop, block
from tests.fakes import FakeClock


class AnyUrl:
    async def check(self, url: str) -> None:
        return


@pytest.fixture
async def engine(
    path: Path, sealer: Sealer, clock: FakeClock
) -> AsyncIterator[sqlite.SqliteEngine]:
    engine = await sqlite.open(path, sealer, clock, dialects=DIALECTS.keys())
    yield engine
    await engine.close()


@pytest.fixture
async def shop(engine: sqlite.SqliteEngine, clock: FakeClock) -> Shop:
    return await Shop.open(engine, clock)


def spoil(path: Path, statement: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(statement)
    connection.close()


@pytest.mark.parametrize("table", ["webhooks", "revisions"])
async def test_a_webhook_of_a_dialect_that_is_not_there_keeps_no_other_away(
    shop: Shop, path: Path, clock: FakeClock, table: str
) -> None:
    first, second = await shop.webhook(), await shop.webhook()
    await shop.claim()
    await shop.put(first, shop.batch(first, "b1", state=BatchState.WAITING, next_at=clock.now()))
    of_first = {"webhooks": "id", "revisions": "webhook_id"}[table]
    spoil(path, f"UPDATE {table} SET dialect = 'gone' WHERE {of_first} = {first.id}")
    directory = Directory(shop.engine.registry)
    reports = Reports(shop.engine, DIALECTS, directory, clock)

    await directory.refresh()
    page = await reports.webhooks()
    found = await audit(shop.engine, DIALECTS)

    assert [row.id for row in page.rows] == [second.id]
    assert list(directory.known.webhooks) == [second.id]
    assert [problem.what for problem in found.problems] == [
        "rows cannot be read: the log names them"
    ]
    desk = Desk(shop.engine, DIALECTS, AnyUrl(), clock, directory)
    for asked in (
        reports.webhook(None, first.id),
        desk.pause(first.account_id, first.id),
        desk.resume(first.account_id, first.id, skip=True),
        desk.park_batch("b1"),
    ):
        with pytest.raises(DamagedRow, match=r"webhook 1 is there .* no dialect 'gone'"):
            await asked


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE webhooks SET dialect = 'gone'",
        "UPDATE webhooks SET policy = '{'",
        "DELETE FROM revisions",
        "PRAGMA foreign_keys = OFF; DELETE FROM accounts",
    ],
)
async def test_what_cannot_be_read_keeps_no_block_for_ever(
    shop: Shop, path: Path, damage: str
) -> None:
    ids = [header.id for header in await shop.append(block(), block(), block())]
    await shop.webhook(start=START)
    kept = await shop.engine.drop_blocks(ids[2], counted=())
    spoil(path, damage)

    dropped = await shop.engine.drop_blocks(ids[2], counted=())

    assert kept == (0, 0)
    assert dropped == (2, ids[2])


async def test_what_an_account_had_is_told_where_the_account_is_gone(
    shop: Shop, path: Path, clock: FakeClock
) -> None:
    lost, kept = await shop.webhook(), await shop.webhook(account_id=shop.accounts[1].id)
    spoil(path, f"PRAGMA foreign_keys = OFF; DELETE FROM accounts WHERE id = {lost.account_id}")
    directory = Directory(shop.engine.registry)
    reports = Reports(shop.engine, DIALECTS, directory, clock)
    told: list[Any] = []

    with heard("item_failed", told.append):
        await directory.refresh()
    found = await audit(shop.engine, DIALECTS)

    assert [(each["item"], each["account"]) for each in told] == [
        (f"api user {shop.users[0].id}", lost.account_id),
        (f"webhook {lost.id}", lost.account_id),
    ]
    assert all("whose it is, is not there" in each["error"] for each in told)
    assert list(directory.known.webhooks) == [kept.id]
    assert [problem.what for problem in found.problems] == [
        "rows cannot be read: the log names them"
    ]
    with pytest.raises(DamagedRow, match=f"webhook {lost.id} is there and cannot be read"):
        await reports.webhook(None, lost.id)
    with pytest.raises(DamagedRow, match=f"api user {shop.users[0].id} is there and cannot"):
        await shop.engine.registry.revoke_api_user(shop.users[0].id, clock.now())
    await shop.engine.registry.delete_webhook(lost.id, clock.now())
    with pytest.raises(NotFound):
        await reports.webhook(None, lost.id)


async def test_a_webhook_without_a_lane_is_told_to_who_asks_for_it(
    shop: Shop, path: Path, clock: FakeClock
) -> None:
    webhook = await shop.webhook()
    spoil(path, "DELETE FROM lanes WHERE webhook_id = 1")
    directory = Directory(shop.engine.registry)
    reports = Reports(shop.engine, DIALECTS, directory, clock)
    desk = Desk(shop.engine, DIALECTS, AnyUrl(), clock, directory)

    with pytest.raises(DamagedRow, match="webhook 1 is there, and its lane is not"):
        await reports.webhook(None, webhook.id)
    with pytest.raises(DamagedRow, match="webhook 1 is there, and its lane is not"):
        await desk.resume(webhook.account_id, webhook.id, skip=True)
    await shop.engine.registry.delete_webhook(webhook.id, clock.now())
    with pytest.raises(NotFound):
        await reports.webhook(None, webhook.id)


async def test_who_asks_for_a_batch_that_cannot_be_read_is_told_so(
    shop: Shop, path: Path, clock: FakeClock
) -> None:
    webhook = await shop.webhook()
    await shop.claim()
    waits = {"state": BatchState.WAITING, "next_at": clock.now()}
    await shop.put(webhook, *(shop.batch(webhook, each, **waits) for each in ("b1", "b2")))
    spoil(path, "UPDATE batches SET state = 'gone' WHERE id = 'b1'")

    with pytest.raises(DamagedRow, match="batch b1 is there and cannot be read"):
        await shop.engine.ledger.batch("b1")
    assert await shop.engine.ledger.batch("b3") is None
    assert [each.id for each in await shop.engine.ledger.open_batches()] == ["b2"]


async def test_an_account_that_is_gone_is_named_to_who_needs_it(shop: Shop, path: Path) -> None:
    directory = Directory(shop.engine.registry)
    await directory.refresh()

    with pytest.raises(DamagedRow, match="account 99 is not there"):
        await directory.account(99)


def test_owners_are_listed_where_the_account_of_one_is_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ["--data-dir", str(tmp_path)]
    for name in ("acme", "gone"):
        assert main(["accounts", "create", name, *folder]) == 0
        assert main(["owners", "add", name, f"ada@{name}.example", *folder]) == 0
    spoil(tmp_path / "postbell.db", "DELETE FROM accounts WHERE name = 'gone'")
    capsys.readouterr()

    status = main(["owners", "list", *folder])

    told = capsys.readouterr()
    assert status == 0, told.err
    assert "ada@acme.example" in told.out
    assert "ada@gone.example" in told.out


async def test_one_address_that_cannot_be_read_keeps_no_other_on_the_list(
    shop: Shop, path: Path, clock: FakeClock
) -> None:
    """Neither beyond its time nor in a rebuild, which ends all the same."""
    suppressions, now = shop.engine.suppressions, clock.now()
    await shop.append(*(block() for _ in range(3)))
    until = now + timedelta(days=1)
    await suppressions.add(
        [
            Suppression(
                account_id=1, api_user_id=0, key=name, address=name, since=now,
                reason=SuppressionReason.MANUAL, until=end, block=made_by,
            )
            for name, end, made_by in (
                ("a", until, 0), ("b", until, 0), ("c", None, 2), ("d", None, 2),
            )
        ],
        now, 0,
    )  # fmt: skip
    await suppressions.set_rules(1, SuppressionRules(is_on=True))
    spoil(path, "UPDATE suppressions SET reason = 'gone' WHERE key IN ('a', 'c')")
    clock.advance(2 * 86_400)

    ended = await suppressions.end(clock.now(), 9)
    await suppressions.rebuild()
    follower = SuppressionFollower(shop.engine, clock)
    await follower.catch_up()

    assert ended == 1
    assert (await suppressions.followed()).rebuild_to == 0
    assert [change.ending for change in await suppressions.changes(4, 9)] == ["expired", "rebuilt"]


async def test_many_addresses_that_cannot_be_read_are_no_end_of_the_list(
    shop: Shop, path: Path, clock: FakeClock
) -> None:
    """As many as are read at once: who follows the list, or tells its changes, goes on behind."""
    suppressions, now = shop.engine.suppressions, clock.now()
    entries = [
        Suppression(
            account_id=1, api_user_id=0, key=name, address=name, since=now,
            reason=SuppressionReason.MANUAL,
        )
        for name in "abc"
    ]  # fmt: skip
    await suppressions.add(entries, now, 0)
    spoil(path, "UPDATE suppressions SET reason = 'gone' WHERE key < 'c'")
    spoil(path, "UPDATE suppression_changes SET change = '{' WHERE revision < 3")

    followed = await suppressions.since(0, 2)
    changes = await suppressions.changes(0, 2)

    assert [each.key for each in followed] == ["c"]
    assert [each.entry.key for each in changes] == ["c"]
    assert await suppressions.since(3, 2) == await suppressions.changes(3, 2) == []


async def test_rules_that_cannot_be_read_keep_no_other_accounts_from_counting(
    shop: Shop, path: Path, clock: FakeClock
) -> None:
    suppressions = shop.engine.suppressions
    for account in shop.accounts[:2]:
        await suppressions.set_rules(account.id, SuppressionRules(is_on=True))
    spoil(path, "UPDATE suppression_rules SET rules = '{' WHERE account_id = 1")
    await shop.append(block())

    await SuppressionFollower(shop.engine, clock).catch_up()

    assert list(await suppressions.rules()) == [shop.accounts[1].id]
    assert (await suppressions.followed()).block == await shop.engine.log.head()
    with pytest.raises(DamagedRow, match="rules of suppressions 1"):
        await suppressions.set_rules(1, SuppressionRules())
