"""The end of a chaos run: what was accepted, what arrived and what the audit says must agree."""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.chaos import plan
from tests.chaos.hooks import wants
from tests.chaos.witness import Hook, Witness

PLACES = ("matching", "delivered", "waiting", "parked", "skipped", "expired")


def sums_of(rows: Sequence[Mapping[str, Any]]) -> dict[int, dict[str, int]]:
    """Return the audit's sums of each webhook, over all its revisions."""
    sums: dict[int, dict[str, int]] = {}
    for row in rows:
        mine = sums.setdefault(row["webhook_id"], dict.fromkeys(PLACES, 0))
        for place in PLACES:
            mine[place] += row[place]
    return sums


def is_refused(hook: Hook, number: int) -> bool:
    """Say whether the receiver refuses this event for ever."""
    return bool(hook.poison_status) and plan.is_poison(number)


def check(
    witness: Witness,
    accepted: Sequence[int],
    left_open: Sequence[Mapping[str, Any]],
    sums: Mapping[str, int],
) -> None:
    """Check one webhook: *left_open* are its open batches, *sums* what the audit counted."""
    hook = witness.hook
    for batch in left_open:
        if batch["state"] != "parked" or batch["events"] != 1:
            witness.note(f"left open: {batch}")
    mine = [number for number in accepted if wants(hook, number)]
    refused = {number for number in mine if is_refused(hook, number)}
    parked = {batch["id"] for batch in left_open}
    if {witness.batch_of(number) for number in refused} != parked:
        witness.note(f"parked are {parked}, but refused were {sorted(refused)}")
    count = witness.check_sets(mine, refused.__contains__)
    witness.check_order()
    expected = {
        **dict.fromkeys(PLACES, 0),
        "matching": count,
        "delivered": count - len(refused),
        "parked": len(refused),
    }
    if sums != expected:
        witness.note(f"{count} events were to arrive, the audit says {dict(sums)}")
