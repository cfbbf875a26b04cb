"""Sending chunks of events to a server, and counting what became of them."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from postbell.cli.client import ApiClient
from postbell.cli.lines import Item, is_json
from postbell.text.printable import one_line

NONE_TAKEN = 422
"""The status of an answer whose events were all rejected."""


@dataclass(slots=True)
class SendCount:
    """What became of the events so far."""

    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0

    @property
    def total(self) -> int:
        return self.accepted + self.duplicates + self.rejected


def send(client: ApiClient, chunk: Sequence[Item], key: str, tally: SendCount) -> None:
    """Send one chunk under an Idempotency-Key, so that a retry stores nothing twice.

    Each rejected event is printed on stderr with its place and the reason.
    """
    good = []
    for item in chunk:
        if is_json(item.raw):
            good.append(item)
        else:
            _reject(item, "malformed", "it is not JSON")
            tally.rejected += 1
    if not good:
        return
    body = b"[" + b",".join(item.raw for item in good) + b"]"
    answer = client.call("POST", "/api/v1/events", body, taking=NONE_TAKEN, idempotency_key=key)
    tally.accepted += answer["accepted"]
    tally.duplicates += answer["duplicates"]
    for rejection in answer["rejected"]:
        _reject(good[rejection["index"]], rejection["code"], rejection["message"])
        tally.rejected += 1


def _reject(item: Item, code: str, message: str) -> None:
    print(one_line(f"rejected {item.where}: {message} ({code})"), file=sys.stderr, flush=True)
