"""Who is calling: Basic authentication against the directory.

A key is checked against its scrypt hash once, in a thread; the digest of what was sent is kept
with the hash it was checked against, so that a rotation or a revocation ends it at once.
"""

import asyncio
import binascii
import secrets
from base64 import b64decode
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from typing import Any, NamedTuple

from postbell import sealing
from postbell.clock import Clock
from postbell.directory import Directory
from postbell.errors import Overloaded, Unauthorized
from postbell.records import Account, ApiUser

MAX_HEADER_CHARS = 1024
MAX_KNOWN = 20_000
CHECKS_AT_ONCE = 2
MAX_WAITING_CHECKS = 64
MAX_AGE_S = 0.5
MAX_MISS_AGE_S = 0.05


Client = Sequence[Any] | None
"""The address and port that a request came from, as in an ASGI scope."""


class Caller(NamedTuple):
    """Who sent a request."""

    account: Account
    api_user: ApiUser


class _Known(NamedTuple):
    """The result of a check: right or wrong for as long as the user's hash is *key_hash*."""

    key_hash: str
    is_right: bool


class Authentication:
    """Checks Authorization headers; *verify* and *hash_key* are slow and run in two threads."""

    def __init__(
        self,
        directory: Directory,
        clock: Clock,
        *,
        verify: Callable[[str, str], bool] = sealing.verify_key,
        hash_key: Callable[[str], str] = sealing.hash_key,
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._verify = verify
        self._hash_key = hash_key
        self._digest_key = secrets.token_bytes(32)
        self._known: dict[bytes, _Known] = {}
        self._pending: dict[tuple[bytes, str], asyncio.Future[bool]] = {}
        self._threads = ThreadPoolExecutor(CHECKS_AT_ONCE, thread_name_prefix="postbell-key")
        self._decoy = ""
        self._fresh_at = float("-inf")

    async def check(self, authorization: str | None) -> Caller:
        """Return the caller; raise Unauthorized, or Overloaded when too many checks wait.

        The directory is at most MAX_AGE_S old, so a revocation in another process counts within
        that time; an unknown name or a wrong key reads it again, so a new one counts at once.
        """
        name, sent = _credentials(authorization)
        await self._refresh(MAX_AGE_S)
        digest = blake2b(sent, key=self._digest_key, digest_size=16).digest()
        caller = await self._match(name, sent, digest)
        if caller is None and await self._refresh(MAX_MISS_AGE_S):
            caller = await self._match(name, sent, digest)
        if caller is None:
            raise Unauthorized("the api user or its key is wrong")
        return caller

    async def _match(self, name: str, sent: bytes, digest: bytes) -> Caller | None:
        user = self._directory.api_user(name)
        key_hash = user.key_hash if user is not None else ""
        known = self._known.get(digest)
        if known is None or known.key_hash != key_hash:
            is_right = await self._verify_once(digest, key_hash, sent)
            known = self._keep(digest, _Known(key_hash, is_right))
        account = self._directory.accounts.get(user.account_id) if user is not None else None
        if user is None or account is None or not known.is_right:
            return None
        return Caller(account, user)

    async def _verify_once(self, digest: bytes, key_hash: str, sent: bytes) -> bool:
        """Run one check in a thread; equal ones that come meanwhile share its result."""
        check = self._pending.get((digest, key_hash))
        if check is None:
            if len(self._pending) >= MAX_WAITING_CHECKS:
                raise Overloaded("too many keys wait to be checked; try again", retry_after_s=1)
            loop = asyncio.get_running_loop()
            check = loop.run_in_executor(self._threads, self._verify_key, key_hash, sent)
            self._pending[digest, key_hash] = check
            check.add_done_callback(lambda _: self._pending.pop((digest, key_hash), None))
        return await asyncio.shield(check)

    def _verify_key(self, key_hash: str, sent: bytes) -> bool:
        """Compare; what fails without the slow hash is compared with a slow decoy, so that the
        time tells nothing about a name."""
        key = sent.partition(b":")[2].decode()
        if key_hash and self._verify(key, key_hash):
            return True
        if not key_hash.startswith(self._slow_scheme()):
            self._verify(key, self._decoy)
        return False

    def _slow_scheme(self) -> str:
        """Return how hashes begin that are as slow to check as the decoy, made on first need."""
        self._decoy = self._decoy or self._hash_key("decoy")
        return self._decoy.partition("$")[0] + "$"

    def _keep(self, digest: bytes, known: _Known) -> _Known:
        if len(self._known) >= MAX_KNOWN and digest not in self._known:
            del self._known[next(iter(self._known))]
        self._known[digest] = known
        return known

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


def _credentials(authorization: str | None) -> tuple[str, bytes]:
    """Return the user's name and `user:key` from a Basic header (RFC 7617, UTF-8)."""
    if authorization is None:
        raise Unauthorized("credentials are missing; send Authorization: Basic")
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic" or len(authorization) > MAX_HEADER_CHARS:
        raise Unauthorized("the Authorization header is not of the scheme Basic")
    try:
        sent = b64decode(encoded.strip(" "), validate=True)
        name, colon, _ = sent.decode().partition(":")
    except (binascii.Error, ValueError):
        raise Unauthorized("the Authorization header is not base64 of UTF-8 text") from None
    if not colon or "\0" in name:
        raise Unauthorized("the Authorization header holds no api_user:api_key")
    return name, sent
