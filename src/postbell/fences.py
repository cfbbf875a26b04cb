"""A fence around each step of a background loop that touches customers' data.

What fails inside is logged with its account, counted in `/metrics`, and skipped; the loop goes on.
Engine errors and cancellation pass: they say nothing about the item.
"""

import threading
from collections import Counter
from collections.abc import Mapping
from types import TracebackType

from postbell.errors import IdTaken, Overloaded, StorageError
from postbell.signals import is_debug, log

LOOPS: Mapping[str, str] = {
    "audit": "a webhook that is recomputed",
    "directory": "what changed in the registry",
    "door": "a connection",
    "index": "a block of the log or the journal",
    "ingest": "a request that is to be written",
    "mail": "a mail",
    "metrics": "a block, an entry of the journal, a webhook, a family of values",
    "notices": "a webhook, an account, a notice, a recipient",
    "presence": "what a process says of itself",
    "retention": "an open batch, a webhook",
    "rows": "a row of the database",
    "sources": "a source of events",
    "standings": "a webhook",
    "suppressions": "a block of the log, what is over",
    "traces": "a request",
    "worker": "a webhook's lane, a block of the log for a webhook",
}
"""Loops that are fenced, and what an item of each is."""

LOGGED = "an internal error; it was logged"
"""What somebody is told of what failed with his item."""
PASSING = (StorageError, Overloaded)


class fence:
    """Keep what fails inside from going further: `with fence("standings", item="webhook 7"):`.

    *account* is a name or an id, 0 where it is nobody's; *has_failed* says afterwards whether
    something did.
    """

    __slots__ = ("_account", "_item", "_loop", "has_failed")

    def __init__(self, loop: str, *, item: object = "", account: object = "") -> None:
        if loop not in LOOPS:
            raise LookupError(f"no loop {loop!r}; add a row to LOOPS in postbell/fences.py")
        self._loop = loop
        self._item = item
        self._account = account
        self.has_failed = False

    def __enter__(self) -> "fence":
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> bool:
        if not isinstance(error, Exception) or passes(error):
            return False
        self.has_failed = True
        note(self._loop, error, item=self._item, account=self._account)
        return True


def note(loop: str, error: Exception, *, item: object = "", account: object = "") -> None:
    """Count and log an error of one item, where a `with` block does not fit; from any thread."""
    count(loop)
    log(
        "item_failed",
        loop=loop,
        item=str(item),
        account=account,
        error=f"{type(error).__name__}: {error}"[:500],
        exc_info=None if loop == "rows" and not is_debug() else error,
    )


def count(loop: str) -> None:
    """Count an error of one item that is logged elsewhere; from any thread."""
    with _writing:
        failed[loop] += 1


def passes(error: BaseException) -> bool:
    """Say whether an error tells of the engine; that an id is taken tells of the item alone."""
    if isinstance(error, ExceptionGroup):
        return any(map(passes, error.exceptions))
    return isinstance(error, PASSING) and not isinstance(error, IdTaken)


failed: Counter[str] = Counter()
"""How often something of each loop failed in this process; changed here only."""

_writing = threading.Lock()
"""It is written by whoever fails: the loop, and threads that read rows."""
