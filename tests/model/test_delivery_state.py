"""Promises 2 to 5 under everything that happens in production, on each engine.

POSTBELL_MODEL_EXAMPLES and POSTBELL_MODEL_STEPS make it run for long, with new chances each time
(`--hypothesis-seed` repeats one); without them it is short, and the same every time.  A failure
is told at once, as it was found; POSTBELL_MODEL_SHRINK=1 takes minutes to look for a shorter one.
"""

import os
from contextlib import ExitStack

import pytest
from hypothesis import Phase, settings

from postbell.clock import Clock
from postbell.storage.memory import MemoryEngine
from tests.empty import empty_postgres
from tests.model.beside import Rings, opened_beside
from tests.model.machine import Deliveries
from tests.model.storages import Role, Stored, opened_on_sqlite

pytestmark = pytest.mark.long
EXAMPLES = int(os.environ.get("POSTBELL_MODEL_EXAMPLES", "0"))
STEPS = int(os.environ.get("POSTBELL_MODEL_STEPS", "30"))
IS_SHRUNK = os.environ.get("POSTBELL_MODEL_SHRINK", "") not in ("", "0")
BOUNDED = settings(
    max_examples=EXAMPLES or 24,
    stateful_step_count=STEPS,
    derandomize=not EXAMPLES,
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink] if IS_SHRUNK else [Phase.generate],
    report_multiple_bugs=False,
    print_blob=False,
)


BRIEFER = settings(BOUNDED, max_examples=EXAMPLES or 12)
"""For the engine that takes three times as long; what engines promise `tests/contract` says."""

BRIEFEST = settings(BOUNDED, max_examples=EXAMPLES or 1)
"""For the engine whose every call goes to a server and back."""


class OnMemory(Deliveries):
    async def opened(self, clock: Clock, role: Role) -> Stored:
        if not hasattr(self, "engine"):
            self.engine = MemoryEngine(self.clock)
        return Stored(self.engine)


class OnSqlite(Deliveries):
    async def opened(self, clock: Clock, role: Role) -> Stored:
        return await opened_on_sqlite(self.path, clock, role)


class OnPostgres(Deliveries):
    def __init__(self) -> None:
        super().__init__()
        self.rings = Rings()
        self.database = ExitStack()
        self.url = self.database.enter_context(empty_postgres())

    async def opened(self, clock: Clock, role: Role) -> Stored:
        return await opened_beside(self.url, self.path, clock, self.rings)

    def teardown(self) -> None:
        with self.database:
            super().teardown()


TestMemory = OnMemory.TestCase
TestMemory.settings = BOUNDED

TestSqlite = OnSqlite.TestCase
TestSqlite.settings = BRIEFER

TestPostgres = OnPostgres.TestCase
TestPostgres.settings = BRIEFEST
