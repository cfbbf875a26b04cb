"""E-mail addresses of those whom we mail: checked and taken apart by a library that knows RFC 5321
and 6531 (decision 0011).  Addresses in events are facts, and not looked at here."""

from typing import NamedTuple

from postbell.errors import BadInput

MAX_NAME_BYTES = 64
"""Octets of the part before the @ (RFC 5321, section 4.5.3.1.1); the library counts characters."""


class Mailbox(NamedTuple):
    """*address* is what people see: lower case, NFC, its domain in Unicode; a mail server is told
    *name* at *domain*, which is ASCII (IDNA 2008).  *needs_utf8*: only SMTPUTF8 can carry it."""

    address: str
    name: str
    domain: str
    needs_utf8: bool

    @property
    def on_wire(self) -> str:
        return f"{self.name}@{self.domain}"


def read(text: str, *, member: str = "email") -> Mailbox:
    """Return the mailbox that *text* names; raise BadInput for what is no address.

    Names of own networks (`root@localhost`, `ops@mail.local`) are taken; quoted names and IP
    addresses are not.  Nothing is looked up.
    """
    import email_validator  # 0.1 s, and many processes need none

    email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()
    try:
        found = email_validator.validate_email(
            text.strip().lower(),
            check_deliverability=False,
            globally_deliverable=False,
            strict=True,
        )
        if "=?" in found.local_part:
            # writers of headers take it for an encoded word (RFC 2047), and decode line ends in it
            raise email_validator.EmailSyntaxError("the part before the @-sign has =? in it")
        if len(found.local_part.encode()) > MAX_NAME_BYTES:
            raise email_validator.EmailSyntaxError("the part before the @-sign is too long")
    except email_validator.EmailNotValidError as error:
        raise BadInput(
            f"{text[:80]!r} is not an e-mail address; write it as name@example.com ({error})",
            member=member,
            reason="email_malformed",
            given=text[:80],
        ) from None
    name, domain = found.local_part.lower(), found.domain.lower()
    return Mailbox(f"{name}@{domain}", name, found.ascii_domain.lower(), not name.isascii())


def known_as(text: str) -> tuple[str, ...]:
    """Return the forms under which somebody who types *text* may be stored: what `read` makes of
    it, and how it was kept before addresses were checked so."""
    plain = text.strip().lower()
    try:
        return tuple(dict.fromkeys((read(text).address, plain)))
    except BadInput:
        return (plain,) if plain else ()
