"""Notices to the operator's webhook: what is posted, and that no answer of it ends the worker."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from postbell import signals
from postbell.operating.notices.kinds import BY_NAME
from postbell.operating.notices.posting import MEMBERS as MEMBERS_OF
from tests.operating.rig import Watched, watched

LIMIT_S = 60
GOOD = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"
MEMBERS = {"kind", "at", "account", "text", "advice", "webhook_id", "url"}


class Operator:
    """The operator's end: keeps heads and bodies, and says what it is told to say."""

    def __init__(self, said: bytes = GOOD) -> None:
        self.said = said
        self.heads: list[str] = []
        self.bodies: list[Any] = []

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        async with server, asyncio.timeout(LIMIT_S):
            yield server.sockets[0].getsockname()[1]

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        size = re.search(r"content-length: (\d+)", head.lower())
        assert size is not None
        self.heads.append(head)
        self.bodies.append(json.loads(await reader.readexactly(int(size[1]))))
        writer.write(self.said)
        writer.close()


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Watched]:
    async with watched(tmp_path) as rig:
        await rig.service.webhook()
        await rig.tell()
        yield rig


async def fail(rig: Watched) -> None:
    await rig.lane(failing_since=rig.service.clock.now(), failures=2)


@pytest.mark.parametrize(
    "said",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 99999 odd\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\nconnection: close\r\n\r\n",
        b"",
    ],
    ids=["no HTTP", "no status", "too many headers", "a redirect", "nothing"],
)
async def test_an_odd_answer_is_a_failure_that_is_tried_again(rig: Watched, said: bytes) -> None:
    operator = Operator(said)
    failed: list[Any] = []
    async with operator.listening() as port:
        rig.notices = rig.new_notices(operator_webhook=f"http://127.0.0.1:{port}/bell")
        await fail(rig)
        with signals.heard("notice_failed", failed.append):
            await rig.tell()
        operator.said = GOOD
        await rig.tell(11)
        await rig.tell(11)

    assert [(each["to"], each["is_last"]) for each in failed] == [("operator_webhook", False)]
    assert len(operator.bodies) == 2
    assert operator.bodies[0] == operator.bodies[1]


async def test_a_head_that_never_ends_is_a_failure_as_well(rig: Watched) -> None:
    """Else no notice would go any more, and the process would not end."""
    failed: list[Any] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\nwhy: ")
        with contextlib.suppress(OSError):
            while not failed:
                rig.service.clock.advance(1)
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server, asyncio.timeout(LIMIT_S):
        port = server.sockets[0].getsockname()[1]
        rig.notices = rig.new_notices(operator_webhook=f"http://127.0.0.1:{port}/bell")
        await fail(rig)
        with signals.heard("notice_failed", failed.append):
            await rig.tell()

    assert [each["to"] for each in failed] == ["operator_webhook"]
    assert "takes too long" in failed[0]["error"]


async def test_a_mail_server_that_hangs_keeps_nothing_from_the_webhook(rig: Watched) -> None:
    mails: list[str] = []

    async def hang(to: str, subject: str, text: str) -> None:
        mails.append(to)
        await asyncio.Event().wait()

    async def until(is_so: Callable[[], Any]) -> None:
        while not is_so():
            await rig.service.directory.refresh()
            await rig.standings.look()
            rig.service.clock.advance(1)
            await asyncio.sleep(0.01)

    operator = Operator()
    async with operator.listening() as port:
        url = f"http://127.0.0.1:{port}/bell"
        rig.notices = rig.new_notices(operator_webhook=url, send_mail=hang, look_s=0.01)
        running = asyncio.create_task(rig.notices.run())
        await fail(rig)
        await until(lambda: operator.bodies and mails)
        await rig.lane(pause="gone")
        await until(lambda: len(operator.bodies) == 2)
        running.cancel()
        await asyncio.wait((running,))

    assert len(mails) == 1


async def test_user_and_password_of_the_url_go_as_basic_auth_and_odd_letters_are_sent(
    rig: Watched,
) -> None:
    operator = Operator()
    async with operator.listening() as port:
        url = f"http://user:p%40ss@127.0.0.1:{port}/glöckchen läutet?a=ü&b=%20#part"
        rig.notices = rig.new_notices(operator_webhook=url)
        await fail(rig)
        await rig.tell()

    (head,) = operator.heads
    assert head.startswith("POST /gl%C3%B6ckchen%20l%C3%A4utet?a=%C3%BC&b=%20 HTTP/1.1\r\n")
    assert "authorization: basic dxnlcjpwqhnz" in head.lower()
    assert f"host: 127.0.0.1:{port}\r\n" in head.lower()


async def test_a_notice_has_the_members_of_its_kind_and_no_others(rig: Watched) -> None:
    operator = Operator()
    async with operator.listening() as port:
        rig.notices = rig.new_notices(operator_webhook=f"http://127.0.0.1:{port}/bell")
        await fail(rig)
        await rig.tell()
        await rig.lane(pause="gone")
        await rig.tell()
        await rig.lane(failing_since=None, failures=0, last_success_at=rig.service.clock.now())
        await rig.service.desk.resume(rig.service.acme, 1)
        await rig.tell()
        with signals.heard("events_expiring", rig.notices._heard.append):
            signals.log("events_expiring", webhook_id=1, events=7, at="2027-01-02T03:04:05Z")
        await rig.tell()

    notices = [notice for body in operator.bodies for notice in body["notices"]]
    more = {notice["kind"]: notice.keys() - MEMBERS for notice in notices}
    assert all(notice.keys() >= MEMBERS for notice in notices)
    assert more == {
        "webhook_failing": {"since", "failures"},
        "webhook_paused": {"reason"},
        "webhook_recovered": set(),
        "events_expiring": {"events", "expires_at"},
    }
    assert MEMBERS_OF.keys() == BY_NAME.keys()
    assert notices[-1]["expires_at"] == "2027-01-02T03:04:05Z"
    assert notices[-1]["at"] < notices[-1]["expires_at"]
