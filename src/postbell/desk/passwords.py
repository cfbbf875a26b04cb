"""Passwords by argon2 (RFC 9106, the library's defaults), hashed and checked in threads.

One check takes 64 MiB and some 50 ms, so two run at once and only so many wait: networks take
turns, and whoever is signed in, or known to be no stranger, goes before them.
"""

from collections.abc import Callable
from typing import TypeVar, cast

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from postbell.desk.acting import acting
from postbell.desk.turns import WorkTurns
from postbell.errors import BadInput
from postbell.text.networks import network_of
from postbell.trail import ActorKind

T = TypeVar("T")

MIN_CHARS = 10
MAX_CHARS = 256
AT_ONCE = 2
MAX_WAITING = 256
MAX_WAITING_OF_ONE = 4
"""How many checks of one network, one known browser or one person wait."""
PATIENCE_S = 30.0
"""How long a stranger's waits."""


class Passwords:
    """Hashes and checks; *hasher* says how much work that is."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._turns = WorkTurns(
            AT_ONCE, MAX_WAITING, MAX_WAITING_OF_ONE, "postbell-password", patience_s=PATIENCE_S
        )
        self._decoy = ""

    async def hash(self, password: str, *, friend: str = "") -> str:
        """Return what is stored of a password; raise BadInput for one that is too short."""
        check_password(password)
        return await self._in_turn(lambda: self._hasher.hash(password), friend)

    async def verify(self, password: str, stored: str, *, friend: str = "") -> bool:
        """Return whether *stored* is a hash of *password*; an empty one takes as long.

        *friend* names who is no stranger although nobody is signed in.
        """
        return await self._in_turn(lambda: self._verify(password, stored), friend)

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

    async def _in_turn(self, work: Callable[[], T], friend: str) -> T:
        """Do the work in the turn of who acts; raise Overloaded where no place is left for him."""
        who = acting()
        if not friend and who.kind is not ActorKind.GUEST:
            friend = f"{who.kind.value} {who.id}"
        asker = friend or network_of(who.address)
        return cast(T, await self._turns.run(asker, work, is_friend=bool(friend)))


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
