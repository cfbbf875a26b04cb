"""POST /api/v1/events: the hot path, without a framework between it and the server.

Comes before `ingest.ingest`: splits the body into the raw events, which ingest parses.
"""

import json
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from hashlib import blake2b
from typing import Any, Protocol
from urllib.parse import parse_qsl

import msgspec

from postbell.api.bodies import Bodies, ClientGone, Headers, Receive
from postbell.api.once import REPLAYED, check_key
from postbell.api.problems import problem
from postbell.desk import Desk
from postbell.errors import BadInput, PostbellError, TooLarge
from postbell.holding import Share
from postbell.ingest.queueing import Repeated
from postbell.records import Account, ApiUser
from postbell.rights import Right
from postbell.signals import tell
from postbell.text.encodings import unmarked

PATH = "/api/v1/events"
MAX_EVENTS = 10_000
MAX_BODY_BYTES = 10 << 20
MAX_VALUES = 1_000_000
VALUE_BYTES = 64
"""What one value of a split array costs at most in memory; more than MAX_EVENTS do not last."""

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class IngestAnswer(Protocol):
    """What `ingest.ingest` says of a request's events; it is encoded as it is."""

    @property
    def accepted(self) -> int: ...

    @property
    def duplicates(self) -> int: ...

    @property
    def rejected(self) -> Sequence[object]: ...


class Ingesting(Protocol):
    """`ingest.ingest`, as far as this face needs it."""

    @property
    def is_ready(self) -> bool: ...

    async def submit(
        self,
        account: Account,
        api_user: ApiUser,
        raws: Sequence[bytes | msgspec.Raw],
        *,
        atomic: bool = False,
        key: str = "",
        digest: bytes = b"",
    ) -> IngestAnswer: ...


class EventsEndpoint:
    """A bare ASGI endpoint."""

    def __init__(self, desk: Desk, ingest: Ingesting, bodies: Bodies) -> None:
        self._desk = desk
        self._ingest = ingest
        self._bodies = bodies

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        try:
            answer = await self._take(scope, receive)
        except ClientGone:
            return
        except PostbellError as error:
            status, headers, body = problem(error)
            await respond(send, status, headers, body)
            return
        tell(accepted=answer.accepted, duplicates=answer.duplicates, rejected=len(answer.rejected))
        is_repeated = isinstance(answer, Repeated)
        status = 202 if answer.accepted or answer.duplicates else 422
        await respond(send, status, _JSON_AGAIN if is_repeated else _JSON, _encode(answer))

    async def _take(self, scope: MutableMapping[str, Any], receive: Receive) -> IngestAnswer:
        headers = Headers(scope["headers"])
        caller = await self._desk.authenticate(
            headers.authorization, client=scope.get("client"), right=Right.INGEST
        )
        media_type = headers.media_type(MEDIA_TYPES)
        atomic = _atomic(scope.get("query_string", b""))
        key = check_key(headers.idempotency_key) if headers.idempotency_key is not None else ""
        with self._bodies.share(account_id=caller.account.id) as share:
            arriving = self._bodies.counted(receive, share)
            body = unmarked(await self._bodies.read(arriving, headers, share, MAX_BODY_BYTES))
            raws = split(media_type, body, share)
            caller = await self._desk.confirm(caller, Right.INGEST)
            digest = _digest(caller.api_user.name, media_type, atomic, body) if key else b""
            return await self._ingest.submit(
                caller.account, caller.api_user, raws, atomic=atomic, key=key, digest=digest
            )


def split(media_type: str, body: bytes, share: Share) -> Sequence[bytes | msgspec.Raw]:
    """Return the raw events of a body; each is parsed, and perhaps rejected, by ingest.

    Raises BadInput (400) for a body that is not JSON at all, TooLarge over MAX_EVENTS.
    """
    if media_type != "application/json":
        raws: Sequence[bytes | msgspec.Raw] = _lines(body)
    else:
        values = body.count(b",") + 1
        if values > MAX_VALUES:
            raise TooLarge(f"the body has over {MAX_VALUES} JSON values, which is the limit")
        share.add(min(values, MAX_EVENTS) * VALUE_BYTES)
        raws = _array(body)
    if len(raws) > MAX_EVENTS:
        raise TooLarge(
            f"the body has over {MAX_EVENTS} events, which is the limit of a request; send several"
        )
    return raws


def _lines(body: bytes) -> list[bytes]:
    found = []
    for line in _LINE.finditer(body):
        found.append(line[0])
        if len(found) > MAX_EVENTS:
            break
    return found


def _array(body: bytes) -> Sequence[bytes | msgspec.Raw]:
    start = body.lstrip(b" \t\r\n")[:1]
    try:
        if start == b"{":
            return [_one(body)]
        return _many(body)
    except msgspec.ValidationError:
        raise BadInput(
            "the body is JSON, but neither an array of events nor one event",
            code="malformed",
            status=400,
        ) from None
    except RecursionError:
        raise BadInput("the body is nested too deeply", code="malformed", status=400) from None
    except msgspec.DecodeError as error:
        if _SURROGATE.search(body):
            return _tolerant(body)
        raise _malformed(error, body) from None


def _tolerant(body: bytes) -> list[bytes]:
    """Split a body that holds lone surrogates, which are JSON but no text: only the events that
    hold them are to be rejected.  Slow, and rarely needed."""
    try:
        text = body.decode()
        at = _SPACE.match(text, 0).end()  # type: ignore[union-attr]  # matches the empty string
        if text[at] == "{":
            end = _scan(text, at)[1]
            found = [text[at:end]]
        else:
            found, end = _elements(text, at)
        if _SPACE.match(text, end).end() != len(text):  # type: ignore[union-attr]  # as above
            raise ValueError(f"trailing characters at {end}")
    except RecursionError:
        raise BadInput("the body is nested too deeply", code="malformed", status=400) from None
    except (ValueError, IndexError) as error:
        raise BadInput(
            f"the body is not valid JSON: {str(error)[:200]}", code="malformed", status=400
        ) from None
    return [each.encode() for each in found]


def _elements(text: str, at: int) -> tuple[list[str], int]:
    found: list[str] = []
    if text[at] != "[":
        raise ValueError(f"an array expected at {at}")
    while True:
        at = _SPACE.match(text, at + 1).end()  # type: ignore[union-attr]  # as above
        if text[at] == "]" and not found:
            return found, at + 1
        end = _scan(text, at)[1]
        found.append(text[at:end])
        at = _SPACE.match(text, end).end()  # type: ignore[union-attr]  # as above
        if text[at] == "]":
            return found, at + 1
        if text[at] != ",":
            raise ValueError(f"a comma expected at {at}")


def _malformed(error: Exception, body: bytes) -> BadInput:
    text = str(error)
    if "byte" not in text:
        text += f" (after byte {len(body)})"
    return BadInput(f"the body is not valid JSON: {text}", code="malformed", status=400)


def _atomic(query: bytes) -> bool:
    if not query:
        return False
    found = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=None)
    value = "false"
    for number, (name, given) in enumerate(found):
        if name != "atomic" or number or given not in _FLAGS:
            raise BadInput(
                f"query {name[:60]!r}={given[:60]!r} is not taken; known: atomic, true or false",
                member=name[:60],
                status=400,
            )
        value = given
    return _FLAGS[value]


def _digest(api_user: str, media_type: str, atomic: bool, body: bytes) -> bytes:
    """Return what tells two requests under one Idempotency-Key apart."""
    digest = blake2b(msgspec.json.encode((api_user, media_type, atomic)), digest_size=16)
    digest.update(body)
    return digest.digest()


async def respond(send: Send, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> None:
    """Send a whole response."""
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    if status != 204:
        raw.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


MEDIA_TYPES = frozenset(
    (
        "application/json",
        "application/jsonl",
        "application/ndjson",
        "application/x-ndjson",
    )
)
_JSON = (("content-type", "application/json"),)
_JSON_AGAIN = (*_JSON, (REPLAYED, "true"))
_FLAGS: Mapping[str, bool] = {"true": True, "1": True, "false": False, "0": False}
_encode = msgspec.json.Encoder().encode
_one = msgspec.json.Decoder(msgspec.Raw).decode
_many = msgspec.json.Decoder(list[msgspec.Raw]).decode
_scan = json.JSONDecoder(parse_int=str, parse_float=str).raw_decode
_LINE = re.compile(rb"[^ \t\r\n][^\n]*")
_SPACE = re.compile(r"[ \t\r\n]*")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
