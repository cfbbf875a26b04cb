"""Bearer tokens: sealed texts that name an api user, so that nothing is stored of them.

Any process with the same secret key file takes a token, also after a restart.  It ends after
LASTS, or with its key where that ends sooner, and at once when that is revoked.
"""

import re
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from postbell.clock import is_good
from postbell.desk import Caller, ClientAddress, Desk
from postbell.errors import StorageError, Unauthorized
from postbell.rights import Right
from postbell.sealing import Sealer

LASTS = timedelta(hours=1)
MAX_TOKEN_CHARS = 2048
PREFIX = "\0token:"
"""No other sealed text begins with U+0000: the desk takes none that holds it."""
_TOKEN = re.compile(r"[A-Za-z0-9_-]+")


class _Claims(msgspec.Struct, frozen=True, array_like=True):
    """What a token says: whose it is, by which key, when it ends (Unix time)."""

    api_user: str
    key_id: int
    expires_at: float

    def is_good(self, now: datetime) -> bool:
        return is_good(datetime.fromtimestamp(self.expires_at, UTC), LASTS, now)


class Token(NamedTuple):
    """A token, and for how many whole seconds it is good, unless its key is revoked before."""

    text: str
    good_for_s: int


class Tokens:
    """Gives tokens for keys, and callers for tokens."""

    def __init__(self, desk: Desk, sealer: Sealer) -> None:
        self._desk = desk
        self._sealer = sealer

    async def issue(
        self, client_id: str, client_secret: str, *, client: ClientAddress = None
    ) -> Token:
        """Return a token for an api user's name and key; raise Unauthorized for others."""
        if ":" in client_id:
            self._desk.fail(client)
            raise Unauthorized("the api user or its key is wrong")
        pair = f"{client_id}:{client_secret}".encode("utf-8", "replace")
        caller = await self._desk.authenticate(
            "Basic " + b64encode(pair).decode(), client=client, right=Right.READ
        )
        self._desk.admit(caller)
        now = self._desk.clock.now()
        ends_at = now + LASTS
        if caller.key.expires_at is not None:
            ends_at = min(ends_at, caller.key.expires_at)
        claims = _Claims(caller.api_user.name, caller.key.id, ends_at.timestamp())
        sealed = self._sealer.seal(PREFIX + msgspec.json.encode(claims).decode())
        return Token(sealed.decode().rstrip("="), int((ends_at - now).total_seconds()))

    async def check(
        self, authorization: str | None, *, client: ClientAddress = None, right: Right
    ) -> Caller:
        """Return the caller that an Authorization header's token names; raise Unauthorized,
        Forbidden where its key is not good for *right*.

        A token that was never ours counts as a wrong key of the client's network, and raises
        TooMany over the limit.
        """
        try:
            claims = self._opened(authorization)
        except Unauthorized:
            if authorization is not None:
                self._desk.fail(client)
            raise
        if claims is None or not claims.is_good(self._desk.clock.now()):
            raise Unauthorized("the token has expired; ask for another one")
        return await self._desk.caller(claims.key_id, right)

    def _opened(self, authorization: str | None) -> _Claims | None:
        """Return what a token of ours says, None for one that an older release gave."""
        scheme, _, token = (authorization or "").partition(" ")
        token = token.strip(" ")
        if scheme.lower() != "bearer" or len(token) > MAX_TOKEN_CHARS:
            raise Unauthorized("no token; send Authorization: Bearer")
        try:
            text = self._sealer.unseal(_padded(token))
        except StorageError:
            raise Unauthorized("the token is not one of ours") from None
        if not text.startswith(PREFIX):
            raise Unauthorized("the token is not one of ours")
        try:
            return msgspec.json.decode(text.removeprefix(PREFIX), type=_Claims)
        except msgspec.ValidationError:
            return None


def _padded(token: str) -> bytes:
    """Return the sealed text of a token, which has no padding; letters that no token has are not
    passed on: base64 would overlook them."""
    if not _TOKEN.fullmatch(token):
        raise Unauthorized("the token is not one of ours")
    return token.encode() + b"=" * (-len(token) % 4)
