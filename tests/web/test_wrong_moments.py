"""Moments beyond any mail's are refused on every page that asks for one, never an error of ours."""

import pytest

from tests.web.visiting import Browser

MOMENTS = (
    "0001-01-01T00:00",
    "9999-12-31T23:59",
    "9999-12-31T23:59-14:00",
    "0001-01-01T00:00+14:00",
)


@pytest.mark.parametrize("page", ["/events", "/batches", "/settings/trail"])
@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_page_says_what_is_wrong_with_a_moment(
    ada: Browser, page: str, moment: str
) -> None:
    text = await ada.get(f"{page}?since={moment.replace('+', '%2B')}")

    assert "Traceback" not in text
    assert moment[:16] in text
