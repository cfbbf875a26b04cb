"""When the collector of garbage runs: when there may be some, and never because of how much is
made and let go."""

import asyncio
import contextlib
import gc
import subprocess
import sys
import weakref
from collections.abc import AsyncIterator, Callable

import pytest

from postbell.serving import process

MIB = 1 << 20


class _Knot:
    """An object that holds itself."""

    def __init__(self) -> None:
        self.itself = self


@contextlib.asynccontextmanager
async def collecting(
    memory: Callable[[], int],
    now_s: Callable[[], float] = lambda: 0.0,
    give_back: Callable[[], None] = lambda: None,
) -> AsyncIterator[None]:
    looking = process.collect(look_s=0.0, memory=memory, give_back=give_back, now_s=now_s)
    task = asyncio.create_task(looking)
    await _some_looks()
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _some_looks() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def by_count() -> None:
    assert gc.isenabled()


async def test_nothing_is_collected_while_memory_stays_as_it_is() -> None:
    async with collecting(lambda: 100 * MIB):
        knot = weakref.ref(_Knot())
        for _ in range(20):
            made = [[None] for _ in range(process.MANY // 2)]  # made and let go
            await _some_looks()

        assert len(made) < process.MANY
        assert knot() is not None
    gc.collect()


async def test_new_garbage_is_collected_when_there_are_many_new_objects() -> None:
    async with collecting(lambda: 100 * MIB):
        knot = weakref.ref(_Knot())
        made = [[None] for _ in range(process.MANY)]
        await _some_looks()

        assert len(made) == process.MANY
        assert knot() is None


async def test_new_garbage_is_collected_when_memory_has_grown_and_then_from_there() -> None:
    memory = [100 * MIB]
    async with collecting(lambda: memory[0]):
        knot = weakref.ref(_Knot())
        memory[0] = 101 * MIB
        await _some_looks()
        assert knot() is not None

        memory[0] = 102 * MIB
        await _some_looks()
        assert knot() is None

        knot = weakref.ref(_Knot())
        memory[0] = 103 * MIB
        await _some_looks()
        assert knot() is not None
    gc.collect()


async def test_what_lives_is_looked_over_once() -> None:
    memory = [100 * MIB]
    async with collecting(lambda: memory[0]):
        old = _Knot()
        knot = weakref.ref(old)
        memory[0] += 2 * MIB
        await _some_looks()
        del old
        memory[0] += 2 * MIB
        await _some_looks()
        assert knot() is not None

        memory[0] = 356 * MIB
        await _some_looks()
        assert knot() is None


async def test_garbage_is_collected_in_the_end_whatever_it_holds() -> None:
    now_s = [0.0]
    async with collecting(lambda: 100 * MIB, lambda: now_s[0]):
        old = _Knot()
        knot = weakref.ref(old)
        gc.collect(0)
        del old
        now_s[0] = process.WHOLE_S
        await _some_looks()

        assert knot() is None


async def test_what_is_free_is_given_back_when_memory_has_grown_and_now_and_then() -> None:
    memory, now_s, given = [100 * MIB], [0.0], [0]

    def give_back() -> None:
        given[0] += 1
        memory[0] -= 60 * MIB

    async with collecting(lambda: memory[0], lambda: now_s[0], give_back):
        memory[0] = 163 * MIB
        await _some_looks()
        assert given[0] == 0

        memory[0] = 166 * MIB
        await _some_looks()
        assert (given[0], memory[0]) == (1, 106 * MIB)

        now_s[0] = process.SPARE_S
        await _some_looks()
        assert given[0] == 2


async def test_what_is_free_is_given_back_however_much_is_new() -> None:
    memory, now_s, given = [100 * MIB], [0.0], [0]

    def growing() -> int:
        memory[0] += process.GROWN_BYTES * is_busy
        return memory[0]

    def give_back() -> None:
        given[0] += 1

    is_busy = False
    async with collecting(growing, lambda: now_s[0], give_back):
        is_busy = True
        now_s[0] = process.SPARE_S
        await _some_looks()

        assert given[0] >= 1


async def test_the_interpreter_counts_again_afterwards() -> None:
    async with collecting(lambda: 100 * MIB):
        assert not gc.isenabled()

    assert gc.isenabled()


def test_what_a_process_holds_is_told_in_bytes() -> None:
    assert 10 * MIB < process.memory_bytes() < 10_000 * MIB


def test_a_thread_has_not_long_to_wait_for_the_interpreter() -> None:
    """Of a process of its own: what is prepared is never undone."""
    code = "import sys; from postbell.serving.process import prepare; prepare()"
    code += "; print(sys.getswitchinterval())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)

    assert float(told.stdout) <= 0.0002
