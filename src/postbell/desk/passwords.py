"""Passwords by argon2 (RFC 9106, the library's defaults), hashed and checked in threads.

One check takes 64 MiB and some 50 ms, so two run at once and only so many wait.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from postbell.errors import BadInput, Overloaded

T = TypeVar("T")

MIN_CHARS = 10
MAX_CHARS = 256
AT_ONCE = 2
MAX_WAITING = 32


class Passwords:
    """Hashes and checks; *hasher* says how much work that is."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="postbell-password")
        self._waiting = 0
        self._decoy = ""

    async def hash(self, password: str) -> str:
        """Return what is stored of a password; raise BadInput for one that is too short."""
        check_password(password)
        return await self._in_thread(lambda: self._hasher.hash(password))

    async def verify(self, password: str, stored: str) -> bool:
        """Return whether *stored* is a hash of *password*; an empty one takes as long."""
        return await self._in_thread(lambda: self._verify(password, stored))

    def is_old(self, stored: str) -> bool:
        """Return whether *stored* was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    def _verify(self, password: str, stored: str) -> bool:
        if not stored:
            self._decoy = self._decoy or self._hasher.hash("decoy")
        try:
            return self._hasher.verify(stored or self._decoy, password[:MAX_CHARS]) and bool(stored)
        except (VerificationError, InvalidHashError):
            return False

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._waiting >= MAX_WAITING:
            raise Overloaded("too many passwords wait to be checked; try again", retry_after_s=2)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def check_password(password: str) -> None:
    """Raise BadInput unless the password has MIN_CHARS to MAX_CHARS characters, not all alike."""
    if not MIN_CHARS <= len(password) <= MAX_CHARS:
        raise BadInput(
            f"the password has {len(password)} characters; {MIN_CHARS} to {MAX_CHARS} expected",
            member="password",
            code="password_length",
            count=len(password),
            low=MIN_CHARS,
            high=MAX_CHARS,
        )
    if len(set(password)) < 4:
        raise BadInput(
            "the password repeats a few characters; choose one that is harder to guess",
            member="password",
            code="password_weak",
        )
