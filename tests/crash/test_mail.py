"""The real service takes mails and is killed again and again: each that it answered with 250 is an
event, and none is two, however often its sender hands it over."""

import asyncio
import json
import random
import smtplib
import socket
import ssl
import threading
from collections import Counter
from pathlib import Path

import pytest

from tests.crash.harness import Service, free_port
from tests.crash.test_sources import recipients
from tests.sources.mail.samples import dsn
from tests.wire.certificates import Authority

KILLS = 6
SENDERS = 4


def mail(number: int) -> bytes:
    """Return a bounce of a message of its own, to a recipient of its own."""
    own = dsn().replace(b"bob@example.org", b"n%d@example.org" % number)
    return own.replace(b"22100000.1@", b"22100000.%d@" % number)


class Sender:
    """A mail server with one connection, that hands each mail over until it is taken."""

    def __init__(self, port: int, first: int) -> None:
        self._port = port
        self._number = first
        self.answered: list[int] = []
        self.again = 0
        self.leaving = threading.Event()

    def run(self) -> None:
        while not self.leaving.is_set():
            try:
                with smtplib.LMTP("127.0.0.1", self._port, timeout=60) as connection:
                    while not self.leaving.is_set():
                        self._hand_over(connection)
            except (OSError, smtplib.SMTPException):
                self.again += 1
                self.leaving.wait(0.05)

    def _hand_over(self, connection: smtplib.LMTP) -> None:
        refused = connection.sendmail("<>", ["bounce@b.example"], mail(self._number))
        assert refused == {}
        self.answered.append(self._number)
        self._number += SENDERS


@pytest.mark.long
async def test_killed_while_mails_come(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    port = free_port()
    source = {"kind": "mail", "listen": f"127.0.0.1:{port}", "account": "acme", "api_user": "main"}
    service = Service(tmp_path, POSTBELL_SOURCE_BOUNCES=json.dumps(source))
    await service.set_up()
    senders = [Sender(port, first) for first in range(SENDERS)]
    sending = [asyncio.create_task(asyncio.to_thread(sender.run)) for sender in senders]
    try:
        for _ in range(KILLS):
            await service.start()
            await asyncio.sleep(1 + chance.random())
            await service.kill()
        await service.start()
        await asyncio.sleep(1)
    finally:
        for sender in senders:
            sender.leaving.set()
        await asyncio.gather(*sending)
        assert await service.stop() == 0

    counts = Counter(await recipients(service))
    answered = [number for sender in senders for number in sender.answered]
    assert len(answered) > KILLS * SENDERS, seed
    assert sum(sender.again for sender in senders) >= KILLS, seed
    assert [n for n in answered if counts[f"n{n}@example.org"] != 1] == [], seed
    assert max(counts.values()) == 1, seed
    assert (await service.audit())["problems"] == []


@pytest.mark.long
async def test_killed_while_mails_are_delivered_into_a_folder(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    folder, count = tmp_path / "box", 0
    for name in ("tmp", "new", "cur"):
        (folder / name).mkdir(parents=True)
    source = {"kind": "maildir", "path": str(folder), "account": "acme", "api_user": "main"}
    service = Service(tmp_path, POSTBELL_SOURCE_BOX=json.dumps(source))
    await service.set_up()

    async def deliver(mails: int) -> None:
        nonlocal count
        for _ in range(mails):
            (folder / "tmp" / f"{count}").write_bytes(mail(count))
            (folder / "tmp" / f"{count}").rename(folder / "new" / f"{count}.host")
            count += 1
            await asyncio.sleep(0.001)

    try:
        for _ in range(KILLS):
            delivering = asyncio.create_task(deliver(150))
            await service.start()
            await asyncio.sleep(chance.random())
            await service.kill()
            await delivering
        await service.start()
        async with asyncio.timeout(60):
            while list((folder / "new").iterdir()):
                await asyncio.sleep(0.2)
        (row,) = await service.cli("sources", "list", "--json")
        assert await service.stop() == 0
    finally:
        await service.kill()

    counts = Counter(await recipients(service))
    assert counts == {f"n{n}@example.org": 1 for n in range(count)}, seed
    assert (row["taken"], row["duplicates"], row["refused"]) == (count, 0, 0), seed
    assert len(list((folder / "cur").iterdir())) == count, seed


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_mails_come_in_over_tls_and_are_listed(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.context("localhost")
    file, port = str(tmp_path / "localhost.pem"), free_port()
    source = {
        "kind": "mail",
        "protocol": "smtp",
        "listen": f"127.0.0.1:{port}",
        "account": "acme",
        "api_user": "main",
        "tls_cert_file": file,
        "tls_key_file": file,
    }
    service = Service(tmp_path, POSTBELL_SOURCE_BOUNCES=json.dumps(source))
    await service.set_up()

    def hand_over() -> None:
        context = ssl.create_default_context(cafile=str(authority.file))
        with smtplib.SMTP("localhost", port, timeout=60) as connection:
            connection.starttls(context=context)
            for number in range(3):
                assert connection.sendmail("<>", ["bounce@b.example"], mail(number)) == {}

    try:
        await service.start()
        async with asyncio.timeout(60):
            while not await asyncio.to_thread(listens, port):  # it begins beside the rest
                await asyncio.sleep(0.05)
        await asyncio.to_thread(hand_over)
        (row,) = await service.cli("sources", "list", "--json")
        assert await service.stop() == 0
    finally:
        await service.kill()

    assert await recipients(service) == [f"n{number}@example.org" for number in range(3)]
    assert (row["kind"], row["taken"], row["position"]) == ("mail", 3, "mail 3")
    assert row["place"] == f"smtp://127.0.0.1:{port}"
