"""The page of the native API in a real Chromium: one request, fits a phone, readable for all."""

from collections.abc import Iterator
from typing import Literal

import pytest
from playwright.sync_api import Browser

from tests.cli.running import Postbell
from tests.web.walking import EXAMINED, SIZES, chromium, serving, violations, watch

DOCS = "/api/v1/docs"
OPEN_ALL = "document.querySelectorAll('details').forEach(each => each.open = true)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(Postbell(tmp_path_factory.mktemp("docs") / "data")) as base_url:
        yield base_url


def test_the_docs_page_asks_for_nothing_else_and_fits_with_everything_open(
    browser: Browser, base_url: str
) -> None:
    problems: list[str] = []
    asked: list[str] = []
    context = browser.new_context(viewport={"width": SIZES["phone"][0], "height": 844})
    page = context.new_page()
    watch(page, problems)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(base_url + DOCS, wait_until="networkidle")
    page.evaluate(OPEN_ALL)
    width = page.evaluate("document.documentElement.scrollWidth")
    context.close()

    assert asked == [base_url + DOCS]
    assert problems == []
    assert width == SIZES["phone"][0]


@pytest.mark.parametrize(("size", "scheme"), [kind.split("-") for kind in EXAMINED])
def test_the_docs_page_is_readable_at_every_size_and_in_both_schemes(
    browser: Browser, base_url: str, size: str, scheme: Literal["dark", "light"]
) -> None:
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    page.goto(base_url + DOCS)
    found = violations(page)
    context.close()

    assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
