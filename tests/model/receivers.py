"""The customers' side: what receivers answer, and what arrived at them, POST by POST."""

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from postbell.clock import Clock
from postbell.ports import Request
from postbell.records import Outcome
from tests.model.process import Process

_RECIPIENT = re.compile(r"user(\d+)@example\.net")
"""Every event of the test has a recipient of its own, whom every dialect tells somewhere."""
_SEAL = re.compile(
    rb'(^{"signature":{"timestamp":")[0-9]{10}(","token":"[0-9a-f]{50}","signature":")[0-9a-f]{64}'
)


@dataclass(eq=False)
class Post:
    """One request that arrived, and what became of it; *numbers* are its events in order,
    *lines* how many its receiver counts."""

    process: Process
    request: Request
    batch_id: str
    attempt: int
    numbers: tuple[int, ...]
    lines: int
    at: datetime
    moment_s: float
    outcome: Outcome | None = None
    answer: asyncio.Future[Outcome] = field(repr=False, default=None)  # type: ignore[assignment]

    @property
    def was_frozen(self) -> bool:
        """Say whether its process may have begun it before, and stood still since."""
        return self.moment_s == self.process.thawed_s

    @property
    def body(self) -> bytes:
        """Its bytes, zeros where a dialect seals the body anew for each attempt."""
        return _SEAL.sub(rb"\g<1>0000000000\g<2>" + b"0" * 64, self.request.body or b"")


Behaviour = Callable[[Post, frozenset[int]], Outcome | None]
"""Gives the answer to a POST, given the poisonous events; None lets it hang."""


def always(outcome: Outcome) -> Behaviour:
    return lambda post, poison: outcome


def refusing(status: int) -> Behaviour:
    """Refuse every batch that holds a poisonous event."""
    refusal = Outcome(status=status, body=b"bad event")
    return lambda post, poison: OK if poison.isdisjoint(post.numbers) else refusal


def taking_bodies_to(size_bytes: int) -> Behaviour:
    return lambda post, poison: OK if len(post.body) <= size_bytes else Outcome(status=413)


def taking_at_most(events: int) -> Behaviour:
    return lambda post, poison: OK if len(post.numbers) <= events else Outcome(status=413)


OK = Outcome(status=200)
BEHAVIOURS: Mapping[str, Behaviour] = {
    "takes": always(OK),
    "takes with 204": always(Outcome(status=204)),
    "unavailable": always(Outcome(status=503)),
    "broken": always(Outcome(status=500)),
    "times out": always(Outcome(error="timeout")),
    "cuts": always(Outcome(error="reset")),
    "asks for 40 s": always(Outcome(status=429, retry_after_s=40)),
    "asks for 2 h": always(Outcome(status=503, retry_after_s=7200)),
    "refuses poison (400)": refusing(400),
    "refuses poison (422)": refusing(422),
    "refuses poison (413)": refusing(413),
    "refuses poison (500)": refusing(500),
    "refuses poison (406)": refusing(406),
    "refuses all (406)": always(Outcome(status=406)),
    "refuses all for 40 s (406)": always(Outcome(status=406, retry_after_s=40)),
    "takes one": taking_at_most(1),
    "takes two": taking_at_most(2),
    "takes 9 kB": taking_bodies_to(9_000),
    "takes 20 kB": taking_bodies_to(20_000),
    "gone": always(Outcome(status=410)),
    "hangs": lambda post, poison: None,
}


class Receivers:
    """All receivers; *poison* are the events that some of them refuse, *story* is what arrived."""

    def __init__(
        self,
        clock: Clock,
        arrive: Callable[[Post], None],
        answered: Callable[[Post], None],
    ) -> None:
        self._clock = clock
        self._arrive = arrive
        self._answered = answered
        self.poison: frozenset[int] = frozenset()
        self.standing: dict[int, str] = defaultdict(lambda: "takes")
        self.scripts: dict[int, list[str]] = defaultdict(list)
        self.hanging: list[Post] = []
        self.story: list[str] = []

    async def take(self, process: Process, request: Request) -> Outcome:
        """Receive one POST of this process and answer it, at the latest when it times out."""
        post = self._read(process, request)
        self.story.append(
            f"{post.at:%d %H:%M:%S} {process.name}: {post.batch_id}, attempt {post.attempt}"
        )
        self._arrive(post)
        script = self.scripts[request.webhook_id]
        name = script.pop(0) if script else self.standing[request.webhook_id]
        outcome = BEHAVIOURS[name](post, self.poison)
        try:
            await asyncio.sleep(0)
            if outcome is None:
                outcome = await self._hang(post)
        except asyncio.CancelledError:
            self._answered(post)
            raise
        post.outcome = outcome
        self._answered(post)
        return outcome

    async def _hang(self, post: Post) -> Outcome:
        post.answer = asyncio.get_running_loop().create_future()
        self.hanging.append(post)
        try:
            async with asyncio.timeout(post.request.timeout_s):
                return await post.answer
        except TimeoutError:
            return Outcome(error="timeout")
        finally:
            self.hanging.remove(post)

    def release(self, post: Post, name: str) -> None:
        """Answer a POST that hangs; nothing where it hangs on."""
        outcome = BEHAVIOURS[name](post, self.poison)
        if outcome is not None and not post.answer.done():
            post.answer.set_result(outcome)

    def _read(self, process: Process, request: Request) -> Post:
        headers = {name.lower(): value for name, value in request.headers}
        read = json.loads(request.body or b"")
        lines = read if isinstance(read, list) else [read]
        numbers = [int(_RECIPIENT.findall(json.dumps(line))[0]) for line in lines]
        return Post(
            process=process,
            request=request,
            batch_id=headers.get("webhook-id") or headers["postbell-batch"],
            attempt=int(headers["postbell-attempt"]),
            numbers=tuple(number for number, _ in groupby(numbers)),
            lines=len(lines),
            at=process.clock.now(),
            moment_s=self._clock.monotonic_s(),
        )


class Line:
    """The `Sender` of one process."""

    def __init__(self, receivers: Receivers, process: Process) -> None:
        self._receivers = receivers
        self._process = process

    async def send(self, request: Request) -> Outcome:
        await self._process.step()
        outcome = await self._receivers.take(self._process, request)
        await self._process.step()
        return outcome

    async def close(self) -> None:
        """Nothing to close."""
