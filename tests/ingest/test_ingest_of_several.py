"""What several processes and old keys do to ingest: nothing is stored twice, nobody else fails."""

import asyncio
import json

import pytest

from postbell.errors import BadInput
from postbell.ingest.ingest import Ingest
from tests.delivery.rig import event, running

THREE_DAYS_S = 73 * 3600.0


class BusyLog:
    """The engine's log; another process appends at a given moment: right after a call of *name*."""

    def __init__(self, log, name, append) -> None:
        self._log = log
        self._name = name
        self._append = append

    def __getattr__(self, name):
        if name != self._name:
            return getattr(self._log, name)

        async def call(*args, **kwargs):
            answer = await getattr(self._log, name)(*args, **kwargs)
            append, self._append = self._append, None
            if append is not None:
                await append()
            return answer

        return call


@pytest.mark.parametrize("moment", ["ids", "head"])
async def test_what_another_process_appends_while_ids_are_learnt_is_known(moment: str) -> None:
    async with running() as rig:
        raws = [json.dumps(event(0)).encode()]
        rig.engine.log = BusyLog(rig.engine.log, moment, lambda: rig.send(event(0)))
        late = Ingest(rig.engine, rig.clock, rig.directory)
        await late.start()
        committing = asyncio.create_task(late.run())

        answer = await late.submit(rig.account, rig.user, raws)

        committing.cancel()
        assert (answer.accepted, answer.duplicates) == (0, 1)


class CountingLog:
    """The engine's log; it counts appends, whether they wrote or not."""

    def __init__(self, log) -> None:
        self._log = log
        self.appends = 0

    def __getattr__(self, name):
        return getattr(self._log, name)

    async def append(self, *args, **kwargs):
        self.appends += 1
        return await self._log.append(*args, **kwargs)


async def test_who_always_comes_second_needs_no_second_try() -> None:
    """Each commit of another process was a reason to begin anew: with four that append all the time
    the slowest never came through, and after 50 tries its clients got 503."""
    async with running() as rig:
        rig.engine.log = log = CountingLog(rig.engine.log)
        late = Ingest(rig.engine, rig.clock, rig.directory)
        await late.start()
        committing = asyncio.create_task(late.run())

        for number in range(20):
            await rig.send(event(number))
            raws = [json.dumps(event(at)).encode() for at in (20 + number, number - 1)]
            answer = await late.submit(rig.account, rig.user, raws)
            duplicates = 1 if number else 0  # what was learnt from the answer before
            assert (answer.accepted, answer.duplicates) == (2 - duplicates, duplicates)
        assert log.appends == 40

        again = await late.submit(rig.account, rig.user, [json.dumps(event(19)).encode()])
        committing.cancel()
        assert (again.accepted, again.duplicates) == (0, 1)
        assert len(await log.tail(0, 100)) == 40


async def test_an_idempotency_key_is_free_again_after_its_time() -> None:
    async with running() as rig:
        await rig.send(event(0), key="k1", digest=b"1")
        rig.clock.advance(THREE_DAYS_S)

        answer = await rig.send(event(1), key="k1", digest=b"2")
        again = await rig.send(event(1), key="k1", digest=b"2")

        assert answer.accepted == again.accepted == 1
        assert await rig.engine.log.head() == 2


async def test_an_old_key_is_nothing_to_those_who_share_its_commit() -> None:
    async with running() as rig:
        await rig.send(event(0), key="k1", digest=b"1")
        rig.clock.advance(THREE_DAYS_S)

        answers = await asyncio.gather(
            rig.send(event(1), key="k1", digest=b"2"), *(rig.send(event(n)) for n in range(2, 12))
        )

        assert [answer.accepted for answer in answers] == [1] * 11


async def test_a_key_with_another_body_fails_alone() -> None:
    async with running() as rig:
        raws = [json.dumps(event(1)).encode()]
        late = Ingest(rig.engine, rig.clock, rig.directory)
        await late.start()
        await rig.send(event(0), key="k1", digest=b"1")
        rig.engine.log = BusyLog(rig.engine.log, "find_key", None)
        sending = [
            asyncio.create_task(late.submit(rig.account, rig.user, [json.dumps(event(n)).encode()]))
            for n in range(2, 12)
        ]
        bad = asyncio.create_task(
            late.submit(rig.account, rig.user, raws, key="k1", digest=b"another")
        )
        committing = asyncio.create_task(late.run())

        answers = await asyncio.gather(*sending)

        with pytest.raises(BadInput, match="another body"):
            await bad
        committing.cancel()
        assert [answer.accepted for answer in answers] == [1] * 10


async def test_old_keys_are_swept_although_no_block_is_too_old() -> None:
    async with running() as rig:
        await rig.send(event(0), key="k1", digest=b"1")
        await rig.turn()
        rig.clock.advance(THREE_DAYS_S)

        await rig.worker.pruner.sweep([])

        assert await rig.engine.log.find_key(rig.account.id, "k1") is None
