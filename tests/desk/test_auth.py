"""Who may call: Basic authentication, what it remembers, and how fast changes count."""

import asyncio
import threading
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import timedelta

import pytest

from postbell import sealing
from postbell.clock import Clock
from postbell.desk import Desk, auth
from postbell.desk.auth import Authentication
from postbell.desk.failures import BURST, REFILL_S, REPEATED_LEAVES
from postbell.directory import Directory
from postbell.errors import Forbidden, Overloaded, StorageError, TooMany, Unauthorized
from postbell.rights import KeyScope, KeyTerms, Right
from tests.api.service import KEY, Service, basic, running
from tests.fakes import FakeClock

WEAK = "secret12"
HERE = ("192.0.2.1", 4000)
THERE = ("192.0.2.2", 4000)


class CountedChecks:
    """Real slow checks that are counted and, with a gate, held back."""

    def __init__(self) -> None:
        self.checked: list[list[str]] = []
        self.find = sealing.find_key
        self.gate = threading.Event()
        self.gate.set()
        self.at_once = 0
        self.most_at_once = 0
        self._lock = threading.Lock()

    def __call__(self, key: str, hashes: Iterable[str]) -> str | None:
        known = list(hashes)
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        assert self.gate.wait(60)
        with self._lock:
            self.at_once -= 1
            self.checked.append(known)
        return self.find(key, known)


class Door:
    """Authentication with counted checks; a client is in a network of its own unless named."""

    def __init__(self, service: Service, clock: Clock | None = None) -> None:
        self.checks = CountedChecks()
        registry = service.engine.registry
        self.authentication = Authentication(
            service.directory, clock or service.clock, registry, find_key=self.checks
        )

    async def __call__(
        self, authorization: str | None, client: tuple[str, int] = HERE, right: Right = Right.READ
    ) -> str:
        caller = await self.authentication.check(authorization, client, right)
        return caller.api_user.name

    async def status(self, authorization: str, client: tuple[str, int] = HERE) -> int:
        try:
            await self(authorization, client)
        except (Unauthorized, TooMany, Overloaded) as error:
            return error.status
        return 200


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running() as service:
        yield service


@pytest.fixture
def door(service: Service) -> Door:
    return Door(service)


def net(number: int) -> tuple[str, int]:
    """Return a client of a network of its own."""
    return (f"198.51.{number // 250}.{number % 250}", 4000)


async def test_the_caller_is_the_account_and_the_api_user(service: Service) -> None:
    caller = await service.desk.authenticate(basic("alice"), right=Right.READ)

    assert (caller.account.name, caller.api_user.name) == ("acme", "alice")
    assert caller.key == caller.api_user.keys[0]


async def test_a_key_with_colons_and_other_letters_is_a_key(service: Service) -> None:
    await service.desk.create_api_user("acme", "zoë", "a:b:ü" * 8)
    header = "Basic " + b64encode(("zoë:" + "a:b:ü" * 8).encode()).decode()

    caller = await service.desk.authenticate(header, right=Right.READ)

    assert caller.api_user.name == "zoë"


async def test_right_and_wrong_weak_keys_are_checked_once(service: Service, door: Door) -> None:
    await service.desk.create_api_user("acme", "weak", WEAK)

    for _ in range(3):
        assert await door(basic("weak", WEAK)) == "weak"
        assert await door.status(basic("weak", "other")) == 401

    assert len(door.checks.checked) == 2


async def test_a_strong_key_is_never_checked_in_a_thread(service: Service, door: Door) -> None:
    assert await door(basic("alice")) == "alice"
    assert await door.status(basic("alice", sealing.new_api_key())) == 401
    assert await door.status(basic("nobody", sealing.new_api_key())) == 401

    assert door.checks.checked == []


async def test_an_unknown_name_costs_as_much_as_a_known_one(service: Service, door: Door) -> None:
    await service.desk.create_api_user("acme", "weak", WEAK)
    await service.desk.add_api_key("weak", "weaker still")
    slow = []

    for name in ("nobody", "weak", "alice"):
        door.checks.checked.clear()
        assert await door.status(basic(name, "wrong")) == 401
        (hashes,) = door.checks.checked
        slow.append({each.split("$")[0] + str(each.count("$")) for each in hashes})
        assert len({each.split("$")[1] for each in hashes}) == 1, "one derivation"

    assert slow == [{"scrypt2"}] * 3


async def test_a_flood_of_wrong_keys_holds_up_no_right_one(service: Service, door: Door) -> None:
    """As the review found it: 1,000 wrong requests, 12 right keys checked for the first time."""
    made = [await service.desk.create_api_user("acme", f"new{n}") for n in range(12)]

    wrong = [door.status(basic("alice", f"wrong {n}")) for n in range(1000)]
    right = [door.status(basic(each.api_user.name, each.key)) for each in made]
    statuses = await asyncio.gather(*wrong, *right)

    assert statuses[1000:] == [200] * 12
    assert set(statuses[:1000]) == {401, 429}
    assert len(door.checks.checked) <= BURST


async def test_weak_keys_of_other_networks_are_not_held_up_either(
    service: Service, door: Door
) -> None:
    made = [await service.desk.create_api_user("acme", f"w{n}", f"{WEAK} {n}") for n in range(12)]

    wrong = [door.status(basic("alice", f"wrong {n}"), HERE) for n in range(1000)]
    right = [door.status(basic(each.api_user.name, each.key), THERE) for each in made]
    statuses = await asyncio.gather(*wrong, *right)

    assert statuses[1000:] == [200] * 12


async def test_networks_take_turns_at_slow_checks(service: Service, door: Door) -> None:
    await service.desk.create_api_user("acme", "weak", WEAK)
    door.checks.gate.clear()
    wrong = [asyncio.ensure_future(door.status(basic("x", f"wrong {n}"), HERE)) for n in range(25)]
    await eventually(lambda: door.checks.at_once == auth.CHECKS_AT_ONCE)
    right = asyncio.ensure_future(door.status(basic("weak", WEAK), THERE))
    await asyncio.sleep(0)

    door.checks.gate.set()
    status = await right
    before = sum(each.done() for each in wrong)
    await asyncio.gather(*wrong)

    assert status == 200
    assert before < 10


async def test_20_000_wrong_pairs_make_no_key_in_use_be_checked_again(
    service: Service, door: Door
) -> None:
    await service.desk.create_api_user("acme", "weak", WEAK)
    await door(basic("weak", WEAK))
    door.checks.checked.clear()

    for number in range(20_000):
        await door.status(basic("weak", f"{KEY}{number}"), net(number % 2000))

    assert await door(basic("weak", WEAK)) == "weak"
    assert door.checks.checked == []


async def test_a_network_that_failed_often_is_refused_before_a_check(
    service: Service, door: Door
) -> None:
    await service.desk.create_api_user("acme", "weak", WEAK)
    statuses = [await door.status(basic("weak", f"wrong {n}")) for n in range(40)]

    with pytest.raises(TooMany) as refused:
        await door(basic("weak", "and one more"))

    assert statuses == [401] * int(BURST) + [429] * 10
    assert len(door.checks.checked) == BURST
    assert 1 <= refused.value.retry_after_s <= REFILL_S
    assert await door.status(basic("weak", "elsewhere"), THERE) == 401


@pytest.mark.parametrize("header", ["Basic !", "Bearer x", "Basic " + b64encode(b"x").decode()])
async def test_headers_that_cannot_be_read_count_as_well(door: Door, header: str) -> None:
    statuses = [await door.status(header) for _ in range(40)]

    assert statuses == [401] * int(BURST) + [429] * 10


async def test_no_credentials_at_all_are_no_failure(door: Door) -> None:
    for _ in range(100):
        with pytest.raises(Unauthorized):
            await door(None)


async def test_after_a_wait_a_network_may_try_again(service: Service, door: Door) -> None:
    await service.desk.create_api_user("acme", "weak", WEAK)
    for number in range(40):
        await door.status(basic("weak", f"wrong {number}"))

    service.clock.advance(REFILL_S)

    assert await door(basic("weak", WEAK)) == "weak"


async def test_from_a_network_over_the_limit_known_and_strong_keys_still_pass(
    service: Service, door: Door
) -> None:
    await service.desk.create_api_user("acme", "weak", WEAK)
    await service.desk.create_api_user("acme", "late", WEAK + "3")
    fresh = await service.desk.create_api_user("acme", "fresh")
    await door(basic("weak", WEAK))
    for number in range(40):
        await door.status(basic("weak", f"wrong {number}"))

    known = await door.status(basic("weak", WEAK))
    strong = await door.status(basic("fresh", fresh.key))
    unknown = await door.status(basic("late", WEAK + "3"))

    assert (known, strong, unknown) == (200, 200, 429)


async def test_a_client_with_an_old_key_leaves_its_network_some_tries(
    service: Service, door: Door
) -> None:
    await service.desk.create_api_user("acme", "weak", WEAK)
    statuses = [await door.status(basic("weak", "an old one")) for _ in range(100)]

    assert statuses.count(401) <= BURST - REPEATED_LEAVES + 1
    assert statuses[-1] == 429
    assert await door(basic("weak", WEAK)) == "weak"


async def test_addresses_of_one_network_count_as_one(door: Door) -> None:
    statuses = [
        await door.status(basic("nobody", f"wrong {n}"), (f"2001:db8::{n:x}", 1)) for n in range(31)
    ]

    assert statuses[-1] == 429
    assert await door.status(basic("nobody", "wrong"), ("2001:db8:0:1::1", 1)) == 401


async def test_a_full_queue_is_overloaded_and_costs_no_try(service: Service, door: Door) -> None:
    door.checks.gate.clear()
    door.checks.find = lambda _key, _hashes: None  # 260 times scrypt would be ten seconds
    waiting = [
        asyncio.ensure_future(door.status(basic("nobody", f"wrong {n}"), net(n)))
        for n in range(auth.MAX_WAITING_CHECKS + auth.CHECKS_AT_ONCE)
    ]
    await eventually(lambda: door.checks.at_once == auth.CHECKS_AT_ONCE)

    statuses = [await door.status(basic("alice", f"more {n}"), HERE) for n in range(100)]
    strong = await door.status(basic("alice"), HERE)
    door.checks.gate.set()

    assert set(statuses) == {503}
    assert strong == 200
    assert set(await asyncio.gather(*waiting)) == {401}
    assert door.checks.most_at_once == auth.CHECKS_AT_ONCE


async def test_equal_credentials_share_one_check(service: Service, door: Door) -> None:
    await service.desk.create_api_user("acme", "weak", WEAK)

    names = await asyncio.gather(*(door(basic("weak", WEAK)) for _ in range(200)))

    assert len(door.checks.checked) == 1
    assert set(names) == {"weak"}


async def test_a_weak_key_with_a_fast_hash_gets_a_slow_one_when_it_is_right(
    service: Service,
) -> None:
    salt = b"\1" * 16
    stored = f"sha256${salt.hex()}${sealing._sha256(WEAK, salt).hex()}"
    await service.engine.registry.add_api_user(service.acme, "old", stored, service.clock.now())
    door = Door(service)

    before = await door(basic("old", WEAK))
    key = (await service.desk.find_api_user("old")).keys[0]
    after = await Door(service)(basic("old", WEAK))

    assert (before, after) == ("old", "old")
    assert sealing.is_slow(key.key_hash)
    assert sealing.verify_key(WEAK, key.key_hash)


async def test_a_strong_key_with_a_slow_hash_gets_a_fast_one(service: Service) -> None:
    strong = "k7Q2_mX9pR4vT8zB1nW6c"
    salt = b"\1" * 16
    stored = f"scrypt${salt.hex()}${sealing._scrypt(strong, salt).hex()}"
    await service.engine.registry.add_api_user(service.acme, "old", stored, service.clock.now())

    name = await Door(service)(basic("old", strong))

    key = (await service.desk.find_api_user("old")).keys[0]
    assert name == "old"
    assert not sealing.is_slow(key.key_hash)


async def test_a_full_disk_keeps_nobody_out(service: Service) -> None:
    class Full:
        async def rehash_api_key(self, *_: object, **__: object) -> bool:
            raise StorageError("the disk is full")

    salt = b"\1" * 16
    stored = f"sha256${salt.hex()}${sealing._sha256(WEAK, salt).hex()}"
    await service.engine.registry.add_api_user(service.acme, "old", stored, service.clock.now())
    authentication = Authentication(service.directory, service.clock, Full())  # type: ignore[arg-type]

    caller = await authentication.check(basic("old", WEAK), HERE, Right.READ)

    assert caller.api_user.name == "old"


async def test_a_key_is_good_for_what_its_scope_says(service: Service) -> None:
    good: dict[KeyScope, set[Right]] = {}
    for scope in KeyScope:
        made = await service.desk.create_api_user("acme", scope.value, terms=KeyTerms(scope))
        for right in Right:
            try:
                await service.desk.authenticate(basic(scope.value, made.key), right=right)
            except Forbidden:
                continue
            good.setdefault(scope, set()).add(right)

    assert good == {
        KeyScope.INGEST: {Right.INGEST},
        KeyScope.READ: {Right.READ},
        KeyScope.EVERYTHING: set(Right),
    }


async def test_a_key_that_has_ended_is_refused_although_it_was_known(service: Service) -> None:
    ends = service.clock.now() + timedelta(hours=1)
    made = await service.desk.create_api_user("acme", "brief", terms=KeyTerms(expires_at=ends))
    caller = await service.desk.authenticate(basic("brief", made.key), right=Right.READ)

    service.clock.advance(3600)

    with pytest.raises(Unauthorized):
        await service.desk.authenticate(basic("brief", made.key), right=Right.READ)
    with pytest.raises(Unauthorized):
        await service.desk.confirm(caller, Right.READ)


async def test_after_a_rotation_with_an_overlap_both_keys_work_until_it_ends(
    service: Service,
) -> None:
    new = await service.desk.rotate_api_user("alice", overlap_s=86_400)

    both = [
        await service.desk.authenticate(basic("alice", key), right=Right.MANAGE)
        for key in (KEY, new.key)
    ]
    service.clock.advance(86_400)

    assert [caller.key.id for caller in both] == [key.id for key in new.api_user.keys]
    with pytest.raises(Unauthorized):
        await service.desk.authenticate(basic("alice"), right=Right.READ)
    await service.desk.authenticate(basic("alice", new.key), right=Right.READ)


async def test_uses_are_written_down_together(service: Service) -> None:
    await service.desk.authenticate(basic("alice"), right=Right.READ)
    await service.desk.authenticate(basic("bob"), right=Right.READ)
    service.clock.advance(30)
    noted_at = service.clock.now()

    await service.desk.note_uses()
    service.clock.advance(30)
    await service.desk.note_uses()

    used = {user.name: user.keys[0].used_at for user in await service.engine.registry.api_users()}
    assert used == {"alice": noted_at, "anna": None, "bob": noted_at}


@pytest.mark.parametrize("change", ["revoke_api_user", "rotate_api_user"])
async def test_a_caller_is_confirmed_until_the_key_is_revoked_or_replaced(
    service: Service, change: str
) -> None:
    caller = await service.desk.authenticate(basic("alice"), right=Right.MANAGE)

    before = await service.desk.confirm(caller, Right.MANAGE)
    await getattr(await elsewhere(service), change)("alice")

    assert before == caller
    with pytest.raises(Unauthorized):
        await service.desk.confirm(caller, Right.MANAGE)


async def test_a_revocation_in_this_process_counts_at_once(service: Service) -> None:
    await service.desk.authenticate(basic("alice"), right=Right.READ)

    await service.desk.revoke_api_user("alice")

    with pytest.raises(Unauthorized):
        await service.desk.authenticate(basic("alice"), right=Right.READ)


async def elsewhere(service: Service) -> Desk:
    """Return a desk of another process on the same storage."""
    directory = Directory(service.engine.registry)
    await directory.refresh()
    return Desk(service.engine, service.desk.dialects, service.desk.guard, service.clock, directory)


async def test_a_revocation_in_another_process_counts_within_a_second(
    service: Service,
) -> None:
    await service.desk.authenticate(basic("alice"), right=Right.READ)
    await (await elsewhere(service)).revoke_api_user("alice")

    service.clock.advance(0.99)

    with pytest.raises(Unauthorized):
        await service.desk.authenticate(basic("alice"), right=Right.READ)


async def test_a_new_user_and_a_new_key_of_another_process_count_at_once(service: Service) -> None:
    await service.desk.authenticate(basic("alice"), right=Right.READ)
    other = await elsewhere(service)
    await other.create_api_user("acme", "new", KEY)
    service.clock.advance(0.1)

    await service.desk.authenticate(basic("new"), right=Right.READ)
    rotated = await other.rotate_api_user("alice")
    service.clock.advance(0.1)
    caller = await service.desk.authenticate(basic("alice", rotated.key), right=Right.READ)

    assert caller.api_user.name == "alice"
    with pytest.raises(Unauthorized):
        await service.desk.authenticate(basic("alice"), right=Right.READ)


async def test_what_is_remembered_is_bounded(service: Service, door: Door) -> None:
    authentication = door.authentication
    for number in range(auth.MAX_RIGHT):
        authentication._right[number.to_bytes(16, "big")] = 0
    for number in range(auth.MAX_WRONG):
        authentication._wrong[number.to_bytes(16, "big")] = ()

    await door(basic("alice"))
    await door.status(basic("alice", "wrong"))

    assert len(authentication._right) == auth.MAX_RIGHT
    assert len(authentication._wrong) == auth.MAX_WRONG
    assert (0).to_bytes(16, "big") not in authentication._right


async def test_a_key_is_remembered_once_however_its_header_is_written(door: Door) -> None:
    header = basic("alice")

    for spelling in (header, header.replace("Basic", "BASIC"), header.replace(" ", "   ")):
        assert await door(spelling) == "alice"

    assert len(door.authentication._right) == 1


async def test_a_registry_that_fails_lets_nobody_in_and_is_asked_again(clock: FakeClock) -> None:
    class Broken:
        async def version(self, **_: object) -> int:
            raise OSError("gone")

    registry = Broken()
    authentication = Authentication(Directory(registry), clock, registry)  # type: ignore[arg-type]

    for _ in range(2):
        with pytest.raises(OSError, match="gone"):
            await authentication.check(basic("alice"), HERE, Right.READ)


async def test_the_memory_holds_no_key(service: Service, door: Door) -> None:
    await door(basic("alice"))
    await door.status(basic("alice", "wrong, wrong"))

    held = repr((door.authentication._right, door.authentication._wrong))
    assert KEY not in held
    assert basic("alice")[6:] not in held
    assert "wrong, wrong" not in held


async def eventually(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0)
