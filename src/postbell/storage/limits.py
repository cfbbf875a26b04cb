"""What every engine refuses to store of api users and their keys, in the same words."""

from collections.abc import Container, Iterable, Mapping
from datetime import datetime

from postbell.clock import rfc3339
from postbell.errors import Conflict, Forbidden, NotFound
from postbell.ports import REVOKED_TIMES
from postbell.records import ApiUser
from postbell.rights import RIGHTS, ApiKey, KeyTerms, Right, covers
from postbell.warrants import ended


def name_taken(name: str) -> Conflict:
    """Return what says that an api user of this name exists."""
    return Conflict(
        f"the api user {name!r} exists already; choose another name",
        reason="api_user_taken",
        given=name,
    )


def check_api_users(active: int, revoked: int, most: int | None) -> None:
    """Raise Conflict where an account with so many api users may have no further one."""
    if most is None:
        return
    if active >= most:
        raise Conflict(
            f"the account has {most} api users, which is its limit (max_api_users_per_account);"
            " revoke one that is not needed",
            reason="api_users_many",
            most=most,
        )
    if revoked >= most * REVOKED_TIMES:
        raise Conflict(
            f"the account has revoked {revoked} api users, which stay for the sake of their events;"
            " ask the operator to raise max_api_users_per_account",
            reason="api_users_many",
            most=most,
        )


def check_new_key(
    user: ApiUser, ends: Mapping[int, datetime], now: datetime, most: int | None
) -> None:
    """Raise Conflict where the api user may have no further key, or one that it replaces ended."""
    if user.revoked_at is not None:
        raise Conflict(
            f"api user {user.name!r} is revoked; create another one",
            reason="api_user_revoked",
            given=user.name,
        )
    check_known(user, ends)
    live = {key.id for key in user.keys if key.is_live(now)}
    for key_id in ends:
        if key_id not in live:
            raise Conflict(f"key {key_id} has ended; make a new one", reason="api_key_ended")
    live -= {key_id for key_id, at in ends.items() if at <= now}
    if most is not None and len(live) >= most and live & ends.keys():
        raise Conflict(
            f"api user {user.name!r} has {most} keys, which is the limit, so the one that is"
            " replaced cannot work on beside the new one; replace it without an overlap, or revoke"
            " another one first",
            reason="api_keys_overlap",
            most=most,
        )
    if most is not None and len(live) >= most:
        raise Conflict(
            f"api user {user.name!r} has {most} keys, which is the limit; revoke one first",
            reason="api_keys_many",
            most=most,
        )


def check_covers(key: ApiKey | None, touched: Iterable[KeyTerms]) -> None:
    """Raise Unauthorized where the key that asks is gone, Forbidden where it may not make, end or
    revoke a key of one of the *touched* terms."""
    if key is None:
        raise ended()
    if Right.MANAGE not in RIGHTS[key.scope]:
        raise Forbidden(f"the key is for {key.scope.value} only", reason="key_scope")
    for terms in touched:
        if not covers(key.terms, terms):
            ends = f"; yours ends at {rfc3339(key.expires_at)}" if key.expires_at else ""
            raise Forbidden(
                "a key makes, replaces and revokes no key that may more than itself, or for"
                f" longer{ends}",
                reason="key_covers",
            )


def live_terms(user: ApiUser, now: datetime, key_ids: Container[int]) -> list[KeyTerms]:
    """Return the terms of those keys that have not ended."""
    return [key.terms for key in user.keys if key.id in key_ids and key.is_live(now)]


def check_known(user: ApiUser, key_ids: Iterable[int]) -> None:
    """Raise NotFound for a key that is not the api user's."""
    known = {key.id for key in user.keys}
    for key_id in key_ids:
        if key_id not in known:
            raise NotFound(f"no key {key_id} of api user {user.name!r}")
