"""A real Postfix, and what its log comes to at customers' receivers, in two providers' words."""

import asyncio
import contextlib
import json
import os
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash.harness import Receiver, Service, free_port, receiving, until
from tests.real_postfix import Filter, Postfix, Sink, postfix

LIFETIME_S = 4
WAIT_S = 60
HARD, SOFT = ("target", "invalid_email"), ("target", "soft_bounce")
WORDS = {
    "ok@sink.example": ("target", "delivered"),
    "info@alias.example": ("target", "delivered"),
    "later@sink.example": ("target", "delivered"),
    "never@sink.example": SOFT,
    "nobody@sink.example": HARD,
    "bare@sink.example": HARD,
    "full@sink.example": SOFT,
    "spam@sink.example": SOFT,
    "forger@sink.example": SOFT,
    "bytes@sink.example": SOFT,
    "huge@sink.example": SOFT,
    "none@sink.example": SOFT,
    "wrong@sink.example": SOFT,
    "ok.filtered@sink.example": ("target", "sent", "delivered"),
}
"""By recipient, as EngageLab calls what happens."""
IN_SENDPULSE = {
    "delivered": "delivered",
    "invalid_email": "undelivered",
    "soft_bounce": "undelivered",
}


@contextlib.asynccontextmanager
async def sending(*, long_ids: bool) -> AsyncIterator[Postfix]:
    ports = (free_port(), free_port(), free_port())
    sink = await asyncio.start_server(Sink().serve, "127.0.0.1", 0)
    filtering = await asyncio.start_server(Filter(ports[2]).serve, "127.0.0.1", 0)
    there, filter_port = (each.sockets[0].getsockname()[1] for each in (sink, filtering))
    run = postfix(there, filter_port, ports, LIFETIME_S, long_ids=long_ids)
    async with sink, filtering, run as one:
        yield one


def in_engagelab(receiver: Receiver) -> Counter[tuple[str, str]]:
    bodies = [json.loads(arrival.body) for arrival in receiver.arrivals]
    return Counter((_to(body), body["status"]["message_status"]) for body in bodies)


def _to(body: dict[str, Any]) -> str:
    return str(body["to"] or body["status"]["status_data"]["tos"][0])


def in_sendpulse(receiver: Receiver) -> Counter[tuple[str, str]]:
    return Counter((e["recipient"], e["event"]) for a in receiver.arrivals for e in a.events)


@pytest.mark.long
@pytest.mark.parametrize("long_ids", [False, True], ids=["short-ids", "long-ids"])
async def test_what_becomes_of_real_mail_arrives_once(tmp_path: Path, *, long_ids: bool) -> None:
    once = Counter((to, word) for to, words in WORDS.items() for word in words)
    again = Counter((to, IN_SENDPULSE[word]) for (to, word) in once if word in IN_SENDPULSE)
    async with sending(long_ids=long_ids) as mta, receiving() as lab, receiving() as pulse:
        source = {"kind": "postfix", "path": str(mta.log), "account": "acme", "api_user": "main"}
        service = Service(tmp_path, POSTBELL_SOURCE_MAIL=json.dumps(source))
        await service.set_up()
        try:
            await service.start()
            await service.webhook(lab.url, "engagelab")
            await service.webhook(pulse.url, "sendpulse", max_wait_s=0)
            first, *others = WORDS
            await asyncio.to_thread(mta.send, first)
            await until(lambda: in_engagelab(lab)[first, "delivered"] == 1, WAIT_S)
            shutil.copy(mta.log, mta.log.with_name("mail.log.1"))
            os.truncate(mta.log, 0)  # a reload has two queue managers for a while, and mail wait
            for number, recipient in enumerate(others, 2):
                port = mta.filtered if "filtered" in recipient else mta.port
                await asyncio.to_thread(mta.send, recipient, port=port, order=str(number))
            try:
                await until(lambda: in_engagelab(lab).keys() >= once.keys(), WAIT_S)
                await until(lambda: in_sendpulse(pulse).keys() >= again.keys(), WAIT_S)
            except TimeoutError:
                missing = once - in_engagelab(lab), again - in_sendpulse(pulse)
                raise AssertionError(f"{missing} of\n{mta.log.read_text()}") from None
            [row] = await service.cli("sources", "list", "--json")
            report = await service.audit()
            assert await service.stop() == 0
        finally:
            await service.kill()

    assert in_engagelab(lab) == once
    assert in_sendpulse(pulse) == again
    assert (row["refused"], report["problems"]) == (0, [])
