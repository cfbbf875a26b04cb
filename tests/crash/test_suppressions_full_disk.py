"""While the disk is full the suppression list takes in nothing that it says it took, and a mail
server is answered as ever; afterwards nothing is missing, and each change is told once."""

import asyncio
from collections import Counter
from pathlib import Path

import httpx

from tests.chaos.disk import small_disk
from tests.crash.harness import AUTH, Service, free_port
from tests.suppressing.test_crash import told

ROUNDS, AT_ONCE = 3, 12
WAIT_S = 60
LISTED = b"known@example.net"


class Client:
    """Puts addresses on the list by hand and by events; keeps which ones were taken, and which may
    have been."""

    def __init__(self, service: Service, lookup: int) -> None:
        self._http = httpx.AsyncClient(base_url=service.url, headers=AUTH, timeout=30)
        self._lookup = lookup
        self._number = 0
        self.taken: set[str] = set()
        self.unsure: set[str] = set()
        self.statuses: Counter[int] = Counter()

    async def put(self) -> None:
        self._number += 1
        by_hand, by_event = (f"{how}{self._number}@example.net" for how in "he")
        event = [{"type": "hard_bounce", "recipient": by_event}]
        for address, path, body in (
            (by_hand, "/api/v1/suppressions", {"address": by_hand}),
            (by_event, "/api/v1/events", event),
        ):
            answer = await self._http.post(path, json=body)
            self.statuses[answer.status_code] += 1
            (self.taken if answer.is_success else self.unsure).add(address)

    async def ask(self, address: bytes) -> bytes:
        """Ask as a mail server does."""
        async with asyncio.timeout(WAIT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", self._lookup)
            writer.write(b"get " + address + b"\n")
            answer = await reader.readline()
            writer.close()
        return answer[:3]

    async def listed(self) -> set[str]:
        answer = await self._http.get("/api/v1/suppressions", params={"limit": 1000})
        return {row["address"] for row in answer.json()["suppressions"]}

    async def close(self) -> None:
        await self._http.aclose()


async def test_a_full_disk_loses_nothing_of_the_list_and_tells_nothing_twice(
    tmp_path: Path,
) -> None:
    lookup = free_port()
    disk = small_disk(tmp_path / "data")
    settings = {"mta_lookup": f"127.0.0.1:{lookup}", "mta_lookup_account": "acme"}
    named = {f"POSTBELL_{name.upper()}": value for name, value in settings.items()}
    service = Service(tmp_path, **named)
    answers = set()
    try:
        known = ("suppressions", "add", "acme", LISTED.decode())
        await service.set_up(("suppressions", "rules", "acme", "--on"), known)
        await service.start()
        assert service.process is not None
        client = Client(service, lookup)
        for _ in range(ROUNDS):
            disk.fill(service.process.pid)
            for _ in range(AT_ONCE):
                await client.put()
                answers.add(await client.ask(LISTED))
            disk.free(service.process.pid)
            disk.make_room()
            for _ in range(AT_ONCE):
                await client.put()
        async with asyncio.timeout(WAIT_S):
            while not client.taken <= (listed := await client.listed()) or listed != {
                each["recipient"] for each in await told(service)
            }:
                await asyncio.sleep(0.1)
        found = Counter((each["recipient"], each["type"]) for each in await told(service))
        report = await service.audit()
        await client.close()
        assert await service.stop() == 0
    finally:
        await service.kill()
        disk.close()

    assert client.statuses[503] > 0 and client.statuses[202] > 0
    assert answers == {b"200"}
    assert listed <= client.taken | client.unsure | {LISTED.decode()}
    assert found == Counter((each, "suppressed") for each in listed)
    assert report["problems"] == []
