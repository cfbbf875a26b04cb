"""Posts the plan's events until each is accepted, and writes down durably what was.

Whatever else comes back than 202, the same events go again under the same ids, to any process: if
they were stored the first time they are duplicates now.  So are those that were accepted and go
once more.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.chaos import plan
from tests.chaos.witness import Problems
from tests.crash.harness import AUTH

AGAIN_S = 0.1
AGAIN = 0.2
"""So many of the requests that were accepted are posted once more."""
TURNED_AWAY = (429, 503)
LARGEST = 400
FLOOD_EVENTS = 1000


class Producer:
    """Some senders that share one plan; *accepted_log* outlives every crash.

    What was accepted in another *epoch* may be lost: it ends where no process runs any more that a
    restored backup follows.  *known* are the requests that such a backup turned out to hold.
    """

    def __init__(
        self,
        seed: int,
        chance: random.Random,
        urls: Sequence[str],
        accepted_log: Path,
        problems: Problems,
    ) -> None:
        self.seed = seed
        self.next_number = 0
        self.accepted = 0
        self.duplicates = 0
        self.answers: Counter[str] = Counter()
        self.is_flooding = False
        self.restores = self.epoch = 0
        self.known: list[tuple[int, int]] = []
        self._chance = chance
        self._urls = urls
        self._log = accepted_log
        self._problems = problems
        self._is_stopping = False

    def stop(self) -> None:
        """Begin nothing new; what was begun goes on until it is accepted."""
        self._is_stopping = True

    async def run(self, rate: float) -> None:
        """Post about *rate* events a second until stopped."""
        limits = httpx.Limits(max_connections=4)
        async with httpx.AsyncClient(timeout=40, limits=limits) as client:
            while not self._is_stopping:
                size = max(1, round(LARGEST ** self._chance.random()))
                if self.is_flooding:
                    size = FLOOD_EVENTS
                first, self.next_number = self.next_number, self.next_number + size
                await self._post(client, first, size)
                pause_s = size / rate * self._chance.uniform(0.5, 1.5)
                if not self.is_flooding:
                    await asyncio.sleep(min(pause_s, 3))

    async def _post(self, client: httpx.AsyncClient, first: int, count: int) -> None:
        events = [plan.event(self.seed, number) for number in range(first, first + count)]
        headers = dict(AUTH)
        if self._chance.random() < 0.3:
            headers["Idempotency-Key"] = f"batch-{first}"
        tries, epoch = 0, self.epoch
        while (new := await self._try(client, events, headers, is_first=tries == 0)) is None:
            tries += 1
            await asyncio.sleep(AGAIN_S)
        if not new and epoch != self.epoch:
            self.known.append((first, count))
        self._write_down(first, count)
        self.accepted += count
        if self._chance.random() < AGAIN:
            while (again := await self._try(client, events, dict(AUTH), is_first=False)) is None:
                await asyncio.sleep(AGAIN_S)
            if again and epoch == self.epoch:
                self._problems.note(f"{again} events were accepted again, from {first} on")

    async def again(self, first: int, count: int) -> None:
        """Post a request that was accepted once more: a restored backup holds all of it or none."""
        events = [plan.event(self.seed, number) for number in range(first, first + count)]
        async with httpx.AsyncClient(timeout=40) as client:
            while (new := await self._try(client, events, dict(AUTH), is_first=False)) is None:
                await asyncio.sleep(AGAIN_S)
        if not new:
            self.known.append((first, count))

    async def _try(
        self,
        client: httpx.AsyncClient,
        events: list[dict[str, Any]],
        headers: dict[str, str],
        *,
        is_first: bool,
    ) -> int | None:
        """Post to one of the processes; return how many were new, None where they must go again."""
        url = self._chance.choice(self._urls) + "/api/v1/events"
        try:
            answer = await client.post(url, json=events, headers=headers)
        except httpx.TransportError as error:
            self.answers[type(error).__name__] += 1
            return None
        self.answers[str(answer.status_code)] += 1
        if answer.status_code in TURNED_AWAY:
            if "retry-after" not in answer.headers:
                self._problems.note(f"{answer.status_code} without Retry-After: {answer.text}")
            return None
        if answer.status_code != 202:
            self._problems.note(f"ingest answered {answer.status_code}: {answer.text[:300]}")
            return None
        told = answer.json()
        self.duplicates += told["duplicates"]
        if told["accepted"] + told["duplicates"] != len(events) or told["rejected"]:
            self._problems.note(f"{len(events)} events were answered by {answer.text[:300]}")
        if is_first and told["duplicates"]:
            self._problems.note(f"new events were called duplicates: {answer.text[:300]}")
        return int(told["accepted"])

    def _write_down(self, first: int, count: int) -> None:
        with self._log.open("a") as log:
            log.write(f"{first} {count}\n")
            log.flush()
            os.fsync(log.fileno())


def spans(accepted_log: Path) -> Iterator[tuple[int, int]]:
    """Yield the requests that were accepted: the number of the first event, and how many."""
    for line in accepted_log.read_text().splitlines():
        first, count = map(int, line.split())
        yield first, count


def written_down(accepted_log: Path) -> Iterator[int]:
    """Yield the numbers of the events that were accepted."""
    for first, count in spans(accepted_log):
        yield from range(first, first + count)
