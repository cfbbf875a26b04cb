"""What the memory engine keeps, shared by its ports."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import NamedTuple

from postbell import duties
from postbell.blocks import Block
from postbell.clock import Clock
from postbell.ports import (
    SESSIONS_KEPT,
    CrewMember,
    HalfSignIn,
    JournalBlock,
    Letter,
    QuarantinedFact,
    SecondFactor,
    SourceRow,
    ToldOf,
)
from postbell.records import (
    Account,
    ApiUser,
    IdempotencyKey,
    Lane,
    OpenBatch,
    Owner,
    Replay,
    Reset,
    Secret,
    Session,
    Webhook,
)
from postbell.rights import ApiKey
from postbell.storage.corrections import Correction
from postbell.storage.ringing import RingBell
from postbell.suppressions import (
    AccountRules,
    FollowedUpTo,
    Suppression,
    SuppressionChange,
    SuppressionKey,
    SuppressionReason,
)
from postbell.trail import TrailEntry
from postbell.warrants import KeyWarrant, SessionWarrant, ended, in_force

NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class Lease:
    """Who moves a lane, and until when, and what work it was when it was handed over."""

    owner: str = ""
    until: datetime = NEVER
    work: float = 0.0


class HeldDuty(NamedTuple):
    """Who does a duty under which term, and until when, and the mark for who does it next."""

    owner: str = ""
    epoch: int = 0
    until: datetime = NEVER
    mark: str = ""


@dataclass(slots=True)
class HeldFactor:
    """A second factor, the password that its owner had at its beginning, its recovery codes."""

    factor: SecondFactor
    begun_with: str
    recovery: set[bytes] = field(default_factory=set)


@dataclass(slots=True)
class SuppressionTables:
    """The suppression list: entries, what counts and until which day, and what is to be told."""

    entries: dict[SuppressionKey, Suppression] = field(default_factory=dict)
    days: dict[SuppressionKey, tuple[dict[SuppressionReason, tuple[int, ...]], int]] = field(
        default_factory=dict
    )
    rules: dict[int, AccountRules] = field(default_factory=dict)
    changes: list[SuppressionChange] = field(default_factory=list)
    followed: FollowedUpTo = field(default_factory=FollowedUpTo)
    revision: int = 0

    def copy(self) -> "SuppressionTables":
        """Return the same to go back to."""
        return replace(
            self,
            entries=dict(self.entries),
            days=dict(self.days),
            rules=dict(self.rules),
            changes=list(self.changes),
        )


@dataclass(slots=True)
class Tables:
    """One installation; ids are keys, and the last id of each kind is never given again."""

    clock: Clock
    bell: RingBell = field(default_factory=RingBell)
    version: int = 0

    blocks: dict[int, Block] = field(default_factory=dict)
    hashes: dict[int, bytes] = field(default_factory=dict)
    checksums: dict[int, bytes] = field(default_factory=dict)
    keys: dict[tuple[int, str], IdempotencyKey] = field(default_factory=dict)
    answers: dict[tuple[int, str], IdempotencyKey] = field(default_factory=dict)
    head: int = 0
    newest_at: datetime = NEVER
    trusted_at: datetime | None = None
    corrections: list[Correction] = field(default_factory=list)
    sequences: dict[int, int] = field(default_factory=dict)

    accounts: dict[int, Account] = field(default_factory=dict)
    api_users: dict[int, ApiUser] = field(default_factory=dict)
    webhooks: dict[int, Webhook] = field(default_factory=dict)
    touched: dict[int, int] = field(default_factory=dict)
    deleted: dict[int, int] = field(default_factory=dict)
    account_secrets: dict[int, tuple[Secret, ...]] = field(default_factory=dict)
    last_webhook: int = 0
    last_secret: int = 0
    last_key: int = 0

    lanes: dict[int, Lane] = field(default_factory=dict)
    leases: dict[int, Lease] = field(default_factory=dict)
    batches: dict[str, OpenBatch] = field(default_factory=dict)
    replays: dict[int, Replay] = field(default_factory=dict)
    last_replay: int = 0

    owners: dict[int, Owner] = field(default_factory=dict)
    last_owner: int = 0
    sessions: dict[bytes, Session] = field(default_factory=dict)
    resets: dict[bytes, Reset] = field(default_factory=dict)
    factors: dict[int, HeldFactor] = field(default_factory=dict)
    last_factor: int = 0
    half_sign_ins: dict[bytes, HalfSignIn] = field(default_factory=dict)
    tries: dict[bytes, tuple[int, datetime]] = field(default_factory=dict)
    familiar: dict[tuple[bytes, bytes], datetime] = field(default_factory=dict)

    journal: list[JournalBlock] = field(default_factory=list)
    last_journal: int = 0

    sources: dict[str, SourceRow] = field(default_factory=dict)
    remembered: dict[str, dict[str, tuple[bytes, datetime]]] = field(default_factory=dict)

    quarantine: dict[int, QuarantinedFact] = field(default_factory=dict)
    last_quarantined: int = 0

    trail: list[TrailEntry] = field(default_factory=list)
    last_entry: int = 0

    suppressed: SuppressionTables = field(default_factory=SuppressionTables)

    members: dict[str, tuple[CrewMember, datetime]] = field(default_factory=dict)
    duties: dict[str, HeldDuty] = field(default_factory=dict)

    told: dict[str, ToldOf] = field(default_factory=dict)
    last_told: int = 0
    letters: dict[int, Letter] = field(default_factory=dict)
    last_letter: int = 0

    def left_s(self, until: datetime) -> float:
        """Return for how long a lease lasts that ends then."""
        return max((until - self.clock.now()).total_seconds(), 0.0)

    def change(self, *webhook_ids: int) -> None:
        """Raise the registry's version, for these webhooks, and ring."""
        self.version += 1
        for webhook_id in webhook_ids:
            self.touched[webhook_id] = self.version
        self.bell.ring()

    def open_session(self, session: Session) -> None:
        self.sessions[session.digest] = session
        own = [each for each in self.sessions.values() if each.owner_id == session.owner_id]
        own.sort(key=lambda each: each.seen_at, reverse=True)
        for each in own[SESSIONS_KEPT:]:
            del self.sessions[each.digest]

    def end_sessions(self, owner_id: int, *, keep: bytes = b"") -> int:
        """End an owner's sessions but *keep*, and sign-ins half way; return how many sessions."""
        ended = [
            each.digest
            for each in self.sessions.values()
            if each.owner_id == owner_id and each.digest != keep
        ]
        for digest in ended:
            del self.sessions[digest]
        self.drop_half_sign_ins(owner_id)
        return len(ended)

    def drop_half_sign_ins(self, owner_id: int) -> None:
        half = self.half_sign_ins.values()
        self.half_sign_ins = {each.digest: each for each in half if each.owner_id != owner_id}

    def check_term(self) -> None:
        """Raise TermEnded where the term under which the caller writes has ended."""
        term = duties.in_force()
        if term is not None:
            holder = self.duties.get(term.duty)
            if holder is None or holder.epoch != term.epoch:
                raise duties.ended(term)

    def check_warrant(self) -> None:
        """Raise Unauthorized where the warrant under which the caller writes has ended."""
        match in_force():
            case KeyWarrant(key_id):
                key = self.key(key_id)
                if key is None or not key.is_live(self.clock.now()):
                    raise ended()
            case SessionWarrant(digest, account_id, needs_operator):
                session = self.sessions.get(digest)
                owner = self.owners.get(session.owner_id) if session is not None else None
                if owner is None or not (
                    owner.is_operator or (owner.account_id == account_id and not needs_operator)
                ):
                    raise ended()

    def key(self, key_id: int) -> ApiKey | None:
        """Return a key of any api user."""
        keys = (key for user in self.api_users.values() for key in user.keys)
        return next((key for key in keys if key.id == key_id), None)
