"""Bearer tokens: sealed texts that name an api user, so that nothing is stored of them.

Any process with the same secret key file takes a token, also after a restart.  It ends after
LIFETIME_S, and at once when the api user is revoked or its key replaced.
"""

import hmac
import re
from base64 import b64encode
from hashlib import blake2b

import msgspec

from postbell.desk import Caller, Client, Desk
from postbell.errors import StorageError, Unauthorized
from postbell.holding import claim
from postbell.rights import Right
from postbell.sealing import Sealer
from postbell.signals import tell

LIFETIME_S = 3600
MAX_TOKEN_CHARS = 2048
MAX_AGE_S = 0.5
MAX_MISS_AGE_S = 0.05
PREFIX = "\0token:"
"""No other sealed text begins with U+0000: the desk takes none that holds it."""
_TOKEN = re.compile(r"[A-Za-z0-9_-]+")


class _Claims(msgspec.Struct, frozen=True, array_like=True):
    """What a token says: whose it is, the digest of the key's hash, when it ends (Unix time)."""

    api_user: str
    key_digest: str
    expires_at: float


class Tokens:
    """Gives tokens for keys, and callers for tokens."""

    def __init__(self, desk: Desk, sealer: Sealer) -> None:
        self._desk = desk
        self._sealer = sealer
        self._fresh_at = float("-inf")

    async def issue(self, client_id: str, client_secret: str, *, client: Client = None) -> str:
        """Return a token for an api user's name and key; raise Unauthorized for others."""
        if ":" in client_id:
            raise Unauthorized("the api user or its key is wrong")
        pair = f"{client_id}:{client_secret}".encode("utf-8", "replace")
        caller = await self._desk.authenticate(
            "Basic " + b64encode(pair).decode(), client=client, right=Right.READ
        )
        self._desk.admit(caller)
        claims = _Claims(
            caller.api_user.name,
            _digest(caller.api_user.key_hash),
            self._desk.clock.now().timestamp() + LIFETIME_S,
        )
        sealed = self._sealer.seal(PREFIX + msgspec.json.encode(claims).decode())
        return sealed.decode().rstrip("=")

    async def check(
        self, authorization: str | None, *, client: Client = None, right: Right
    ) -> Caller:
        """Return the caller that an Authorization header's token names; raise Unauthorized.

        The directory is at most MAX_AGE_S old, so a revocation in another process counts within
        that time; what does not fit reads it again, so a new api user counts at once.
        """
        claims = self._opened(authorization)
        if claims.expires_at <= self._desk.clock.now().timestamp():
            raise Unauthorized("the token has expired; ask for another one")
        await self._refresh(MAX_AGE_S)
        caller = self._match(claims)
        if caller is None and await self._refresh(MAX_MISS_AGE_S):
            caller = self._match(claims)
        if caller is None:
            raise Unauthorized("the token's api user was revoked, or its key replaced")
        claim(caller.account.id)
        tell(account=caller.account.name, api_user=caller.api_user.name)
        return caller

    def _opened(self, authorization: str | None) -> _Claims:
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
        return msgspec.json.decode(text.removeprefix(PREFIX), type=_Claims)

    def _match(self, claims: _Claims) -> Caller | None:
        directory = self._desk.directory
        user = directory.api_user(claims.api_user)
        if user is None or not hmac.compare_digest(_digest(user.key_hash), claims.key_digest):
            return None
        account = directory.accounts.get(user.account_id)
        return None if account is None else Caller(account, user)

    async def _refresh(self, max_age_s: float) -> bool:
        """Bring the directory up to date unless it was read in the last *max_age_s*."""
        now = self._desk.clock.monotonic_s()
        if now - self._fresh_at < max_age_s:
            return False
        await self._desk.directory.refresh()
        self._fresh_at = now
        return True


def _padded(token: str) -> bytes:
    """Return the sealed text of a token, which has no padding; letters that no token has are not
    passed on: base64 would overlook them."""
    if not _TOKEN.fullmatch(token):
        raise Unauthorized("the token is not one of ours")
    return token.encode() + b"=" * (-len(token) % 4)


def _digest(key_hash: str) -> str:
    return blake2b(key_hash.encode(), digest_size=16).hexdigest()
