"""Pausing, resuming, skipping; and registration that calls the URL."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from postbell.blocks import BlockHeader, Position, Range
from postbell.desk.core import MAX_TRIES
from postbell.desk.lanes import OPENED_AT_ONCE
from postbell.errors import BadInput, Conflict
from postbell.ports import Claim, TrailQuery
from postbell.reading.tally import AT_ONCE
from postbell.records import BatchState, EntryKind, LaneChange, OpenBatch, Outcome
from tests.api.service import URL, Service, running


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running() as service:
        yield service


async def test_a_skip_counts_each_revisions_part_by_itself(service: Service) -> None:
    webhook = await service.desk.create_webhook(service.acme, {"url": URL, "types": ["open"]})
    await service.events("open", "click")
    await service.desk.update_webhook(None, webhook.id, {"types": ["click"]})
    await service.events("click", "open", "click")

    await service.desk.resume(None, webhook.id, skip=True)

    claim = await service.engine.ledger.lane(webhook.id)
    (block,) = await service.engine.journal.scan(0, 10)
    assert claim is not None
    assert claim.lane.cursor >= Position(2, 3)
    assert [(e.kind, e.revision, e.count) for e in block.entries] == [
        (EntryKind.SKIPPED, 1, 1),
        (EntryKind.SKIPPED, 2, 2),
    ]
    assert block.entries[0].range.end == block.entries[1].range.start


async def test_a_skip_of_nothing_writes_nothing(service: Service) -> None:
    webhook = await service.desk.create_webhook(service.acme, {"url": URL})

    await service.desk.resume(None, webhook.id, skip=True)

    assert await service.engine.journal.scan(0, 10) == []


async def test_resuming_ends_a_failing_webhooks_wait(service: Service) -> None:
    webhook = await service.desk.create_webhook(service.acme, {"url": URL})
    claim = await service.engine.ledger.lane(webhook.id)
    assert claim is not None
    now = service.clock.now()
    failing = replace(claim.lane, failing_since=now, failures=9, hold_until=now)
    await service.engine.ledger.record(
        [LaneChange(webhook_id=webhook.id, epoch=claim.lane.epoch, lane=failing)]
    )
    before = await service.reports.webhook(None, webhook.id)

    await service.desk.resume(None, webhook.id)

    after = await service.reports.webhook(None, webhook.id)
    assert (before.health, before.failures) == ("failing", 9)
    assert (after.health, after.failures, after.hold_until) == ("failing", 9, None)
    assert after.failing_since == before.failing_since


async def test_resuming_a_paused_webhook_gives_it_a_fresh_start(service: Service) -> None:
    webhook = await service.desk.create_webhook(service.acme, {"url": URL})
    claim = await service.engine.ledger.lane(webhook.id)
    assert claim is not None
    failing = replace(claim.lane, failing_since=service.clock.now(), failures=9)
    await service.engine.ledger.record(
        [LaneChange(webhook_id=webhook.id, epoch=claim.lane.epoch, lane=failing)]
    )
    await service.desk.pause(None, webhook.id)

    await service.desk.resume(None, webhook.id)

    after = await service.reports.webhook(None, webhook.id)
    assert (after.health, after.failures) == ("up_to_date", 0)


class Busy:
    """A ledger whose lane a worker moves before each change from outside, so many times."""

    def __init__(self, service: Service, times: int) -> None:
        self._ledger = service.engine.ledger
        self.times = times

    def __getattr__(self, name: str) -> object:
        return getattr(self._ledger, name)

    async def intervene(self, change: LaneChange) -> bool:
        if self.times:
            self.times -= 1
            return False
        return await self._ledger.intervene(change)


async def test_a_lane_that_moves_meanwhile_is_read_again(service: Service) -> None:
    webhook = await service.desk.create_webhook(service.acme, {"url": URL})
    await service.events("open")
    service.engine.ledger = Busy(service, 3)

    await service.desk.resume(None, webhook.id, skip=True)

    (block,) = await service.engine.journal.scan(0, 10)
    assert len(block.entries) == 1


async def test_a_lane_that_never_rests_is_a_conflict(service: Service) -> None:
    webhook = await service.desk.create_webhook(service.acme, {"url": URL})
    service.engine.ledger = Busy(service, 2 * MAX_TRIES)

    with pytest.raises(Conflict):
        await service.desk.resume(None, webhook.id)


class Moving:
    """A ledger whose lane a worker moves after each reading of it, so many times.

    A write that is refused, because somebody changed the lane, makes the worker read it again:
    that is then all that it does.  *each* is what it moves the cursor by, in blocks.
    """

    def __init__(self, service: Service, times: int, epoch: int, each: int = 0) -> None:
        self._ledger = service.engine.ledger
        self.times = times
        self._epoch = epoch
        self._each = each

    def __getattr__(self, name: str) -> object:
        return getattr(self._ledger, name)

    async def lane(self, webhook_id: int, *, most: int) -> Claim | None:
        claim = await self._ledger.lane(webhook_id, most=most)
        if self.times and claim is not None:
            self.times -= 1
            cursor = Position(claim.lane.cursor.block + self._each, 0)
            lane = replace(claim.lane, cursor=cursor)
            change = LaneChange(webhook_id=webhook_id, epoch=self._epoch, lane=lane)
            if await self._ledger.record([change]):
                self._epoch = claim.lane.epoch
        return claim


class ReadLog:
    """A log that counts how often headers are read."""

    def __init__(self, service: Service) -> None:
        self._log = service.engine.log
        self.readings = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._log, name)

    async def headers(self, account_id: int, first: int, limit: int) -> list[BlockHeader]:
        self.readings += 1
        return await self._log.headers(account_id, first, limit)


async def test_a_lane_that_always_moves_is_held_up_and_changed(service: Service) -> None:
    webhook = await service.desk.create_webhook(service.acme, {"url": URL})
    claim = await service.engine.ledger.lane(webhook.id)
    assert claim is not None
    service.engine.ledger = Moving(service, 9999, claim.lane.epoch)

    await service.desk.resume(None, webhook.id)

    assert service.engine.ledger.times == 9997


async def test_a_skip_of_a_lane_that_moves_counts_only_what_was_passed_again(
    service: Service,
) -> None:
    webhook = await service.desk.create_webhook(service.acme, {"url": URL})
    for _ in range(3 * AT_ONCE):
        await service.events("open")
    claim = await service.engine.ledger.lane(webhook.id)
    assert claim is not None
    moving = Moving(service, 9, claim.lane.epoch, each=50)
    log = ReadLog(service)
    service.engine.ledger, service.engine.log = moving, log

    await service.desk.resume(None, webhook.id, skip=True)

    (block,) = await service.engine.journal.scan(0, 10)
    readings = 3  # to stop what waits, to see whether it is still, and to skip it
    assert [entry.count for entry in block.entries] == [3 * AT_ONCE - readings * 50]
    assert log.readings <= 3 + 1 + 1


async def test_the_limit_of_webhooks_holds_for_requests_at_once() -> None:
    async with running(desk={"max_webhooks_per_account": 3}) as service:
        made = await asyncio.gather(
            *(service.desk.create_webhook(service.acme, {"url": URL}) for _ in range(9)),
            return_exceptions=True,
        )

        refused = [each for each in made if isinstance(each, Conflict)]
        assert len(refused) == 6
        assert len(await service.engine.registry.webhooks()) == 3


async def test_changes_at_once_lose_nothing(service: Service) -> None:
    webhook = await service.desk.create_webhook(service.acme, {"url": URL})

    await asyncio.gather(
        service.desk.update_webhook(None, webhook.id, {"types": ["open"]}),
        service.desk.update_webhook(None, webhook.id, {"policy": {"max_events": 7}}),
        service.desk.update_webhook(None, webhook.id, {"policy": {"timeout_s": 2}}),
        service.desk.pause(None, webhook.id),
    )

    kept = await service.desk.find_webhook(None, webhook.id)
    assert kept.types == ("open",)
    assert kept.policy == {"max_events": 7, "timeout_s": 2.0}
    assert kept.state == "paused"


@pytest.mark.parametrize(
    ("option", "calls"), [("get", [None]), ("get_and_post", [None, b""]), ("off", [])]
)
async def test_the_url_check_makes_the_requests_that_it_names(
    service: Service, option: str, calls: list[bytes | None]
) -> None:
    form = {"url": URL, "dialect": "engagelab", "options": {"url_check": option}}

    await service.desk.create_webhook(service.acme, form)

    assert [request.body for request in service.receivers.got] == calls


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (Outcome(status=204), "the url answered POST with status 204; status 200 expected"),
        (Outcome(status=302), "the url answered POST with status 302; status 200 expected"),
        (Outcome(error="timeout"), "the url answered POST with nothing (timeout); status 200"),
    ],
)
async def test_a_url_that_does_not_answer_200_is_not_registered(
    service: Service, outcome: Outcome, said: str
) -> None:
    service.receivers.answer = lambda request: (
        outcome if request.body == b"" else Outcome(status=200)
    )
    form = {"url": URL, "dialect": "engagelab", "options": {"url_check": "get_and_post"}}

    with pytest.raises(BadInput) as error:
        await service.desk.create_webhook(service.acme, form)

    assert (error.value.member, error.value.code) == ("url", "url_check_failed")
    assert error.value.message.startswith(said)
    assert await service.engine.registry.webhooks() == []


@pytest.mark.parametrize(
    ("start", "first"),
    [
        ("now", Position(3, 0)),
        ("oldest", Position(1, 0)),
        ("2026-11-21T12:00:30Z", Position(2, 0)),
        ("2026-11-21T14:00:30+02:00", Position(2, 0)),
        ("2027-01-01T00:00:00Z", Position(3, 0)),
    ],
)
async def test_a_webhook_starts_where_it_is_told(
    service: Service, start: str, first: Position
) -> None:
    await service.events("open")
    service.clock.advance(60)
    await service.events("open")

    webhook = await service.desk.create_webhook(service.acme, {"url": URL, "start": start})

    claim = await service.engine.ledger.lane(webhook.id)
    assert claim is not None
    assert claim.lane.cursor == first


async def test_the_installations_policy_is_in_force_where_the_webhook_says_nothing() -> None:
    installation = {"native": {"max_events": 50, "timeout_s": 9.0}}
    async with running(desk={"installation_policies": installation}) as service:
        service.reports._installation_policies = installation
        webhook = await service.desk.create_webhook(
            service.acme, {"url": URL, "policy": {"timeout_s": 2}}
        )

        view = await service.reports.webhook_view(webhook)

        assert (view.policy.max_events, view.policy.timeout_s) == (50, 2.0)
        assert webhook.policy == {"timeout_s": 2.0}


async def test_many_parked_batches_are_opened_in_several_writes(service: Service) -> None:
    webhook = await service.desk.create_webhook(service.acme, {"url": URL})
    put = tuple(
        OpenBatch(
            id=f"bat_{number:05}",
            webhook_id=webhook.id,
            revision=1,
            range=Range(Position(1, 0), Position(1, 1)),
            count=1,
            cut_at=service.clock.now(),
            state=BatchState.PARKED,
            attempts=12,
        )
        for number in range(2 * OPENED_AT_ONCE + 1)
    )
    await service.engine.ledger.record([LaneChange(webhook_id=webhook.id, epoch=0, put=put)])

    await service.desk.resume(None, webhook.id, parked=True)

    claim = await service.engine.ledger.lane(webhook.id)
    entries = await service.engine.trail.entries(TrailQuery(), limit=10)
    retried = [e.new["batches"] for e in entries if e.action == "batches.retried"]
    assert claim is not None
    assert (claim.parked.batches, len(claim.batches)) == (0, len(put))
    assert {batch.attempts for batch in claim.batches} == {0}
    assert sorted(retried) == [1, OPENED_AT_ONCE, OPENED_AT_ONCE]
