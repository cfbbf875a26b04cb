"""Who comes next: calls of storage are made in turn, in an order that the story draws.

Threads, and how busy the machine is, decide nothing: a call is made once nobody else has anything
to do, and its caller may learn of it long after, even while others are in the midst of something.
Of writes that wait for the same storage, several may be made at once, to become one commit, and
one that fails among them.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from random import Random
from typing import Any, NamedTuple

from tests.model.storages import Stored
from tests.model.ticking import TurnedLoop

MAX_ROUNDS = 1_000_000
EARLY = 6
"""An answer that is there may be given in one of so many turns of the loop, whoever is at work."""
SPOILT = 8
"""One of so many writes, or piles of them, has one beside it that fails."""
DELAYED = 16
"""One of so many that hurry does not come first."""


Work = Callable[[], Coroutine[Any, Any, Any]]


class Call(NamedTuple):
    """Work that somebody waits for, in his context; *is_lost* says that he is dead.

    *written_to* is the storage of a write that may be in one commit with others; *is_urgent* what
    mostly comes before all else.
    """

    work: Work
    waiter: asyncio.Future[Any]
    is_lost: Callable[[], bool]
    context: Context
    written_to: Stored | None
    is_urgent: bool

    @property
    def is_gone(self) -> bool:
        """Say whether nobody waits for it any more."""
        return self.waiter.cancelled() or self.is_lost()


class Answer(NamedTuple):
    """What came of a call, before its caller learns of it."""

    waiter: asyncio.Future[Any]
    returned: Any = None
    error: Exception | None = None


class Turns:
    """Makes calls and gives answers in an order drawn from *chance*.

    Where that is None, first come is first served, and answers are given at once.
    """

    def __init__(self) -> None:
        self.chance: Random | None = None
        self._calls: list[Call] = []
        self._answers: list[Answer] = []
        self._resting: list[Answer] = []
        self._making: asyncio.Task[None] | None = None
        self._is_watching = False
        self._is_rung = False
        self._was_idle = False
        self._rounds = 0

    async def make(
        self,
        work: Work,
        is_lost: Callable[[], bool],
        written_to: Stored | None = None,
        *,
        is_urgent: bool = False,
    ) -> Any:
        """Return what *work* returns, done in turn; it may be done though its caller has gone."""
        waiter = asyncio.get_running_loop().create_future()
        self._calls.append(Call(work, waiter, is_lost, copy_context(), written_to, is_urgent))
        self._watch()
        return await waiter

    async def rest(self) -> None:
        """Return once nobody has anything to do at this moment."""
        waiter = asyncio.get_running_loop().create_future()
        self._resting.append(Answer(waiter))
        self._watch()
        await waiter

    def _watch(self) -> None:
        if not self._is_watching and self._making is None:
            self._is_watching = True
            asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        """Let the next one go on, where that is due in this turn of the loop."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, TurnedLoop)
        self._is_watching = False
        self._rounds += 1
        is_idle = loop.is_idle
        is_at_rest = is_idle and self._was_idle
        self._was_idle = is_idle and not is_at_rest
        if self._rounds > MAX_ROUNDS:
            self._rest(AssertionError("the service does not come to rest"))
        elif is_at_rest:
            self._is_rung = False
            self._go_on()
        elif self._answers and not (is_idle or self._is_rung) and self._draw(EARLY) == 1:
            _give(self._answers.pop(self._draw(len(self._answers))))
        if self._calls or self._answers or self._resting:
            self._watch()

    def _go_on(self) -> None:
        """Give an answer or make a call; where there is none, all have come to rest."""
        many = len(self._answers) + len(self._calls)
        urgent = [at for at, call in enumerate(self._calls, len(self._answers)) if call.is_urgent]
        if urgent and self._draw(DELAYED):
            chosen = urgent[0]
        else:
            chosen = self._draw(many) if many else 0
        if many == 0:
            self._rest(None)
        elif chosen < len(self._answers):
            _give(self._answers.pop(chosen))
        else:
            pile = self._pile(self._calls.pop(chosen - len(self._answers)))
            made = [call for call in pile if not call.is_gone or self._draw(2) == 0]
            if made:
                self._making = asyncio.get_running_loop().create_task(self._do(made))

    def _pile(self, call: Call) -> list[Call]:
        """Return the call with others that are to be made at once with it, in their order."""
        if self.chance is None or call.written_to is None:
            return [call]
        beside = [each for each in self._calls if each.written_to is call.written_to]
        beside = self.chance.sample(beside, self._draw(len(beside) + 1))
        for each in beside:
            self._calls.remove(each)
        return [call, *beside]

    async def _do(self, pile: list[Call]) -> None:
        try:
            tasks = await self._made(pile, pile[0].written_to)
            for call, task in zip(pile, tasks, strict=True):
                self._answers.append(await _answer(call, task))
        except Exception as error:
            for call in pile:  # who else would tell, where nobody waits for all to rest?
                _give(Answer(call.waiter, error=error))
            self._rest(error)
        finally:
            self._making = None
            self._is_rung = True  # who was woken by a ring meanwhile may still be at work, or not
            self._watch()

    async def _made(self, pile: list[Call], written_to: Stored | None) -> list[asyncio.Task[Any]]:
        """Begin calls, several at once, or one beside a write that fails."""
        is_drawn = written_to is not None and self.chance is not None
        spoilt_at = self._draw(SPOILT * len(pile)) if is_drawn else len(pile)
        if written_to is None or (len(pile) == 1 and spoilt_at > 0):
            return [_begun(call) for call in pile]
        async with written_to.piled():
            tasks = [_begun(call) for call in pile[:spoilt_at]]
            spoiling = asyncio.create_task(written_to.spoil()) if spoilt_at < len(pile) else None
            tasks += [_begun(call) for call in pile[spoilt_at:]]
            await asyncio.sleep(0)  # all have begun: their writes wait for the writer
        if spoiling is not None:
            await spoiling
        return tasks

    def _rest(self, error: Exception | None) -> None:
        self._rounds = 0
        while self._resting:
            _give(self._resting.pop(0)._replace(error=error))

    def _draw(self, many: int) -> int:
        """Return a number below *many*."""
        return self.chance.randrange(many) if self.chance is not None else 0


def _begun(call: Call) -> asyncio.Task[Any]:
    return asyncio.get_running_loop().create_task(call.work(), context=call.context)


async def _answer(call: Call, task: asyncio.Task[Any]) -> Answer:
    try:
        return Answer(call.waiter, await task)
    except Exception as error:
        return Answer(call.waiter, error=error)


def _give(answer: Answer) -> None:
    if answer.waiter.done():
        return
    if answer.error is None:
        answer.waiter.set_result(answer.returned)
    else:
        answer.waiter.set_exception(answer.error)
