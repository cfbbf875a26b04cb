"""The world around the installation: who sends events, and who receives them.

Both see what a customer sees.  Whatever a producer was not told, it sends again; a receiver keeps
every request, whether its answer arrives or not.
"""

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from random import Random
from typing import Any, NamedTuple

from postbell.errors import PostbellError
from postbell.ingest.queueing import Answer
from postbell.ports import Request
from postbell.records import Account, ApiUser, Outcome
from tests.delivery.rig import event
from tests.simulation.links import is_of_storage
from tests.simulation.loop import Life
from tests.simulation.processes import ApiProcess
from tests.simulation.trace import Trace

PATIENCE_S = 20.0
"""So long a producer waits for an answer."""
AGAIN_S = (0.1, 8.0)
TYPES = ("delivered", "open", "click", "hard_bounce", "soft_bounce", "request", "deferred")
_RECIPIENT = re.compile(rb"user(\d+)@example\.net")


class Sent(NamedTuple):
    """One event that a producer has: its number is in its id and its recipient."""

    number: int
    account: int
    type: str
    raw: bytes


class Producers:
    """Send events until they are told that they were taken; *acknowledged* are those."""

    def __init__(self, chance: Random, trace: Trace) -> None:
        self._chance = chance
        self._trace = trace
        self.sent: list[Sent] = []
        self.acknowledged: set[int] = set()
        self.waiting: set[asyncio.Task[None]] = set()

    def make(self, account: int, many: int, mark: str = "") -> list[Sent]:
        """Make events of an account that nobody has sent yet."""
        made = []
        for _ in range(many):
            number = len(self.sent)
            kind = self._chance.choice(TYPES)
            raw = json.dumps(event(number, kind, message={"id": str(number), "subject": mark}))
            made.append(Sent(number, account, kind, raw.encode()))
            self.sent.append(made[-1])
        return made

    def send(
        self,
        events: Sequence[Sent],
        to: Sequence[ApiProcess],
        who: tuple[Account, ApiUser],
        copies: int = 1,
    ) -> None:
        """Begin to send events to any of the processes; each of several *copies* at once."""
        for _ in range(copies):
            task = asyncio.create_task(self._send(events, to, who))
            self.waiting.add(task)
            task.add_done_callback(self.waiting.discard)

    async def _send(
        self, events: Sequence[Sent], to: Sequence[ApiProcess], who: tuple[Account, ApiUser]
    ) -> None:
        while True:
            process = self._chance.choice(to)
            answer = await asked(process, partial(_submitted, process, events, who), self._chance)
            if isinstance(answer, Answer):
                assert answer.accepted + answer.duplicates == len(events), answer
                self.acknowledged |= {each.number for each in events}
                told = f"{answer.accepted} new of {[each.number for each in events][:9]}"
                self._trace.say(process.life.name, "answers:", told)
                return
            if isinstance(answer, Exception) and not is_of_storage(answer):
                raise answer
            await asyncio.sleep(self._chance.uniform(*AGAIN_S))


async def _submitted(
    process: ApiProcess, events: Sequence[Sent], who: tuple[Account, ApiUser]
) -> Answer:
    assert process.ingest is not None
    return await process.ingest.submit(*who, [each.raw for each in events])


async def asked(process: ApiProcess, doing: Callable[[], Any], chance: Random) -> Any:
    """Return what a process answers to a request, an error as it is; None for no answer."""
    await asyncio.sleep(chance.uniform(0.0, 0.003))
    if process.ingest is None or process.life.is_dead:
        return None  # nobody listens there
    answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        try:
            returned = await doing()
        except PostbellError as error:
            returned = error
        if not answer.done():
            answer.set_result(returned)

    process.begin(work())
    await asyncio.wait([answer], timeout=PATIENCE_S)
    if not answer.done():
        answer.cancel()
        return None
    return answer.result()


class Post(NamedTuple):
    """A request as its receiver reads it."""

    process: str
    webhook: int
    batch: str
    attempt: int
    numbers: tuple[int, ...]
    body: bytes


def read(life: Life, request: Request) -> Post:
    headers = {name.lower(): value for name, value in request.headers}
    body = request.body or b""
    return Post(
        process=life.name,
        webhook=request.webhook_id,
        batch=headers.get("webhook-id") or headers["postbell-batch"],
        attempt=int(headers["postbell-attempt"]),
        numbers=tuple(number for number, _ in groupby(map(int, _RECIPIENT.findall(body)))),
        body=body,
    )


class Receivers:
    """Answer requests, each webhook's as it *stands* with it; *taken* is what they have.

    An answer may come late: after the sender has given up, and sent the same again.
    """

    def __init__(self, chance: Random, trace: Trace, look: Callable[[Post], None]) -> None:
        self._chance = chance
        self._trace = trace
        self._look = look
        self.standing: dict[int, str] = defaultdict(lambda: "takes")
        self.taken: dict[int, set[int]] = defaultdict(set)

    async def receive(self, life: Life, request: Request) -> Outcome:
        post = read(life, request)
        self._look(post)
        how = self.standing[post.webhook]
        if how == "any":
            how = self._chance.choice(["takes", "takes", "takes late", "fails", "refuses"])
        self._trace.say(life.name, "posts", post.batch, post.attempt, list(post.numbers)[:9], how)
        match how:
            case "takes late":
                self.taken[post.webhook].update(post.numbers)
                await asyncio.sleep(self._chance.uniform(0.1, 2 * request.timeout_s))
            case "hangs":
                await asyncio.sleep(3600)
            case "fails":
                return Outcome(status=503)
            case "refuses":
                return Outcome(status=400, body=b"bad event")
            case "is busy":
                return Outcome(status=429, retry_after_s=20)
            case "takes slowly":
                await asyncio.sleep(self._chance.uniform(0.05, 0.8))
                self.taken[post.webhook].update(post.numbers)
            case _:
                self.taken[post.webhook].update(post.numbers)
        return Outcome(status=200)


STANDINGS = (
    "takes",
    "takes",
    "takes slowly",
    "takes late",
    "any",
    "fails",
    "refuses",
    "is busy",
    "hangs",
)
