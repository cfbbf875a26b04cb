"""Variable envelope return paths: addresses of ours that say, when a mail comes back to them, whose
it was, to whom it went and of which message; and the same as a header, for mails that come back
to another address.

    b-<token>@bounces.example.com      the envelope sender: bounces and automatic answers
    u-<token>@bounces.example.com      `List-Unsubscribe: <mailto:...>`
    X-Postbell-Trace: <token>          a header of the mail, for complaints

A token is base32 in lower case (systems on the way fold case): a byte for the form, the api user's
id, what is said, and 8 bytes that sign all of it together with what it is for.  What is said is the
recipient, then the message's id where that fits; of a recipient too long for an address, a hash by
which it is known again.
"""

import hmac
import re
import zlib
from base64 import b32decode, b32encode
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from postbell.errors import BadInput
from postbell.events import MAX_RECIPIENT_CHARS, folded
from postbell.text.recipients import is_address, key_of

PURPOSE = "verp"
"""What keys that sign these are derived for (`sealing`)."""
BOUNCE, UNSUBSCRIBE, HEADER = "b", "u", "t"
HEADER_NAME = "X-Postbell-Trace"
MAX_LOCAL_OCTETS = 64
"""Of the part before the @ (RFC 5321 section 4.5.3.1.1)."""
MAX_SAID_BYTES = 8192
MAX_MESSAGE_CHARS = 200


class Trace(NamedTuple):
    """What a token says: *recipient* is empty where only its *mark* fitted, *message_id* where it
    did not fit or there was none."""

    purpose: str
    user_id: int
    recipient: str
    message_id: str = ""
    mark: bytes = b""

    def is_of(self, address: str) -> bool:
        """Say whether this is the recipient, given whole, in whatever form its server writes it
        (`recipients.key_of`), or by its mark, which only the case of its domain does not change."""
        if self.recipient:
            return key_of(self.recipient) == key_of(address)
        return hmac.compare_digest(self.mark, _mark(address))


class MailAddresses(msgspec.Struct, frozen=True):
    """What one mail is to bear: its envelope sender, an address to unsubscribe at, a header.

    *holds* says what the addresses hold of it (the header holds all): `message`, with the
    recipient; `recipient`; or `mark`, by which the recipient is known again.
    """

    recipient: str
    message_id: str
    return_path: str
    unsubscribe: str
    header: str
    holds: str


class Tracer:
    """Makes tokens with the first of its keys, and reads those of any."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = keys

    def local_part(self, purpose: str, user_id: int, recipient: str, message_id: str = "") -> str:
        """Return the part before the @ of an address, of at most 64 octets."""
        for said in (_said(recipient, message_id), _said(recipient), _marked(recipient)):
            local = f"{purpose}-{self._token(purpose, user_id, said)}"
            if len(local) <= MAX_LOCAL_OCTETS:
                break
        return local

    def addresses(
        self, user_id: int, recipient: str, message_id: str, domain: str
    ) -> MailAddresses:
        """Return what a mail is to bear; raise BadInput that names what cannot be in it."""
        check_domain(domain)
        if len(recipient) > MAX_RECIPIENT_CHARS or not is_address(recipient):
            raise BadInput(
                f"{recipient[:80]!r} is no address; write it as name@example.com",
                member="recipient",
            )
        if len(message_id) > MAX_MESSAGE_CHARS or not message_id.isprintable():
            raise BadInput(
                f"message_id is {message_id[:80]!r}; {MAX_MESSAGE_CHARS} letters expected at most",
                member="message_id",
            )
        path, unsubscribe = (
            f"{self.local_part(purpose, user_id, recipient, message_id)}@{domain}"
            for purpose in (BOUNCE, UNSUBSCRIBE)
        )
        header = f"{HEADER_NAME}: {self.header(user_id, recipient, message_id)}"
        back, holds = self.of_address(path), "mark"
        if back is not None and back.recipient:
            holds = "message" if back.message_id else "recipient"
        return MailAddresses(recipient, message_id, path, unsubscribe, header, holds)

    def header(self, user_id: int, recipient: str, message_id: str = "") -> str:
        """Return what the header HEADER_NAME says, of whatever length."""
        return self._token(HEADER, user_id, _said(recipient, message_id))

    def of_address(self, address: str) -> Trace | None:
        """Return what an address says; None where it is none of ours."""
        found = _LOCAL.match(address)
        return self._read(found[1].lower(), found[2]) if found else None

    def of_header(self, value: str) -> Trace | None:
        """Return what the header says; None where it is none of ours."""
        return self._read(HEADER, "".join(value.split()))

    def _token(self, purpose: str, user_id: int, said: bytes) -> str:
        form, rest = said[:1], said[1:]
        whole = form + _number(user_id) + rest
        signed = whole + _signature(self._keys[0], purpose, whole)
        return b32encode(signed).decode("ascii").rstrip("=").lower()

    def _read(self, purpose: str, token: str) -> Trace | None:
        try:
            signed = b32decode(token + "=" * (-len(token) % 8), casefold=True)
        except ValueError:
            return None
        whole, signature = signed[:-_SIGNED], signed[-_SIGNED:]
        if not any(
            hmac.compare_digest(signature, _signature(key, purpose, whole)) for key in self._keys
        ):
            return None
        return _trace(purpose, whole)


def check_domain(domain: str) -> None:
    """Raise BadInput for what mails cannot come back to."""
    if not _DOMAIN.fullmatch(domain):
        raise BadInput(f"domain is {domain[:80]!r}; a host name in ASCII expected", member="domain")


KEYLESS = Tracer(())
"""Reads nothing, and makes nothing: for who only looks at settings."""


def _trace(purpose: str, whole: bytes) -> Trace | None:
    """Read what was signed; None where a later release wrote it in a form of its own."""
    form, at, user_id = whole[0], 1, 0
    while whole[at] & 0x80:
        user_id = user_id << 7 | whole[at] & 0x7F
        at += 1
    user_id, said = user_id << 7 | whole[at], whole[at + 1 :]
    if form == _MARKED:
        return Trace(purpose, user_id, "", mark=said)
    if form == _SHORT:
        said = zlib.decompressobj(-15, zdict=_OFTEN).decompress(said, MAX_SAID_BYTES)
    elif form != _PLAIN:
        return None
    recipient, _, message_id = said.decode().partition("\0")
    return Trace(purpose, user_id, recipient, message_id)


def _said(recipient: str, message_id: str = "") -> bytes:
    plain = "\0".join(filter(None, (recipient, message_id))).encode("utf-8", "replace")
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=_OFTEN)
    short = deflate.compress(plain) + deflate.flush()
    if len(short) < len(plain):
        return bytes((_SHORT,)) + short
    return bytes((_PLAIN,)) + plain


def _marked(recipient: str) -> bytes:
    return bytes((_MARKED,)) + _mark(recipient)


def _mark(address: str) -> bytes:
    return blake2b(folded(address).encode("utf-8", "replace"), digest_size=8).digest()


def _number(number: int) -> bytes:
    """Return a number in groups of 7 bits, the highest first; all but the last have bit 8 set."""
    groups = [number & 0x7F]
    while number := number >> 7:
        groups.append(number & 0x7F | 0x80)
    return bytes(reversed(groups))


def _signature(key: bytes, purpose: str, whole: bytes) -> bytes:
    return blake2b(whole, key=key, person=purpose.encode(), digest_size=_SIGNED).digest()


_PLAIN, _SHORT, _MARKED = 1, 2, 3
_SIGNED = 8
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_LOCAL = re.compile(rf"\s*<?([{BOUNCE}{UNSUBSCRIBE}])-([a-z2-7]+)@", re.IGNORECASE)
_OFTEN = (
    b".edu.gov.info.biz.com.au.co.jp.com.br.co.uk.de.fr.it.es.nl.pl.ru.ch.at.eu.org.net.com"
    b"noreply@example.com@proton.me@mail.com@aol.com@yandex.ru@mail.ru@web.de@gmx.net@gmx.de"
    b"@msn.com@live.com@icloud.com@me.com@yahoo.co.uk@yahoo.com@outlook.com@hotmail.com"
    b"@googlemail.com@gmail.com"
)
"""What addresses often hold, the most frequent last (RFC 1950 section 2.2); tokens that were made
with it are out in the world: it never changes."""
