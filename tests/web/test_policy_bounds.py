"""The bounds of a policy's members are one: of the checks, of the document, of the form."""

import re
from typing import Any

import jsonschema_rs
import pytest

from postbell.api.openapi import document
from postbell.policies import MEMBERS, Box, Member
from postbell.records import Policy
from postbell.web import boxes
from tests.api.service import URL
from tests.web.visiting import Browser, House

REF = "#/components/schemas/PolicyForm"
FORM = jsonschema_rs.validator_for({"$ref": REF, "components": document()["components"]})
FINE = 0.000_5


def around(row: Member) -> tuple[list[Any], list[Any]]:
    """Return the values just inside and just outside of what a member may be."""
    ends = [row.low, row.high]
    match row.box:
        case Box.FLAG:
            return [True, False], ["maybe"]
        case Box.WHOLE:
            return ends, [row.low - 1, row.high + 1, row.low + 0.5]
        case Box.NUMBER:
            tiny = [row.least / 2] if row.least else []
            inside = [row.least] if row.least else []
            return [*ends, *inside], [row.low - FINE, row.high + FINE, *tiny]
        case Box.CODES:
            word = [row.word] if row.word else []
            return [[end] for end in ends] + word, [[row.low - 1], [row.high + 1], [301, 99]]
        case Box.WAITS:
            most = [row.high] * row.most
            return [[end] for end in ends] + [most], [[row.high + 1], [*most, 1.0]]


CASES = [
    (row.name, value, is_good)
    for row in MEMBERS
    for values, is_good in zip(around(row), (True, False), strict=True)
    for value in values
]


def test_the_table_has_the_members_of_a_policy() -> None:
    assert tuple(row.name for row in MEMBERS) == Policy.__struct_fields__


@pytest.mark.parametrize(("name", "value", "is_good"), CASES)
async def test_a_value_beside_a_bound_is_good_or_bad_for_all(
    house: House, ada: Browser, name: str, value: Any, is_good: bool
) -> None:
    await house.service.webhook()
    change = {"policy": {name: value}}

    answer = await house.service.call("PATCH", "/api/v1/webhooks/1", json=change)

    assert FORM.is_valid({name: value}) is is_good
    assert answer.status_code == (200 if is_good else 422)
    if not is_good:
        assert answer.json()["member"] == f"policy.{name}"
        webhook = await house.service.desk.find_webhook(None, 1)
        assert webhook.policy == {}


@pytest.mark.parametrize(
    ("name", "value", "is_good"), [case for case in CASES if case[1] != "maybe"]
)
async def test_what_is_written_in_a_box_has_the_same_bounds(
    house: House, ada: Browser, name: str, value: Any, is_good: bool
) -> None:
    await house.service.webhook(types=["open"])
    text = value if isinstance(value, str) else boxes.written(name, value)
    await ada.get("/webhooks/1/settings")

    shown = await ada.send(
        "/webhooks/1/settings", url=URL, types="open", **{f"policy.{name}": text}
    )

    stored = (await house.service.desk.find_webhook(None, 1)).policy
    assert (name in stored) is is_good
    assert (f'id="policy.{name}-error"' in shown) is not is_good


@pytest.mark.parametrize(("language", "span"), [("en", "from 1 to 10,000"), ("fr", "de 0,1 à 120")])
async def test_the_form_tells_the_range_of_every_number(
    house: House, ada: Browser, language: str, span: str
) -> None:
    text = await ada.get("/webhooks/new", headers={"accept-language": language})

    hints = dict(re.findall(r'<p class="hint" id="policy\.(\w+)-hint">([^<]+)</p>', text))
    assert span in hints.values()
    assert set(hints) == {row.name for row in MEMBERS if row.box is not Box.FLAG}
