"""The browsers that somebody is signed in with: listed, and ended from afar."""

from datetime import timedelta

from postbell.desk import noting
from postbell.desk.owners import ABSOLUTE_DAYS, IDLE_DAYS, OwnersDesk, SignedIn
from postbell.errors import NotFound
from postbell.records import Owner, Session


class Sessions(OwnersDesk):
    """Looking at sessions and ending them."""

    async def sessions_of(self, owner_id: int) -> list[Session]:
        """Return the sessions of an owner that have not ended, the one used last first."""
        now = self.clock.now()
        seen_after = now - timedelta(days=IDLE_DAYS)
        opened_after = now - timedelta(days=ABSOLUTE_DAYS)
        return [
            each
            for each in await self.engine.owners.sessions(owner_id)
            if each.seen_at >= seen_after and each.created_at >= opened_after
        ]

    async def is_open(self, signed_in: SignedIn) -> bool:
        """Return whether a session has not been ended since it was read."""
        return await self.engine.owners.session(signed_in.session.digest) is not None

    async def end_session(self, signed_in: SignedIn, session_id: str) -> Session:
        """End one of one's own sessions by its id; raise NotFound for others."""
        for each in await self.engine.owners.sessions(signed_in.owner.id):
            if each.id == session_id and await self._end(signed_in.owner, digest=each.digest):
                return each
        raise NotFound(f"no session {session_id[:40]!r}", reason="session_gone")

    async def sign_out_others(self, signed_in: SignedIn) -> int:
        """End all of one's own sessions but this one; return how many there were."""
        return await self._end(
            signed_in.owner, owner_id=signed_in.owner.id, keep=signed_in.session.digest
        )

    async def sign_out_everywhere(self, owner: Owner) -> int:
        """End every session of an owner; return how many there were."""
        return await self._end(owner, owner_id=owner.id)

    async def _end(
        self, owner: Owner, *, digest: bytes = b"", owner_id: int = 0, keep: bytes = b""
    ) -> int:
        return await self.trailed(
            self.engine.owners.end_sessions(digest=digest, owner_id=owner_id, keep=keep),
            lambda ended: (
                noting.of_owner("session.ended", owner, None, {"sessions": ended})
                if ended
                else None
            ),
        )
