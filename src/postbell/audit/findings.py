"""What an audit says: the sums of each webhook, and the places that do not add up."""

from datetime import datetime

import msgspec

PLACES = ("delivered", "waiting", "parked", "skipped", "expired")
"""Where a matching event can be; a place is known by its number in here."""
DELIVERED, WAITING, PARKED, SKIPPED, EXPIRED = range(len(PLACES))


class AuditRow(msgspec.Struct):
    """The sums of one webhook under one revision.

    From *not_applicable* on they stand beside the equation: events that the dialect has no word
    for, events that replays delivered, requests for a test, batches that were split, batches
    that another release wrote and that were cut anew.
    """

    webhook_id: int
    revision: int
    matching: int = 0
    delivered: int = 0
    waiting: int = 0
    parked: int = 0
    skipped: int = 0
    expired: int = 0
    not_applicable: int = 0
    replayed: int = 0
    tests: int = 0
    split: int = 0
    recut: int = 0

    def add(self, place: int, events: int) -> None:
        """Count *events* more in the place of this number."""
        name = PLACES[place]
        setattr(self, name, getattr(self, name) + events)

    def places(self) -> list[int]:
        """Return the sums of the places, in the order of PLACES."""
        return [getattr(self, name) for name in PLACES]


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One place that does not add up; members that do not apply or cannot be told are left out."""

    what: str
    account_id: int | None = None
    webhook_id: int | None = None
    revision: int | None = None
    block: int | None = None
    offset: int | None = None
    sequence: int | None = None
    event_id: str = ""
    batch_ids: tuple[str, ...] = ()

    def __str__(self) -> str:
        named = (
            ("account", self.account_id),
            ("webhook", self.webhook_id),
            ("revision", self.revision),
            ("block", self.block),
            ("offset", self.offset),
            ("event number", self.sequence),
            ("event", self.event_id or None),
            ("batch", " and ".join(self.batch_ids) or None),
        )
        where = ", ".join(f"{name} {value}" for name, value in named if value is not None)
        return f"{where}: {self.what}" if where else self.what


class Audit(msgspec.Struct, kw_only=True):
    """What an audit found; the promise holds where there are no problems.

    *since* and *until* are those that were asked for; *problems* are in the order of webhooks
    and of the log, at most MAX_PROBLEMS.
    """

    since: datetime | None = None
    until: datetime | None = None
    blocks: int = 0
    events: int = 0
    webhooks: int = 0
    rows: list[AuditRow] = []
    problems: list[Problem] = []

    @property
    def holds(self) -> bool:
        return not self.problems


class AuditProgress(msgspec.Struct, frozen=True):
    """How many webhooks are done; the one at work counts in parts."""

    done: float
    total: int
