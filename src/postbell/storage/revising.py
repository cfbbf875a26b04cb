"""Where a webhook's revisions begin, and what a write of one may find changed: the same words for
every engine."""

from collections.abc import Collection, Iterable

from postbell.blocks import Position
from postbell.errors import Conflict
from postbell.records import Revision, Secret, Webhook

FROM_HEAD = Position(0, -1)
"""A webhook's start that means the log's head at the commit."""


def after_head(head: int) -> Position:
    """Return the position that leaves out everything up to the block *head*."""
    return Position(head + 1, 0)


def first_revision(webhook: Webhook, api_user_id: int | None, start: Position) -> Revision:
    """Return revision 1 of a new webhook."""
    return _revision(webhook, 1, api_user_id, start)


def next_revision(webhook: Webhook, api_user_id: int | None, head: int) -> Revision | None:
    """Return the revision that the members of *webhook* ask for after its newest one, or None
    where they select and render as before."""
    newest = webhook.revisions[-1]
    asked = _revision(webhook, newest.number + 1, api_user_id, after_head(head))
    return None if _choice(asked) == _choice(newest) else asked


def check_unchanged(stored: Webhook, expect: Webhook | None) -> None:
    """Raise Conflict where the settings are not those of *expect* any more."""
    if expect is not None and stored.settings != expect.settings:
        raise Conflict(
            f"webhook {stored.id} was changed meanwhile; read it again and retry",
            reason="kept_moving",
        )


def check_room(owned: int, most: int | None) -> None:
    """Raise Conflict where an account that owns so many webhooks may have no further one."""
    if most is not None and owned >= most:
        raise Conflict(
            f"the account has {owned} webhooks, which is its limit; delete one first",
            reason="webhooks_many",
            most=owned,
        )


def check_url_unique(webhook: Webhook, others: Iterable[Webhook]) -> None:
    """Raise Conflict where another webhook of the account and the dialect has the URL."""
    for other in others:
        is_alike = (other.account_id, other.dialect) == (webhook.account_id, webhook.dialect)
        if other.id != webhook.id and is_alike and other.url == webhook.url:
            raise Conflict(f"webhook {other.id} has this url already", reason="url_exists")


def check_secrets(stored: Iterable[Secret], expect: Collection[int] | None) -> None:
    """Raise Conflict where the keys are not those of *expect* any more."""
    if expect is not None and {secret.id for secret in stored} != set(expect):
        raise Conflict("the keys were changed meanwhile; try again", reason="kept_moving")


def _revision(webhook: Webhook, number: int, api_user_id: int | None, start: Position) -> Revision:
    return Revision(
        number=number,
        start=start,
        api_user_id=api_user_id,
        types=webhook.types,
        dialect=webhook.dialect,
        options=webhook.options,
    )


def _choice(revision: Revision) -> tuple[object, ...]:
    types = None if revision.types is None else frozenset(revision.types)
    return revision.api_user_id, types, revision.dialect, revision.options
