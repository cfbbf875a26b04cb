"""Who is calling: Basic authentication against the directory.

A key that was right before is known by a keyed digest of its header. Any other is compared with
the fast hashes on the loop, at once; only what could be a key that somebody chose goes on to a
slow hash, in a thread, and only while its network has failed seldom enough. So a flood of wrong
keys costs right ones nothing, and the time an answer takes tells nothing about a name.
"""

import asyncio
import binascii
import secrets
from base64 import b64decode, b64encode
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from hashlib import blake2b
from typing import Any

from postbell import sealing
from postbell.clock import Clock
from postbell.desk.failures import Failures
from postbell.desk.turns import WorkTurns
from postbell.directory import Caller, Directory
from postbell.errors import Forbidden, Overloaded, ServiceError, Unauthorized
from postbell.ports import ApiUsers
from postbell.rights import Right
from postbell.text.networks import network_of
from postbell.text.strength import is_weak, was_weak

MAX_HEADER_CHARS = 1024
MAX_RIGHT = 20_000
MAX_WRONG = 2_000
MAX_KEYS = 8
"""How many keys of an api user are compared, and so how many it may have."""
CHECKS_AT_ONCE = 2
MAX_WAITING_CHECKS = 256
MAX_WAITING_OF_NETWORK = 32
MAX_AGE_S = 0.5
MAX_MISS_AGE_S = 0.05

ClientAddress = Sequence[Any] | None
"""The address and port that a request came from, as in an ASGI scope."""


class Authentication:
    """Checks Authorization headers; *find_key* is slow for slow hashes, and run in two threads
    for those."""

    def __init__(
        self,
        directory: Directory,
        clock: Clock,
        keys: ApiUsers,
        *,
        find_key: Callable[[str, Iterable[str]], str | None] = sealing.find_key,
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._keys = keys
        self._find_key = find_key
        self._failures = Failures(clock)
        self._digest_key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, int] = OrderedDict()
        self._wrong: OrderedDict[bytes, tuple[int, ...]] = OrderedDict()
        self._pending: dict[bytes, asyncio.Future[str | None]] = {}
        self._rehashing: set[int] = set()
        self._used: set[int] = set()
        self._turns = WorkTurns(
            CHECKS_AT_ONCE, MAX_WAITING_CHECKS, MAX_WAITING_OF_NETWORK, "postbell-key"
        )
        self._decoys = [sealing.hash_key(sealing.new_api_key()) for _ in range(MAX_KEYS)]
        self._slow_decoy = ""
        self._fresh_at = float("-inf")

    async def check(self, authorization: str | None, client: ClientAddress, right: Right) -> Caller:
        """Return the caller; raise Unauthorized, Forbidden where the key is not good for *right*,
        TooMany where the client's network failed too often, Overloaded when too many wait.

        The directory is at most MAX_AGE_S old, so a revocation in another process counts within
        that time; an unknown name or a wrong key reads it again, so a new one counts at once.
        """
        if self._clock.monotonic_s() - self._fresh_at >= MAX_AGE_S:
            await self._refresh(MAX_AGE_S)
        caller = self._known(authorization) if authorization is not None else None
        if caller is None:
            caller = await self._meet(authorization, client)
        return self._admitted(caller, right)

    async def caller(self, key_id: int, right: Right, *, max_age_s: float = MAX_AGE_S) -> Caller:
        """Return who calls by a key that was checked before; raise Unauthorized where it was
        revoked, replaced or has ended since, Forbidden where it is not good for *right*."""
        if self._clock.monotonic_s() - self._fresh_at >= max_age_s:
            await self._refresh(max_age_s)
        caller = await self._directory.find(lambda _: self._live(key_id))
        if caller is None:
            raise Unauthorized("the key was revoked, replaced or has ended meanwhile")
        return self._admitted(caller, right)

    def fail(self, client: ClientAddress) -> None:
        """Count credentials that are wrong without a check; raise TooMany over the limit."""
        self._failures.take(_network(client))

    def take_used(self) -> set[int]:
        """Return the ids of keys that were used since the last time."""
        used, self._used = self._used, set()
        return used

    def put_back_used(self, key_ids: set[int]) -> None:
        """Take back what could not be written down."""
        self._used |= key_ids

    def _admitted(self, caller: Caller, right: Right) -> Caller:
        if not caller.may(right):
            raise Forbidden(
                f"the key is for {caller.key.scope.value} only; this needs one that may"
                f" {right.value}",
                reason="key_scope",
            )
        self._used.add(caller.key.id)
        return caller

    def _known(self, authorization: str) -> Caller | None:
        """Return whose key this header held before, while that key is in force."""
        digest = self._digest(authorization)
        key_id = self._right.get(digest)
        if key_id is None:
            return None
        caller = self._live(key_id)
        if caller is None:
            del self._right[digest]
            return None
        self._right.move_to_end(digest)
        return caller

    def _live(self, key_id: int) -> Caller | None:
        caller = self._directory.known.caller(key_id)
        if caller is None or caller.key.expires_at is None:
            return caller
        return caller if caller.key.is_live(self._clock.now()) else None

    async def _meet(self, authorization: str | None, client: ClientAddress) -> Caller:
        """Check a header that is not known to be right."""
        if authorization is None:
            raise Unauthorized("credentials are missing; send Authorization: Basic")
        network = _network(client)
        try:
            name, key = _credentials(authorization)
        except Unauthorized:
            self._failures.take(network)
            raise
        usual = "Basic " + b64encode(f"{name}:{key}".encode()).decode()
        found = self._known(usual) or self._fast(name, key)
        if found is None and await self._refresh(MAX_MISS_AGE_S):
            found = self._fast(name, key)
        if found is None:
            found = await self._slow(name, key, network)
        self._remember(self._right, self._digest(usual), found.key.id, MAX_RIGHT)
        await self._rehash(found, key)
        return found

    def _fast(self, name: str, key: str) -> Caller | None:
        """Compare with fast hashes, always as many of them, whoever has how many."""
        hashes = [one for one in self._hashes(name) if not sealing.is_slow(one)][-MAX_KEYS:]
        found = sealing.find_key(key, hashes + self._decoys[len(hashes) :])
        return self._caller_of(name, found)

    async def _slow(self, name: str, key: str, network: str) -> Caller:
        """Check against slow hashes, or refuse; what is refused counts for *network*.

        Whether there is a slow check depends on what was sent alone.
        """
        digest = self._digest(f"{name}:{key}")
        pending = self._pending.get(digest)
        if pending is not None:
            found = await asyncio.shield(pending)
        else:
            is_repeated = self._wrong.get(digest) == self._fingerprint(name)
            self._failures.take(network, is_repeated=is_repeated)
            if is_repeated:
                raise _wrong()
            found = await self._look_closely(digest, name, key, network)
        caller = self._caller_of(name, found)
        if caller is not None:
            if pending is None:
                self._failures.give_back(network)
            return caller
        if pending is not None:
            self._failures.take(network, is_repeated=True)
        self._remember(self._wrong, digest, self._fingerprint(name), MAX_WRONG)
        raise _wrong()

    async def _look_closely(self, digest: bytes, name: str, key: str, network: str) -> str | None:
        """Return which hash the key has, None for a wrong one; equal ones that come meanwhile share
        the result.  The registry itself is asked: another process may have made the key just now.
        """
        result: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._pending[digest] = result
        try:
            caller = await self._directory.find(lambda _: self._fast(name, key))
            found = caller.key.key_hash if caller is not None else None
            if found is None and (is_weak(key) or was_weak(key)):
                work = partial(self._find_slow, key, self._hashes(name))
                found = await self._turns.run(network, work)
        except BaseException as error:
            if isinstance(error, Overloaded):
                self._failures.give_back(network)
            result.set_exception(Overloaded("the key's check was broken off; try again"))
            result.exception()
            raise
        else:
            result.set_result(found)
            return found
        finally:
            del self._pending[digest]

    def _fingerprint(self, name: str) -> tuple[int, ...]:
        """Return what stays the same while a wrong key of this name stays wrong."""
        return tuple(sorted(hash(one) for one in self._hashes(name)))

    def _find_slow(self, key: str, hashes: list[str]) -> str | None:
        """Compare with slow hashes, with a decoy where there are none."""
        slow = [one for one in hashes if sealing.is_slow(one)]
        if not slow:
            self._slow_decoy = self._slow_decoy or sealing.hash_key("decoy")
            slow = [self._slow_decoy]
        found = self._find_key(key, slow)
        return found if found in hashes else None

    async def _rehash(self, caller: Caller, key: str) -> None:
        """Keep another hash of a key whose present one is not what it would be today."""
        known = caller.key
        if sealing.fits(key, known.key_hash) or known.id in self._rehashing:
            return
        beside = [one.key_hash for one in caller.api_user.keys if one.id != known.id]
        self._rehashing.add(known.id)
        try:
            fresh = await self._turns.run("", partial(sealing.hash_key, key, beside))
            await self._keys.rehash_api_key(known.id, fresh, expect=known.key_hash)
            await self._refresh(0.0)
        except ServiceError:
            return  # the disk is full, say; the key is right all the same
        finally:
            self._rehashing.discard(known.id)

    def _hashes(self, name: str) -> list[str]:
        user = self._directory.known.api_user(name)
        return [] if user is None else [key.key_hash for key in user.keys if self._live(key.id)]

    def _caller_of(self, name: str, key_hash: str | None) -> Caller | None:
        """Return the caller of the api user's live key with this hash."""
        user = self._directory.known.api_user(name) if key_hash is not None else None
        for key in user.keys if user is not None else ():
            if key.key_hash == key_hash:
                return self._live(key.id)
        return None

    def _digest(self, text: str) -> bytes:
        raw = text.encode("utf-8", "surrogatepass")
        return blake2b(raw, key=self._digest_key, digest_size=16).digest()

    def _remember(
        self, memory: OrderedDict[bytes, Any], digest: bytes, what: Any, most: int
    ) -> None:
        memory[digest] = what
        memory.move_to_end(digest)
        if len(memory) > most:
            memory.popitem(last=False)

    async def _refresh(self, max_age_s: float) -> bool:
        """Bring the directory up to date unless it was read in the last *max_age_s*."""
        now = self._clock.monotonic_s()
        if now - self._fresh_at < max_age_s:
            return False
        before, self._fresh_at = self._fresh_at, now
        try:
            await self._directory.refresh()
        except BaseException:
            self._fresh_at = before
            raise
        return True


def _wrong() -> Unauthorized:
    return Unauthorized("the api user or its key is wrong")


def _network(client: ClientAddress) -> str:
    return network_of(str(client[0])) if client else ""


def _credentials(authorization: str) -> tuple[str, str]:
    """Return the user's name and key from a Basic header (RFC 7617, UTF-8)."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic" or len(authorization) > MAX_HEADER_CHARS:
        raise Unauthorized("the Authorization header is not of the scheme Basic")
    try:
        sent = b64decode(encoded.strip(" "), validate=True).decode()
    except (binascii.Error, ValueError):
        raise Unauthorized("the Authorization header is not base64 of UTF-8 text") from None
    name, colon, key = sent.partition(":")
    if not colon or "\0" in name:
        raise Unauthorized("the Authorization header holds no api_user:api_key")
    return name, key
