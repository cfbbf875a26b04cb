"""A receiver that answers 413 to long bodies: what it takes is learnt, kept for a day, and no
batch is longer meanwhile."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from postbell.blocks import START, Position, Range
from postbell.body_limits import SHORTEST, BodyLimit, in_force, most_bytes, refused, taken
from postbell.records import (
    Entry,
    EntryKind,
    Outcome,
    Replay,
    ReplayFilter,
)
from tests.delivery.rig import OK, event, running

URL = "https://a.example/hook"
NOW = datetime(2026, 11, 29, tzinfo=UTC)
DAY = timedelta(days=1)
POLICY = {"max_events": 1000, "max_wait_s": 5}


def taking(most_bytes: int):
    return lambda request: OK if len(request.body) <= most_bytes else Outcome(status=413)


def sizes(rig) -> list[int]:
    return [len(request.body or b"") for request in rig.sender.got[URL]]


async def send(rig, first: int, events: int = 1000) -> None:
    """Send events of about 300 bytes, and let them be delivered."""
    text = {"message": {"id": "1755856800123", "subject": "y" * 90}}
    await rig.send(*[event(n, **text) for n in range(first, first + events)])
    await rig.later(6)


async def refusals(rig, most_bytes: int) -> int:
    """Return how many bodies of those sent since the last look were too long."""
    found = sum(size > most_bytes for size in sizes(rig))
    rig.sender.got[URL].clear()
    return found


async def entries(rig) -> list[Entry]:
    return [e for block in await rig.engine.journal.scan(0, 1000) for e in block.entries]


async def test_a_limit_is_found_once_a_day_and_not_with_every_batch():
    async with running() as rig:
        await rig.webhook(policy=POLICY)
        rig.sender.standing[URL] = taking(100_000)

        await send(rig, 0)
        search = await refusals(rig, 100_000)
        for batch in range(1, 6):
            await send(rig, batch * 1000)
        meanwhile = await refusals(rig, 100_000)
        await rig.later(25 * 3600)
        await send(rig, 7000)

        assert (search, meanwhile) == (2, 0)
        assert await refusals(rig, 100_000) == 2
        found = await rig.audit()
        assert (found.rows[0].delivered, found.problems) == (7000, [])


async def test_batches_are_about_as_long_as_what_was_taken():
    async with running() as rig:
        await rig.webhook(policy=POLICY)
        rig.sender.standing[URL] = taking(100_000)
        await send(rig, 0)
        longest = max(size for size in sizes(rig) if size <= 100_000)
        rig.sender.got[URL].clear()

        await send(rig, 1000, 4000)

        assert max(sizes(rig)) <= longest
        assert sorted(sizes(rig))[1] > longest * 0.9


async def test_batches_that_were_cut_before_are_split_without_being_sent():
    async with running() as rig:
        await rig.webhook(policy={**POLICY, "max_wait_s": 0, "concurrency": 1})
        rig.sender.standing[URL] = taking(100_000)

        await rig.send(*[event(n, message={"subject": "y" * 90}) for n in range(4000)])
        await rig.turn()

        assert await refusals(rig, 100_000) == 2
        split = [each for each in await entries(rig) if each.kind is EntryKind.SPLIT]
        tried = {each.batch_id for each in await entries(rig) if each.kind is EntryKind.ATTEMPT}
        assert any(each.batch_id not in tried for each in split)
        found = await rig.audit()
        assert (found.rows[0].delivered, found.problems) == (4000, [])


async def test_a_worker_that_comes_after_knows_it():
    async with running() as rig:
        await rig.webhook(policy=POLICY)
        rig.sender.standing[URL] = taking(100_000)
        await send(rig, 0)
        await refusals(rig, 100_000)

        await rig.engine.ledger.release("w1")
        rig.worker = rig.new_worker("w2")
        rig.worker.tasks = rig.tasks
        await rig.turn()
        await send(rig, 1000)

        assert await refusals(rig, 100_000) == 0


async def test_a_short_batch_after_a_refusal_does_not_make_all_others_short():
    async with running() as rig:
        await rig.webhook(policy=POLICY)
        rig.sender.answers[URL] = [Outcome(status=413)]
        await send(rig, 0)
        rig.sender.got[URL].clear()

        await send(rig, 1000, 1)
        await send(rig, 2000)

        assert len(rig.bodies()) <= 4


async def test_a_changed_webhook_gets_long_batches_again():
    async with running() as rig:
        webhook = await rig.webhook(policy=POLICY)
        rig.sender.standing[URL] = taking(100_000)
        await send(rig, 0)
        rig.clock.advance(1)

        del rig.sender.standing[URL]
        registry = rig.engine.registry
        changed = replace(await registry.webhook(webhook.id), updated_at=rig.clock.now())
        await registry.set_webhook(changed)
        await send(rig, 1000)
        rig.sender.got[URL].clear()
        await send(rig, 2000)

        assert [len(body) for body in rig.bodies()] == [1000]


async def test_a_replay_keeps_to_it():
    async with running() as rig:
        await rig.webhook(policy={**POLICY, "max_bytes": 4 << 20})
        rig.sender.standing[URL] = taking(100_000)
        await send(rig, 0)
        await refusals(rig, 100_000)

        end = Position(await rig.engine.log.head() + 1, 0)
        whole = Replay(
            id=0,
            account_id=rig.account.id,
            webhook_id=1,
            revision=1,
            ranges=(Range(START, end),),
            filter=ReplayFilter(),
            created_at=rig.clock.now(),
        )
        await rig.engine.ledger.add_replay(whole)
        await rig.turn()

        assert await refusals(rig, 100_000) == 0


async def test_an_event_that_is_refused_with_413_whatever_its_length_makes_no_batch_shorter():
    async with running() as rig:
        await rig.webhook(policy=POLICY)

        def refuses(request):
            return Outcome(status=413) if b'"e77"' in request.body else OK

        rig.sender.standing[URL] = refuses
        await send(rig, 0)
        rig.sender.got[URL].clear()
        await send(rig, 1000)

        assert [len(body) for body in rig.bodies()] == [1000]
        row = (await rig.audit()).rows[0]
        assert (row.delivered, row.parked) == (1999, 1)


async def test_a_receiver_that_answers_413_to_everything_teaches_nothing():
    async with running() as rig:
        webhook = await rig.webhook(policy=POLICY)
        rig.sender.standing[URL] = Outcome(status=413)
        await send(rig, 0, 100)
        lane = (await rig.engine.ledger.lane(webhook.id)).lane

        assert max(sizes(rig)) > SHORTEST
        assert lane.body_limit is None
        assert (await rig.audit()).rows[0].parked == 100


def test_what_is_refused_and_what_is_taken_draw_together():
    limit = refused(None, 300_000, NOW, begins=True)
    assert limit == BodyLimit(NOW, 300_000)
    assert most_bytes(limit) == 150_000

    limit = refused(limit, 150_000, NOW + DAY / 2, begins=False)
    limit = taken(limit, 2000)
    assert limit == BodyLimit(NOW, 150_000, 2000)
    assert most_bytes(limit) == 75_000

    limit = taken(limit, 99_000)
    assert limit is not None
    assert most_bytes(limit) == 99_000


def test_a_body_as_long_as_a_refused_one_that_is_taken_ends_it():
    assert taken(BodyLimit(NOW, 20_000, 10_000), 20_000) is None


def test_a_receiver_that_takes_less_than_it_did_is_asked_anew():
    later = NOW + DAY / 2
    limit = BodyLimit(NOW, 100_000, 60_000)

    assert refused(limit, 60_000, later, begins=True) == BodyLimit(later, 60_000)
    assert refused(limit, 60_000, later, begins=False) is None


def test_a_half_and_a_single_event_begin_nothing():
    assert refused(None, 100_000, NOW, begins=False) is None


def test_a_short_body_says_nothing_of_lengths():
    limit = BodyLimit(NOW, 100_000, 60_000)

    assert refused(None, SHORTEST, NOW, begins=True) is None
    assert refused(limit, SHORTEST, NOW, begins=True) == limit
    assert refused(BodyLimit(NOW, 100_000), SHORTEST, NOW, begins=False) is None
    assert most_bytes(BodyLimit(NOW, SHORTEST + 1)) == SHORTEST


@pytest.mark.parametrize(
    ("changed_at", "now", "counts"),
    [
        (NOW - DAY, NOW, True),
        (NOW, NOW, True),
        (NOW - DAY, NOW + DAY - timedelta(seconds=1), True),
        (NOW - DAY, NOW + DAY, False),
        (NOW + timedelta(seconds=1), NOW + timedelta(seconds=2), False),
        (NOW - DAY, NOW - timedelta(seconds=1), False),
        (NOW + DAY, NOW + timedelta(seconds=1), True),
    ],
)
def test_it_counts_for_a_day_and_until_the_webhook_is_changed(changed_at, now, counts):
    limit = BodyLimit(NOW, 100_000)

    assert in_force(limit, changed_at, now) == (limit if counts else None)
