"""What the native API answers stays as it is: members, their order, the form of times."""

import re

from postbell.api.table import OPERATIONS
from tests.api.answers import KEPT, answering, text_of

CATALOGUE = {"GET dialects", "GET event-types"}


async def test_every_answer_is_as_it_was_to_the_byte() -> None:
    async with answering() as told:
        now = text_of(told)

    assert now.splitlines() == KEPT.read_text().splitlines()


def test_every_operation_is_in_what_is_kept() -> None:
    asked = re.findall(r"^> (\w+ [^?\n]+)\S*\n2", KEPT.read_text(), re.M)
    known = {
        (each.method, re.compile(each.path.removeprefix("/api/v1/").replace("{id}", "[^/]+")))
        for each in OPERATIONS
    }

    missing = {
        f"{method} {path.pattern}"
        for method, path in known
        if not any(
            one.startswith(f"{method} ") and path.fullmatch(one.partition(" ")[2]) for one in asked
        )
    }

    assert missing == CATALOGUE
