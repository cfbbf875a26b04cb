"""The policy in force for a webhook: its dialect's, the installation's, its own, in that order."""

from collections.abc import Mapping
from typing import Any

import msgspec

from postbell.errors import BadInput
from postbell.ports import Dialect
from postbell.records import Policy, Webhook

RANGES: Mapping[str, tuple[float, float, str]] = {
    "max_events": (1, 10_000, "events"),
    "max_wait_s": (0, 3600, "seconds"),
    "max_bytes": (1024, 16 << 20, "bytes"),
    "timeout_s": (0.1, 120, "seconds"),
    "concurrency": (1, 256, "requests at once"),
    "rate_per_s": (0, 100_000, "requests a second, at least 0.001, or 0 for no limit"),
    "keep_parked_days": (0, 3650, "days"),
}
MIN_RATE_PER_S = 0.001
MAX_RETRIES = 50
MAX_RETRY_WAIT_S = 7 * 86_400
EXPECTED: Mapping[str, str] = {
    "success": 'a list of status codes of 200 to 599, or "2xx",',
    "refused": "a list of status codes of 200 to 599",
    "retry_waits_s": f"a list of at most {MAX_RETRIES} waits of 0 to {MAX_RETRY_WAIT_S} seconds",
    "ordered": "true or false",
    "split_failing": "true or false",
}
"""What the members without a range are."""
REASONS: Mapping[str, str] = {
    "success": "success_codes",
    "refused": "status_codes",
    "retry_waits_s": "waits_range",
}


def check_members(members: Mapping[str, Any]) -> dict[str, Any]:
    """Return policy members in their stored form; raise BadInput that names the wrong one.

    *success* is a list of status codes (200 to 599) or "2xx", *refused* such a list;
    *retry_waits_s* a list of at most 50 waits of 0 to 604,800 s; ranges of the others are in
    RANGES.
    """
    checked = dict(members)
    known = Policy.__struct_fields__
    for name, value in members.items():
        if name not in known:
            raise BadInput(
                f"no policy member {name!r}; known: {', '.join(known)}",
                member=f"policy.{name}",
                reason="unknown_member",
                given=name,
            )
        if name in RANGES:
            low, high, unit = RANGES[name]
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            is_tiny = name == "rate_per_s" and is_number and 0 < value < MIN_RATE_PER_S
            if not is_number or is_tiny or not low <= value <= high:
                raise BadInput(
                    f"policy.{name} is {value!r}; {low:g} to {high:g} {unit} expected",
                    member=f"policy.{name}",
                    reason="number_range",
                    low=MIN_RATE_PER_S if is_tiny else low,
                    high=high,
                )
    if checked.get("success") == "2xx":
        checked["success"] = ()
    try:
        policy = msgspec.convert(checked, Policy)
    except msgspec.ValidationError as error:
        path = str(error).partition(" - at `$.")[2]
        raise _refusal(path.rstrip("`").partition("[")[0], members) from None
    for name in ("success", "refused"):
        if not all(200 <= code <= 599 for code in getattr(policy, name)):
            raise _refusal(name, members)
    if len(policy.retry_waits_s) > MAX_RETRIES or not all(
        0 <= wait <= MAX_RETRY_WAIT_S for wait in policy.retry_waits_s
    ):
        raise _refusal("retry_waits_s", members)
    built: dict[str, Any] = msgspec.to_builtins(policy)
    return {name: built[name] for name in members}


def _refusal(name: str, members: Mapping[str, Any]) -> BadInput:
    return BadInput(
        f"policy.{name} is {str(members.get(name))[:60]};"
        f" {EXPECTED.get(name, 'a whole number')} expected",
        member=f"policy.{name}",
        reason=REASONS.get(name, "number_kind"),
        most=MAX_RETRIES,
        days=MAX_RETRY_WAIT_S // 86_400,
    )


def effective(
    dialect: Dialect,
    options: Mapping[str, Any],
    installation: Mapping[str, Any],
    own: Mapping[str, Any],
) -> Policy:
    """Return the policy in force; *installation* and *own* hold checked members only."""
    base: dict[str, Any] = msgspec.to_builtins(dialect.policy(options))
    return msgspec.convert(base | dict(installation) | dict(own), Policy)


def of_webhook(
    webhook: Webhook,
    dialects: Mapping[str, Dialect],
    installation: Mapping[str, Mapping[str, Any]],
) -> Policy:
    """Return the policy in force for *webhook*; *installation* maps dialects to members."""
    return effective(
        dialects[webhook.dialect],
        webhook.options,
        installation.get(webhook.dialect, {}),
        webhook.policy,
    )


def on_wire(policy: Policy) -> dict[str, Any]:
    """Return the policy as APIs and the CLI show it."""
    shown: dict[str, Any] = msgspec.to_builtins(policy)
    return shown | {"success": list(policy.success) or "2xx"}
