"""What the SQLite ports share: the writer, the readers, and how a change is made known."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar, assert_never

import apsw

from postbell.clock import Clock, to_us
from postbell.sealing import Sealer
from postbell.storage.ringing import RingBell
from postbell.storage.sql.statements import load
from postbell.storage.sqlite.connecting import row, scalar
from postbell.storage.sqlite.readers import Readers
from postbell.storage.sqlite.recent import Recent
from postbell.storage.sqlite.writer import Writer
from postbell.warrants import KeyWarrant, SessionWarrant, Warrant, ended, in_force

T = TypeVar("T")
SQL = load(__package__, "statements.sql")
REGISTRY_SQL = load(__package__, "registry.sql")
OWNERS_SQL = load(__package__, "owners.sql")
FACTORS_SQL = load(__package__, "second_factors.sql")


class Store(NamedTuple):
    writer: Writer
    readers: Readers
    bell: RingBell
    sealer: Sealer
    clock: Clock
    recent: Recent

    async def write(self, work: Callable[[apsw.Connection], T], *, is_reserved: bool = False) -> T:
        """Run *work* as `Writer.run` does, under the caller's warrant: where it has ended when
        its turn comes, Unauthorized is raised and nothing written."""
        warrant = in_force()
        if warrant is None:
            return await self.writer.run(work, is_reserved=is_reserved)

        def warranted(db: apsw.Connection) -> T:
            if not _holds(db, warrant, to_us(self.clock.now())):
                raise ended()
            return work(db)

        return await self.writer.run(warranted, is_reserved=is_reserved)

    def registry_changed(self) -> None:
        """Let everybody know that the registry's version was raised, and committed."""
        self.recent.registry_changed()
        self.bell.ring()


def raise_version(db: apsw.Connection, *webhook_ids: int) -> int:
    """Raise the registry's version, for these webhooks, and return it; the caller rings."""
    version: int = scalar(db, SQL["raise_version"])
    for webhook_id in webhook_ids:
        db.execute(REGISTRY_SQL["touch_webhook"], (webhook_id, version))
    return version


def _holds(db: apsw.Connection, warrant: Warrant, now_us: int) -> bool:
    match warrant:
        case KeyWarrant():
            return row(db, REGISTRY_SQL["key_holds"], warrant.key_id, now_us) is not None
        case SessionWarrant():
            return row(db, OWNERS_SQL["session_holds"], *warrant) is not None
        case _:
            assert_never(warrant)
