"""Whose mail is it?  Rules of the settings give each mail to an account and an api user.

A source asks with what it knows of one mail.  The first rule that fits decides; where none does,
the mail is the source's own account's, or nobody's: its events are counted, and nothing else.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from postbell.errors import BadInput
from postbell.events import Draft
from postbell.text import mailboxes, networks
from postbell.text.networks import Networks, is_in

CONDITIONS = ("sasl_login", "sender", "header", "client")
"""What a rule may ask for; each kind of source says which of it it knows."""
MOST_RULES = 10_000
MAX_DOMAIN_CHARS = 255
"""Of a sender's domain (RFC 5321 section 4.5.3.1.2)."""


class MailFacts(NamedTuple):
    """What a source knows of one mail; empty is unknown.

    *sasl_login* is who submitted it, from the address *client*; *sender* is the envelope's, or the
    header's where that is all there is; names of *headers* are in lower case.
    """

    sasl_login: str = ""
    sender: str = ""
    headers: Mapping[str, str] = {}
    client: str = ""


class Owned(NamedTuple):
    """Whose a mail is, and for people by which rule, empty where it is the source's own."""

    account: str
    api_user: str
    rule: str = ""


class RuleMembers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the settings say of a rule; one with several conditions fits where all of them do, a
    condition with several values where one of them does."""

    account: str
    api_user: str
    sasl_login: str | list[str] = []
    sender: str | list[str] = []
    header: dict[str, str | list[str]] = {}
    client: str | list[str] = []


class WhoseMembers(msgspec.Struct, frozen=True):
    """What the settings say of whose a source's mail is."""

    account: str
    api_user: str
    rule: list[RuleMembers] = []
    unmatched: Literal["default", "refuse"] = "default"


MEMBERS = WhoseMembers.__struct_fields__


class OwnerRule(NamedTuple):
    """One rule, ready to be asked: *headers* are names with their values."""

    owned: Owned
    logins: frozenset[str]
    senders: frozenset[str]
    headers: Mapping[str, frozenset[str]]
    networks: Networks

    def fits(self, mail: MailFacts, senders: Sequence[str]) -> bool:
        """Say whether all conditions hold; *senders* are the forms of the mail's sender."""
        return (
            (not self.logins or mail.sasl_login in self.logins)
            and (not self.senders or not self.senders.isdisjoint(senders))
            and all(mail.headers.get(name, "") in values for name, values in self.headers.items())
            and (not self.networks or is_in(mail.client, self.networks))
        )

    def keys(self) -> Iterator[tuple[str, str]]:
        """Yield by which values of a mail it is found; none where it asks for networks alone."""
        if self.logins:
            yield from (("login", each) for each in self.logins)
        elif self.senders:
            yield from (("sender", each) for each in self.senders)
        elif self.headers:
            name, values = next(iter(self.headers.items()))
            yield from ((name + ":", each) for each in values)


class Whose:
    """The rules of one source.

    A rule is found by one of its values, so that many customers cost no more than few; only rules
    that ask for networks alone are gone through.
    """

    def __init__(
        self, own: Owned, rules: Sequence[OwnerRule] = (), *, is_default: bool = True
    ) -> None:
        """Where no rule fits, a mail is *own* if that *is_default*, else nobody's."""
        self.account, self.api_user, _ = own
        self.has_rules = bool(rules)
        named = (own, *(rule.owned for rule in rules))
        self.owners = tuple(dict.fromkeys((each.account, each.api_user) for each in named))
        self.is_shared = any(account != own.account for account, _ in self.owners)
        self._own = own if is_default else None
        self._rules = rules
        self._found: dict[tuple[str, str], list[int]] = defaultdict(list)
        self._always: list[int] = []
        for number, rule in enumerate(rules):
            keys = list(rule.keys())
            for key in keys:
                self._found[key].append(number)
            if not keys:
                self._always.append(number)
        self._names = {name for name, _ in self._found if name.endswith(":")}
        self.headers = frozenset(name for rule in rules for name in rule.headers)
        """The headers that rules ask for, in lower case."""

    def of(self, mail: MailFacts) -> Owned | None:
        """Return whose the mail is, None for nobody's."""
        senders = list(_forms(mail.sender))
        keys = [("login", mail.sasl_login), *(("sender", each) for each in senders)]
        keys += [(name, mail.headers.get(name[:-1], "")) for name in self._names]
        found = (self._found.get(key, ()) for key in keys)
        for number in sorted({number for numbers in (*found, self._always) for number in numbers}):
            if self._rules[number].fits(mail, senders):
                return self._rules[number].owned
        return self._own

    def give(self, draft: Draft, mail: MailFacts) -> str:
        """Make the draft the owner's, who may have said by which api user; return by which rule.
        Raises BadInput NO_RULE where the mail is nobody's."""
        owned = self.of(mail)
        if owned is None:
            known = {"login": mail.sasl_login, "sender": mail.sender, "client": mail.client}
            said = ", ".join(f"{name} {value!r}" for name, value in known.items() if value)
            raise BadInput(
                f"no rule says whose mail this is: {said or 'nothing is known of it'}",
                code="no_rule",
            )
        draft.account, draft.api_user = owned.account, draft.api_user or owned.api_user
        return owned.rule


def read(members: Mapping[str, Any], known: Sequence[str]) -> Whose:
    """Return what these members of a source say, whose kind knows the conditions *known*; raise
    BadInput that names the rule and what is wrong with it."""
    try:
        given = msgspec.convert(members, WhoseMembers)
    except msgspec.ValidationError as error:
        of_rule = f"; members of a rule: {', '.join(_OF_RULE)}" if ".rule[" in str(error) else ""
        how = "; each is a table [[source.NAME.rule]]" if "`$.rule`" in str(error) else of_rule
        raise BadInput(f"{error}{how}", member="rule") from None
    if len(given.rule) > MOST_RULES:
        raise BadInput(f"{len(given.rule)} rules; the limit is {MOST_RULES}", member="rule")
    if given.unmatched == "refuse" and not given.rule:
        raise BadInput(
            "unmatched is 'refuse' and there is no rule, so nothing would come in; add a rule, or"
            " leave unmatched out",
            member="unmatched",
        )
    rules = []
    for number, rule in enumerate(given.rule, 1):
        try:
            rules.append(_rule(number, rule, known))
        except (BadInput, ValueError) as error:
            what = error.message if isinstance(error, BadInput) else str(error)
            raise BadInput(f"rule {number}: {what}", member="rule") from None
    own = Owned(given.account, given.api_user)
    return Whose(own, rules, is_default=given.unmatched == "default")


def _rule(number: int, members: RuleMembers, known: Sequence[str]) -> OwnerRule:
    asked = [name for name in CONDITIONS if getattr(members, name)]
    if not asked:
        raise BadInput(
            f"it has no condition, of {', '.join(known)}, and would take every mail; leave it out,"
            " and say whose the source is",
            member="rule",
        )
    for name in asked:
        if name not in known:
            raise BadInput(
                f"this kind of source does not know the {name} of a mail; it knows"
                f" {', '.join(known)}",
                member="rule",
            )
    return OwnerRule(
        Owned(members.account, members.api_user, f"rule {number} ({', '.join(asked)})"),
        frozenset(_values("sasl_login", members.sasl_login)),
        frozenset(form for each in _values("sender", members.sender) for form in _sender(each)),
        {
            name.lower().strip(): frozenset(_values(f"header {name!r}", values))
            for name, values in members.header.items()
        },
        tuple(map(networks.read, _values("client", members.client))),
    )


def _values(name: str, given: str | list[str]) -> list[str]:
    values = [given] if isinstance(given, str) else given
    stripped = [each.strip() for each in values]
    if values and not all(stripped):
        raise BadInput(f"{name} has an empty value", member="rule")
    if name.startswith("header") and not values:
        raise BadInput(f"{name} has no value", member="rule")
    return stripped


def _sender(given: str) -> Iterator[str]:
    """Yield the forms of an address, of a domain as `@example.com`, or of all below it as
    `.example.com`."""
    local, at, domain = given.rpartition("@")
    below = domain.startswith("*.") and not at
    try:
        found = mailboxes.read(f"{local or 'x'}@{domain[2:] if below else domain}")
    except BadInput:
        raise BadInput(
            f"sender is {given!r}; an address, a domain, or *.DOMAIN for all below it expected",
            member="rule",
        ) from None
    before = "." if below else f"{local}@"
    yield before + found.domain
    yield before + found.address.rpartition("@")[2]


def _forms(sender: str) -> Iterator[str]:
    """Yield by what a sender may be named: itself, its domain, and each domain above that.

    The case of the domain does not count, that of the name before it does.
    """
    local, at, domain = sender.rpartition("@")
    if not at or len(domain) > MAX_DOMAIN_CHARS:  # no rule names one that is longer
        return
    domain = unicodedata.normalize("NFC", domain).lower()
    yield f"{local}@{domain}"
    yield f"@{domain}"
    while (dot := domain.find(".")) >= 0:
        domain = domain[dot + 1 :]
        yield f".{domain}"


_OF_RULE = RuleMembers.__struct_fields__
