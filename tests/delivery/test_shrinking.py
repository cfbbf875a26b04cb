"""After retention storage is let to give space back, a little at a time."""

from postbell.delivery.prune import GIVE_BACK_S
from postbell.storage.memory import MemoryEngine
from tests.delivery.rig import running
from tests.fakes import FakeClock


class Fat(MemoryEngine):
    """Storage that has something to give back *left* times, each of which takes so long."""

    def __init__(self, clock: FakeClock, left: int, takes_s: float) -> None:
        super().__init__(clock)
        self._clock = clock
        self._takes_s = takes_s
        self.left = left

    async def shrink(self) -> bool:
        self._clock.advance(self._takes_s)
        self.left -= 1
        return self.left >= 0


async def test_a_sweep_gives_back_what_there_is() -> None:
    clock = FakeClock()
    engine = Fat(clock, 5, takes_s=0)
    async with running(engine, clock) as rig:
        await rig.worker.pruner.sweep([])

        assert engine.left == -1


async def test_a_sweep_gives_back_no_longer_than_it_may() -> None:
    clock = FakeClock()
    engine = Fat(clock, 1000, takes_s=GIVE_BACK_S / 3.5)
    async with running(engine, clock) as rig:
        await rig.worker.pruner.sweep([])
        await rig.worker.pruner.sweep([])

        assert engine.left == 1000 - 2 * 4
