"""Limits on signing in hold for an installation, not for a process."""

from pathlib import Path

import pytest

from postbell.desk.throttle import FAMILIAR_DAYS, RULES, WINDOW_S, Throttle, unlock
from postbell.errors import TooMany
from postbell.sealing import load_or_create
from postbell.storage import sqlite
from postbell.storage.memory import MemoryEngine
from tests.fakes import FakeClock

ADA = "ada@acme.example"
HOME, AWAY = "203.0.113.9", "192.0.2.44"
SIGN_IN = RULES["sign-in"]


async def is_admitted(
    throttle: Throttle, address: str, email: str = ADA, device: str = "", purpose: str = "sign-in"
) -> bool:
    try:
        await throttle.admit(purpose, address, email, device)
    except TooMany:
        return False
    return True


async def attack(throttle: Throttle, networks: int, purpose: str = "sign-in") -> int:
    """Guess at ada's password from so many networks; return how many guesses were let through."""
    through = 0
    for number in range(networks):
        address = f"198.51.{number // 256}.{number % 256}"
        for _ in range(RULES[purpose].by_pair + 2):
            through += await is_admitted(throttle, address, purpose=purpose)
    return through


@pytest.fixture
def throttle(clock: FakeClock) -> Throttle:
    return Throttle(MemoryEngine(clock).tries, clock)


async def test_strangers_lock_no_owner_out_who_comes_from_another_network(
    throttle: Throttle,
) -> None:
    through = await attack(throttle, 5)

    assert through == 5 * SIGN_IN.by_pair
    assert await is_admitted(throttle, HOME)


async def test_all_strangers_together_have_a_limit_for_an_account(throttle: Throttle) -> None:
    through = await attack(throttle, 40)

    assert through == SIGN_IN.by_subject
    assert not await is_admitted(throttle, AWAY)
    assert await is_admitted(throttle, AWAY, "bob@acme.example")


@pytest.mark.parametrize("purpose", ["sign-in", "reset"])
async def test_strangers_lock_out_neither_a_known_network_nor_a_known_browser(
    purpose: str, throttle: Throttle
) -> None:
    device = await throttle.welcome(HOME, ADA)

    await attack(throttle, 40, purpose)

    assert await is_admitted(throttle, HOME, purpose=purpose)
    assert await is_admitted(throttle, AWAY, f" {ADA.upper()}", device, purpose)
    assert not await is_admitted(throttle, AWAY, purpose=purpose)
    assert not await is_admitted(throttle, AWAY, device="forged", purpose=purpose)


async def test_a_known_browser_is_let_in_where_all_clients_share_an_address(
    throttle: Throttle,
) -> None:
    device = await throttle.welcome(HOME, ADA)
    for number in range(SIGN_IN.by_network):
        await is_admitted(throttle, HOME, f"user{number}@acme.example")

    assert not await is_admitted(throttle, HOME, "bob@acme.example")
    assert await is_admitted(throttle, HOME, device=device)


async def test_a_known_browser_and_a_known_network_have_limits_of_their_own(
    throttle: Throttle,
) -> None:
    device = await throttle.welcome(HOME, ADA)

    by_device = [await is_admitted(throttle, AWAY, device=device) for _ in range(20)]
    by_network = [await is_admitted(throttle, HOME) for _ in range(20)]

    assert by_device.count(True) == by_network.count(True) == SIGN_IN.by_pair
    assert await is_admitted(throttle, AWAY)


async def test_a_browser_is_a_friend_of_those_only_who_signed_in_with_it(
    throttle: Throttle,
) -> None:
    adas = await throttle.welcome(HOME, ADA)
    again = await throttle.welcome(AWAY, ADA, adas)
    bobs = await throttle.welcome(HOME, "bob@acme.example", adas)
    await attack(throttle, 40)

    assert adas == again != bobs
    assert not await is_admitted(throttle, "192.0.2.45", device=bobs)
    assert await is_admitted(throttle, "192.0.2.45", device=adas)


async def test_a_browser_is_forgotten_after_a_while(throttle: Throttle, clock: FakeClock) -> None:
    device = await throttle.welcome(HOME, ADA)
    clock.advance(FAMILIAR_DAYS * 86_400 + 1)
    await attack(throttle, 40)

    assert not await is_admitted(throttle, HOME, device=device)


async def test_an_operator_lifts_what_an_account_or_a_network_is_locked_by(
    clock: FakeClock,
) -> None:
    tries = MemoryEngine(clock).tries
    throttle = Throttle(tries, clock)
    await attack(throttle, 40)
    for number in range(SIGN_IN.by_network):
        await is_admitted(throttle, HOME, f"user{number}@acme.example")

    by_email = await unlock(tries, email="Ada@acme.example ")
    by_network = await unlock(tries, address=HOME)

    assert by_email == 11  # ten networks, and all strangers
    assert by_network == SIGN_IN.by_network + 1
    assert await is_admitted(throttle, HOME)
    assert await unlock(tries, email="bob@acme.example") == 0


async def test_processes_on_one_file_count_together(tmp_path: Path, clock: FakeClock) -> None:
    sealer = load_or_create(tmp_path / "key")
    engines = [await sqlite.open(tmp_path / "postbell.db", sealer, clock) for _ in range(3)]
    throttles = [Throttle(engine.tries, clock) for engine in engines]

    for number in range(SIGN_IN.by_pair):
        await throttles[number % 3].admit("sign-in", HOME, ADA)
    refused = 0
    for throttle in throttles:
        with pytest.raises(TooMany) as found:
            await throttle.admit("sign-in", HOME, "Ada@ACME.example ")
        refused += found.value.retry_after_s == WINDOW_S
    await throttles[0].forgive("sign-in", HOME, ADA)
    await throttles[1].admit("sign-in", HOME, ADA)

    assert refused == 3
    for engine in engines:
        await engine.close()


async def test_a_restart_forgets_neither_tries_nor_friends(
    tmp_path: Path, clock: FakeClock
) -> None:
    sealer = load_or_create(tmp_path / "key")
    engine = await sqlite.open(tmp_path / "postbell.db", sealer, clock)
    device = await Throttle(engine.tries, clock).welcome(HOME, ADA)
    await attack(Throttle(engine.tries, clock), 40)
    await engine.close()
    engine = await sqlite.open(tmp_path / "postbell.db", sealer, clock)
    throttle = Throttle(engine.tries, clock)

    assert not await is_admitted(throttle, AWAY)
    assert await is_admitted(throttle, AWAY, device=device)

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
    for number in range(SIGN_IN.by_network):
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

    throttle = Throttle(engine.tries, clock)
    await throttle.admit("sign-in", "198.51.100.7", "ada@acme.example")
    device = await throttle.welcome("198.51.100.7", "ada@acme.example")
    await engine.close()

    written = b"".join(path.read_bytes() for path in tmp_path.glob("postbell.db*"))
    assert b"198.51.100.7" not in written
    assert b"ada@acme" not in written
    assert device.encode() not in written


async def test_only_who_signed_in_before_is_named_a_friend_and_each_browser_another_one(
    throttle: Throttle,
) -> None:
    unknown = await throttle.admit("sign-in", HOME, ADA, "a made up browser")
    laptop = await throttle.welcome(HOME, ADA)
    phone = await throttle.welcome(HOME, ADA)

    by_laptop = await throttle.admit("sign-in", AWAY, ADA, laptop)
    by_phone = await throttle.admit("sign-in", AWAY, ADA, phone)
    by_network = await throttle.admit("sign-in", HOME, ADA)
    of_others = [
        await throttle.admit("sign-in", AWAY, ADA),
        await throttle.admit("sign-in", HOME, "nobody@acme.example", laptop),
        await throttle.admit("code", HOME, ADA, laptop),
    ]

    assert len({by_laptop, by_phone, by_network, ""}) == 4
    assert [unknown, *of_others] == [""] * 4
