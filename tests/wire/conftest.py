"""A sender that may reach loopback, and receivers that live as long as the test."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest

from postbell.ports import Request
from postbell.wire.addresses import parse_networks
from postbell.wire.guard import Guard
from postbell.wire.resolver import Resolver
from postbell.wire.sender import CurlSender
from tests.wire import receiver as receivers
from tests.wire.receiver import Receiver, Script

LOOPBACK = parse_networks(["127.0.0.0/8", "::1/128"])

Serve = Callable[..., Awaitable[Receiver]]
MakeSender = Callable[..., CurlSender]


class Names:
    """A scripted name server: each name gives its answers in turn, the last one for ever."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Sequence[str]]] = {}
        self.asked: list[str] = []

    def set(self, name: str, *answers: Sequence[str]) -> None:
        self.answers[name] = list(answers)

    def __call__(self, name: str) -> Sequence[str]:
        self.asked.append(name)
        if name not in self.answers:
            raise OSError("no such name in this test")
        left = self.answers[name]
        return left.pop(0) if len(left) > 1 else left[0]


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def serve(stack: AsyncExitStack) -> Serve:
    async def start(script: Script, **options: Any) -> Receiver:
        return await receivers.start(stack, script, **options)

    return start


@pytest.fixture
def names() -> Names:
    return Names()


@pytest.fixture
def make_sender(stack: AsyncExitStack, names: Names) -> MakeSender:
    def make(
        *,
        allow: Sequence[str] = ("127.0.0.0/8", "::1/128"),
        guard: Guard | None = None,
        **options: Any,
    ) -> CurlSender:
        resolver = Resolver(names)
        stack.callback(resolver.close)
        made = CurlSender(guard or Guard(parse_networks(list(allow)), resolver), **options)
        stack.push_async_callback(made.close)
        return made

    return make


@pytest.fixture
def sender(make_sender: MakeSender) -> CurlSender:
    return make_sender()


def post(url: str, body: bytes | None = b'[{"event":"x"}]', **members: Any) -> Request:
    """Return a request that differs from an ordinary one in what a test says."""
    given: dict[str, Any] = {
        "headers": [("Content-Type", "application/json")],
        "timeout_s": 5.0,
        "account_id": 1,
        "webhook_id": 1,
    }
    return Request(url=url, body=body, **(given | members))
