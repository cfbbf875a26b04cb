"""A second factor of signing in: set up, used, replaced and turned off by its owner.

A password alone then begins a sign-in that a code finishes.  Whether a code was right and unused
is decided by the write that it allows, never before it.
"""

import secrets
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

from postbell.desk import codes, noting
from postbell.desk.acting import acting_as
from postbell.desk.owners import (
    MAX_REFUSALS,
    OwnersDesk,
    SignedIn,
    digest,
    new_session,
    tried,
)
from postbell.errors import BadInput, Conflict, NotFound, Unauthorized
from postbell.ports import Proof, SecondFactor
from postbell.records import Owner
from postbell.signals import log
from postbell.trail import Change

SETUP_MINUTES = 15


class SecondFactorsDesk(OwnersDesk):
    """The write side of second factors."""

    async def second_factor(self, owner_id: int) -> SecondFactor | None:
        """Return the factor that an owner has in force."""
        found = await self.engine.second_factors.of(owner_id)
        return found if found is not None and found.since is not None else None

    async def has_second_factor(self, owner_id: int) -> bool:
        """Return whether an owner has a factor in force."""
        return await self.engine.second_factors.is_in_force(owner_id)

    async def begin_second_factor(self, signed_in: SignedIn, password: str) -> SecondFactor:
        """Make a secret that a first code puts in force within SETUP_MINUTES."""
        owner = signed_in.owner
        await self._check_password(owner, password)
        write = self.engine.second_factors.begin(
            owner.id,
            codes.new_secret(),
            password_hash=owner.password_hash,
            now=self.clock.now(),
        )
        change = noting.of_owner("second_factor.begun", owner)
        begun = await self.trailed(write, lambda made: None if made is None else change)
        if begun is None:
            raise Conflict("a second factor is in force already", reason="second_factor_there")
        return begun

    async def awaited_second_factor(self, signed_in: SignedIn) -> SecondFactor | None:
        """Return the factor of the owner whose first code is awaited."""
        found = await self.engine.second_factors.of(signed_in.owner.id)
        if found is None or found.since is not None:
            return None
        age = self.clock.now() - found.created_at
        return found if age < timedelta(minutes=SETUP_MINUTES) else None

    async def confirm_second_factor(self, signed_in: SignedIn, code: str) -> list[str]:
        """Put the factor in force by its first code, end all other sessions, and return the
        recovery codes for the one time they are shown."""
        awaited = await self.awaited_second_factor(signed_in)
        if awaited is None:
            raise Conflict("nothing waits for a code; begin anew", reason="second_factor_late")
        now, made = self.clock.now(), codes.new_recovery_codes()
        proof = codes.proof_of(awaited, code, now)
        if proof is None:
            raise _wrong_code()
        write = self.engine.second_factors.put_in_force(
            proof,
            [codes.recovery_digest(each) for each in made],
            begun_after=now - timedelta(minutes=SETUP_MINUTES),
            keep=signed_in.session.digest,
            now=now,
        )
        await self._do(write, "second_factor.turned_on", signed_in.owner)
        return made

    async def renew_recovery_codes(
        self, signed_in: SignedIn, password: str, code: str
    ) -> list[str]:
        """Put new recovery codes in the place of all old ones, and return them to be shown."""
        made = codes.new_recovery_codes()
        proof = await self._proof(signed_in, password, code)
        write = self.engine.second_factors.replace_recovery(
            proof,
            [codes.recovery_digest(each) for each in made],
            password_hash=signed_in.owner.password_hash,
        )
        await self._do(write, "second_factor.codes_renewed", signed_in.owner)
        return made

    async def turn_off_second_factor(self, signed_in: SignedIn, password: str, code: str) -> None:
        """Let the password alone sign in again."""
        proof = await self._proof(signed_in, password, code)
        write = self.engine.second_factors.turn_off(
            proof, password_hash=signed_in.owner.password_hash
        )
        await self._do(write, "second_factor.turned_off", signed_in.owner)

    async def reset_second_factor(self, email: str) -> Owner:
        """Remove somebody's second factor as the operator, and end all of the owner's sessions."""
        owner = await self.find_owner(email)
        change = noting.of_owner("second_factor.removed", owner)
        write = self.engine.second_factors.remove(owner.id)
        if not await self.trailed(write, _if_done(change)):
            raise NotFound(f"{owner.email} has no second factor")
        return owner

    async def half_signed_in(self, token: str) -> Owner | None:
        """Return whose sign-in waits for a code; None for a token that is unknown, used, expired,
        or from before a new password."""
        if not token:
            return None
        half = await self.engine.second_factors.half_sign_in(digest(token), self.clock.now())
        return None if half is None else await self.engine.owners.find(owner_id=half.owner_id)

    async def finish_sign_in(
        self, token: str, code: str, *, device: str = "", place: str = ""
    ) -> tuple[str, Owner]:
        """Return a new session's token and its owner.

        Raises Unauthorized where nobody waits under *token*, BadInput for a wrong or used code.
        """
        owner = await self.half_signed_in(token)
        if owner is None:
            raise Unauthorized("this took too long; sign in again", reason="half_gone")
        now, made = self.clock.now(), secrets.token_urlsafe(32)
        session = new_session(made, owner, now, device=device, place=place)
        factor = await self.second_factor(owner.id)
        proof = codes.proof_of(factor, code, now) if factor is not None else None
        by = "recovery code" if proof is not None and proof.recovery else "one-time code"
        change = noting.of_owner("owner.signed_in", owner, None, {"by": by})
        if proof is None or not await self.trailed(
            self.engine.second_factors.finish_sign_in(digest(token), proof, session, now),
            _if_done(change),
            actor=acting_as(owner),
        ):
            await self._note_refused_code(owner)
            raise _wrong_code()
        return made, owner

    async def _do(self, write: Coroutine[Any, Any, bool], action: str, owner: Owner) -> None:
        """Do what a proof allows; raise BadInput where it proves nothing (any more)."""
        if not await self.trailed(write, _if_done(noting.of_owner(action, owner))):
            raise _wrong_code()

    async def _note_refused_code(self, owner: Owner) -> None:
        """Tell the operator and keep in the trail that a code was wrong, a few an hour of each
        owner: whoever sends one knows the password."""
        log("code_refused", owner_id=owner.id)
        change = noting.of_owner("owner.code_refused", owner)
        await self.trailed(
            self.engine.tries.count(
                {tried("refused code", str(owner.id)): MAX_REFUSALS},
                now=self.clock.now(),
                window=timedelta(hours=1),
            ),
            lambda ends_at: change if ends_at is None else None,
        )

    async def _proof(self, signed_in: SignedIn, password: str, code: str) -> Proof:
        await self._check_password(signed_in.owner, password)
        factor = await self.second_factor(signed_in.owner.id)
        if factor is None:
            raise NotFound("there is no second factor", reason="second_factor_none")
        proof = codes.proof_of(factor, code, self.clock.now())
        if proof is None:
            raise _wrong_code()
        return proof

    async def _check_password(self, owner: Owner, password: str) -> None:
        if not await self.passwords.verify(password, owner.password_hash):
            await self._note_refusal(owner.email, owner)
            raise BadInput(
                "this is not your present password",
                member="present",
                code="wrong",
                reason="present_password",
            )


def _if_done(change: Change) -> Callable[[bool], Change | None]:
    return lambda is_done: change if is_done else None


def _wrong_code() -> BadInput:
    return BadInput(
        "the code is wrong, or was used already; wait for the next one",
        member="code",
        code="wrong_code",
    )
