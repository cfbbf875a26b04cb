"""Idempotency-Key: the same request again gets the first one's answer, and changes nothing.

Kept for 72 hours, for every POST that is not ingest (which keeps its keys with the events).
Draft: draft-ietf-httpapi-idempotency-key-header.
"""

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

import msgspec
from starlette.responses import Response

from postbell.clock import Clock
from postbell.errors import BadInput, Conflict, StorageError
from postbell.ports import Answers
from postbell.records import IdempotencyKey
from postbell.signals import log

KEPT = timedelta(hours=72)
WORKED_ON = timedelta(seconds=60)
"""A request that has not ended by then never will: its process was killed."""
REPLAYED = "idempotency-replayed"
_KEPT_HEADERS = ("content-type", "cache-control", "location", "etag")


class KeptAnswer(msgspec.Struct, frozen=True):
    """An answer as it is stored."""

    status: int
    headers: dict[str, str]
    body: bytes


class Once:
    """Lets each key do its work once."""

    def __init__(self, answers: Answers, clock: Clock) -> None:
        self._answers = answers
        self._clock = clock

    async def answer(
        self, account_id: int, key: str, asked: bytes, work: Callable[[], Awaitable[Response]]
    ) -> Response:
        """Return the kept answer, or do *work* and keep what it answers.

        *asked* is the whole request: under the same key another one is BadInput
        `idempotency_key_reused`; while the first is worked on, Conflict.  A request that was
        refused frees its key.
        """
        now = self._clock.now()
        digest = blake2b(asked, digest_size=16).digest()
        taken = IdempotencyKey(account_id, key, digest, b"", now)
        kept_since = now - KEPT if self._clock.is_sure else _EVER
        kept = await self._answers.begin(taken, stale_before=now - WORKED_ON, kept_since=kept_since)
        if kept is not None:
            return _again(kept, digest)
        try:
            response = await work()
        except Exception:
            await self._answers.forget(taken)
            raise
        await self._keep(taken, response)
        return response

    async def _keep(self, taken: IdempotencyKey, response: Response) -> None:
        """Store the answer; the work is done, so a failure here is no failure of the request."""
        headers = {
            name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers
        }
        kept = msgspec.json.encode(KeptAnswer(response.status_code, headers, bytes(response.body)))
        try:
            await self._answers.keep(msgspec.structs.replace(taken, answer=kept))
        except StorageError as error:
            log("write_failed", error=error.message, what="answer")


def check_key(value: str) -> str:
    """Return the value of an Idempotency-Key header; raise BadInput for one that cannot be."""
    if not _KEY.fullmatch(value):
        raise BadInput(
            "the Idempotency-Key header holds 1 to 255 visible ASCII characters",
            member="idempotency-key",
            status=400,
        )
    return value


def reused(key: str) -> BadInput:
    """Return the error for a key that came with another request before."""
    return BadInput(
        f"Idempotency-Key {key!r} came with another request before; use a new key for a new one",
        member="idempotency-key",
        code="idempotency_key_reused",
    )


def _again(kept: IdempotencyKey, digest: bytes) -> Response:
    if kept.digest != digest:
        raise reused(kept.key)
    if not kept.answer:
        raise Conflict(
            f"the request with Idempotency-Key {kept.key!r} is still worked on; try again soon"
        )
    answer = msgspec.json.decode(kept.answer, type=KeptAnswer)
    return Response(answer.body, answer.status, answer.headers | {REPLAYED: "true"})


_EVER = datetime(1970, 1, 1, tzinfo=UTC)
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
