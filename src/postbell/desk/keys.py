"""Signing keys: made, rotated with an overlap, and the APP KEY of an account."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from postbell.desk import noting, secrets
from postbell.desk.core import Core
from postbell.errors import BadInput, Conflict
from postbell.ports import NewSecret
from postbell.records import Account, Secret, SecretKind
from postbell.signing import active_at, check_secret, new_secret
from postbell.trail import Change

DEFAULT_OVERLAP_S = 86_400.0
MAX_OVERLAP_S = 604_800.0
MAX_KEYS = 8


class Keys(Core):
    """What deliveries are signed with."""

    async def app_key(self, account_id: int) -> Secret:
        """Return the account's APP KEY that signs now; it is made on first need.

        It signs for every EngageLab webhook of the account that has no key of its own.
        """
        account = await self.directory.account(account_id)

        async def write() -> Secret:
            now = self.clock.now()
            known = await self.engine.registry.account_secrets(account_id)
            active = active_at(_app_keys(known), now)
            if not active:
                key = NewSecret(SecretKind.APP_KEY, new_secret(SecretKind.APP_KEY), now)
                known = await self.trailed(
                    self.engine.registry.add_secrets(
                        [key], account_id=account_id, expect=_ids(known)
                    ),
                    lambda made: _key_change("secret.created", account, made, ()),
                )
                active = active_at(_app_keys(known), now)
            return active[0]

        return await self._persist(write)

    async def rotate_app_key(
        self, account_id: int, overlap_s: float = DEFAULT_OVERLAP_S, *, secret: str | None = None
    ) -> list[Secret]:
        """Schedule a new APP KEY of the account; the old one signs for *overlap_s* more."""
        await self.app_key(account_id)
        now = self.clock.now()
        starts_at = now + _overlap(overlap_s)
        if secret is not None:
            check_secret(SecretKind.APP_KEY, secret)
        value = secret or new_secret(SecretKind.APP_KEY)
        account = await self.directory.account(account_id)
        new = NewSecret(SecretKind.APP_KEY, value, starts_at)

        async def write() -> list[Secret]:
            found = await self.engine.registry.account_secrets(account_id)
            known = _app_keys(found)
            return await self.trailed(
                self.engine.registry.add_secrets(
                    [new],
                    account_id=account_id,
                    expire=_ends(known, starts_at, now),
                    expect=_ids(found),
                ),
                lambda made: _key_change("secret.rotated", account, made, known),
            )

        return await self._persist(write)

    async def rotate_secret(
        self,
        account_id: int | None,
        webhook_id: int,
        overlap_s: float = DEFAULT_OVERLAP_S,
        kind: SecretKind | str | None = None,
        *,
        secret: str | None = None,
    ) -> list[Secret]:
        """Give a webhook a new key and return all of its keys that have not ended.

        Where a request carries several signatures, new and old keys of that kind sign side by
        side for *overlap_s*.  Where only one fits (EngageLab), the old one signs until then and
        the new one from then on.
        """
        webhook = await self.find_webhook(account_id, webhook_id)
        dialect = self.dialects[webhook.dialect]
        now = self.clock.now()
        ends_at = now + _overlap(overlap_s)
        new = secrets.choose(dialect, _kind(kind), secret, now)
        if not dialect.signs_with_several:
            new = new._replace(active_at=ends_at)

        async def write() -> list[Secret]:
            webhook = await self.find_webhook(account_id, webhook_id)
            same = [one for one in webhook.secrets if one.kind is new.kind]
            return await self.trailed(
                self.engine.registry.add_secrets(
                    [new],
                    webhook_id=webhook_id,
                    expire=_ends(same, ends_at, now),
                    expect=_ids(webhook.secrets),
                ),
                lambda made: noting.of_webhook(
                    "secret.rotated",
                    webhook,
                    None,
                    noting.key_members(made, webhook.secrets),
                ),
            )

        found = await self._persist(write)
        await self.directory.refresh()
        return found


def _ids(secrets: Iterable[Secret]) -> set[int]:
    return {secret.id for secret in secrets}


def _app_keys(known: list[Secret]) -> list[Secret]:
    return [one for one in known if one.kind is SecretKind.APP_KEY]


def _overlap(seconds: float) -> timedelta:
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not is_number or not 0 <= seconds <= MAX_OVERLAP_S:
        raise BadInput(
            f"overlap_s is {str(seconds)[:40]}; 0 to {MAX_OVERLAP_S:g} seconds expected",
            member="overlap_s",
            reason="number_range",
            low=0,
            high=MAX_OVERLAP_S,
        )
    return timedelta(seconds=seconds)


def _ends(old: list[Secret], at: datetime, now: datetime) -> dict[int, datetime]:
    """Return by id when the old keys end: at *at*, or before where that was said already."""
    alive = [one for one in old if one.expires_at is None or one.expires_at > now]
    if len(alive) >= MAX_KEYS and at > now:
        raise Conflict(
            f"{len(alive)} keys are in use, which is the limit; wait until one ends, or rotate"
            " with an overlap of 0",
            reason="keys_many",
            most=len(alive),
        )
    return {one.id: at for one in alive if one.expires_at is None or one.expires_at > at}


def _kind(kind: object) -> SecretKind | None:
    try:
        return None if kind is None else SecretKind(str(kind))
    except ValueError:
        known = ", ".join(SecretKind)
        raise BadInput(
            f"no kind of key {str(kind)[:40]!r}; known: {known}",
            member="kind",
            reason="unknown_kind",
            given=str(kind)[:40],
        ) from None


def _key_change(
    action: str, account: Account, keys: Sequence[Secret], known: Sequence[Secret]
) -> Change:
    """Say what became of the keys of an account."""
    return noting.of_account(action, account, noting.key_members(keys, known))
