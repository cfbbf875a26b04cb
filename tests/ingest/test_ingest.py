"""What is accepted, told from duplicates, and refused."""

import asyncio
import json

import msgspec
import numpy as np
import pytest

from postbell.blocks import IdBlock, id_hash
from postbell.errors import BadInput, HeadMoved, Overloaded, StorageError
from postbell.ingest.ingest import Ingest
from postbell.ingest.queueing import Repeated
from postbell.ingest.seen import FRESH_IDS, Seen
from tests.delivery.rig import event, running
from tests.fakes import FakeClock


async def stored_ids(rig):
    headers = await rig.engine.log.tail(0, 1000)
    blocks = await rig.engine.log.load([header.id for header in headers])
    return [json.loads(raw)["event_id"] for block in blocks for raw in block.events()]


async def test_a_bad_event_does_not_lose_the_good_ones():
    async with running() as rig:
        answer = await rig.send(event(0), {"type": "open"}, event(2))

        assert (answer.accepted, answer.duplicates) == (2, 0)
        assert [(each.index, each.code) for each in answer.rejected] == [(1, "invalid")]
        assert await stored_ids(rig) == ["e0", "e2"]


async def test_atomic_stores_all_or_nothing():
    async with running() as rig:
        with pytest.raises(BadInput) as refused:
            await rig.send(event(0), {"type": "open"}, atomic=True)

        assert refused.value.code == "atomic_rejected"
        assert await stored_ids(rig) == []


async def test_the_same_event_id_is_stored_once_within_and_across_requests():
    async with running() as rig:
        first = await rig.send(event(0), event(0), event(1))
        second = await rig.send(event(1), event(2))

        assert (first.accepted, first.duplicates) == (2, 1)
        assert (second.accepted, second.duplicates) == (1, 1)
        assert await stored_ids(rig) == ["e0", "e1", "e2"]


async def test_the_same_fact_without_an_id_is_stored_once():
    async with running() as rig:
        fact = {"type": "open", "recipient": "a@b.example", "occurred_at": 1755856802}

        await rig.send(fact)
        answer = await rig.send(dict(reversed(fact.items())))

        assert (answer.accepted, answer.duplicates) == (0, 1)


@pytest.mark.parametrize(
    "other",
    [
        {"message": {"id": "1", "esp_id": "2"}},
        {"message": {"id": "1", "subject": "Another"}},
        {"metadata": {"order": "2"}},
        {"smtp": {"code": 250, "text": "2.0.0 Ok: queued as B"}},
        {"smtp": {"code": 250, "mx": "mx2.example.net"}},
        {"bounce": {"class": "full"}},
        {"link": {"name": "footer"}},
        {"tags": ["b"]},
        {"client": {"geo": {"city": "Turin"}}},
        {"source": {"node": "b"}},
    ],
)
async def test_facts_that_differ_in_anything_given_are_two(other):
    fact = {
        "type": "delivered",
        "recipient": "ada@example.net",
        "occurred_at": 1755856802,
        "message": {"id": "1"},
        "metadata": {"order": "1"},
        "smtp": {"code": 250},
    }
    async with running() as rig:
        answer = await rig.send(fact, {**fact, **other}, fact)

        assert (answer.accepted, answer.duplicates) == (2, 1)


async def test_the_order_of_metadata_makes_no_other_fact():
    fact = {"type": "open", "recipient": "ada@example.net", "occurred_at": 1755856802}
    async with running() as rig:
        answer = await rig.send(
            {**fact, "metadata": {"a": {"x": 1, "y": [2]}, "b": 2}},
            {**fact, "metadata": {"b": 2, "a": {"y": [2], "x": 1}}},
        )

        assert (answer.accepted, answer.duplicates) == (1, 1)


async def test_the_case_of_a_recipients_domain_makes_no_other_fact():
    async with running() as rig:
        fact = {"type": "open", "recipient": "Ada@b.example", "occurred_at": 1755856802}

        await rig.send(fact)
        domain = await rig.send(fact | {"recipient": "Ada@B.Example"})
        local = await rig.send(fact | {"recipient": "ada@b.example"})

        assert (domain.accepted, domain.duplicates) == (0, 1)
        assert (local.accepted, local.duplicates) == (1, 0)


async def test_without_id_and_time_nothing_is_a_duplicate():
    async with running() as rig:
        fact = {"type": "open", "recipient": "a@b.example"}

        answer = await rig.send(fact, fact)

        assert (answer.accepted, answer.duplicates) == (2, 0)


async def test_duplicates_are_known_after_a_restart():
    async with running() as rig:
        await rig.send(event(0))
        again = Ingest(rig.engine, rig.clock, rig.directory)
        await again.start()
        task = asyncio.create_task(again.run())

        raws = [json.dumps(event(n)).encode() for n in (0, 1)]
        answer = await again.submit(rig.account, rig.user, raws)
        task.cancel()

        assert (answer.accepted, answer.duplicates) == (1, 1)


async def test_a_second_process_learns_the_ids_of_the_first():
    async with running() as rig:
        other = Ingest(rig.engine, rig.clock, rig.directory)
        await other.start()
        task = asyncio.create_task(other.run())
        await rig.send(event(0))

        raws = [json.dumps(event(0)).encode()]
        answer = await other.submit(rig.account, rig.user, raws)
        task.cancel()

        assert (answer.accepted, answer.duplicates) == (0, 1)


async def test_an_event_whose_hash_collides_with_another_is_kept():
    async with running() as rig:
        await rig.send(event(0))
        (stored,) = await rig.engine.log.ids(0, 10)
        rig.ingest._seen.add(stored._replace(hashes=id_hash(rig.account.id, "e1")))

        answer = await rig.send(event(1))

        assert (answer.accepted, answer.duplicates) == (1, 0)


async def test_another_account_has_ids_of_its_own():
    async with running() as rig:
        registry = rig.engine.registry
        other = await registry.add_account("other", rig.clock.now())
        user = await registry.add_api_user(other.id, "theirs", "x", rig.clock.now())
        await rig.directory.refresh()
        await rig.send(event(0))

        raws = [json.dumps(event(0)).encode()]
        answer = await rig.ingest.submit(other, user, raws)

        assert answer.accepted == 1


async def test_an_idempotency_key_gets_the_first_answer_again():
    async with running() as rig:
        first = await rig.send(event(0), {"type": "x"}, key="k", digest=b"1")
        second = await rig.send(event(0), {"type": "x"}, key="k", digest=b"1")

        assert msgspec.to_builtins(first) == msgspec.to_builtins(second)
        assert [isinstance(each, Repeated) for each in (first, second)] == [False, True]
        assert first.accepted == 1
        with pytest.raises(BadInput) as refused:
            await rig.send(event(5), key="k", digest=b"2")
        assert refused.value.code == "idempotency_key_reused"
        assert await stored_ids(rig) == ["e0"]


async def test_requests_under_one_key_at_once_are_stored_once():
    async with running() as rig:
        fact = {"type": "open", "recipient": "a@b.example"}

        answers = await asyncio.gather(*(rig.send(fact, key="k", digest=b"1") for _ in range(5)))

        assert [answer.accepted for answer in answers] == [1] * 5
        assert len(await stored_ids(rig)) == 1


async def test_requests_at_once_share_one_block():
    async with running() as rig:
        await asyncio.gather(*(rig.send(event(n)) for n in range(20)))

        assert len(await rig.engine.log.tail(0, 100)) <= 2
        assert sorted(await stored_ids(rig)) == sorted(f"e{n}" for n in range(20))


async def test_blocks_hold_at_most_a_thousand_events_or_a_mebibyte():
    async with running() as rig:
        await rig.send(*[event(n) for n in range(2500)])
        await rig.send(*[event(n, message={"subject": "x" * 60_000}) for n in range(5000, 5020)])

        headers = await rig.engine.log.tail(0, 100)
        assert [h.count for h in headers[:3]] == [1000, 1000, 500]
        blocks = await rig.engine.log.load([header.id for header in headers])
        assert max(len(block.body) for block in blocks) <= 1 << 20


async def test_a_foreign_api_user_is_refused():
    async with running() as rig:
        registry = rig.engine.registry
        other = await registry.add_account("other", rig.clock.now())
        await registry.add_api_user(other.id, "theirs", "x", rig.clock.now())
        await rig.directory.refresh()

        answer = await rig.send(event(0, api_user="theirs"))

        assert [each.code for each in answer.rejected] == ["unknown_api_user"]


class FailingLog:
    """A log whose next appends fail as a test says."""

    def __init__(self, log, errors):
        self._log = log
        self.errors = errors

    def __getattr__(self, name):
        return getattr(self._log, name)

    async def append(self, *args, **kwargs):
        if self.errors:
            raise self.errors.pop(0)
        return await self._log.append(*args, **kwargs)


async def test_a_failed_commit_is_everybodys_answer_and_nothing_is_remembered():
    async with running() as rig:
        rig.engine.log = FailingLog(rig.engine.log, [StorageError("the disk is full")])

        with pytest.raises(StorageError):
            await rig.send(event(0))
        answer = await rig.send(event(0))

        assert answer.accepted == 1


async def test_others_have_their_turn_while_a_large_commit_is_packed():
    """Who asks whether an address is suppressed waited 4 ms."""
    async with running() as rig:
        ingest = Ingest(rig.engine, rig.clock, rig.directory)
        await ingest.start()
        raws = [
            [json.dumps(event(first + n)).encode() for n in range(1000)]
            for first in range(0, 8000, 1000)
        ]
        sending = [asyncio.create_task(ingest.submit(rig.account, rig.user, each)) for each in raws]
        while len(list(ingest._queue.waiting())) < len(sending):
            await asyncio.sleep(0)
        turns, turns_at_commit = 0, []

        class Noting(FailingLog):
            async def append(self, *args, **kwargs):
                turns_at_commit.append(turns)
                return await super().append(*args, **kwargs)

        rig.engine.log = Noting(rig.engine.log, [])
        committing = asyncio.create_task(ingest.run())
        while not turns_at_commit:
            await asyncio.sleep(0)
            turns += 1

        assert [(await each).accepted for each in sending] == [1000] * 8
        assert turns_at_commit[0] >= 2 * 8
        committing.cancel()


class HangingLog(FailingLog):
    """The engine's log; an append begins and never ends."""

    def __init__(self, log):
        super().__init__(log, [])
        self.begun = asyncio.Event()

    async def append(self, *args, **kwargs):
        self.begun.set()
        await asyncio.get_running_loop().create_future()


async def test_who_waits_for_a_commit_when_the_process_ends_is_told_so():
    async with running() as rig:
        rig.engine.log = HangingLog(rig.engine.log)
        ingest = Ingest(rig.engine, rig.clock, rig.directory)
        await ingest.start()
        committing = asyncio.create_task(ingest.run())
        raw = json.dumps(event(0)).encode()
        sending = asyncio.create_task(ingest.submit(rig.account, rig.user, [raw]))
        await rig.engine.log.begun.wait()

        committing.cancel()

        async with asyncio.timeout(10):
            with pytest.raises(Overloaded, match="stopping"):
                await sending


async def test_a_moved_head_is_followed():
    async with running() as rig:
        rig.engine.log = FailingLog(rig.engine.log, [HeadMoved("moved"), HeadMoved("moved")])

        answer = await rig.send(event(0))

        assert answer.accepted == 1


async def test_more_than_the_queue_holds_is_turned_away():
    async with running() as rig:
        slow = Ingest(rig.engine, rig.clock, rig.directory, max_queued_bytes=4000)
        await slow.start()
        raws = [json.dumps(event(n)).encode() for n in range(20)]
        waiting = asyncio.create_task(slow.submit(rig.account, rig.user, raws))
        await asyncio.sleep(0)

        with pytest.raises(Overloaded):
            await slow.submit(rig.account, rig.user, raws)

        task = asyncio.create_task(slow.run())
        assert (await waiting).accepted == 20
        task.cancel()


def test_seen_finds_ids_in_frozen_arrays_and_forgets_the_oldest():
    clock = FakeClock()
    seen = Seen(hours=1, max_ids=4 * FRESH_IDS)
    for block in range(1, 8):
        ids = np.arange(FRESH_IDS, dtype="<u8") + block * FRESH_IDS
        seen.add(IdBlock(block, clock.now(), ids.tobytes()))

    assert seen.find(hashes(7 * FRESH_IDS + 5, 6 * FRESH_IDS, 1)) == {0: [7], 1: [6]}
    assert len(seen) <= 4 * FRESH_IDS
    clock.advance(7200)
    seen.forget(clock.now())
    assert seen.find(hashes(7 * FRESH_IDS + 5)) == {}


async def test_a_flood_of_one_account_leaves_room_for_another():
    async with running() as rig:
        registry = rig.engine.registry
        other = await registry.add_account("other", rig.clock.now())
        user = await registry.add_api_user(other.id, "theirs", "x", rig.clock.now())
        await rig.directory.refresh()
        ingest = Ingest(rig.engine, rig.clock, rig.directory, max_queued_bytes=40_000)
        await ingest.start()
        raws = [json.dumps(event(n)).encode() for n in range(20)]
        flood = []
        for _ in range(50):
            flood.append(asyncio.create_task(ingest.submit(rig.account, rig.user, raws)))
            await asyncio.sleep(0)

        fair = asyncio.create_task(ingest.submit(other, user, raws))
        await asyncio.sleep(0)
        task = asyncio.create_task(ingest.run())

        assert (await fair).accepted == 20
        answers = await asyncio.gather(*flood, return_exceptions=True)
        task.cancel()
        assert any(isinstance(answer, Overloaded) for answer in answers)


def test_seen_learns_the_past_at_once_and_finds_single_ids_and_many():
    clock = FakeClock()
    seen = Seen(hours=72, max_ids=10**9)
    chance = np.random.default_rng(5)
    blocks = [
        IdBlock(n, clock.now(), chance.integers(0, 2**64 - 1, 1000, dtype="<u8").tobytes())
        for n in range(10, 310)
    ]

    seen.learn(blocks[:290])
    seen.learn(blocks[290:])

    assert len(seen) == 300_000
    assert seen.head == 309
    known = blocks[77].hashes
    assert seen.find(known) == {number: [87] for number in range(1000)}
    assert seen.find(known[:8] + hashes(4)) == {0: [87]}
    assert seen.find(blocks[295].hashes[:80]) == {number: [305] for number in range(10)}
    new = chance.integers(0, 2**64 - 1, 5000, dtype="<u8").tobytes()
    assert seen.find(new) == {}


def hashes(*numbers):
    return b"".join(number.to_bytes(8, "little") for number in numbers)


async def test_events_of_several_api_users_in_one_request_keep_their_order_and_owner():
    async with running() as rig:
        registry = rig.engine.registry
        await registry.add_api_user(rig.account.id, "second", "x", rig.clock.now())
        await rig.directory.refresh()
        await rig.send(event(2))

        answer = await rig.send(
            *[event(n, api_user="second" if n % 2 else "main") for n in range(6)], event(3)
        )

        assert (answer.accepted, answer.duplicates) == (5, 2)
        headers = await rig.engine.log.tail(0, 100)
        blocks = await rig.engine.log.load([header.id for header in headers])
        found = {
            (json.loads(raw)["api_user"], json.loads(raw)["event_id"])
            for block in blocks
            for raw in block.events()
        }
        assert found == {("second" if n % 2 else "main", f"e{n}") for n in range(6)}


@pytest.mark.parametrize(
    "leap", ["2016-12-31T23:59:60Z", "2016-12-31T23:59:60.5Z", "2016-12-31T18:59:60-05:00"]
)
async def test_a_leap_second_counts_as_the_end_of_the_second_before_it(leap):
    async with running() as rig:
        answer = await rig.send(event(0, occurred_at=leap), event(1, occurred_at=leap[:-1] + "x"))
        (block,) = await rig.engine.log.load([1])

        assert answer.accepted == 1
        assert b'"occurred_at":"2016-12-31T23:59:59.999999Z"' in block.body


async def test_a_sixtieth_second_at_any_other_time_is_refused():
    async with running() as rig:
        answer = await rig.send(event(0, occurred_at="2016-12-31T12:00:60Z"))

        assert answer.accepted == 0
