"""A mail that bounced once is not taken again: Postfix' log becomes an event, the event puts the
address on the list, and Postfix refuses it."""

import asyncio
import contextlib
import json
import smtplib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.crash.harness import Receiver, Service, free_port, receiving, until
from tests.real_postfix import Filter, Postfix, Sink, postfix

WAIT_S = 60
GONE, GOOD = "nobody@sink.example", "ok@sink.example"


@contextlib.asynccontextmanager
async def asking(lookup: int, restriction: str) -> AsyncIterator[Postfix]:
    """Run a Postfix that asks a port about each recipient."""
    ports = (free_port(), free_port(), free_port())
    sink = await asyncio.start_server(Sink().serve, "127.0.0.1", 0)
    filtering = await asyncio.start_server(Filter(ports[2]).serve, "127.0.0.1", 0)
    there, filter_port = (each.sockets[0].getsockname()[1] for each in (sink, filtering))
    asks = f"{restriction % lookup},"
    running = postfix(there, filter_port, ports, 5, long_ids=True, asks=asks)
    async with sink, filtering, running as one:
        yield one


def types(receiver: Receiver, recipient: str) -> list[str]:
    events = [event for arrival in receiver.arrivals for event in arrival.events]
    return [event["type"] for event in events if event["recipient"] == recipient]


@pytest.mark.long
@pytest.mark.parametrize("restriction", [
    "check_policy_service { inet:127.0.0.1:%d, timeout=2s, default_action=DUNNO }",
    "check_recipient_access tcp:127.0.0.1:%d",
])  # fmt: skip
async def test_a_bounced_address_is_refused_at_once_by_then(
    tmp_path: Path, restriction: str
) -> None:
    lookup = free_port()
    async with asking(lookup, restriction) as mta, receiving() as receiver:
        log = {"kind": "postfix", "path": str(mta.log), "account": "acme", "api_user": "main"}
        service = Service(
            tmp_path,
            POSTBELL_SOURCE_LOG=json.dumps(log),
            POSTBELL_MTA_LOOKUP=f"127.0.0.1:{lookup}",
            POSTBELL_MTA_LOOKUP_ACCOUNT="acme",
        )
        await service.set_up(("suppressions", "rules", "acme", "--on"))
        try:
            await service.start()
            await service.webhook(receiver.url, max_wait_s=0)
            await asyncio.to_thread(mta.send, GONE, GOOD)
            await until(lambda: "suppressed" in types(receiver, GONE), WAIT_S)
            async with asyncio.timeout(WAIT_S):
                while (refusal := await asyncio.to_thread(refused, mta)) is None:
                    await asyncio.sleep(0.1)
            await asyncio.to_thread(mta.send, GOOD, order="9")
            report = await service.audit()
            assert await service.stop() == 0
        finally:
            await service.kill()

    assert refusal == (550, "the address is on the suppression list (hard_bounce)")
    assert types(receiver, GONE).count("suppressed") == 1
    assert "suppressed" not in types(receiver, GOOD)
    assert report["problems"] == []


def refused(mta: Postfix) -> tuple[int, str] | None:
    """Return what Postfix answers to a mail for the address, None where it takes one."""
    try:
        mta.send(GONE, order="8")
    except smtplib.SMTPRecipientsRefused as error:
        code, text = error.recipients[GONE]
        return code, text.decode().rpartition("rejected: ")[2]
    return None
