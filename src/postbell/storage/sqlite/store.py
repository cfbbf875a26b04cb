"""What the SQLite ports share: the writer, the readers, and how a change is made known."""

from typing import NamedTuple

import apsw

from postbell.clock import Clock
from postbell.sealing import Sealer
from postbell.storage.ringing import RingBell
from postbell.storage.sql.statements import load
from postbell.storage.sqlite.connecting import scalar
from postbell.storage.sqlite.readers import Readers
from postbell.storage.sqlite.recent import Recent
from postbell.storage.sqlite.writer import Writer

SQL = load(__package__, "statements.sql")
REGISTRY_SQL = load(__package__, "registry.sql")


class Store(NamedTuple):
    writer: Writer
    readers: Readers
    bell: RingBell
    sealer: Sealer
    clock: Clock
    recent: Recent

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
