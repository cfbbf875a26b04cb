"""What a request looks like on the wire, and what comes back of a good answer."""

import asyncio

import pytest

from postbell.errors import BadInput, ServiceError
from postbell.wire.sender import CurlSender
from tests.wire.conftest import MakeSender, Names, Serve, post
from tests.wire.receiver import NO_CONTENT, OK, Line, Receiver, answering, hang, hold


async def test_a_post_arrives_whole_and_its_answer_comes_back(
    serve: Serve, sender: CurlSender
) -> None:
    receiver = await serve(
        answering(b"HTTP/1.1 201 Created\r\nX-Id: 7\r\nContent-Length: 4\r\n\r\ndone")
    )

    outcome = await sender.send(post(receiver.url(), b"[1,2]"))

    got = receiver.got[0]
    assert got.line == b"POST /hook HTTP/1.1"
    assert got.body == b"[1,2]"
    assert got.header("content-length") == "5"
    assert got.header("content-type") == "application/json"
    assert f"127.0.0.1:{receiver.port}" == got.header("host")
    assert outcome.status == 201
    assert outcome.error == ""
    assert outcome.body == b"done"
    assert ("x-id", "7") in outcome.headers
    assert f"127.0.0.1:{receiver.port}" == outcome.peer


async def test_only_the_headers_that_are_meant_are_sent(serve: Serve, sender: CurlSender) -> None:
    receiver = await serve(answering(OK))

    await sender.send(post(receiver.url(), b"x" * 2_000_000))

    names = {name.lower() for name, _ in receiver.got[0].headers}
    assert {"host", "user-agent", "accept", "content-type", "content-length"} == names


async def test_an_empty_body_has_a_content_length(serve: Serve, sender: CurlSender) -> None:
    receiver = await serve(answering(OK))

    await sender.send(post(receiver.url(), b""))

    assert receiver.got[0].header("content-length") == "0"


async def test_a_request_without_a_body_is_a_get(serve: Serve, sender: CurlSender) -> None:
    receiver = await serve(answering(OK))

    await sender.send(post(receiver.url(), b"first"))
    await sender.send(post(receiver.url(), None, headers=[]))
    await sender.send(post(receiver.url(), b"last"))

    assert [got.line.split()[0] for got in receiver.got] == [b"POST", b"GET", b"POST"]
    assert [got.body for got in receiver.got] == [b"first", b"", b"last"]
    assert receiver.got[1].header("content-length") is None
    assert receiver.got[1].header("content-type") is None


@pytest.mark.parametrize(
    "path",
    [
        "/a/../b/./c//d",
        "/a%2Fb%2e%2E/%zz",
        '/x?y=1&y=2&&=;+%20{a}|b^`"<>[]',
        "/?",
        "/?a=?b/../c",
        "/hook;v=1?u=http://user:pw@10.0.0.1/",
        "/~'!$&()*+,=@:",
    ],
)
async def test_path_and_query_are_sent_verbatim(
    serve: Serve, sender: CurlSender, path: str
) -> None:
    receiver = await serve(answering(OK))

    outcome = await sender.send(post(receiver.url(path)))

    assert outcome.status == 200
    assert b"POST " + path.encode() + b" HTTP/1.1" == receiver.got[0].line


async def test_a_query_without_a_path_gets_the_root(serve: Serve, sender: CurlSender) -> None:
    receiver = await serve(answering(OK))

    await sender.send(post(receiver.url("?key=a%20b")))

    assert receiver.got[0].line == b"POST /?key=a%20b HTTP/1.1"


async def test_userinfo_becomes_basic_authorization(serve: Serve, sender: CurlSender) -> None:
    receiver = await serve(answering(OK))
    url = receiver.url().replace("//", "//us%40er:p%3Ass@")

    await sender.send(post(url))
    await sender.send(post(receiver.url()))

    assert receiver.got[0].header("authorization") == "Basic dXNAZXI6cDpzcw=="
    assert receiver.got[1].header("authorization") is None


async def test_a_custom_authorization_header_wins_over_userinfo(
    serve: Serve, sender: CurlSender
) -> None:
    receiver = await serve(answering(OK))
    url = receiver.url().replace("//", "//user:pass@")

    await sender.send(post(url, headers=[("AUTHORIZATION", "Bearer t")]))

    assert receiver.got[0].header("authorization") == "Bearer t"


async def test_custom_headers_are_sent_and_may_replace_the_user_agent(
    serve: Serve, sender: CurlSender
) -> None:
    receiver = await serve(answering(OK))
    headers = [("X-Key", "a: b; c"), ("X-Empty", ""), ("User-Agent", "mine")]

    await sender.send(post(receiver.url(), headers=headers))

    got = receiver.got[0]
    assert got.header("x-key") == "a: b; c"
    assert got.header("x-empty") == ""
    assert got.header("user-agent") == "mine"


@pytest.mark.parametrize(
    "header",
    [
        ("X-A", "b\r\nX-Injected: 1"),
        ("X-A", "b\nc"),
        ("X-A", "b\0c"),
        ("X-A", " b"),
        ("X-Town", "Köln"),
        ("X-A: b\r\nX-B", "c"),
        ("", "c"),
        ("X A", "c"),
        ("Host", "inside"),
        ("content-length", "3"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "close"),
        ("Expect", "100-continue"),
    ],
)
async def test_a_header_that_could_reframe_the_request_is_refused(
    serve: Serve, sender: CurlSender, header: tuple[str, str]
) -> None:
    receiver = await serve(answering(OK))

    with pytest.raises(BadInput) as raised:
        await sender.send(post(receiver.url(), headers=[header]))

    assert raised.value.member == "headers"
    assert receiver.connections == 0


async def test_a_connection_is_used_again(serve: Serve, sender: CurlSender) -> None:
    receiver = await serve(answering(OK, NO_CONTENT))

    outcomes = [await sender.send(post(receiver.url())) for _ in range(4)]

    assert [outcome.status for outcome in outcomes] == [200, 204, 204, 204]
    assert receiver.connections == 1


async def test_nothing_of_one_answer_is_left_in_the_next(serve: Serve, sender: CurlSender) -> None:
    first = b"HTTP/1.1 500 Oops\r\nRetry-After: 9\r\nContent-Length: 3\r\n\r\nbad"
    receiver = await serve(answering(first, NO_CONTENT))

    failed = await sender.send(post(receiver.url()))
    passed = await sender.send(post(receiver.url()))

    assert (failed.status, failed.body, failed.retry_after_s) == (500, b"bad", 9.0)
    assert (
        passed.status,
        passed.body,
        passed.retry_after_s,
        passed.headers,
    ) == (204, b"", None, ())


async def test_cookies_are_not_kept(serve: Serve, sender: CurlSender) -> None:
    receiver = await serve(
        answering(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n")
    )

    await sender.send(post(receiver.url()))
    await sender.send(post(receiver.url()))

    assert [got.header("cookie") for got in receiver.got] == [None, None]


async def test_interim_answers_are_passed_over(serve: Serve, sender: CurlSender) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nRetry-After: 1\r\n\r\n"
    receiver = await serve(answering(hints + hints + OK))

    outcome = await sender.send(post(receiver.url()))

    assert (outcome.status, outcome.body, outcome.retry_after_s) == (200, b"ok", None)


async def test_a_chunked_answer_is_read(serve: Serve, sender: CurlSender) -> None:
    receiver = await serve(
        answering(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            NO_CONTENT,
        )
    )

    outcome = await sender.send(post(receiver.url()))
    again = await sender.send(post(receiver.url()))

    assert (outcome.status, outcome.body, again.status) == (200, b"abcde", 204)
    assert receiver.connections == 1


async def test_the_first_4_kib_of_a_body_are_kept(serve: Serve, sender: CurlSender) -> None:
    body = bytes(range(256)) * 256
    receiver = await serve(
        answering(b"HTTP/1.1 400 Bad\r\nContent-Length: 65536\r\n\r\n" + body, NO_CONTENT)
    )

    outcome = await sender.send(post(receiver.url()))
    await sender.send(post(receiver.url()))

    assert (400, body[:4096]) == (outcome.status, outcome.body)
    assert receiver.connections == 1


async def test_a_huge_body_ends_with_the_status_that_came(serve: Serve, sender: CurlSender) -> None:
    async def flood(receiver: Receiver, line: Line) -> None:
        while (got := await line.request()) is not None:
            receiver.note(got)
            await line.say(b"HTTP/1.1 422 No\r\nContent-Length: 99999999999\r\n\r\n")
            while True:
                await line.say(b"a" * 65536)

    receiver = await serve(flood)

    outcomes = [await sender.send(post(receiver.url())) for _ in range(2)]

    assert [(o.status, o.error, o.body) for o in outcomes] == [(422, "", b"a" * 4096)] * 2
    assert receiver.connections == 2


async def test_phases_are_cumulative_and_end_after_the_answer(
    serve: Serve, sender: CurlSender, names: Names
) -> None:
    names.set("hooks.example", ["127.0.0.1"])
    receiver = await serve(answering(OK))

    outcome = await sender.send(post(receiver.url(host="hooks.example")))

    assert len(outcome.phases_ms) == 5
    assert sorted(outcome.phases_ms) == list(outcome.phases_ms)
    assert 0 < outcome.phases_ms[0] < outcome.phases_ms[4] < 5000


async def test_a_name_is_called_by_its_name(serve: Serve, sender: CurlSender, names: Names) -> None:
    names.set("hooks.example", ["127.0.0.1"])
    receiver = await serve(answering(OK))

    outcome = await sender.send(post(receiver.url(host="HOOKS.example")))

    assert outcome.status == 200
    assert f"hooks.example:{receiver.port}" == receiver.got[0].header("host")


async def test_a_name_is_reached_by_its_second_address_where_the_first_is_dead(
    serve: Serve, sender: CurlSender, names: Names
) -> None:
    names.set("hooks.example", ["127.0.0.9", "127.0.0.1"])
    receiver = await serve(answering(OK))

    outcome = await sender.send(post(receiver.url(host="hooks.example")))

    assert (outcome.status, receiver.connections) == (200, 1)


async def test_ipv6_is_spoken(serve: Serve, sender: CurlSender) -> None:
    receiver = await serve(answering(OK), host="::1")

    outcome = await sender.send(post(receiver.url(host="[::1]")))

    assert (200, f"[::1]:{receiver.port}") == (outcome.status, outcome.peer)


async def test_a_cancelled_request_closes_its_connection(serve: Serve, sender: CurlSender) -> None:
    closed = asyncio.Event()

    async def watch(receiver: Receiver, line: Line) -> None:
        await hang(receiver, line)
        closed.set()

    receiver = await serve(watch)
    task = asyncio.create_task(sender.send(post(receiver.url())))
    await receiver.arrived.wait()

    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
    async with asyncio.timeout(5):
        await closed.wait()
    receiver.script = answering(OK)
    assert (await sender.send(post(receiver.url()))).status == 200


async def test_closing_cancels_what_is_under_way_and_ends_connections(
    serve: Serve, make_sender: MakeSender
) -> None:
    sender = make_sender(max_connections=1)
    receiver = await serve(hold)
    running = asyncio.create_task(sender.send(post(receiver.url())))
    waiting = asyncio.create_task(sender.send(post(receiver.url())))
    await receiver.arrived.wait()

    await sender.close()
    await asyncio.wait([running, waiting], timeout=5)

    assert running.cancelled()
    assert waiting.cancelled()
    with pytest.raises(ServiceError):
        await sender.send(post(receiver.url()))


async def test_many_requests_at_once_all_arrive(serve: Serve, make_sender: MakeSender) -> None:
    sender = make_sender(max_per_host=16)
    receiver = await serve(answering(OK))
    bodies = [b"%d" % number for number in range(500)]

    outcomes = await asyncio.gather(*(sender.send(post(receiver.url(), body)) for body in bodies))

    assert {200} == {outcome.status for outcome in outcomes}
    assert sorted(bodies) == sorted(got.body for got in receiver.got)
    assert receiver.connections <= 16
