"""People who sign in: owners, their passwords, and the sessions of their browsers.

Tokens of sessions and resets have 256 random bits; only their hashes are stored.
"""

import contextlib
import re
import secrets
from datetime import timedelta
from hashlib import sha256
from typing import Any, NamedTuple

from postbell.desk.core import Core
from postbell.desk.passwords import Passwords
from postbell.errors import BadInput, NotFound, Overloaded, StorageError, Unauthorized
from postbell.records import Account, Owner, Reset, Session

IDLE_DAYS = 14
ABSOLUTE_DAYS = 60
RESET_HOURS = 2
TOUCH_EVERY_S = 60.0
MAX_EMAIL_CHARS = 254
MAX_OWNERS = 200


class SignedIn(NamedTuple):
    """Who a session's token stands for, and the account that the session looks at."""

    owner: Owner
    account: Account
    session: Session


class Owners(Core):
    """The write side of signing in."""

    def __init__(self, *args: Any, passwords: Passwords | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.passwords = passwords or Passwords()

    async def create_owner(
        self, account_id: int, email: str, password: str | None, *, is_operator: bool = False
    ) -> Owner:
        """Let somebody sign in to the account; without *password* a reset is needed first."""
        address = check_email(email)
        hashed = "" if password is None else await self.passwords.hash(password)
        return await self.engine.owners.add(
            Owner(
                id=0,
                account_id=account_id,
                email=address,
                password_hash=hashed,
                created_at=self.clock.now(),
                is_operator=is_operator,
            ),
            most=MAX_OWNERS,
        )

    async def find_owner(self, email: str) -> Owner:
        """Return the owner of this address; raise NotFound."""
        owner = await self.engine.owners.find(email=email.strip().lower())
        if owner is None:
            raise NotFound(f"nobody signs in as {email[:80]!r}")
        return owner

    async def sign_in(self, email: str, password: str, language: str = "") -> tuple[str, Owner]:
        """Return a new session's token and its owner; raise Unauthorized where either is wrong.

        *language* is what the browser speaks; it is remembered for mails.
        """
        owner = await self.engine.owners.find(email=email.strip().lower()[:MAX_EMAIL_CHARS] or "-")
        stored = owner.password_hash if owner is not None else ""
        is_right = await self.passwords.verify(password, stored)
        if owner is None or not is_right:
            raise Unauthorized("the e-mail address or the password is wrong")
        is_old = self.passwords.is_old(stored)
        rehashed = await self.passwords.hash(password) if is_old else ""
        now = self.clock.now()
        token = secrets.token_urlsafe(32)
        await self.engine.owners.sweep(
            seen_before=now - timedelta(days=IDLE_DAYS),
            opened_before=now - timedelta(days=ABSOLUTE_DAYS),
            now=now,
        )
        opened = await self.engine.owners.open_session(
            Session(
                digest=digest(token),
                owner_id=owner.id,
                account_id=owner.account_id,
                created_at=now,
                seen_at=now,
            ),
            expect=stored,
            rehashed=rehashed,
            seen_language=language,
        )
        if opened is None:
            raise Unauthorized("the password was changed meanwhile; sign in with the new one")
        return token, opened

    async def signed_in(self, token: str) -> SignedIn | None:
        """Return who the token stands for; None for an unknown, idle or too old session."""
        session = await self.engine.owners.session(digest(token)) if token else None
        if session is None:
            return None
        now = self.clock.now()
        is_idle = now - session.seen_at > timedelta(days=IDLE_DAYS)
        if is_idle or now - session.created_at > timedelta(days=ABSOLUTE_DAYS):
            await self.engine.owners.end_sessions(digest=session.digest)
            return None
        owner = await self.engine.owners.find(owner_id=session.owner_id)
        if owner is None:
            return None
        looks_at = session.account_id if owner.is_operator else owner.account_id
        account = self.directory.accounts.get(looks_at)
        if account is None:
            await self.directory.refresh()
            account = self.directory.accounts[owner.account_id]
        if (now - session.seen_at).total_seconds() >= TOUCH_EVERY_S:
            with contextlib.suppress(Overloaded, StorageError):  # a full disk; next time, then
                await self.engine.owners.touch_session(session.digest, now)
        return SignedIn(owner, account, session)

    async def look_at(self, signed_in: SignedIn, account_id: int) -> None:
        """Let an operator's session look at another account; raise NotFound for others."""
        if not await self.engine.owners.look_at(signed_in.session.digest, account_id):
            raise NotFound(f"no account {account_id}")

    async def sign_out(self, token: str) -> None:
        """End the session of this token."""
        await self.engine.owners.end_sessions(digest=digest(token))

    async def begin_reset(self, email: str) -> tuple[str, Owner] | None:
        """Return a token that sets a new password once, within RESET_HOURS, and whose; None for
        nobody."""
        owner = await self.engine.owners.find(email=email.strip().lower() or "-")
        if owner is None:
            return None
        token = secrets.token_urlsafe(32)
        expires_at = self.clock.now() + timedelta(hours=RESET_HOURS)
        await self.engine.owners.add_reset(Reset(digest(token), owner.id, expires_at))
        return token, owner

    async def finish_reset(self, token: str, password: str) -> Owner:
        """Set the password that a reset allows and end all sessions; raise Unauthorized for a
        token that is unknown, used or expired."""
        hashed = await self.passwords.hash(password)
        owner = await self.engine.owners.finish_reset(
            digest(token), password_hash=hashed, now=self.clock.now()
        )
        if owner is None:
            raise Unauthorized("the link was used already or has expired; ask for another one")
        return owner

    async def reset_password(self, email: str, password: str) -> Owner:
        """Set a password as the operator, and end all of the owner's sessions and resets."""
        hashed = await self.passwords.hash(password)
        owner = await self.find_owner(email)
        return await self.engine.owners.set_password(
            owner.id, expect=owner.password_hash, password_hash=hashed
        )

    async def change_password(self, signed_in: SignedIn, present: str, password: str) -> Owner:
        """Change one's own password; other sessions end, and resets, this session stays.

        Raises Conflict where the password was changed elsewhere since *signed_in* was read.
        """
        if not await self.passwords.verify(present, signed_in.owner.password_hash):
            raise BadInput(
                "this is not your present password",
                member="present",
                code="wrong",
                reason="present_password",
            )
        hashed = await self.passwords.hash(password)
        return await self.engine.owners.set_password(
            signed_in.owner.id,
            expect=signed_in.owner.password_hash,
            password_hash=hashed,
            keep=signed_in.session.digest,
        )

    async def prefer(
        self,
        owner: Owner,
        *,
        language: str | None = None,
        time_zone: str | None = None,
        wants_notices: bool | None = None,
    ) -> Owner:
        """Store which of language, time zone and wish for notices are given."""
        return await self.engine.owners.prefer(
            owner.id, language=language, time_zone=time_zone, wants_notices=wants_notices
        )

    async def set_operator(self, email: str, is_operator: bool) -> Owner:
        """Give somebody the right to open every account, or take it back; his sessions end."""
        owner = await self.find_owner(email)
        return await self.engine.owners.set_operator(owner.id, is_operator)

    async def remove_owner(self, account_id: int, owner_id: int) -> None:
        """Let a user of the account sign in no more; the last one stays, and operators, who are
        nobody's users, are not found."""
        await self.engine.owners.remove(owner_id, account_id=account_id)

    async def remove_person(self, email: str) -> Owner:
        """Let anybody, operators too, sign in no more; the last user of an account and the last
        operator stay."""
        owner = await self.find_owner(email)
        return await self.engine.owners.remove(owner.id)


def digest(token: str) -> bytes:
    """Return what is stored of a token; it cannot be guessed, so one SHA-256 does."""
    return sha256(token.encode("utf-8", "surrogatepass")).digest()


def check_email(email: str) -> str:
    """Return the address in lower case; raise BadInput for what is none."""
    address = email.strip().lower()
    if len(address) > MAX_EMAIL_CHARS or not _EMAIL.fullmatch(address):
        raise BadInput(
            f"{email[:80]!r} is not an e-mail address; write it as name@example.com",
            member="email",
            reason="email_malformed",
            given=email[:80],
        )
    return address


_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]{1,64}@[^@\s.\x00-\x1f\x7f]+(\.[^@\s.\x00-\x1f\x7f]+)*")
