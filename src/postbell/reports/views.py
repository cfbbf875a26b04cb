"""Records as they are shown: JSON-ready, times as text, never a hash of a key."""

from datetime import datetime
from typing import Any

from postbell.body_limits import KEPT_FOR, BodyLimit, most_bytes
from postbell.clock import rfc3339
from postbell.entry_kinds import Ending
from postbell.lane.run import count_bits
from postbell.records import (
    Account,
    ApiUser,
    Entry,
    OpenBatch,
    Replay,
    Secret,
    SecretKind,
    Verdict,
)
from postbell.rights import ApiKey
from postbell.sealing import is_slow
from postbell.signing import public_key


def account_view(account: Account) -> dict[str, Any]:
    """Return an account."""
    return {"id": account.id, "name": account.name, "created_at": rfc3339(account.created_at)}


def api_user_view(user: ApiUser) -> dict[str, Any]:
    """Return an api user, and of its keys what tells them apart."""
    return {
        "id": user.id,
        "name": user.name,
        "account": user.account,
        "created_at": rfc3339(user.created_at),
        "revoked_at": time_text(user.revoked_at),
        "keys": [api_key_view(key) for key in user.keys],
    }


def api_key_view(key: ApiKey) -> dict[str, Any]:
    """Return a key without what it could be guessed from."""
    return {
        "id": key.id,
        "scope": key.scope.value,
        "hint": key.hint,
        "is_weak": is_slow(key.key_hash),
        "created_at": rfc3339(key.created_at),
        "used_at": time_text(key.used_at),
        "expires_at": time_text(key.expires_at),
    }


def secret_view(secret: Secret) -> dict[str, Any]:
    """Return a signing key with what receivers verify with: its value, or its public key."""
    is_ed25519 = secret.kind is SecretKind.ED25519
    return {
        "id": secret.id,
        "kind": secret.kind.value,
        "value": secret.value,
        "public_key": public_key(secret.value) if is_ed25519 else None,
        "created_at": rfc3339(secret.created_at),
        "active_at": rfc3339(secret.active_at),
        "expires_at": time_text(secret.expires_at),
    }


def body_limit_view(limit: BodyLimit | None) -> dict[str, Any] | None:
    """Return how long bodies are at most because of the receiver's answers 413, and until when."""
    if limit is None:
        return None
    return {
        "max_bytes": most_bytes(limit),
        "refused_bytes": limit.refused_bytes,
        "since": rfc3339(limit.at),
        "until": rfc3339(limit.at + KEPT_FOR),
    }


def batch_view(batch: OpenBatch) -> dict[str, Any]:
    """Return an open or parked batch."""
    return {
        "id": batch.id,
        "webhook_id": batch.webhook_id,
        "state": batch.state.value,
        "events": batch.count,
        "attempts": batch.attempts,
        "last_status": batch.last_status,
        "last_error": batch.last_error,
        "next_at": time_text(batch.next_at),
        "cut_at": rfc3339(batch.cut_at),
        "revision": batch.revision,
        "replay_id": batch.replay_id,
        "bisect_since": time_text(batch.bisect_since),
    }


def finished_view(entry: Entry) -> dict[str, Any]:
    """Return a batch that is over, from the journal's last entry about it."""
    return {
        "id": entry.batch_id,
        "webhook_id": entry.webhook_id,
        "state": ending_of(entry) or "unknown",
        "events": entry.delivered or entry.count,
        "attempts": entry.attempt,
        "last_status": entry.outcome.status if entry.outcome else None,
        "last_error": entry.outcome.error if entry.outcome else "",
        "next_at": None,
        "finished_at": rfc3339(entry.at),
        "took_ms": entry.outcome.phases_ms[-1]
        if entry.outcome and entry.outcome.phases_ms
        else None,
        "revision": entry.revision,
        "replay_id": entry.replay_id,
    }


def attempt_view(entry: Entry) -> dict[str, Any]:
    """Return a journal entry: an attempt, or how events left without one."""
    view: dict[str, Any] = {
        "kind": entry.kind.value,
        "at": rfc3339(entry.at),
        "webhook_id": entry.webhook_id,
        "batch_id": entry.batch_id,
        "revision": entry.revision,
        "attempt": entry.attempt,
        "events": entry.count,
        "delivered": entry.delivered,
        "verdict": entry.verdict.value if entry.verdict else None,
        "next_at": time_text(entry.next_at),
        "body_bytes": entry.body_bytes,
        "replay_id": entry.replay_id,
        "note": entry.note,
    }
    if entry.outcome is not None:
        outcome = entry.outcome
        view |= {
            "status": outcome.status,
            "error": outcome.error,
            "detail": outcome.detail,
            "retry_after_s": outcome.retry_after_s,
            "phases_ms": list(outcome.phases_ms),
            "response_headers": [list(pair) for pair in outcome.headers],
            "response_headers_cut": outcome.headers_cut,
            "response_body": outcome.body.decode("utf-8", "replace"),
            "peer": outcome.peer,
        }
        if outcome.used is not None:
            view |= {
                "url": outcome.used.url,
                "request_headers": [name for name, _ in outcome.used.headers],
            }
    return view


def replay_view(replay: Replay) -> dict[str, Any]:
    """Return a replay."""
    wanted = replay.filter
    return {
        "id": replay.id,
        "webhook_id": replay.webhook_id,
        "state": replay.state.value,
        "events": replay.events,
        "rate_per_s": replay.rate_per_s,
        "types": None if wanted.types is None else [kind.value for kind in wanted.types],
        "recipient": wanted.recipient,
        "message": wanted.message,
        "created_at": rfc3339(replay.created_at),
    }


def ending_of(entry: Entry) -> Ending:
    """Return how the entry ended its batch, empty where it did not or was of none."""
    is_failed = entry.kind.row.is_attempt and entry.verdict is not Verdict.DELIVERED
    return "" if is_failed or not entry.batch_id else entry.kind.row.ends_batch_as


def left_in(batch: OpenBatch) -> int:
    """Return how many events of an open batch or a run are not finished."""
    return batch.count - (count_bits(batch.done) if batch.done is not None else 0)


def time_text(moment: datetime | None) -> str | None:
    """Return RFC 3339 text, None for no time."""
    return None if moment is None else rfc3339(moment)
