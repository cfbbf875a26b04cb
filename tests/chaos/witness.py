"""What one receiver saw, kept small, and what must be true of it whatever happened.

Checked at each arrival: promise 3 (same batch, same id, same bytes; a batch is whole) and the
order inside a body.  Checked at the end: promise 2 as sets and promise 4 as sequences.
"""

from array import array
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from tests.crash.harness import Arrival

BATCH_HEADERS = ("webhook-id", "postbell-batch")
MAX_PROBLEMS = 40


class Hook(NamedTuple):
    """A webhook of the run: how it is registered, and what is promised to it.

    *is_revised*: its types change now and then, so that only the log knows what it asked for.
    *first_in_order*: events come for the first time in the order of acceptance (concurrency 1);
    *always_in_order*: so does every attempt (`ordered`).  *poison_status* is what it answers to
    a batch that holds a poison event, 0 for nothing special.
    """

    name: str
    dialect: str
    policy: dict[str, object]
    types: tuple[str, ...] | None = None
    api_user: str = "all"
    poison_status: int = 0
    first_in_order: bool = False
    always_in_order: bool = False
    is_revised: bool = False


class Problems(list[str]):
    """What was found wrong, the first few of it."""

    def note(self, what: str) -> None:
        if len(self) < MAX_PROBLEMS:
            self.append(what)


class _Subject(msgspec.Struct):
    recipient: str = ""
    to: str = ""
    sequence: int = 0


_subjects = msgspec.json.Decoder(list[_Subject]).decode
_subject = msgspec.json.Decoder(_Subject).decode


class Delivery(NamedTuple):
    """One arrival, read: which batch, and the numbers of its events."""

    batch: int
    numbers: list[int]
    is_repeat: bool


class Order:
    """The sequence that each event got at acceptance, as native bodies tell it."""

    def __init__(self, problems: Problems) -> None:
        self._sequences = array("Q")
        self._problems = problems

    def learn(self, number: int, sequence: int) -> None:
        """Take in an event's sequence; the same event never has two."""
        _grow(self._sequences, number)
        known = self._sequences[number]
        if known not in (0, sequence):
            self._problems.note(f"event {number} came with sequence {known} and {sequence}")
        self._sequences[number] = sequence

    def restored(self, safe: Set[int]) -> None:
        """Forget all sequences but those of the events that are in the backup for sure."""
        for number in range(len(self._sequences)):
            if number not in safe:
                self._sequences[number] = 0

    def of(self, numbers: Iterable[int]) -> list[int]:
        """Return the sequences of these events, 0 for one that nobody told."""
        known = self._sequences
        return [known[number] if number < len(known) else 0 for number in numbers]


@dataclass
class Witness:
    """Everything that arrived at one webhook's URL.

    Batches from *since* on, and those *back* since then, were sent after the last restore of a
    backup: an event that came in one of them has its place there.
    """

    hook: Hook
    order: Order
    problems: Problems
    ids: dict[str, int] = field(default_factory=dict)
    digests: list[bytes] = field(default_factory=list)
    sizes: "array[int]" = field(default_factory=lambda: array("I"))
    refused: set[int] = field(default_factory=set)
    home: "array[int]" = field(default_factory=lambda: array("I"))
    taken: bytearray = field(default_factory=bytearray)
    firsts: "array[int]" = field(default_factory=lambda: array("I"))
    heads: "array[int]" = field(default_factory=lambda: array("I"))
    arrivals: int = 0
    repeats: int = 0
    came: bytearray = field(default_factory=bytearray)
    since: int = 0
    back: set[int] = field(default_factory=set)
    before: tuple[bytes, bytes] = b"", b""

    def note(self, what: str) -> None:
        self.problems.note(f"{self.hook.name}: {what}")

    def arrived(self, arrival: Arrival) -> Delivery:
        """Take in one request."""
        self.arrivals += 1
        key = next((arrival.headers[n] for n in BATCH_HEADERS if n in arrival.headers), "")
        numbers = self._read(arrival.body)
        if str(len(numbers)) != arrival.headers.get("postbell-events"):
            self.note(f"batch {key} has {len(numbers)} events, its header says otherwise")
        if self.hook.always_in_order:
            self.heads.append(numbers[0])
        _grow(self.home, max(numbers))
        self.taken.extend(bytes(len(self.home) - len(self.taken)))
        self.came.extend(bytes(len(self.home) - len(self.came)))
        digest = blake2b(arrival.body, digest_size=12).digest()
        known = self.ids.get(key)
        if known is not None:
            self.repeats += 1
            if self.digests[known] != digest:
                self.note(
                    f"batch {key} came again with other bytes: {self.sizes[known]} events before,"
                    f" {len(numbers)} now, from event {numbers[0]} on"
                )
            if known < self.since and known not in self.back:
                self.back.add(known)
                for number in numbers:
                    self.home[number], self.came[number] = known + 1, 1
            return Delivery(known, numbers, True)
        batch = self.ids[key] = len(self.digests)
        self.digests.append(digest)
        self.sizes.append(len(numbers))
        self._settle_in(key, batch, numbers)
        return Delivery(batch, numbers, False)

    def took(self, delivery: Delivery) -> None:
        """Note that the receiver answered this one with success, in time and whole."""
        for number in delivery.numbers:
            self.taken[number] = 1

    def refuse(self, delivery: Delivery) -> None:
        """Note that the receiver refused this one for its content."""
        self.refused.add(delivery.batch)

    def restored(self, safe: Set[int]) -> None:
        """Let everything come again, in other batches, too; what an id stands for stays.

        Only *safe* events are in the backup for sure: any other has not come, unless `was_known`
        says so later.
        """
        self.before = bytes(self.came), bytes(self.taken)
        self.since = len(self.digests)
        self.back.clear()
        for numbers in (self.firsts, self.heads):
            del numbers[:]
        for number in range(len(self.came)):
            if number not in safe:
                self.came[number] = self.taken[number] = 0

    def was_known(self, numbers: Iterable[int]) -> None:
        """Take notice that the backup holds these events: what came of them came before it, or
        comes again."""
        came, taken = self.before
        for number in numbers:
            if number < len(came):
                self.came[number] |= came[number]
                self.taken[number] |= taken[number]

    def batch_of(self, number: int) -> str:
        """Return the id of the batch in which an event came last, empty for none."""
        at = self.home[number] if number < len(self.home) else 0
        return next(key for key, batch in self.ids.items() if batch == at - 1) if at else ""

    def check_sets(self, accepted: Iterable[int], is_parked: Callable[[int], bool]) -> int:
        """Check accepted = arrived + parked; return how many were expected."""
        came = {number for number, has_come in enumerate(self.came) if has_come}
        expected = set(accepted)
        if self.hook.is_revised:
            expected &= came
        taken = {number for number, is_taken in enumerate(self.taken) if is_taken}
        parked = {number for number in expected if is_parked(number)}
        for what, numbers in (
            ("accepted, but never arrived", expected - came),
            ("arrived, but never accepted or not asked for", came - expected),
            ("never taken by the receiver, nor parked", expected - taken - parked),
            ("parked, but taken by the receiver", parked & taken),
        ):
            if numbers:
                some = ", ".join(map(str, sorted(numbers)[:5]))
                self.note(f"{len(numbers)} events {what}: {some}")
        return len(expected)

    def check_order(self) -> None:
        """Check that first arrivals, and with `ordered` all of them, are in order."""
        for is_promised, numbers, what in (
            (self.hook.first_in_order, self.firsts, "events came for the first time"),
            (self.hook.always_in_order, self.heads, "batches came"),
        ):
            sequences = self.order.of(numbers) if is_promised else []
            for at in range(1, len(sequences)):
                if sequences[at] < sequences[at - 1]:
                    self.note(
                        f"{what} out of order: sequence {sequences[at]} after"
                        f" {sequences[at - 1]} (event {numbers[at]} after {numbers[at - 1]})"
                    )
                    break

    def _read(self, body: bytes) -> list[int]:
        subjects = _subjects(body) if body[:1] == b"[" else [_subject(body)]
        numbers = [number_of(each.recipient or each.to) for each in subjects]
        if self.hook.dialect == "native":
            last = 0
            for number, each in zip(numbers, subjects, strict=True):
                self.order.learn(number, each.sequence)
                if each.sequence <= last:
                    self.note(f"event {number} stands before an older one in its body")
                last = each.sequence
        return numbers

    def _settle_in(self, key: str, batch: int, numbers: list[int]) -> None:
        """Check that a new batch holds new events, or is a part of one that was refused."""
        homes = {at if self._counts(at - 1) else 0 for at in map(self.home.__getitem__, numbers)}
        if homes == {0}:
            if self.hook.first_in_order:
                self.firsts.extend(numbers)
        else:
            whole = homes.pop() - 1
            is_part = not homes and whole in self.refused and len(numbers) < self.sizes[whole]
            if not is_part:
                self.note(f"batch {key} repeats events of another batch (event {numbers[0]})")
        for number in numbers:
            self.home[number], self.came[number] = batch + 1, 1

    def _counts(self, batch: int) -> bool:
        return batch >= self.since or batch in self.back


def number_of(recipient: str) -> int:
    """Return the number of the event that has this recipient."""
    return int(recipient.removeprefix("user").partition("@")[0])


def _grow(values: "array[int]", number: int) -> None:
    if number >= len(values):
        values.extend([0] * (number + 1024 - len(values)))
