"""Who may call: Basic authentication, its cache, and how fast changes count."""

import asyncio
import threading
from base64 import b64encode
from collections.abc import AsyncIterator

import pytest

from postbell import sealing
from postbell.clock import Clock
from postbell.desk import Desk, auth
from postbell.desk.auth import Authentication
from postbell.directory import Directory
from postbell.errors import Overloaded, Unauthorized
from postbell.rights import Right
from tests.api.service import KEY, Service, basic, running
from tests.fakes import FakeClock

WEAK = "secret"


class CountedChecks:
    """Real checks that are counted and, with a gate, held back."""

    def __init__(self) -> None:
        self.hashes: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.at_once = 0
        self.most_at_once = 0
        self._lock = threading.Lock()

    def __call__(self, key: str, key_hash: str) -> bool:
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        assert self.gate.wait(10)
        with self._lock:
            self.at_once -= 1
            self.hashes.append(key_hash)
        return sealing.verify_key(key, key_hash)


def checking(directory: Directory, clock: Clock) -> tuple[Authentication, CountedChecks]:
    checks = CountedChecks()
    return Authentication(directory, clock, verify=checks), checks


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running() as service:
        yield service


async def test_the_caller_is_the_account_and_the_api_user(service: Service) -> None:
    caller = await service.desk.authenticate(basic("alice"), right=Right.READ)

    assert (caller.account.name, caller.api_user.name) == ("acme", "alice")


async def test_a_key_with_colons_and_other_letters_is_a_key(service: Service) -> None:
    await service.desk.create_api_user("acme", "zoë", "a:b:ü" * 8)
    header = "Basic " + b64encode(("zoë:" + "a:b:ü" * 8).encode()).decode()

    caller = await service.desk.authenticate(header, right=Right.READ)

    assert caller.api_user.name == "zoë"


async def test_a_weak_key_works_as_well(service: Service) -> None:
    await service.desk.create_api_user("acme", "weak", WEAK)

    caller = await service.desk.authenticate(basic("weak", WEAK), right=Right.READ)

    assert caller.api_user.name == "weak"


async def test_right_and_wrong_keys_are_checked_once(service: Service) -> None:
    await service.desk.create_api_user("acme", "weak", WEAK)
    authentication, checks = checking(service.directory, service.clock)

    for _ in range(3):
        await authentication.check(basic("weak", WEAK))
        with pytest.raises(Unauthorized):
            await authentication.check(basic("weak", "other"))

    assert len(checks.hashes) == 2


async def test_an_unknown_name_costs_as_much_as_a_known_one(service: Service) -> None:
    await service.desk.create_api_user("acme", "weak", WEAK)
    authentication, checks = checking(service.directory, service.clock)
    slow = []

    for name in ("nobody", "weak", "alice"):
        checks.hashes.clear()
        with pytest.raises(Unauthorized):
            await authentication.check(basic(name, "wrong"))
        slow.append(sum(each.startswith("scrypt$") for each in checks.hashes))

    assert slow == [1, 1, 1]


async def test_a_revocation_in_this_process_counts_at_once(service: Service) -> None:
    await service.desk.authenticate(basic("alice"), right=Right.READ)

    await service.desk.revoke_api_user("alice")

    with pytest.raises(Unauthorized):
        await service.desk.authenticate(basic("alice"), right=Right.READ)


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


async def test_two_checks_run_at_once_and_a_full_queue_is_overloaded(service: Service) -> None:
    authentication, checks = checking(service.directory, service.clock)
    checks.gate.clear()
    async with asyncio.TaskGroup() as tasks:
        waiting = [
            tasks.create_task(_refused(authentication, f"wrong {number}"))
            for number in range(auth.MAX_WAITING_CHECKS)
        ]
        async with asyncio.timeout(10):
            while checks.at_once < auth.CHECKS_AT_ONCE:
                await asyncio.sleep(0)

        with pytest.raises(Overloaded):
            await authentication.check(basic("alice", "one more"))
        checks.gate.set()

    assert all(task.result() for task in waiting)
    assert checks.most_at_once == auth.CHECKS_AT_ONCE


async def _refused(authentication: Authentication, key: str) -> bool:
    try:
        await authentication.check(basic("nobody", key))
    except Unauthorized:
        return True
    return False


async def test_equal_credentials_share_one_check(service: Service) -> None:
    await service.desk.create_api_user("acme", "weak", WEAK)
    authentication, checks = checking(service.directory, service.clock)

    callers = await asyncio.gather(*(authentication.check(basic("weak", WEAK)) for _ in range(200)))

    assert len(checks.hashes) == 1
    assert {caller.api_user.name for caller in callers} == {"weak"}


async def test_what_is_remembered_is_bounded(service: Service) -> None:
    authentication, _ = checking(service.directory, service.clock)
    known = authentication._known
    for number in range(auth.MAX_KNOWN):
        known[number.to_bytes(16, "big")] = auth._Known("", False)

    await authentication.check(basic("alice"))

    assert len(known) == auth.MAX_KNOWN
    assert (0).to_bytes(16, "big") not in known


async def test_a_registry_that_fails_lets_nobody_in_and_is_asked_again(clock: FakeClock) -> None:
    class Broken:
        async def version(self) -> int:
            raise OSError("gone")

    authentication, _ = checking(Directory(Broken()), clock)  # type: ignore[arg-type]

    for _ in range(2):
        with pytest.raises(OSError, match="gone"):
            await authentication.check(basic("alice"))


async def test_the_cache_holds_no_key(service: Service) -> None:
    authentication, _ = checking(service.directory, service.clock)

    await authentication.check(basic("alice"))

    assert KEY not in repr(authentication._known)
