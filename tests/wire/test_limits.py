"""The sender's limits: one account, one host, or the failing ones cannot take the rest."""

import asyncio
import os
import resource
from typing import Any

from postbell.records import Outcome
from postbell.wire.guard import Guard
from postbell.wire.resolver import Resolver
from postbell.wire.sender import CurlSender
from tests.fakes import FakeClock
from tests.wire.conftest import LOOPBACK, MakeSender, Names, Serve, post
from tests.wire.receiver import OK, Receiver, answering, hang, hold


def start(
    sender: CurlSender, receiver: Receiver, count: int, **members: Any
) -> list[asyncio.Task[Outcome]]:
    """Begin *count* requests, each of a webhook of its own."""
    requests = [post(receiver.url(), **members, webhook_id=number) for number in range(count)]
    return [asyncio.create_task(sender.send(request)) for request in requests]


async def arrived(receiver: Receiver, count: int) -> None:
    async with asyncio.timeout(5):
        while len(receiver.got) < count:
            receiver.arrived.clear()
            await receiver.arrived.wait()


async def more_arrive(receiver: Receiver, sender: CurlSender, other: Receiver) -> bool:
    """Return whether another request arrives while a whole exchange with *other* passes."""
    before = len(receiver.got)
    await sender.send(post(other.url(), account_id=99))
    return len(receiver.got) > before


async def finish(receiver: Receiver, tasks: list[asyncio.Task[Outcome]]) -> set[int | None]:
    receiver.finish.set()
    return {outcome.status for outcome in await asyncio.gather(*tasks)}


async def test_one_account_has_so_many_connections_to_a_host(
    serve: Serve, make_sender: MakeSender
) -> None:
    sender = make_sender(max_per_host=3)
    receiver, other = await serve(hold), await serve(answering(OK))
    tasks = start(sender, receiver, 5)
    await arrived(receiver, 3)

    neighbour = start(sender, receiver, 1, account_id=2)
    await arrived(receiver, 4)

    assert not await more_arrive(receiver, sender, other)
    assert await finish(receiver, tasks + neighbour) == {200}
    assert receiver.connections <= 4


async def test_one_account_has_so_many_connections_in_all(
    serve: Serve, make_sender: MakeSender
) -> None:
    sender = make_sender(max_per_account=3)
    receiver, other = await serve(hold), await serve(answering(OK))
    tasks = start(sender, receiver, 5)
    await arrived(receiver, 3)

    assert not await more_arrive(receiver, sender, other)
    assert await finish(receiver, tasks) == {200}


async def test_one_webhook_that_is_not_answered_has_half_of_its_hosts_connections(
    serve: Serve, make_sender: MakeSender
) -> None:
    sender = make_sender(max_per_host=6)
    receiver, other = await serve(hold), await serve(answering(OK))
    greedy = [asyncio.create_task(sender.send(post(receiver.url()))) for _ in range(9)]
    await arrived(receiver, 3)

    assert not await more_arrive(receiver, sender, other)
    neighbour = start(sender, receiver, 1)
    await arrived(receiver, 4)
    assert await finish(receiver, greedy + neighbour) == {200}


async def test_failing_webhooks_have_few_connections_of_their_own(
    serve: Serve, make_sender: MakeSender
) -> None:
    sender = make_sender(max_connections=2, max_failing=4)
    dead, receiver = await serve(hold), await serve(answering(OK))
    stuck = [
        task
        for account in range(6)
        for task in start(sender, dead, 1, account_id=account, is_failing=True)
    ]
    await arrived(dead, 4)

    outcome = await sender.send(post(receiver.url()))

    assert outcome.status == 200
    assert len(dead.got) == 4
    assert await finish(dead, stuck) == {200}


async def test_one_account_cannot_take_all_connections_of_the_failing(
    serve: Serve, make_sender: MakeSender
) -> None:
    sender = make_sender(max_failing=8)
    dead = await serve(hold)
    greedy = start(sender, dead, 20, account_id=1, is_failing=True)
    await arrived(dead, 2)

    modest = start(sender, dead, 1, account_id=2, is_failing=True)
    await arrived(dead, 3)

    assert len(dead.got) == 3
    assert await finish(dead, greedy + modest) == {200}


async def test_a_request_that_finds_no_connection_ends_as_busy(
    serve: Serve, make_sender: MakeSender
) -> None:
    sender = make_sender(max_connections=1, max_wait_s=0.05)
    receiver = await serve(hold)
    first = start(sender, receiver, 1)
    await arrived(receiver, 1)

    outcome = await sender.send(post(receiver.url()))

    assert (outcome.status, outcome.error) == (None, "busy")
    assert "0.05 s" in outcome.detail
    assert await finish(receiver, first) == {200}
    assert len(receiver.got) == 1


async def test_waiting_for_a_connection_is_not_the_receivers_time(
    serve: Serve, make_sender: MakeSender
) -> None:
    sender = make_sender(max_connections=1)
    slow, quick = await serve(hang), await serve(answering(OK))
    first = start(sender, slow, 1, timeout_s=0.4)
    await arrived(slow, 1)

    outcome = await sender.send(post(quick.url(), timeout_s=0.3))

    assert outcome.status == 200
    assert outcome.phases_ms[4] < 300
    assert (await first[0]).error == "timeout"


async def test_a_failed_request_gives_its_connection_back(
    serve: Serve, make_sender: MakeSender
) -> None:
    sender = make_sender(max_connections=1, max_wait_s=0.5)
    slow, quick = await serve(hang), await serve(answering(OK))

    for url in (slow.url(), "http://10.0.0.1/", "http://gone.example/", "http://[::2]/", ""):
        assert (await sender.send(post(url, timeout_s=0.05))).error
    task = start(sender, slow, 1)[0]
    await arrived(slow, 2)
    task.cancel()
    await asyncio.wait([task])

    assert (await sender.send(post(quick.url()))).status == 200


async def test_a_name_that_turns_inside_while_waiting_is_refused_and_gives_its_place_back(
    serve: Serve, make_sender: MakeSender, names: Names, clock: FakeClock
) -> None:
    names.set("rebind.example", ["127.0.0.1"], ["10.0.0.1"])
    resolver = Resolver(names, clock=clock)
    sender = make_sender(guard=Guard(LOOPBACK, resolver), max_connections=1)
    receiver = await serve(hold)
    first = start(sender, receiver, 1)
    await arrived(receiver, 1)
    waiting = asyncio.create_task(sender.send(post(receiver.url(host="rebind.example"))))
    while not names.asked or sender._healthy.waiting == 0:
        await asyncio.sleep(0)
    clock.advance(31)

    assert await finish(receiver, first) == {200}

    assert (await waiting).error == "refused_address"
    assert (await sender.send(post(receiver.url()))).status == 200
    resolver.close()


async def test_too_few_open_files_are_our_fault_and_pass(
    serve: Serve, make_sender: MakeSender
) -> None:
    sender, receiver = make_sender(), await serve(answering(OK))
    soft_hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    await sender.send(post(receiver.url(host="127.0.0.2")))  # so that libcurl has what it needs
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, soft_hard[1]))
    taken: list[int] = []
    try:
        while len(taken) < 300:
            taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        outcome = await sender.send(post(receiver.url()))
    finally:
        for file in taken:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, soft_hard)

    assert (outcome.status, outcome.error) == (None, "busy")
    assert "open files" in outcome.detail
    assert (await sender.send(post(receiver.url()))).status == 200
