"""Limits on signing in hold for an installation, not for a process."""

from pathlib import Path

import pytest

from postbell.errors import TooMany
from postbell.sealing import load_or_create
from postbell.storage import sqlite
from postbell.storage.memory import MemoryEngine
from postbell.web.throttle import MAX_BY_ADDRESS, MAX_BY_EMAIL, WINDOW_S, Throttle
from tests.fakes import FakeClock


async def test_processes_on_one_file_count_together(tmp_path: Path, clock: FakeClock) -> None:
    sealer = load_or_create(tmp_path / "key")
    engines = [await sqlite.open(tmp_path / "postbell.db", sealer, clock) for _ in range(3)]
    throttles = [Throttle(engine.tries, clock) for engine in engines]

    for number in range(MAX_BY_EMAIL):
        await throttles[number % 3].admit("sign-in", f"198.51.100.{number}", "ada@acme.example")
    refused = 0
    for throttle in throttles:
        with pytest.raises(TooMany) as found:
            await throttle.admit("sign-in", "203.0.113.9", "Ada@ACME.example ")
        refused += found.value.retry_after_s == WINDOW_S
    await throttles[0].forgive("sign-in", "198.51.100.0", "ada@acme.example")
    await throttles[1].admit("sign-in", "203.0.113.9", "ada@acme.example")

    assert refused == 3
    for engine in engines:
        await engine.close()


async def test_a_restart_forgets_no_tries(tmp_path: Path, clock: FakeClock) -> None:
    sealer = load_or_create(tmp_path / "key")
    engine = await sqlite.open(tmp_path / "postbell.db", sealer, clock)
    for _ in range(MAX_BY_EMAIL):
        await Throttle(engine.tries, clock).admit("sign-in", "", "ada@acme.example")
    await engine.close()
    engine = await sqlite.open(tmp_path / "postbell.db", sealer, clock)

    with pytest.raises(TooMany):
        await Throttle(engine.tries, clock).admit("sign-in", "", "ada@acme.example")

    await engine.close()


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:198.51.100.7", "198.51.100.7", True),
        ("198.51.100.7", "198.51.100.8", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
    ],
)
async def test_a_network_of_ipv6_is_one_client(
    one: str, other: str, is_same: bool, clock: FakeClock
) -> None:
    throttle = Throttle(MemoryEngine(clock).tries, clock)
    for number in range(MAX_BY_ADDRESS):
        await throttle.admit("sign-in", one, f"user{number}@acme.example")

    refused = False
    try:
        await throttle.admit("sign-in", other, "ada@acme.example")
    except TooMany:
        refused = True

    assert refused is is_same


async def test_neither_addresses_nor_clients_are_written_down(
    tmp_path: Path, clock: FakeClock
) -> None:
    engine = await sqlite.open(tmp_path / "postbell.db", load_or_create(tmp_path / "key"), clock)

    await Throttle(engine.tries, clock).admit("sign-in", "198.51.100.7", "ada@acme.example")
    await engine.close()

    written = b"".join(path.read_bytes() for path in tmp_path.glob("postbell.db*"))
    assert b"198.51.100.7" not in written
    assert b"ada@acme" not in written
