"""Whose mail is it: which rule fits, and what is wrong with one."""

import tracemalloc
from collections.abc import Sequence
from typing import Any

import pytest

from postbell.errors import BadInput
from postbell.events import Draft, EventType
from postbell.ports import NO_RULE
from postbell.sources.whose import CONDITIONS, MailFacts, Whose, read

OWN = {"account": "own", "api_user": "mail"}


def whose(*rules: dict[str, Any], known: Sequence[str] = CONDITIONS, **members: Any) -> Whose:
    """Return rules that each give mail to an account named like their number."""
    given = [
        {"account": f"a{number}", "api_user": f"u{number}"} | rule
        for number, rule in enumerate(rules, 1)
    ]
    return read(OWN | {"rule": given} | members, known)


def owner(found: Whose, **facts: Any) -> str:
    owned = found.of(MailFacts(**facts))
    return "nobody" if owned is None else owned.account


def test_the_first_rule_that_fits_decides() -> None:
    found = whose({"sender": "acme.example"}, {"sasl_login": "bob"}, {"sender": "acme.example"})

    assert owner(found, sender="x@acme.example", sasl_login="bob") == "a1"
    assert owner(found, sender="x@other.example", sasl_login="bob") == "a2"
    assert owner(found, sender="x@other.example", sasl_login="eve") == "own"
    assert owner(found) == "own"


def test_what_no_rule_fits_is_nobodys_where_that_is_said() -> None:
    found = whose({"sasl_login": "bob"}, unmatched="refuse")
    draft = Draft(type=EventType.OPEN, recipient="a@b.example")

    with pytest.raises(BadInput, match=r"mail this is: sender 'a@b\.example', client") as said:
        found.give(draft, MailFacts(sender="a@b.example", client="::1"))

    assert owner(found, sasl_login="eve") == "nobody"
    assert said.value.code == NO_RULE


def test_all_conditions_of_a_rule_hold_and_one_value_of_each() -> None:
    rule = {
        "sasl_login": ["ann", "bob"],
        "sender": "acme.example",
        "header": {"X-Tenant": ["one", "two"], "X-Kind": "bulk"},
        "client": ["192.0.2.0/24", "2001:db8::1"],
    }
    good = {
        "sasl_login": "bob",
        "sender": "x@acme.example",
        "headers": {"x-tenant": "two", "x-kind": "bulk"},
        "client": "192.0.2.9",
    }
    bad: dict[str, Any] = {
        "sasl_login": "Bob",
        "sender": "x@sub.acme.example",
        "headers": {"x-tenant": "two"},
        "client": "192.0.3.1",
    }
    found = whose(rule)

    assert owner(found, **good) == "a1"
    assert owner(found, **good | {"client": "2001:db8::1"}) == "a1"
    assert owner(found, **good | {"client": "::ffff:192.0.2.9"}) == "a1"
    assert [owner(found, **good | {name: value}) for name, value in bad.items()] == ["own"] * 4
    assert [owner(found, **good | {name: type(bad[name])()}) for name in bad] == ["own"] * 4


@pytest.mark.parametrize(
    ("rule", "fits", "others"),
    [
        ("Ada@Acme.example", ["Ada@acme.EXAMPLE"], ["ada@acme.example", "Ada@sub.acme.example"]),
        ("acme.example", ["x@acme.example", "x@ACME.example"], ["x@sub.acme.example"]),
        ("acme.example", ["@acme.example"], ["acme.example", ""]),
        ("*.acme.example", ["x@a.acme.example", "x@b.a.acme.example"], ["x@acme.example"]),
        ("bücher.example", ["x@BÜCHER.example", "x@xn--bcher-kva.example"], ["x@bucher.example"]),
        ("bücher.example", ["x@bu\u0308cher.example"], ["x@bu.example"]),
        ("*.faß.example", ["x@a.faß.example", "x@a.xn--fa-hia.example"], ["x@a.fass.example"]),
        ("localhost", ["root@localhost"], ["root@localhost.example", ""]),
    ],
)  # fmt: skip
def test_a_sender_is_an_address_a_domain_or_all_below_one(
    rule: str, fits: list[str], others: list[str]
) -> None:
    found = whose({"sender": rule})

    assert [owner(found, sender=each) for each in fits] == ["a1"] * len(fits)
    assert [owner(found, sender=each) for each in others] == ["own"] * len(others)


def test_a_sender_with_an_endless_domain_costs_nothing_and_is_nobodys() -> None:
    tracemalloc.start()
    rules = whose({"sender": "*.example"}, unmatched="refuse")
    long = "x@" + "a." * 30_000 + "example"

    assert rules.of(MailFacts(sender=long)) is None
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 1 << 20


def test_a_rule_is_found_whichever_condition_it_is_found_by() -> None:
    """Rules are found by one of their values: in their order nevertheless."""
    found = whose(
        {"client": "192.0.2.1", "sasl_login": "never"},
        {"header": {"x-a": "1"}},
        {"client": "192.0.2.0/24"},
        {"sender": "acme.example"},
        {"sasl_login": "bob"},
        {"sasl_login": "bob"},
    )
    mail = {
        "sasl_login": "bob",
        "sender": "x@acme.example",
        "client": "192.0.2.1",
        "headers": {"x-a": "1"},
    }

    owners = []
    for name in ("headers", "client", "sender", "sasl_login"):
        owners.append(owner(found, **mail))
        del mail[name]

    assert owners == ["a2", "a3", "a4", "a5"]


def test_it_says_by_which_rule_and_whether_others_share_the_source() -> None:
    found = whose({"sender": "acme.example", "client": "::1"}, {"sasl_login": "bob"})
    own = whose({"sasl_login": "bob", "account": "own", "api_user": "bulk"})

    owned = found.of(MailFacts(sasl_login="bob"))
    assert owned == ("a2", "u2", "rule 2 (sasl_login)")
    assert found.of(MailFacts(sender="x@acme.example", client="::1")) == (
        "a1", "u1", "rule 1 (sender, client)",
    )  # fmt: skip
    assert found.of(MailFacts()) == ("own", "mail", "")
    assert (found.is_shared, own.is_shared, whose().is_shared) == (True, False, False)
    assert (found.has_rules, whose().has_rules) == (True, False)


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({}, "rule 1: it has no condition, of sasl_login, sender, header, client, and would take"),
        ({"sender": ""}, "rule 1: it has no condition"),
        ({"header": {"x-a": []}}, "rule 1: header 'x-a' has no value"),
        ({"sasl_login": ["bob", " "]}, "rule 1: sasl_login has an empty value"),
        ({"sender": "not an address"}, "rule 1: sender is 'not an address'; an address, a domain"),
        ({"sender": "a@*.acme.example"}, "rule 1: sender is 'a@"),
        ({"client": "192.0.2.300"}, "rule 1: '192.0.2.300' is no network; write it"),
        ({"client": "192.0.2.1/24"}, "rule 1: .* write 192.0.2.0/24 for all of that"),
        ({"sasl_login": 7}, r"\$\.rule\[0\]\.sasl_login"),
        ({"login": "bob"}, "unknown field `login`.*; members of a rule: account, api_user, sasl_"),
    ],
)
def test_a_rule_that_is_said_wrong_is_refused(rule: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput, match=told) as raised:
        whose(rule)
    assert raised.value.member == "rule"


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"unmatched": "refuse"}, "unmatched is 'refuse' and there is no rule"),
        ({"unmatched": "drop"}, "Invalid enum value 'drop'"),
        ({"account": None}, "account"),
        ({"rule": {"account": "a"}}, r"Expected `array`.*each is a table \[\[source.NAME.rule\]\]"),
        ({"rule": [{"account": "a", "api_user": "b", "sasl_login": "c"}] * 10_001}, "10001 rules"),
    ],
)
def test_what_is_said_wrong_of_rules_is_refused(members: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        whose(**members)


def test_a_condition_that_the_source_cannot_know_is_refused() -> None:
    with pytest.raises(BadInput, match="does not know the sasl_login of a mail; it knows sender, "):
        whose({"sasl_login": "bob"}, known=("sender", "header"))
