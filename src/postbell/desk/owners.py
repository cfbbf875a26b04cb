"""People who sign in: owners, their passwords, and the sessions of their browsers.

Tokens of sessions and resets have 256 random bits; only their hashes are stored.
"""

import contextlib
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import blake2b, sha256
from typing import Any, NamedTuple

from postbell.desk import noting
from postbell.desk.acting import acting, acting_as
from postbell.desk.core import Core
from postbell.desk.passwords import Passwords
from postbell.errors import BadInput, NotFound, Overloaded, StorageError, Unauthorized
from postbell.ports import HALF_LASTS, RESET_LASTS, HalfSignIn
from postbell.records import Account, Owner, Reset, Session
from postbell.text import mailboxes
from postbell.text.mailboxes import known_as
from postbell.text.networks import network_of
from postbell.trail import Change

IDLE_DAYS = 14
ABSOLUTE_DAYS = 60
TOUCH_EVERY_S = 60.0
"""The use of a session is noted so often."""
AHEAD = timedelta(days=1)
"""A session from so far ahead was opened by a clock that was ahead: nobody knows how old it is."""

MAX_TYPED_CHARS = 1000
MAX_OWNERS = 200
MAX_REFUSALS = 5
MAX_LOCKS_TOLD = 20
BY_LINK = {"by": "a link that was mailed"}


class SignedIn(NamedTuple):
    """Who a session's token stands for, and the account that the session looks at."""

    owner: Owner
    account: Account
    session: Session


class Begun(NamedTuple):
    """What a right password brought: a session's token, or, where *is_half*, one that opens a
    session together with a one-time code."""

    token: str
    owner: Owner
    is_half: bool


class OwnersDesk(Core):
    """The write side of signing in."""

    def __init__(self, *args: Any, passwords: Passwords | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.passwords = passwords or Passwords()

    async def create_owner(
        self, account_id: int, email: str, password: str | None, *, is_operator: bool = False
    ) -> Owner:
        """Let somebody sign in to the account; without *password* a reset is needed first."""
        address = mailboxes.read(email).address
        hashed = "" if password is None else await self.passwords.hash(password)
        owner = Owner(
            id=0,
            account_id=account_id,
            email=address,
            password_hash=hashed,
            created_at=self.clock.now(),
            is_operator=is_operator,
        )
        return await self.trailed(
            self.engine.owners.add(owner, most=MAX_OWNERS),
            lambda made: noting.of_owner("owner.added", made, None, noting.owner_members(made)),
        )

    async def find_owner(self, email: str) -> Owner:
        """Return the owner of this address; raise NotFound."""
        owner = await self._named(email)
        if owner is None:
            raise NotFound(f"nobody signs in as {email[:80]!r}")
        return owner

    async def _named(self, email: str) -> Owner | None:
        for address in known_as(email[:MAX_TYPED_CHARS]):
            owner = await self.engine.owners.find(email=address)
            if owner is not None:
                return owner
        return None

    async def sign_in(
        self,
        email: str,
        password: str,
        language: str = "",
        *,
        device: str = "",
        place: str = "",
        friend: str = "",
    ) -> Begun:
        """Open a session, or, for whoever has a second factor, begin a sign-in that a code
        finishes; raise Unauthorized where address or password is wrong.

        *language* is what the browser speaks; it is remembered for mails.  *friend* names who is
        no stranger, and so waits for no stranger's check.
        """
        owner = await self._named(email)
        stored = owner.password_hash if owner is not None else ""
        is_right = await self.passwords.verify(password, stored, friend=friend)
        if owner is None or not is_right:
            await self._note_refusal(email, owner)
            raise Unauthorized("the e-mail address or the password is wrong")
        is_old = self.passwords.is_old(stored)
        rehashed = await self.passwords.hash(password, friend=owner.email) if is_old else ""
        now = self.clock.now()
        await self.engine.owners.sweep(
            seen_before=now - timedelta(days=IDLE_DAYS),
            opened_before=now - timedelta(days=ABSOLUTE_DAYS),
            now=now,
        )
        token = secrets.token_urlsafe(32)
        is_half = await self.engine.second_factors.is_in_force(owner.id)
        if is_half:
            ends_at = now + HALF_LASTS
            change = noting.of_owner("owner.sign_in_begun", owner)
            is_begun = await self.trailed(
                self.engine.second_factors.begin_sign_in(
                    HalfSignIn(digest(token), owner.id, rehashed or stored, ends_at),
                    expect=stored,
                    seen_language=language,
                    now=now,
                ),
                lambda done: change if done else None,
                actor=acting_as(owner),
            )
        else:
            session = new_session(token, owner, now, device=device, place=place)
            opened = await self.trailed(
                self.engine.owners.open_session(
                    session, expect=stored, rehashed=rehashed, seen_language=language
                ),
                _if_any(lambda made: noting.of_owner("owner.signed_in", made)),
                actor=acting_as(owner),
            )
            owner, is_begun = opened or owner, opened is not None
        if not is_begun:
            raise Unauthorized("how this person signs in was changed meanwhile; sign in again")
        return Begun(token, owner, is_half)

    async def _note_refusal(self, email: str, owner: Owner | None) -> None:
        """Keep a wrong password in the trail, a few an hour of each owner: the trail does not
        grow by what strangers try.  What is nobody's address costs the same write."""
        of_address = tried("refusal", (*known_as(email[:MAX_TYPED_CHARS]), "")[0])
        change = noting.of_owner("owner.refused", owner) if owner is not None else None
        await self.trailed(
            self.engine.tries.count(
                {of_address: MAX_REFUSALS}, now=self.clock.now(), window=timedelta(hours=1)
            ),
            lambda ends_at: change if ends_at is None else None,
        )

    async def note_lock(self, email: str) -> None:
        """Keep in the trail that tries to sign in as *email* are refused: once an hour, and only
        so often from one network, whether or not somebody signs in so."""
        address = (*known_as(email[:MAX_TYPED_CHARS]), "")[0]
        owner = await self._named(email)
        change = noting.of_owner("owner.locked", owner) if owner is not None else None
        limits = {
            tried("locks told from", network_of(acting().address)): MAX_LOCKS_TOLD,
            tried("lock", address): 1,
        }
        await self.trailed(
            self.engine.tries.count(limits, now=self.clock.now(), window=timedelta(hours=1)),
            lambda ends_at: change if ends_at is None else None,
        )

    async def signed_in(self, token: str, place: str = "") -> SignedIn | None:
        """Return who the token stands for; None for an unknown, idle or too old session.

        Its use, from *place*, is noted every TOUCH_EVERY_S, and at once from another place.
        """
        session = await self.engine.owners.session(digest(token)) if token else None
        if session is None:
            return None
        now = self.clock.now()
        if max(session.seen_at, session.created_at) > now + AHEAD:
            return None
        is_idle = now - session.seen_at > timedelta(days=IDLE_DAYS)
        if is_idle or now - session.created_at > timedelta(days=ABSOLUTE_DAYS):
            await self.engine.owners.end_sessions(digest=session.digest)
            return None
        owner = await self.engine.owners.find(owner_id=session.owner_id)
        if owner is None:
            return None
        looks_at = session.account_id if owner.is_operator else owner.account_id
        account = await self.directory.find(lambda known: known.accounts.get(looks_at or 0))
        if account is None:
            account = await self.directory.account(owner.account_id)
        is_due = (now - session.seen_at).total_seconds() >= TOUCH_EVERY_S
        if is_due or place != session.place:
            with contextlib.suppress(Overloaded, StorageError):  # a full disk; next time, then
                await self.engine.owners.touch_session(session.digest, now, place)
        return SignedIn(owner, account, session)

    async def look_at(self, signed_in: SignedIn, account_id: int) -> None:
        """Let an operator's session look at another account; raise NotFound for others."""
        if not await self.engine.owners.look_at(signed_in.session.digest, account_id):
            raise NotFound(f"no account {account_id}")
        await self.note_look(account_id, signed_in.session.digest.hex())

    async def note_look(self, account_id: int, where: str) -> None:
        """Keep in the trail that an operator looks into an account: once an hour of each session
        (or, where nobody signs in, each address), which is *where*."""
        change = noting.of_account("account.viewed", await self.directory.account(account_id))
        await self.trailed(
            self.engine.tries.count(
                {tried("look", f"{account_id} {where}"): 1},
                now=self.clock.now(),
                window=timedelta(hours=1),
            ),
            lambda ends_at: change if ends_at is None else None,
        )

    async def sign_out(self, token: str) -> None:
        """End the session of this token."""
        session = await self.engine.owners.session(digest(token))
        owner = await self.engine.owners.find(owner_id=session.owner_id) if session else None
        if owner is not None:
            change = noting.of_owner("session.ended", owner)
            await self.trailed(
                self.engine.owners.end_sessions(digest=digest(token)), lambda _: change
            )

    async def begin_reset(self, email: str) -> tuple[str, Owner] | None:
        """Return a token that sets a new password once, within RESET_LASTS, and whose; None for
        nobody."""
        owner = await self._named(email)
        if owner is None:
            return None
        token = secrets.token_urlsafe(32)
        expires_at = self.clock.now() + RESET_LASTS
        change = noting.of_owner("owner.reset_asked", owner)
        await self.trailed(
            self.engine.owners.add_reset(Reset(digest(token), owner.id, expires_at)),
            lambda _: change,
        )
        return token, owner

    async def finish_reset(self, token: str, password: str) -> Owner:
        """Set the password that a reset allows and end all sessions; raise Unauthorized for a
        token that is unknown, used or expired."""
        hashed = await self.passwords.hash(password)
        owner = await self.trailed(
            self.engine.owners.finish_reset(
                digest(token), password_hash=hashed, now=self.clock.now()
            ),
            _if_any(lambda made: noting.of_owner("owner.password_changed", made, None, BY_LINK)),
        )
        if owner is None:
            raise Unauthorized("the link was used already or has expired; ask for another one")
        return owner

    async def reset_password(self, email: str, password: str) -> Owner:
        """Set a password as the operator, and end all of the owner's sessions and resets."""
        hashed = await self.passwords.hash(password)
        owner = await self.find_owner(email)
        return await self._set_password(owner, hashed)

    async def change_password(self, signed_in: SignedIn, present: str, password: str) -> Owner:
        """Change one's own password; other sessions end, and resets, this session stays.

        Raises Conflict where the password was changed elsewhere since *signed_in* was read.
        """
        if not await self.passwords.verify(present, signed_in.owner.password_hash):
            await self._note_refusal(signed_in.owner.email, signed_in.owner)
            raise BadInput(
                "this is not your present password",
                member="present",
                code="wrong",
                reason="present_password",
            )
        hashed = await self.passwords.hash(password)
        return await self._set_password(signed_in.owner, hashed, keep=signed_in.session.digest)

    async def prefer(
        self,
        owner: Owner,
        *,
        language: str | None = None,
        time_zone: str | None = None,
        wants_notices: bool | None = None,
    ) -> Owner:
        """Store which of language, time zone and wish for notices are given; Conflict where one
        of them was changed since *owner* was read."""
        was = noting.owner_members(owner)
        return await self.trailed(
            self.engine.owners.prefer(
                owner.id,
                language=language,
                time_zone=time_zone,
                wants_notices=wants_notices,
                expect=owner,
            ),
            lambda made: noting.of_owner("owner.changed", made, was, noting.owner_members(made)),
        )

    async def set_operator(self, email: str, is_operator: bool) -> Owner:
        """Give somebody the right to open every account, or take it back; his sessions end."""
        owner = await self.find_owner(email)
        return await self.trailed(
            self.engine.owners.set_operator(owner.id, is_operator),
            lambda made: noting.of_operator(owner, made),
        )

    async def remove_owner(self, account_id: int, owner_id: int) -> None:
        """Let a user of the account sign in no more; the last one stays, and operators, who are
        nobody's users, are not found."""
        await self.trailed(self.engine.owners.remove(owner_id, account_id=account_id), _removal)

    async def remove_person(self, email: str) -> Owner:
        """Let anybody, operators too, sign in no more; the last user of an account and the last
        operator stay."""
        owner = await self.find_owner(email)
        return await self.trailed(self.engine.owners.remove(owner.id), _removal)

    async def _set_password(self, owner: Owner, hashed: str, *, keep: bytes = b"") -> Owner:
        """Replace the password that *owner* was read with."""
        return await self.trailed(
            self.engine.owners.set_password(
                owner.id, expect=owner.password_hash, password_hash=hashed, keep=keep
            ),
            lambda made: noting.of_owner("owner.password_changed", made),
        )


def new_session(token: str, owner: Owner, now: datetime, *, device: str, place: str) -> Session:
    """Return a session of the owner that begins now."""
    return Session(
        digest=digest(token),
        owner_id=owner.id,
        account_id=owner.account_id,
        created_at=now,
        seen_at=now,
        device=device,
        place=place,
    )


def digest(token: str) -> bytes:
    """Return what is stored of a token; it cannot be guessed, so one SHA-256 does."""
    return sha256(token.encode("utf-8", "surrogatepass")).digest()


def tried(what: str, of: str) -> bytes:
    """Return the key of something that is counted; it tells nobody of what."""
    return blake2b(f"{what} of {of}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _if_any(change_of: Callable[[Owner], Change]) -> Callable[[Owner | None], Change | None]:
    return lambda owner: None if owner is None else change_of(owner)


def _removal(owner: Owner) -> Change:
    return noting.of_owner("owner.removed", owner, noting.owner_members(owner))
