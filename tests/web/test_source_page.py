"""The operator's page of a source: how it does, and what it did not understand."""

import pytest

from postbell.ports import SourceState
from tests.reports.test_sources import quarantined, standing
from tests.web.visiting import OPAL, Browser, House

PATH = "/operator/sources/mail"


@pytest.fixture
async def opal(house: House) -> Browser:
    """The browser of an operator."""
    return await house.visitor(OPAL)


async def refuse(house: House, *raws: bytes, **members: object) -> None:
    await quarantined(house.service.engine, house.service.clock, *raws, **members)


async def test_it_shows_how_the_source_does(house: House, opal: Browser) -> None:
    clock = house.service.clock
    members = {
        "state": SourceState.FAILING,
        "ill_since": clock.now(),
        "behind_since": clock.now(),
        "facts_per_s": 2.5,
        "refusal": "line 7: no JSON",
    }
    await house.service.engine.checkpoints.tell({"mail": standing(clock, **members)})

    listed = await opal.get("/operator")
    text = await opal.get(PATH)

    assert f'href="{PATH}"' in listed
    assert "The source mail is failing." in text
    for said in ("Permission denied", "line 7: no JSON", "2.5", "Behind since", "Cannot read on"):
        assert said in text
    assert "Nothing: all that it read was understood." in text


async def test_a_fact_is_shown_fetched_read_again_and_let_go(house: House, opal: Browser) -> None:
    await refuse(house, b"<b>one</b>", b"two\xff", b"three", bytes(1 << 19))
    quarantine = house.service.engine.quarantine

    text = await opal.get(PATH)
    raw = await opal.client.get("/operator/facts/2")
    await opal.send(f"{PATH}/retry", fact="2")
    wanted = await opal.get(PATH)
    await opal.send(f"{PATH}/drop", fact="1")
    again = await opal.send(f"{PATH}/drop", fact="1")

    assert "4 facts made no event" in text
    assert "<b>one</b>" not in opal.page.text
    assert "not all of it was kept" in text
    assert (raw.content, raw.headers["content-type"]) == (b"two\xff", "application/octet-stream")
    assert raw.headers["content-disposition"].startswith("attachment")
    assert "is read again" in wanted
    assert (opal.status, "3 facts made no event" in again) == (200, True)
    assert [fact.id for fact in await quarantine.wanted("mail", 1000)] == [2]
    assert await quarantine.find(1) is None


async def test_all_are_read_again_or_let_go_at_once(house: House, opal: Browser) -> None:
    await refuse(house, b"one", b"two")
    quarantine = house.service.engine.quarantine
    await opal.get(PATH)

    await opal.send(f"{PATH}/retry")
    wanted = await quarantine.wanted("mail", 1000)
    await opal.send(f"{PATH}/drop", fact="what")
    refused = opal.status
    left = await quarantine.page("mail", None, 10)
    await opal.get(PATH)
    text = await opal.send(f"{PATH}/drop")

    assert [fact.id for fact in wanted] == [1, 2]
    assert (refused, len(left)) == (404, 2)
    assert "Nothing: all that it read was understood." in text
    assert await quarantine.page("mail", None, 10) == []


async def test_many_facts_have_pages(house: House, opal: Browser) -> None:
    await refuse(house, *(b"fact" for _ in range(60)))

    first = await opal.get(PATH)
    second = await opal.get(f"{PATH}?after=11")

    assert (first.count('<details class="case"'), second.count('<details class="case"')) == (50, 10)
    assert f"{PATH}?after=11#quarantine" in first


async def test_there_is_no_page_of_no_source(house: House, opal: Browser) -> None:
    await refuse(house, b"one")

    for path in ("/operator/sources/other", "/operator/facts/9", "/operator/facts/x"):
        await opal.get(path)
        assert opal.status == 404
