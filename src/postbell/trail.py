"""The audit trail's words: who changed what, when, from where, with what it was and what it is.

Values, and the rules that every entry keeps to: only what differs, nothing secret, bounded in
size whatever a customer writes.  `ports.trail` says how an entry is stored with its change.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

MAX_NAME_CHARS = 100
MAX_VALUE_CHARS = 200
MAX_MEMBERS = 40
MAX_CHANGES_BYTES = 6144
"""What an entry says was and is, as JSON; with everything around it an entry stays under 8 KiB."""
MAX_WHOLE = 1 << 53
HIDDEN = "***"
CHANGED = " (changed)"
CUT = "…"


class ActorKind(StrEnum):
    """Who acts: a person who signed in, an operator (also whoever reaches the pages where sign-in
    is off), an api user by its key, a command on the machine, somebody not signed in; or nobody."""

    PERSON = "person"
    OPERATOR = "operator"
    KEY = "key"
    COMMAND = "command"
    GUEST = "guest"
    SYSTEM = "system"


STAFF = frozenset((ActorKind.OPERATOR, ActorKind.COMMAND))
"""Actors of the installation: an account learns that it was one of them, not which."""


class Actor(msgspec.Struct, frozen=True):
    """Who makes a change and from where.

    *id* is an owner's, a key's or the machine's user's; *name* an e-mail address, an api user's
    name or the machine's user's; *address* the network address as the server knows it, for a
    command the host's name; *face* the one it came through.
    """

    kind: ActorKind
    id: int = 0
    name: str = ""
    address: str = ""
    face: str = ""


NOBODY = Actor(ActorKind.SYSTEM)


class Subject(msgspec.Struct, frozen=True):
    """What was changed; *name* is what people call it."""

    kind: str
    id: str
    name: str = ""


class TrailEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One change.  *account_id* None is the installation's own; *old* and *new* hold only the
    members that differ."""

    id: int = 0
    at: datetime
    account_id: int | None
    actor: Actor
    action: str
    subject: Subject
    old: dict[str, Any] = {}
    new: dict[str, Any] = {}


class Change(NamedTuple):
    """What the desk says of a change: *old* None was not there before, *new* None is no more."""

    action: str
    account_id: int | None
    subject: Subject
    old: Mapping[str, Any] | None = None
    new: Mapping[str, Any] | None = None


class Masked(NamedTuple):
    """A value that is compared, and never shown: *shown* stands for it."""

    value: str
    shown: str = HIDDEN


class Action(NamedTuple):
    name: str
    meaning: str


ACTIONS = (
    Action("account.created", "an account was made"),
    Action("account.viewed", "an operator looked into an account; once an hour and session"),
    Action("api_user.created", "an api user was made"),
    Action("api_user.revoked", "an api user is refused from now on"),
    Action("key.created", "an api user got a further key"),
    Action("key.rotated", "an api user got a new key in the place of another"),
    Action("key.revoked", "a key of an api user is refused from now on"),
    Action("webhook.created", "a webhook was made"),
    Action("webhook.changed", "members of a webhook were changed"),
    Action("webhook.paused", "a webhook was paused"),
    Action("webhook.resumed", "a webhook was resumed"),
    Action("webhook.hurried", "the waits of a failing webhook were ended"),
    Action("webhook.tested", "sample events were sent to a webhook"),
    Action("webhook.deleted", "a webhook was deleted with what waited for it"),
    Action("secret.created", "a signing key was made"),
    Action("secret.rotated", "a signing key follows another one"),
    Action("events.skipped", "what waited for a webhook was left out"),
    Action("batches.retried", "parked batches of a webhook were opened again"),
    Action("batch.retried", "a batch was made due at once"),
    Action("batch.parked", "a batch was given up by hand"),
    Action("batch.split", "a batch was halved by hand"),
    Action("batch.bisected", "the event that a receiver refuses is looked for"),
    Action("batch.event_skipped", "an event of a batch was left out"),
    Action("replay.started", "old events are sent again"),
    Action("replay.cancelled", "a replay was ended"),
    Action("owner.added", "somebody may sign in"),
    Action("owner.changed", "preferences of somebody who signs in"),
    Action("owner.removed", "somebody signs in no more"),
    Action("owner.signed_in", "somebody signed in"),
    Action("owner.sign_in_begun", "a right password; the one-time code is awaited"),
    Action("owner.refused", "a wrong password for somebody who signs in; at most 5 an hour"),
    Action("owner.locked", "tries to sign in were refused, being too many; told once an hour"),
    Action("lock.lifted", "tries that had locked somebody, or a network, out were forgotten"),
    Action("owner.password_changed", "somebody has a new password; other sessions ended"),
    Action("owner.reset_asked", "a link for a new password was asked for"),
    Action("owner.code_refused", "a wrong one-time code after a right password; at most 5 an hour"),
    Action("session.ended", "somebody signed out, here or elsewhere"),
    Action("second_factor.begun", "a second factor was begun; its first code is awaited"),
    Action("second_factor.turned_on", "signing in takes a one-time code; other sessions ended"),
    Action("second_factor.codes_renewed", "new recovery codes replaced the old ones"),
    Action("second_factor.turned_off", "the password alone signs in again"),
    Action("second_factor.removed", "somebody's second factor was removed; all sessions ended"),
    Action("suppression.added", "an address was put on the suppression list by hand"),
    Action("suppression.removed", "an address was taken off the suppression list"),
    Action("suppression.imported", "addresses of a file were put on the suppression list"),
    Action("suppression.rules_changed", "what puts addresses on the suppression list by itself"),
    Action("suppression.rebuilt", "the suppression list is made anew from the log"),
    Action("source.forgotten", "a source begins anew: all that was kept of it is gone"),
    Action("source.retried", "facts in the quarantine of a source are read again"),
    Action("source.discarded", "facts in the quarantine of a source were let go of"),
    Action("index.cleared", "the search index is made anew"),
)
"""Every action there is: what happened to a thing, `thing.what`."""


def entry_of(actor: Actor, at: datetime, change: Change) -> TrailEntry | None:
    """Return what the trail keeps of a change, bounded; None where nothing differs."""
    old, new = differing(change.old, change.new)
    if change.old is not None and change.new is not None and not (old or new):
        return None
    return TrailEntry(
        at=at,
        account_id=change.account_id,
        actor=msgspec.structs.replace(
            actor, name=cut(actor.name, MAX_NAME_CHARS), address=cut(actor.address, MAX_NAME_CHARS)
        ),
        action=change.action,
        subject=msgspec.structs.replace(
            change.subject, name=cut(change.subject.name, MAX_NAME_CHARS)
        ),
        old=old,
        new=new,
    )


def differing(
    old: Mapping[str, Any] | None, new: Mapping[str, Any] | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return of both sides the members that differ, as they may be shown."""
    before, after = old or {}, new or {}
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    was: dict[str, Any] = {}
    became: dict[str, Any] = {}
    size_bytes = 0
    for number, name in enumerate(names):
        shown = _pair(name, before, after)
        size_bytes += len(msgspec.json.encode(shown))
        if number >= MAX_MEMBERS or size_bytes > MAX_CHANGES_BYTES:
            became[CUT] = f"{len(names) - number} more"
            break
        was.update(shown[0])
        became.update(shown[1])
    return was, became


def _pair(
    name: str, before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    key = cut(name, MAX_NAME_CHARS)
    was = {key: shown_of(before[name])} if name in before else {}
    became = {key: shown_of(after[name])} if name in after else {}
    if isinstance(after.get(name), Masked) and was == became:
        became = {key: f"{became[key]}{CHANGED}"}
    return was, became


def shown_of(value: Any) -> Any:
    """Return a value as an entry holds it: a scalar or a text, cut, never a secret."""
    match value:
        case Masked():
            return cut(value.shown, MAX_VALUE_CHARS)
        case None | bool() | float():
            return value
        case int() if abs(value) <= MAX_WHOLE:
            return value
        case StrEnum():
            return value.value
        case str():
            return cut(value, MAX_VALUE_CHARS)
    return cut(msgspec.json.encode(value).decode(), MAX_VALUE_CHARS)


def cut(text: str, most: int) -> str:
    """Return *text*, shortened with a mark where it is too long; halves of letters become `?`."""
    plain = text.encode("utf-8", "replace").decode().replace("\0", "?")
    return plain if len(plain) <= most else plain[: most - 1] + CUT


def flat(name: str, members: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return the members of a member under names of their own: `policy.max_events`."""
    pairs = members.items() if isinstance(members, Mapping) else members
    return {f"{name}.{member}": value for member, value in pairs}
