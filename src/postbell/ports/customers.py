"""What is kept of customers: accounts, api users, webhooks, owners, tries, answers to requests."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from postbell.records import (
    Account,
    ApiUser,
    IdempotencyKey,
    Owner,
    Reset,
    Secret,
    SecretKind,
    Session,
    Webhook,
)
from postbell.rights import UNLIMITED, KeyTerms


class NewSecret(NamedTuple):
    kind: SecretKind
    value: str
    active_at: datetime
    expires_at: datetime | None = None


class ApiUsers(Protocol):
    """Api users and their keys, a part of the registry.

    The key under whose warrant a write is asked for must be good for managing, and cover what is
    made, ended or revoked (`rights.covers`), at the commit; else Forbidden.
    """

    async def add_api_user(
        self,
        account_id: int,
        name: str,
        key_hash: str,
        now: datetime,
        *,
        terms: KeyTerms = UNLIMITED,
        hint: str = "",
        most: int | None = None,
    ) -> ApiUser:
        """Store an api user with its first key.

        With *most* an account has at most so many that are not revoked, and REVOKED_TIMES as
        many that are; one more raises Conflict.
        """
        ...

    async def add_api_key(
        self,
        api_user_id: int,
        key_hash: str,
        now: datetime,
        *,
        terms: KeyTerms = UNLIMITED,
        hint: str = "",
        ends: Mapping[int, datetime] = {},
        most: int | None = None,
    ) -> ApiUser:
        """Store a further key and let others (by id) end, not later than they would anyway.

        Raises Conflict where the api user is revoked, one of *ends* has ended, or more than
        *most* keys had not ended then.  Of the ended ones only the newest ENDED_KEYS_KEPT stay.
        """
        ...

    async def end_api_keys(self, api_user_id: int, ends: Mapping[int, datetime]) -> ApiUser:
        """Let keys (by id) end, not later than they would anyway."""
        ...

    async def revoke_api_user(self, api_user_id: int, now: datetime) -> ApiUser:
        """Revoke it, the first time counts, and end all of its keys."""
        ...

    async def rehash_api_key(self, key_id: int, key_hash: str, *, expect: str) -> bool:
        """Store another hash of the same key if its hash is still *expect*; say whether."""
        ...

    async def note_api_keys_used(self, key_ids: Collection[int], now: datetime) -> None:
        """Note when keys were used; the registry's version does not rise."""
        ...

    async def api_users(self, account_id: int | None = None) -> list[ApiUser]:
        """Return api users, revoked ones too, by id."""
        ...


REVOKED_TIMES = 10
ENDED_KEYS_KEPT = 10


class Registry(ApiUsers, Protocol):
    """Accounts, api users, webhooks and their secrets.

    Every write raises the registry's version and rings; processes follow with `changes`.
    Names are unique: a second one raises Conflict.  Unknown ids raise NotFound.
    """

    async def version(self, *, is_sure: bool = False) -> int:
        """Return how often the registry changed; with *is_sure* a commit that another process
        made this very moment counts, too, at the price of a look at the storage."""
        ...

    async def add_account(self, name: str, now: datetime) -> Account: ...

    async def accounts(self) -> list[Account]: ...

    async def add_webhook(
        self,
        webhook: Webhook,
        secrets: Sequence[NewSecret],
        *,
        most: int | None = None,
        is_url_unique: bool = False,
    ) -> Webhook:
        """Store a new webhook: its id is given here; an empty `revisions` makes revision 1 from
        `webhook.start`; its lane's cursor begins at `webhook.start`.

        A start of block 0 and offset -1 means the log's head at the commit.  Conflict where the
        account has *most* webhooks already, and, with *is_url_unique*, where another webhook of
        account and dialect has the URL.
        """
        ...

    async def set_webhook(
        self, webhook: Webhook, *, expect: Webhook | None = None, is_url_unique: bool = False
    ) -> Webhook:
        """Store all members of an existing webhook but secrets and revisions.

        With *expect* nothing is written and Conflict raised unless the stored `settings` are
        still its own: somebody changed or paused it meanwhile.  *is_url_unique* as in
        `add_webhook`.

        Where api_user, types, dialect or options differ from the newest revision, a further one
        begins at the log's head at the commit, and the lane's epoch rises: a cut that was made
        without knowing of it is refused.
        """
        ...

    async def delete_webhook(
        self, webhook_id: int, now: datetime, *, expect: Webhook | None = None
    ) -> None:
        """Delete it: its lane is given out no more, its open batches and replays go.

        *expect* as in `set_webhook`.
        """
        ...

    async def webhook(self, webhook_id: int) -> Webhook | None: ...

    async def webhooks(
        self, account_id: int | None = None, *, changed_after: int = 0
    ) -> list[Webhook]:
        """Return webhooks by id ascending; with *changed_after* only those that a write after
        that registry version touched (deleted ones are missing: see `deleted_after`)."""
        ...

    async def deleted_after(self, version: int) -> list[int]:
        """Return ids of webhooks that were deleted after that registry version."""
        ...

    async def add_secrets(
        self,
        secrets: Sequence[NewSecret],
        *,
        webhook_id: int | None = None,
        account_id: int | None = None,
        expire: Mapping[int, datetime] | None = None,
        expect: Collection[int] | None = None,
    ) -> list[Secret]:
        """Add keys of one webhook, or of an account (EngageLab's APP KEY), and set when older
        ones (by id) end; return all of the owner's secrets that have not ended.

        With *expect* nothing is written and Conflict raised unless these are the ids of those
        that had not ended before: somebody else added one meanwhile.
        """
        ...

    async def account_secrets(self, account_id: int) -> list[Secret]: ...


class Owners(Protocol):
    """People who sign in, their browsers, and resets of their passwords.

    E-mail addresses come in lower case and are unique: a second one raises Conflict.  Unknown
    ids raise NotFound.  A write touches the members it names and no others; what must be true
    for it is looked at in its own transaction.

    An operator belongs to the installation: none is counted, listed by `users` or removed as a
    user of the account that the sessions begin at.
    """

    async def add(self, owner: Owner, *, most: int | None = None) -> Owner:
        """Store a new owner; the id is given here.  Conflict where the account has *most* users
        already; operators are not counted."""
        ...

    async def prefer(
        self,
        owner_id: int,
        *,
        language: str | None = None,
        time_zone: str | None = None,
        wants_notices: bool | None = None,
        expect: Owner | None = None,
    ) -> Owner:
        """Store the preferences that are given; Conflict, and none is, where one of them is no
        longer as in *expect*."""
        ...

    async def set_operator(self, owner_id: int, is_operator: bool) -> Owner:
        """Make somebody an operator or a user of the account; his sessions end.  Conflict for
        the last operator."""
        ...

    async def set_password(
        self, owner_id: int, *, expect: str, password_hash: str, keep: bytes = b""
    ) -> Owner:
        """Replace the password whose hash is *expect*, end all sessions but *keep*, and every
        reset; Conflict, and nothing written, where another password is stored by now."""
        ...

    async def remove(self, owner_id: int, *, account_id: int | None = None) -> Owner:
        """Remove an owner with the sessions and resets.  With *account_id* NotFound for whoever
        is not a user of that account.  Conflict for the last user of an account and for the last
        operator."""
        ...

    async def find(self, *, owner_id: int = 0, email: str = "") -> Owner | None:
        """Return the owner of this id, or of this address."""
        ...

    async def of(self, account_id: int | None = None) -> list[Owner]:
        """Return who has a place in an account, operators too, or all, by id."""
        ...

    async def users(self, account_id: int) -> list[Owner]:
        """Return the users of an account, which operators are not, by id."""
        ...

    async def open_session(
        self, session: Session, *, expect: str, rehashed: str = "", seen_language: str = ""
    ) -> Owner | None:
        """Open a session of the owner whose password's hash is *expect*, and return the owner;
        None, and nothing written, where it is another one by now, the owner is gone, or has a
        second factor in force.  Of an owner's sessions the SESSIONS_KEPT used last are kept.

        *rehashed* replaces that hash (the same password, more work), *seen_language* the one
        before; empty ones do not.
        """
        ...

    async def session(self, digest: bytes) -> Session | None: ...

    async def sessions(self, owner_id: int) -> list[Session]:
        """Return the sessions of an owner, the one used last first."""
        ...

    async def touch_session(self, digest: bytes, seen_at: datetime, place: str) -> None:
        """Note when the session was used, and from where; nothing for an unknown one."""
        ...

    async def look_at(self, digest: bytes, account_id: int) -> bool:
        """Let an operator's session look at an account that there is; False for all others."""
        ...

    async def end_sessions(
        self, *, digest: bytes = b"", owner_id: int = 0, keep: bytes = b""
    ) -> int:
        """End one session, or all of an owner but *keep*, and with them the owner's sign-ins half
        way; return how many sessions there were."""
        ...

    async def add_reset(self, reset: Reset) -> None:
        """Keep a reset; older ones of the owner end.  Nothing for an owner who is gone."""
        ...

    async def finish_reset(
        self, digest: bytes, *, password_hash: str, now: datetime
    ) -> Owner | None:
        """Use a reset up: the owner has this password, no session and no reset.  None, and
        nothing written, for an unknown, used or expired one."""
        ...

    async def sweep(self, *, seen_before: datetime, opened_before: datetime, now: datetime) -> None:
        """Drop sessions not seen, or opened, since these times, and resets that expired."""
        ...


SESSIONS_KEPT = 100
"""Of one owner."""
RESET_LASTS = timedelta(hours=2)
"""A reset that would be good for longer is not good: a clock was ahead."""


class Tries(Protocol):
    """How often something was tried, counted where all processes see it.

    Keys are digests.  A window begins with a key's first try and lasts as long as the caller
    says; then the key counts anew.  The newest TRIES_KEPT keys are kept, older ones for a while.
    Beside them stands by which marks one who succeeded is known again.
    """

    async def count(
        self, limits: Mapping[bytes, int], *, now: datetime, window: timedelta
    ) -> datetime | None:
        """Count a try under each key and return None; where one has its limit already, count
        none and return when the window of that one ends."""
        ...

    async def give_back(self, tries: Mapping[bytes, int]) -> None:
        """Take so many tries off each key; one without any is forgotten."""
        ...

    async def forget(self, *parts: bytes) -> int:
        """Forget every key that begins or ends with one of *parts*; return how many there were."""
        ...

    async def remember(
        self, subject: bytes, marks: Collection[bytes], *, now: datetime, kept: int, since: datetime
    ) -> None:
        """Note that *subject* came with these *marks*; the newest *kept* of it are kept, and of
        anybody's those seen after *since*."""
        ...

    async def is_remembered(self, subject: bytes, mark: bytes, *, since: datetime) -> bool:
        """Return whether *subject* came with *mark* after *since*."""
        ...


TRIES_KEPT = 20_000


class Answers(Protocol):
    """Answers to management requests that came with an Idempotency-Key; sealed at rest, because
    some of them show a key once."""

    async def begin(
        self, key: IdempotencyKey, *, stale_before: datetime, kept_since: datetime
    ) -> IdempotencyKey | None:
        """Take a key for a request (its answer is not looked at) and return None; or return what
        stands under it, the answer being empty while that request is worked on.

        Free again are keys with an answer from before *kept_since* and keys without one that
        were taken before *stale_before*, or as long after the key's own time: by a clock that was
        ahead.
        """
        ...

    async def keep(self, key: IdempotencyKey) -> None:
        """Store the answer under a key that a request with this digest has taken."""
        ...

    async def forget(self, key: IdempotencyKey) -> None:
        """Free a key that was taken."""
        ...
