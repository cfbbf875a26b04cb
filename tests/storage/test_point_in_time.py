"""A server set back to a moment, as the howto says: what was numbered after it is numbered again,
and nobody sees an id with two bodies."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from postbell.errors import TakenOver, Unavailable
from postbell.sealing import load_or_create
from postbell.storage import postgres
from tests.delivery.rig import event, running
from tests.delivery.test_same_ids import sent
from tests.fakes import FakeClock
from tests.postgres import ARCHIVES, Server


async def test_a_server_that_was_set_back_gives_other_ids_to_what_comes_in_place_of_what_it_lost(
    tmp_path: Path,
) -> None:
    sealer = load_or_create(tmp_path / "key")
    own = Server(*ARCHIVES)
    try:
        url = own.url(own.database())
        own.back_up()
        await (await postgres.open(url, sealer, FakeClock())).close()
        own.psql("SELECT pg_create_restore_point('then')")
        engine = await postgres.open(url, sealer, FakeClock())
        async with running(engine) as rig:
            before = await sent(rig, 1, 2, 3)
            await rig.send(*map(event, range(4, 8)))

        await asyncio.to_thread(own.set_back, "then")

        with pytest.raises(TakenOver):
            async with asyncio.timeout(20):
                while True:
                    with contextlib.suppress(Unavailable):
                        await engine.log.head()
        await engine.close()
        engine = await postgres.open(url, sealer, FakeClock())
        assert await engine.log.head() == 0
        async with running(engine) as rig:
            after = await sent(rig, 1, 2, 3, dialect="sendpulse")
            assert (await rig.audit()).problems == []
        await engine.close()
    finally:
        own.stop()

    assert len(before) == len(after) == 1
    assert before.keys().isdisjoint(after)
