"""The real process is killed at every stage of the path, and started again.

Each time: every accepted event arrives, a batch that comes again has the same id and bytes, and
`postbell audit` agrees with the log.
"""

import asyncio
import contextlib
import random
import signal
import socket
from pathlib import Path

import httpx
import pytest

from tests.crash.harness import (
    Arrival,
    Receiver,
    Service,
    check_repeats,
    events,
    free_port,
    receiving,
    until,
)


@pytest.fixture
async def service(tmp_path: Path):
    service = Service(tmp_path)
    await service.set_up()
    yield service
    if service.process is not None:
        with contextlib.suppress(ProcessLookupError):
            service.process.send_signal(signal.SIGCONT)
        await service.kill()


async def check_all_arrived(service: Service, receiver: Receiver, count: int) -> None:
    wanted = {f"e{number}" for number in range(count)}
    await until(lambda: receiver.event_ids() == wanted)
    assert await service.stop() == 0
    report = await service.audit()
    assert report["problems"] == []
    assert [row["delivered"] for row in report["rows"]] == [count]


async def test_killed_after_the_append(service: Service):
    async with receiving() as receiver:
        await service.start("api")
        await service.webhook(receiver.url, max_wait_s=0)
        assert (await service.send(events(0, 50)))["accepted"] == 50
        await service.kill()

        await service.start()

        await check_all_arrived(service, receiver, 50)
        assert check_repeats(receiver.arrivals) == 0


async def test_killed_after_the_cut_before_the_post(service: Service):
    port = free_port()
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", port))
        deaf.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(("127.0.0.1", port))
        await service.start()
        await service.webhook(f"http://127.0.0.1:{port}/hook", max_wait_s=0)
        await service.send(events(0, 50))
        async with asyncio.timeout(20):
            while not (cut := await service.cli("batches", "list", "--json")):
                await asyncio.sleep(0.05)
        await service.kill()
        for filler in fillers:
            filler.close()

    async def take(_: Arrival) -> int:
        return 200

    receiver = Receiver(take, port=port)
    server = await asyncio.start_server(receiver._serve, "127.0.0.1", port)
    async with server:
        await service.start()
        await check_all_arrived(service, receiver, 50)
    assert receiver.arrivals[0].headers["webhook-id"] == cut[0]["id"]


async def test_killed_while_the_post_is_out(service: Service):
    killed = asyncio.Event()

    async def hang_once(_: Arrival) -> int:
        await killed.wait()
        return 200

    async with receiving(hang_once) as receiver:
        await service.start()
        await service.webhook(receiver.url, max_wait_s=0)
        await service.send(events(0, 50))
        await until(lambda: len(receiver.arrivals) == 1)
        await service.kill()
        killed.set()

        await service.start()

        await until(lambda: len(receiver.arrivals) == 2)
        await check_all_arrived(service, receiver, 50)
        assert check_repeats(receiver.arrivals) == 1


@pytest.mark.parametrize("dialect", ["native", "engagelab"])
async def test_killed_after_the_answer_before_the_settle(service: Service, dialect: str):
    async def freeze_once(_: Arrival) -> int:
        if len(receiver.arrivals) == 1:
            service.send_signal(signal.SIGSTOP)
        return 200

    async with receiving(freeze_once) as receiver:
        await service.start()
        policy = {} if dialect == "engagelab" else {"max_wait_s": 0}
        await service.webhook(receiver.url, dialect, **policy)
        await service.send(events(0, 1))
        await until(lambda: len(receiver.arrivals) == 1)
        await asyncio.sleep(0.1)
        await service.kill()

        await service.start()

        await until(lambda: len(receiver.arrivals) == 2)
        first, second = receiver.arrivals
        assert first.body == second.body
        assert first.headers.get("webhook-id") == second.headers.get("webhook-id")
        assert await service.stop() == 0
        report = await service.audit()
        assert report["problems"] == []
        assert report["rows"][0]["delivered"] == 1


async def test_killed_at_random_moments_under_load(service: Service):
    chance = random.Random(7)

    async def flaky(_: Arrival) -> int:
        await asyncio.sleep(chance.random() * 0.02)
        return 200 if chance.random() < 0.8 else 503

    accepted: set[str] = set()
    async with receiving(flaky) as receiver:
        await service.start()
        policy = {"max_wait_s": 0, "max_events": 40, "retry_waits_s": [0.2] * 40}
        await service.webhook(receiver.url, **policy)
        for _ in range(4):
            killing = asyncio.create_task(_kill_soon(service, 0.3 + chance.random() * 0.7))
            while not killing.done():
                sent = events(len(accepted), 25)
                try:
                    answer = await service.send(sent)
                except (httpx.TransportError, AssertionError):
                    break
                assert answer["accepted"] + answer["duplicates"] == 25
                accepted |= {event["event_id"] for event in sent}
            await killing
            await service.start()
        await until(lambda: accepted <= receiver.event_ids(), seconds=40)
        await asyncio.sleep(0.5)
        assert await service.stop() == 0

    check_repeats(receiver.arrivals)
    report = await service.audit()
    assert report["problems"] == []
    assert report["rows"][0]["parked"] == 0


async def _kill_soon(service: Service, seconds: float) -> None:
    await asyncio.sleep(seconds)
    await service.kill()


async def test_sigterm_finishes_what_is_in_flight(service: Service):
    async def slow(_: Arrival) -> int:
        await asyncio.sleep(1)
        return 200

    async with receiving(slow) as receiver:
        await service.start()
        await service.webhook(receiver.url, max_wait_s=0)
        await service.send(events(0, 10))
        await until(lambda: len(receiver.arrivals) == 1)

        assert await service.stop() == 0

        report = await service.audit()
        assert report["rows"][0]["delivered"] == 10
        assert len(receiver.arrivals) == 1
