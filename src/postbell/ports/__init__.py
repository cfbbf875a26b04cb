"""What the path asks of the world: storage, sending, waking, dialects.

One contract suite (`tests/contract/`) says in executable form what an engine promises here.
Times are aware UTC; any storage method may raise StorageError; what a method wrote is durable
when it returns.
"""

from postbell.logged import Logged
from postbell.ports.checkpoints import (
    MAX_CHECKPOINT_BYTES,
    MAX_KEY_CHARS,
    MAX_VALUE_BYTES,
    MOST_REMEMBERED,
    Checkpoints,
    Progress,
    Remembered,
    SourceRow,
    SourceStanding,
    SourceState,
)
from postbell.ports.customers import (
    ENDED_KEYS_KEPT,
    RESET_LASTS,
    REVOKED_TIMES,
    SESSIONS_KEPT,
    TRIES_KEPT,
    Answers,
    ApiUsers,
    NewSecret,
    Owners,
    Registry,
    Tries,
)
from postbell.ports.dialect import Dialect, Probe, Signing, Stored, Tick
from postbell.ports.engine import Bell, Engine, Space
from postbell.ports.outgoing import Request, Sender, UrlGuard
from postbell.ports.path import (
    LEASE_S,
    MOST_CLAIMED,
    Checked,
    Claim,
    Journal,
    JournalBlock,
    Ledger,
    Log,
    Parked,
    QueueLengths,
)
from postbell.ports.receiving import Check, Delivery, Verifier
from postbell.ports.search import (
    CountChange,
    Index,
    IndexedRange,
    IndexedUpTo,
    MessageState,
    News,
    Postings,
)
from postbell.ports.second_factors import (
    HALF_LASTS,
    HALF_SIGN_INS_KEPT,
    HalfSignIn,
    Proof,
    SecondFactor,
    SecondFactors,
)
from postbell.ports.trail import ENTRIES_SEEN, Trail, TrailPlace, TrailQuery

__all__ = [
    "ENDED_KEYS_KEPT",
    "ENTRIES_SEEN",
    "HALF_LASTS",
    "HALF_SIGN_INS_KEPT",
    "LEASE_S",
    "MAX_CHECKPOINT_BYTES",
    "MAX_KEY_CHARS",
    "MAX_VALUE_BYTES",
    "MOST_CLAIMED",
    "MOST_REMEMBERED",
    "RESET_LASTS",
    "REVOKED_TIMES",
    "SESSIONS_KEPT",
    "TRIES_KEPT",
    "Answers",
    "ApiUsers",
    "Bell",
    "Check",
    "Checked",
    "Checkpoints",
    "Claim",
    "CountChange",
    "Delivery",
    "Dialect",
    "Engine",
    "HalfSignIn",
    "Index",
    "IndexedRange",
    "IndexedUpTo",
    "Journal",
    "JournalBlock",
    "Ledger",
    "Log",
    "Logged",
    "MessageState",
    "NewSecret",
    "News",
    "Owners",
    "Parked",
    "Postings",
    "Probe",
    "Progress",
    "Proof",
    "QueueLengths",
    "Registry",
    "Remembered",
    "Request",
    "SecondFactor",
    "SecondFactors",
    "Sender",
    "Signing",
    "SourceRow",
    "SourceStanding",
    "SourceState",
    "Space",
    "Stored",
    "Tick",
    "Trail",
    "TrailPlace",
    "TrailQuery",
    "Tries",
    "UrlGuard",
    "Verifier",
]
