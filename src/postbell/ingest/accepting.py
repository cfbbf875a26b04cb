"""Checking one event that comes in: the only way into the log's canonical form.

Called by `ingest.ingest` for every event; most of what ingest costs is spent here.
"""

import json
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from postbell.errors import BadInput
from postbell.events import (
    MADE_HERE,
    MAX_EVENT_BYTES,
    Draft,
    EventType,
    Message,
    folded,
    kind_code,
)
from postbell.ingest.moments import occurred_at_of
from postbell.ingest.user_agents import described

MAX_ID_CHARS = 100


class Accepted(NamedTuple):
    """An event that passed: its canonical bytes and what a block keeps beside them."""

    event_id: str
    api_user_id: int
    code: int
    raw: bytes
    is_random: bool


MAX_NESTED = 16
"""So many objects and lists may lie in each other in `metadata`: who reads an event back must not
run out of stack."""
_decode_draft = msgspec.json.Decoder(Draft).decode
_encode = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="deterministic").encode


class Accepting:
    """Events of one request as they pass, column by column (thousands come at a time).

    *ids*, *users* (api users' ids), *codes* (`events.kind_code`), *raws* (canonical bytes) and
    *randoms* (the id was made up, nothing is a duplicate of it) are of one length.
    """

    def __init__(
        self,
        account: str,
        api_user: str,
        user_id: Callable[[str], int | None],
        now: datetime,
    ) -> None:
        """Begin a request of *account*; *api_user*, who authenticated, is the default.

        *user_id* finds the id of an api user of this account by name, None for any other.
        """
        self._account = account
        self._api_user = api_user
        self._user_id = user_id
        self._known: dict[str, int] = {}
        self._now = now
        self.ids: list[str] = []
        self.users: list[int] = []
        self.codes = bytearray()
        self.raws: list[bytes] = []
        self.randoms: list[bool] = []

    def take(self, raw: bytes | msgspec.Raw) -> None:
        """Check one event and add its canonical form.

        Raises BadInput whose code is one of `malformed`, `invalid`, `unknown_member`,
        `too_large`, `unknown_api_user`, `refused_type`.
        """
        draft = draft_of(raw)
        if draft.type in MADE_HERE:
            raise made_here(draft.type)
        self._add(draft)

    def take_draft(self, draft: Draft) -> None:
        """Check what a source made, as `take` does, and add its canonical form; types that are made
        here come in by this door.  *draft* is not changed."""
        try:
            raw = _encode(draft)
        except (TypeError, ValueError, RecursionError) as error:
            raise BadInput(
                f"the event cannot be written as JSON: {error}", code="invalid"
            ) from None
        self._add(draft_of(raw))

    def _add(self, draft: Draft) -> None:
        user = draft.api_user = draft.api_user or self._api_user
        user_id = self._known.get(user) or self._known_now(user)
        if user_id is None:
            raise BadInput(
                f"no api user {user!r} in this account; leave api_user out to use your own",
                member="api_user",
                code="unknown_api_user",
            )
        if draft.smtp is not None and draft.smtp.enhanced:
            _check_enhanced(draft.smtp.enhanced)
        event_id = draft.event_id
        is_random = event_id is None and draft.occurred_at is None
        draft.occurred_at = occurred_at_of(draft.occurred_at, self._now)
        if draft.recipient[0] in _AROUND or draft.recipient[-1] in _AROUND:
            draft.recipient = _bare_recipient(draft.recipient)
        if draft.message is not None:
            draft.message = _tidied(draft.message)
        draft.account = self._account
        draft.recorded_at = draft.sequence = None
        if draft.metadata is not None:
            _check_metadata(draft.metadata)
        if event_id is None:
            event_id = "ev_" + secrets.token_urlsafe(15) if is_random else _fact_id(draft)
            draft.event_id = event_id
        elif not 0 < len(event_id) <= MAX_ID_CHARS or event_id.encode().translate(None, _ID_CHARS):
            raise BadInput(
                f"member 'event_id': 1 to {MAX_ID_CHARS} of A-Z a-z 0-9 . _ ~ - expected",
                member="event_id",
                code="invalid",
            )
        if draft.client is not None:
            draft.client = described(draft.client)
        canonical = _encode(draft)
        if b"\\" in canonical and b"\\u0000" in canonical:
            _refuse_nul(canonical)
        self.ids.append(event_id)
        self.users.append(user_id)
        self.codes.append(kind_code(draft))
        self.raws.append(canonical)
        self.randoms.append(is_random)

    def _known_now(self, user: str) -> int | None:
        """Ask for an api user once a request."""
        user_id = self._user_id(user)
        if user_id is not None:
            self._known[user] = user_id
        return user_id


def draft_of(raw: bytes | msgspec.Raw) -> Draft:
    """Read an event that somebody else wrote; raise BadInput as `Accepting.take` does."""
    if len(raw) > MAX_EVENT_BYTES:
        raise BadInput(
            f"the event has {len(raw)} bytes; the limit is {MAX_EVENT_BYTES} bytes an event",
            code="too_large",
        )
    try:
        return _decode_draft(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _refusal(error, raw) from None


def made_here(kind: EventType) -> BadInput:
    """Return the error for an event of a type that nobody sends."""
    return BadInput(
        f"type {kind.value!r} is made by the service only; send another documented type",
        member="type",
        code="refused_type",
    )


def accept(
    raw: bytes | msgspec.Raw,
    *,
    account: str,
    api_user: str,
    api_user_id: Callable[[str], int | None],
    now: datetime,
) -> Accepted:
    """Check one event and return its canonical form, as `Accepting.take` does; those that are made
    here pass, too."""
    one = Accepting(account, api_user, api_user_id, now)
    one._add(draft_of(raw))
    return Accepted(one.ids[0], one.users[0], one.codes[0], one.raws[0], one.randoms[0])


def _refusal(error: Exception, raw: bytes | msgspec.Raw) -> BadInput:
    """Return what to tell of an event that could not be decoded."""
    if not isinstance(error, msgspec.ValidationError):
        return BadInput(
            f"the event is not valid JSON in UTF-8: {_why(error, raw)}", code="malformed"
        )
    text, _, path = str(error).partition(" - at `$.")
    path = path.rstrip("`")
    if path == "type" and text.startswith("Invalid enum value"):
        known = ", ".join(kind for kind in EventType if kind not in MADE_HERE)
        return BadInput(
            f"member 'type': no event type{text.removeprefix('Invalid enum value')[:80]};"
            f" known: {known}",
            member="type",
            code="invalid",
        )
    unknown = _UNKNOWN_FIELD.search(text)
    if unknown:
        member = f"{path}.{unknown[1]}" if path else unknown[1]
        return BadInput(
            f"unknown member {member!r}; the reference lists the members of an event",
            member=member,
            code="unknown_member",
        )
    missing = _MISSING_FIELD.search(text)
    if missing:
        member = f"{path}.{missing[1]}" if path else missing[1]
        return BadInput(
            f"member {member!r} is missing; type and recipient are required",
            member=member,
            code="invalid",
        )
    where = f"member {path!r}: " if path else "the event: "
    return BadInput(where + _lower_first(text), member=path, code="invalid")


@lru_cache(4096)
def _check_enhanced(code: str) -> None:
    if not _ENHANCED(code):
        raise BadInput(
            "member 'smtp.enhanced': an enhanced status code x.y.z or an empty string expected",
            member="smtp.enhanced",
            code="invalid",
        )


def _tidied(message: Message) -> Message:
    """Return what is said of a message with its Message-ID and its sender bare.

    Both come as they stand in a mail's head: the one in angle brackets (RFC 5322 section 3.6.4),
    the other perhaps with a name before it (section 3.4), which gets a member of its own.
    """
    changes: dict[str, str] = {}
    own, sender = message.rfc_message_id, message.from_
    if own and (own[0] in _AROUND or own[-1] in _AROUND):
        changes["rfc_message_id"] = own.strip().removeprefix("<").removesuffix(">").strip()
    if sender and (sender[0] in _AROUND or sender[-1] in _AROUND):
        name, address = parted(sender)
        changes["from_"] = address
        if name and not message.from_name:
            changes["from_name"] = name
    return msgspec.structs.replace(message, **changes) if changes else message


def parted(mailbox: str) -> tuple[str, str]:
    """Return the name, "" where there is none, and the address of `Name <address>`.

    What is no such thing comes back whole, without the blanks around it.
    """
    whole = mailbox.strip()
    name, bracket, address = whole.removesuffix(">").rpartition("<")
    name, address = name.strip(), address.strip()
    name = name.removeprefix('"').removesuffix('"').strip()
    is_one = bracket and whole[-1] == ">" and address and not _NO_ADDRESS & set(address)
    if not is_one or _NO_NAME & set(name) or address != "".join(address.split()):
        return "", whole
    return name, address


def _bare_recipient(given: str) -> str:
    """Return an address without the blanks, brackets and name around it."""
    _, address = parted(given)
    if not address:
        raise BadInput(
            "member 'recipient' is blank; an address is required",
            member="recipient",
            code="invalid",
        )
    return address


def _fact_id(draft: Draft) -> str:
    """Return the id of a fact: a hash of everything that was given, and of nothing else.

    The case of the recipient's domain and the order of `metadata` make no other fact.
    """
    given, recipient = draft.recipient, folded(draft.recipient)
    if recipient != given:
        draft.recipient = recipient
    encode = _encode_sorted if draft.metadata else _encode
    fact = encode(draft)
    draft.recipient = given
    digest = blake2b(fact, digest_size=15).digest()
    return "ev_" + urlsafe_b64encode(digest).decode()


def _check_metadata(metadata: dict[str, Any]) -> None:
    """Raise BadInput where too many values lie in each other."""
    level: list[Any] = [value for value in metadata.values() if isinstance(value, dict | list)]
    for _ in range(MAX_NESTED):
        if not level:
            return
        inner = (each.values() if isinstance(each, dict) else each for each in level)
        level = [value for some in inner for value in some if isinstance(value, dict | list)]
    raise BadInput(
        f"member 'metadata': over {MAX_NESTED} objects and lists lie in each other; flatten them",
        member="metadata",
        code="invalid",
    )


def _refuse_nul(canonical: bytes) -> None:
    """Raise BadInput where a string of the event holds U+0000 (databases cannot keep it)."""

    def walk(value: Any, path: str) -> None:
        if isinstance(value, str):
            if "\0" in value:
                raise BadInput(
                    f"member {path!r} holds the character U+0000; leave it out",
                    member=path,
                    code="invalid",
                )
        elif isinstance(value, dict):
            for key, inner in value.items():
                walk(key, path or key)
                walk(inner, f"{path}.{key}" if path else key)
        elif isinstance(value, list):
            for inner in value:
                walk(inner, path)

    walk(msgspec.json.decode(canonical), "")


def _why(error: Exception, raw: bytes | msgspec.Raw) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"byte 0x{error.object[error.start]:02x} is not UTF-8"
    return "a string holds half a character, a lone surrogate" if _is_halved(raw) else str(error)


def _is_halved(raw: bytes | msgspec.Raw) -> bool:
    """Say whether *raw* is JSON but for a lone surrogate, which the decoder calls truncated."""
    try:
        json.dumps(json.loads(bytes(raw)), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    except (ValueError, RecursionError):
        return False
    return False


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


_AROUND = frozenset(" \t\r\n<>")
_NO_ADDRESS, _NO_NAME = frozenset("<>"), frozenset('"<>')
_UNKNOWN_FIELD = re.compile(r"unknown field `(.*)`", re.DOTALL)
_MISSING_FIELD = re.compile(r"missing required field `(.*)`")
_ENHANCED = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}").fullmatch
_ID_CHARS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-"
