"""What callers send to the native API, as structs: they describe, `desk.forms` checks.

Absent and null mean the default; members that are not listed are refused by name.
"""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, defstruct

from postbell.events import EventType, Moment
from postbell.policies import MEMBERS
from postbell.rights import KeyScope
from postbell.suppressions import MAX_DAYS, MAX_NOTE_CHARS, SuppressionReason
from postbell.verp import MAX_MESSAGE_CHARS

GivenKey = Annotated[str, Meta(min_length=8, max_length=256, description="a key of yours")]
KeyEnd = Annotated[Moment, Meta(description="when the key ends; null: when it is revoked")]


AnyAddress = Annotated[str, Meta(min_length=1, max_length=998)]


class Body(Struct, forbid_unknown_fields=True):
    """Base of the bodies."""


_Members: Any = defstruct(
    "_Members",
    [
        (row.name, Annotated[row.wire_type | None, Meta(description=row.meaning)], None)
        for row in MEMBERS
    ],
    bases=(Body,),
)


class PolicyForm(_Members):  # type: ignore[misc]  # its members are the table's
    """How batches are cut, sent and tried again; what is left out is the dialect's."""


class WebhookChange(Body, kw_only=True):
    """Members of a webhook to change (RFC 7396); `options` and `policy` are merged."""

    url: Annotated[str, Meta(description="absolute http or https URL")] | UnsetType = UNSET
    api_user: Annotated[str, Meta(description="`all` or one of the account's")] | None = None
    types: Annotated[list[EventType], Meta(min_length=1)] | None = None
    dialect: str | None = None
    options: dict[str, Any] | None = None
    policy: PolicyForm | None = None
    headers: dict[str, str] | None = None


class NewWebhook(WebhookChange, kw_only=True):
    """A webhook to make."""

    url: Annotated[str, Meta(description="absolute http or https URL")]
    start: (
        Annotated[str, Meta(description="`now` (the default), `oldest` or a time (RFC 3339)")]
        | None
    ) = None
    secret: Annotated[str, Meta(description="a signing key of yours")] | None = None


class NoMembers(Body):
    """Nothing; the body may be left out."""


class ChosenFacts(Body):
    """Facts in quarantine."""

    ids: Annotated[list[Annotated[int, Meta(ge=1)]], Meta(min_length=1, max_length=1000)] | None = (
        None
    )


class Omission(Body):
    """Which event of a batch to leave out."""

    event_id: Annotated[str, Meta(min_length=1, max_length=1000)]


class Resumption(Body):
    """How to go on."""

    skip: Annotated[bool, Meta(description="leave out all that waits")] | None = None
    parked: Annotated[bool, Meta(description="send the parked batches, too")] | None = None


class Trial(Body):
    """What to send as a test."""

    type: Annotated[str, Meta(description="only a sample of this type")] | None = None


class Rotation(Body):
    """A new signing key."""

    overlap_s: (
        Annotated[float, Meta(ge=0, le=604_800, description="the old key signs for so long")] | None
    ) = None
    kind: str | None = None
    secret: Annotated[str, Meta(description="a key of yours")] | None = None


class NewApiUser(Body):
    """An api user to make."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    key: GivenKey | None = None
    scope: KeyScope | None = None
    expires_at: KeyEnd | None = None


class NewKeyForm(Body):
    """A further key for an api user."""

    key: GivenKey | None = None
    scope: KeyScope | None = None
    expires_at: KeyEnd | None = None


class KeyRotation(Body):
    """A new key in the place of one; what it is for and when it ends stay the same."""

    key: GivenKey | None = None
    overlap_s: (
        Annotated[
            float, Meta(ge=0, le=604_800, description="the old key works for so long; default 0")
        ]
        | None
    ) = None


class NewSuppression(Body):
    """An address that is not to be mailed any more."""

    address: Annotated[str, Meta(min_length=3, max_length=998)]
    api_user: (
        Annotated[str, Meta(description="whose mail it is kept from; absent: the account's")] | None
    ) = None
    reason: SuppressionReason | None = None
    note: Annotated[str, Meta(max_length=MAX_NOTE_CHARS)] | None = None
    until: Annotated[Moment, Meta(description="later than now")] | None = None


class AddressesToCheck(Body):
    """Addresses to look for on the list."""

    addresses: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=998)]],
        Meta(min_length=1, max_length=1000),
    ]
    api_user: str | None = None


class SuppressionRuleChange(Body):
    """Members of a rule to change."""

    after: (
        Annotated[int, Meta(ge=0, le=100, description="different days, 0: never")] | UnsetType
    ) = UNSET
    within_days: Annotated[int, Meta(ge=1, le=MAX_DAYS)] | UnsetType = UNSET
    lasts_days: (
        Annotated[int, Meta(ge=0, le=MAX_DAYS, description="0: until somebody removes it")]
        | UnsetType
    ) = UNSET


class SuppressionRulesChange(Body, kw_only=True):
    """Rules to change (RFC 7396)."""

    is_on: bool | UnsetType = UNSET
    hard_bounce: SuppressionRuleChange | UnsetType = UNSET
    soft_bounce: SuppressionRuleChange | UnsetType = UNSET
    complaint: SuppressionRuleChange | UnsetType = UNSET
    unsubscribe: SuppressionRuleChange | UnsetType = UNSET


class NewReplay(Body):
    """Which old events to send again, and where to."""

    webhook_id: Annotated[int, Meta(ge=1)]
    since: Moment | None = None
    until: Moment | None = None
    parked: Annotated[bool, Meta(description="the events of all parked batches")] | None = None
    from_webhook_id: (
        Annotated[int, Meta(ge=1, description="with `parked`: those of this webhook")] | None
    ) = None
    types: Annotated[list[EventType], Meta(min_length=1)] | None = None
    recipient: Annotated[str, Meta(min_length=1, max_length=1000)] | None = None
    message: Annotated[str, Meta(min_length=1, max_length=1000)] | None = None
    rate_per_s: (
        Annotated[float, Meta(ge=0, le=100_000, description="events a second, 0: no limit")] | None
    ) = None


class MailToSend(Body, kw_only=True):
    """A mail that is about to be sent: to whom, and its id among your mails."""

    recipient: AnyAddress
    message_id: Annotated[str, Meta(max_length=MAX_MESSAGE_CHARS)] | None = None


class NewReturnPaths(Body, kw_only=True):
    """Mails that are about to be sent, and the domain whose mails come back to the installation."""

    domain: Annotated[str, Meta(min_length=1, max_length=253)]
    mails: Annotated[list[MailToSend], Meta(min_length=1, max_length=1000)]
