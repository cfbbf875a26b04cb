"""What all dialects have in common: finding one, its options, its reference rows."""

from typing import Any

import pytest

from postbell.dialects import DIALECTS, find
from postbell.errors import BadInput
from postbell.events import MACHINE, OUT_OF_BAND, TYPES, EventType


def test_an_unknown_dialect_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BadInput) as caught:
        find("acme")

    assert (
        caught.value.message == "no dialect 'acme'; known:"
        " engagelab, mailgun, mandrill, native, sendpulse, sendpulse-bulk"
    )
    assert caught.value.member == "dialect"


def test_a_dialect_is_found_by_its_own_name() -> None:
    assert {name: find(name).name for name in DIALECTS} == {name: name for name in DIALECTS}


@pytest.mark.parametrize(
    ("dialect", "options", "member", "said"),
    [
        (
            "engagelab",
            {"signatur": "md5"},
            "options.signatur",
            "no option 'signatur' in the dialect engagelab;"
            " known: signature, codes, url_check, array",
        ),
        (
            "engagelab",
            {"signature": "sha1"},
            "options.signature",
            "options.signature is 'sha1'; md5 or hmac expected",
        ),
        ("engagelab", {"array": 1}, "options.array", "options.array is 1; false or true expected"),
        (
            "engagelab",
            {"url_check": True},
            "options.url_check",
            "options.url_check is True; off or get or get_and_post expected",
        ),
        (
            "sendpulse",
            {"profile": None},
            "options.profile",
            "options.profile is None; original or current expected",
        ),
        (
            "sendpulse",
            {"bounces": ["both"]},
            "options.bounces",
            "options.bounces is ['both']; undelivered or bounces or both expected",
        ),
        (
            "native",
            {"signature": "v1"},
            "options.signature",
            "no option 'signature' in the dialect native; it has none",
        ),
    ],
)
def test_a_wrong_option_is_refused_by_name(
    dialect: str, options: dict[str, Any], member: str, said: str
) -> None:
    with pytest.raises(BadInput) as caught:
        find(dialect).check_options(options)

    assert caught.value.message == said
    assert caught.value.member == member


@pytest.mark.parametrize(
    ("dialect", "given", "kept"),
    [
        ("native", {}, {}),
        ("engagelab", {"signature": "md5", "codes": "hardness", "array": False}, {}),
        ("engagelab", {"signature": "hmac", "codes": "phase"}, None),
        ("engagelab", {"array": "true", "url_check": "get"}, {"array": True, "url_check": "get"}),
        ("sendpulse", {"profile": "original", "bounces": "both"}, {"bounces": "both"}),
        ("sendpulse-bulk", {"action": "types"}, {}),
    ],
)
def test_only_options_that_differ_from_their_defaults_are_kept(
    dialect: str, given: dict[str, Any], kept: dict[str, Any] | None
) -> None:
    checked = find(dialect).check_options(given)

    assert checked == (given if kept is None else kept)
    assert find(dialect).check_options(checked) == checked


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_the_reference_rows_name_values_that_the_check_takes(name: str) -> None:
    dialect = DIALECTS[name]

    for option, values, default, meaning in dialect.option_rows():
        assert dialect.check_options({option: default}) == {}
        assert all(dialect.check_options({option: v}) is not None for v in values.split(", "))
        assert default in values.split(", ")
        assert meaning


@pytest.mark.parametrize("name", sorted(DIALECTS))
@pytest.mark.parametrize("flags", [0, OUT_OF_BAND, MACHINE, OUT_OF_BAND | MACHINE])
def test_a_weight_is_above_zero_exactly_for_carried_and_ticked_types(name: str, flags: int) -> None:
    dialect = DIALECTS[name]
    ticked = frozenset({EventType.DELIVERED, EventType.CLICK, EventType.RESUBSCRIBE})

    for row in TYPES:
        is_carried = row.type in dialect.carries({})
        assert bool(dialect.weight(row.number | flags, None, {})) == is_carried
        is_wanted = is_carried and row.type in ticked
        assert bool(dialect.weight(row.number | flags, ticked, {})) == is_wanted


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_a_number_that_is_no_type_weighs_nothing(name: str) -> None:
    assert DIALECTS[name].weight(0, None, {}) == 0
    assert DIALECTS[name].weight(0x3F, None, {}) == 0
