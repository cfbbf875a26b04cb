"""Nothing inside is reached while sending, whatever the name server, the receiver or the
environment say."""

import asyncio
import socket
from pathlib import Path

import pycurl
import pytest

from postbell.signals import heard
from postbell.wire.guard import Guard
from postbell.wire.resolver import Resolver
from postbell.wire.sender import OPTIONS, CurlSender
from postbell.wire.urls import Target
from tests.wire.conftest import LOOPBACK, MakeSender, Names, Serve, post
from tests.wire.receiver import OK, answering


async def test_a_name_that_turns_inside_after_the_check_is_refused(
    serve: Serve, names: Names, make_sender: MakeSender
) -> None:
    receiver = await serve(answering(OK))
    names.set("rebind.example", ["93.184.216.34"], ["127.0.0.1"])
    resolver = Resolver(names)
    await Guard((), resolver).check(receiver.url(host="rebind.example"))

    outcome = await make_sender(allow=()).send(post(receiver.url(host="rebind.example")))

    resolver.close()
    assert (outcome.status, outcome.error) == (None, "refused_address")
    assert outcome.detail == (
        "host rebind.example resolves to an address that is not allowed (loopback)"
    )
    assert receiver.connections == 0


async def test_one_inside_address_among_good_ones_refuses_the_request(
    serve: Serve, names: Names, make_sender: MakeSender
) -> None:
    receiver = await serve(answering(OK))
    names.set("mixed.example", ["127.0.0.1", "10.0.0.1"])

    outcome = await make_sender().send(post(receiver.url(host="mixed.example")))

    assert (outcome.status, outcome.error) == (None, "refused_address")
    assert receiver.connections == 0


class CarelessGuard(Guard):
    """Looks at no name, so that only the look at the socket's address is left."""

    async def vet(self, target: Target) -> tuple[str, ...]:
        return ("127.0.0.1",)


@pytest.mark.parametrize("host", ["careless.example", "127.0.0.1"])
async def test_the_address_really_connected_to_is_looked_at_again(
    serve: Serve, make_sender: MakeSender, host: str
) -> None:
    receiver = await serve(answering(OK))
    resolver = Resolver()
    sender = make_sender(guard=CarelessGuard((), resolver))

    outcome = await sender.send(post(receiver.url(host=host)))
    await make_sender().send(post(receiver.url()))  # accepted after all that came before

    assert (outcome.status, outcome.error) == (None, "refused_address")
    assert ("127.0.0.1" in outcome.detail + outcome.peer) == (host == "127.0.0.1")
    assert receiver.connections == 1


@pytest.mark.parametrize("host", ["named.example", "127.0.0.1"])
async def test_an_allowed_inside_address_is_shown_only_to_who_wrote_it(
    serve: Serve, names: Names, sender: CurlSender, host: str
) -> None:
    receiver = await serve(answering(OK))
    names.set("named.example", ["127.0.0.1"])

    outcome = await sender.send(post(receiver.url(host=host)))

    assert outcome.status == 200
    assert outcome.peer == ("" if host == "named.example" else f"127.0.0.1:{receiver.port}")


@pytest.mark.parametrize(
    "answer",
    [
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
        OSError("server 10.0.0.53 refused"),
    ],
)
async def test_what_the_name_server_answered_is_in_the_log_and_nowhere_else(
    answer: OSError,
) -> None:
    def ask(name: str) -> list[str]:
        raise answer

    resolver = Resolver(ask)
    sender = CurlSender(Guard((), resolver))
    logged: list[dict[str, object]] = []

    with heard("host_unresolved", logged.append):
        outcome = await sender.send(post("https://db.corp.example/"))

    await sender.close()
    resolver.close()
    assert (outcome.error, outcome.detail) == ("dns", "host db.corp.example does not resolve")
    assert logged == [{"host": "db.corp.example", "why": answer.strerror or str(answer)}]


class ChangingGuard(Guard):
    """Refuses every address once `is_shut`, as after a change of the allow list."""

    is_shut = False

    def refusal(self, address: str) -> str:
        return "shut" if self.is_shut else super().refusal(address)


@pytest.mark.parametrize("scheme", ["file", "ftp", "gopher", "dict", "smtp", "telnet", "ws"])
def test_libcurl_itself_speaks_nothing_but_http(scheme: str) -> None:
    easy = pycurl.Curl()
    for option, value in OPTIONS:
        easy.setopt(option, value)
    easy.setopt(pycurl.URL, f"{scheme}://127.0.0.1/etc/hostname")

    with pytest.raises(pycurl.error) as raised:
        easy.perform()

    easy.close()
    assert raised.value.args[0] == pycurl.E_UNSUPPORTED_PROTOCOL


async def test_a_kept_connection_is_looked_at_too(serve: Serve, make_sender: MakeSender) -> None:
    receiver = await serve(answering(OK))

    class Careless(ChangingGuard, CarelessGuard):
        pass

    guard = Careless(LOOPBACK, Resolver())
    sender = make_sender(guard=guard)
    await sender.send(post(receiver.url(host="kept.example")))
    guard.is_shut = True

    outcome = await sender.send(post(receiver.url(host="kept.example")))

    assert (outcome.status, outcome.error) == (None, "refused_address")
    assert len(receiver.got) == 1


async def test_only_vetted_addresses_are_asked_for_and_libcurl_resolves_nothing(
    serve: Serve, names: Names, sender: CurlSender
) -> None:
    receiver = await serve(answering(OK))
    names.set("localhost", ["127.0.0.2"])

    outcome = await sender.send(post(receiver.url(host="localhost")))

    assert (outcome.status, outcome.error) == (None, "connect")
    assert receiver.connections == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_not_followed(
    serve: Serve, sender: CurlSender, status: int
) -> None:
    inside = await serve(answering(OK))
    head = f"HTTP/1.1 {status} Go\r\nLocation: {inside.url()}\r\nContent-Length: 0\r\n\r\n"
    receiver = await serve(answering(head.encode()))

    outcome = await sender.send(post(receiver.url()))

    assert outcome.status == status
    assert inside.connections == 0


async def test_an_alternative_service_is_not_used(serve: Serve, sender: CurlSender) -> None:
    inside = await serve(answering(OK))
    receiver = await serve(
        answering(
            f'HTTP/1.1 200 OK\r\nAlt-Svc: http/1.1=":{inside.port}"; ma=99\r\n'
            "Refresh: 0\r\nContent-Length: 0\r\n\r\n".encode()
        )
    )

    await sender.send(post(receiver.url()))
    await sender.send(post(receiver.url()))

    assert (len(receiver.got), inside.connections) == (2, 0)


async def test_a_proxy_in_the_environment_is_not_contacted(
    serve: Serve, make_sender: MakeSender, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = await serve(answering(b"HTTP/1.1 502 Proxy\r\nContent-Length: 0\r\n\r\n"))
    receiver = await serve(answering(OK))
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, proxy.url(""))
        monkeypatch.setenv(name.upper(), proxy.url(""))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    names.set("hooks.example", ["127.0.0.1"])

    plain = await make_sender().send(post(receiver.url(host="hooks.example")))
    secured = await make_sender().send(
        post(f"https://hooks.example:{receiver.port}/", timeout_s=0.5)
    )

    assert plain.status == 200
    assert secured.error in ("tls", "timeout", "reset")
    assert proxy.connections == 0


async def test_a_netrc_is_not_read(
    serve: Serve, make_sender: MakeSender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    (tmp_path / ".curlrc").write_text("user = me:secret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    receiver = await serve(answering(OK))

    outcome = await make_sender().send(post(receiver.url()))

    assert outcome.status == 200
    assert receiver.got[0].header("authorization") is None


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:25/", "http://[fe80::1%25lo]/", "file:///etc/passwd", "http://a b/", ""],
)
async def test_a_url_that_could_not_be_registered_is_a_failed_attempt(
    sender: CurlSender, url: str
) -> None:
    outcome = await sender.send(post(url))

    assert (outcome.status, outcome.error) == (None, "refused_address")
    assert outcome.detail


async def test_an_ipv4_socket_behind_a_mapped_address_is_refused(
    serve: Serve, make_sender: MakeSender
) -> None:
    receiver = await serve(answering(OK))

    outcome = await make_sender(allow=()).send(post(receiver.url(host="[::ffff:127.0.0.1]")))

    assert (outcome.status, outcome.error) == (None, "refused_address")
    assert receiver.connections == 0


async def test_the_loop_is_free_while_a_name_is_looked_up(make_sender: MakeSender) -> None:
    loop = asyncio.get_running_loop()
    asked, go = asyncio.Event(), socket.socketpair()

    def slow(name: str) -> list[str]:
        loop.call_soon_threadsafe(asked.set)
        go[0].recv(1)
        raise OSError("no such name in this test")

    resolver = Resolver(slow)
    sender = make_sender(guard=Guard((), resolver))
    task = asyncio.create_task(sender.send(post("http://slow.example/")))

    async with asyncio.timeout(5):
        await asked.wait()
    is_waiting = not task.done()
    go[1].send(b"x")
    outcome = await task

    assert is_waiting
    assert outcome.error == "dns"
    resolver.close()
    for end in go:
        end.close()
