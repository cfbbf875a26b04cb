"""A real Postfix hands its own notifications over by LMTP: they are events, and where its log is
read, too, each failure is one."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash.harness import Receiver, Service, free_port, receiving, until
from tests.real_postfix import Filter, Postfix, Sink, postfix

LIFETIME_S = 3
WAIT_S = 60
FAILURES = {
    "nobody@sink.example": "hard_bounce",
    "bare@sink.example": "hard_bounce",
    "full@sink.example": "soft_bounce",
    "spam@sink.example": "soft_bounce",
    "never@sink.example": "soft_bounce",
}


@contextlib.asynccontextmanager
async def sending(listener: int) -> AsyncIterator[Postfix]:
    """Run a Postfix that hands mail for its own senders to a port by LMTP."""
    ports = (free_port(), free_port(), free_port())
    sink = await asyncio.start_server(Sink().serve, "127.0.0.1", 0)
    filtering = await asyncio.start_server(Filter(ports[2]).serve, "127.0.0.1", 0)
    there, filter_port = (each.sockets[0].getsockname()[1] for each in (sink, filtering))
    async with (
        sink,
        filtering,
        postfix(there, filter_port, ports, LIFETIME_S, long_ids=True) as one,
    ):
        transport = one.log.parent.parent / "conf" / "transport"
        with transport.open("a") as file:
            file.write(f"sender.example lmtp:inet:127.0.0.1:{listener}\n")
        await asyncio.to_thread(one.command, "postfix", "reload")
        yield one


def failures(receiver: Receiver) -> Counter[tuple[str, str]]:
    events = (event for arrival in receiver.arrivals for event in arrival.events)
    return Counter((e["recipient"], e["type"]) for e in events if e["type"].endswith("bounce"))


def of_mail(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return next(row for row in rows if row["kind"] == "mail")


async def until_told_twice(service: Service) -> None:
    """Wait until each failure came from both sources."""
    async with asyncio.timeout(WAIT_S):
        while sum(r["duplicates"] for r in await service.cli("sources", "list", "--json")) < len(
            FAILURES
        ):
            await asyncio.sleep(0.5)


@pytest.mark.long
@pytest.mark.parametrize("has_log", [False, True], ids=["mail", "mail-and-log"])
async def test_what_postfix_could_not_deliver_is_one_event(
    tmp_path: Path, *, has_log: bool
) -> None:
    port = free_port()
    owner = {"account": "acme", "api_user": "main"}
    listener = {"kind": "mail", "listen": f"127.0.0.1:{port}", **owner}
    async with sending(port) as mta, receiving() as receiver:
        settings = {"POSTBELL_SOURCE_BOUNCES": json.dumps(listener)}
        if has_log:
            log = {"kind": "postfix", "path": str(mta.log), **owner}
            settings["POSTBELL_SOURCE_LOG"] = json.dumps(log)
        service = Service(tmp_path, **settings)
        await service.set_up()
        try:
            await service.start()
            await service.webhook(receiver.url, max_wait_s=0)
            for number, recipient in enumerate(FAILURES):
                await asyncio.to_thread(mta.send, recipient, order=str(number))
            async with asyncio.timeout(WAIT_S):
                while True:
                    mail = of_mail(await service.cli("sources", "list", "--json"))
                    if mail["position"] == f"mail {len(FAILURES)}":
                        break
                    await asyncio.sleep(0.5)
            wanted = dict.fromkeys(FAILURES.items(), 1)
            await until(lambda: failures(receiver).keys() >= wanted.keys(), WAIT_S)
            if has_log:
                await until_told_twice(service)
            report = await service.audit()
            assert await service.stop() == 0
        finally:
            await service.kill()

    assert failures(receiver) == wanted
    assert mail["refused"] == 0
    assert report["problems"] == []
    if not has_log:
        told = [e for a in receiver.arrivals for e in a.events]
        assert {e["bounce"]["origin"] for e in told} == {"oob"}
        assert {e["message"]["rfc_message_id"] for e in told} == {
            f"m{number}@sender.example" for number in range(len(FAILURES))
        }
