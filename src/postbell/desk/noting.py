"""What the audit trail says of the things that the desk changes: their names and their members.

Keys, passwords and the values of headers are compared and never shown; URLs are shown as in the
log, without what may hold credentials.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import to_builtins

from postbell.clock import rfc3339
from postbell.log_lines import masked
from postbell.records import Account, ApiUser, OpenBatch, Owner, Replay, Secret, Webhook
from postbell.rights import ApiKey
from postbell.suppressions import Suppression, SuppressionRules
from postbell.trail import Change, Subject, flat
from postbell.trail import Masked as Hidden


def of_account(action: str, account: Account, new: Mapping[str, Any] | None = None) -> Change:
    return Change(action, account.id, Subject("account", str(account.id), account.name), None, new)


def of_api_user(
    action: str,
    user: ApiUser,
    old: Mapping[str, Any] | None = None,
    new: Mapping[str, Any] | None = None,
) -> Change:
    return Change(action, user.account_id, Subject("api_user", str(user.id), user.name), old, new)


def of_webhook(
    action: str,
    webhook: Webhook,
    old: Mapping[str, Any] | None = None,
    new: Mapping[str, Any] | None = None,
) -> Change:
    subject = Subject("webhook", str(webhook.id), masked(webhook.url))
    return Change(action, webhook.account_id, subject, old, new)


def of_owner(
    action: str,
    owner: Owner,
    old: Mapping[str, Any] | None = None,
    new: Mapping[str, Any] | None = None,
) -> Change:
    """Say something of an owner; operators are the installation's, not an account's."""
    account_id = None if owner.is_operator else owner.account_id
    return Change(action, account_id, Subject("owner", str(owner.id), owner.email), old, new)


def of_operator(before: Owner, after: Owner) -> Change:
    """Say that somebody became an operator, or ceased to be one: the account whose user that was,
    or is now, learns of it."""
    subject = Subject("owner", str(after.id), after.email)
    was, now = owner_members(before), owner_members(after)
    return Change("owner.changed", after.account_id, subject, was, now)


def of_batch(action: str, webhook: Webhook, batch: OpenBatch, new: Mapping[str, Any]) -> Change:
    subject = Subject("batch", batch.id, f"webhook {webhook.id}")
    return Change(action, webhook.account_id, subject, None, new)


def of_replay(action: str, replay: Replay, new: Mapping[str, Any]) -> Change:
    subject = Subject("replay", str(replay.id), f"webhook {replay.webhook_id}")
    return Change(action, replay.account_id, subject, None, new)


def of_suppression(action: str, entry: Suppression) -> Change:
    """Say something of an entry of the suppression list; its address is what it is known by."""
    members = {
        "reason": entry.reason.value,
        "api_user_id": entry.api_user_id or None,
        "until": None if entry.until is None else rfc3339(entry.until),
        "note": entry.note,
    }
    shown = {name: value for name, value in members.items() if value}
    return Change(action, entry.account_id, Subject("suppression", "", entry.address), None, shown)


def of_suppression_rules(account: Account, old: SuppressionRules, new: SuppressionRules) -> Change:
    subject = Subject("account", str(account.id), account.name)
    return Change("suppression.rules_changed", account.id, subject, *map(_rules, (old, new)))


def of_installation(action: str) -> Change:
    """Say that something was done for every account at once."""
    return Change(action, None, Subject(action.partition(".")[0], ""))


def _rules(rules: SuppressionRules) -> dict[str, Any]:
    members = to_builtins(rules)
    flattened = {"is_on": members.pop("is_on")}
    for name, rule in members.items():
        flattened |= flat(name, rule)
    return flattened


def webhook_members(webhook: Webhook) -> dict[str, Any]:
    """Return everything of a webhook that can be changed."""
    return {
        "url": Hidden(webhook.url, masked(webhook.url)),
        "api_user": webhook.api_user,
        "types": None if webhook.types is None else ", ".join(webhook.types),
        "dialect": webhook.dialect,
        **flat("options", webhook.options),
        **flat("policy", webhook.policy),
        **flat("headers", ((name, Hidden(value)) for name, value in webhook.headers)),
        "state": webhook.state.value,
        "state_reason": webhook.state_reason,
    }


def owner_members(owner: Owner) -> dict[str, Any]:
    """Return what somebody chose; the password and what the browser speaks are not told."""
    return {
        "email": owner.email,
        "language": owner.language,
        "time_zone": owner.time_zone,
        "wants_notices": owner.wants_notices,
        "is_operator": owner.is_operator,
    }


def key_members(keys: Sequence[Secret], known: Iterable[Secret] = ()) -> dict[str, Any]:
    """Return of those keys that were not *known* what may be told, and when known ones end."""
    before = {one.id: one.expires_at for one in known}
    members: dict[str, Any] = {}
    for one in keys:
        if one.id not in before:
            members |= {"key_id": one.id, "kind": one.kind.value, "key": Hidden(one.value)}
            members["active_at"] = rfc3339(one.active_at)
        elif one.expires_at is not None and one.expires_at != before[one.id]:
            members[f"key_{one.id}.expires_at"] = rfc3339(one.expires_at)
    return members


def api_key_members(keys: Sequence[ApiKey], known: Iterable[ApiKey] = ()) -> dict[str, Any]:
    """Return of an api user's keys that were not *known* what they are for, and when known ones
    end."""
    before = {one.id: one.expires_at for one in known}
    members: dict[str, Any] = {}
    for one in keys:
        ends = None if one.expires_at is None else rfc3339(one.expires_at)
        if one.id not in before:
            members |= {"key_id": one.id, "key": Hidden(one.key_hash)}
            members |= {"scope": one.scope.value, "expires_at": ends}
        elif one.expires_at != before[one.id]:
            members[f"key_{one.id}.expires_at"] = ends
    return members


def set_members(webhook: Webhook) -> dict[str, Any]:
    """Return what was set on a webhook that was just made: defaults are left out."""
    return {name: value for name, value in webhook_members(webhook).items() if value}
