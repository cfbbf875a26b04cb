"""A new user's walk through the pages, in a real Chromium, against the real service.

Every page is looked at, at phone and desktop width, in dark and light; pictures go to the folder
that POSTBELL_PICTURES names.
"""

import re

import pytest
from playwright.sync_api import Browser, expect

from tests.web.steps import PAGES, first_steps, last_step
from tests.web.walking import (
    EMAIL,
    OPERATOR,
    PASSWORD,
    VARIANTS,
    Album,
    Receiver,
    cookies_of,
    create_webhook,
    sign_in,
    watch,
)


@pytest.mark.long
def test_a_new_user_walks_through_the_pages(
    browser: Browser, base_url: str, receiver: Receiver
) -> None:
    problems: list[str] = []
    context = browser.new_context(base_url=base_url, viewport={"width": 1280, "height": 800})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    watch(page, problems)
    batch = first_steps(page, base_url, receiver)

    album = Album(browser)
    album.take(
        base_url,
        PAGES | {"batch": batch},
        cookies_of(context.cookies()),
    )
    album.take(base_url, {"login": "/login", "forgot": "/forgot", "reset": "/reset/token"}, [])
    with_operator = browser.new_context(base_url=base_url)
    sign_in(with_operator.new_page(), base_url, OPERATOR)
    album.take(
        base_url,
        {"operator": "/operator", "operator-trail": "/operator/trail"},
        cookies_of(with_operator.cookies()),
    )
    with_operator.close()

    last_step(page)
    context.close()

    assert [each for each in problems if "422" not in each] == []
    assert album.problems == []
    assert album.looks >= 19 * len(VARIANTS)


def test_signing_in_works_with_the_keyboard_alone_and_focus_is_seen(
    browser: Browser, base_url: str
) -> None:
    page = browser.new_page(base_url=base_url)
    page.goto("/login")
    page.keyboard.type(EMAIL)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/$"))

    page.keyboard.press("Tab")
    first = page.evaluate("document.activeElement.textContent")

    assert outline == "solid"
    assert first == "Skip to content"
    page.close()


def test_without_scripts_the_same_form_makes_a_webhook(
    browser: Browser, base_url: str, receiver: Receiver
) -> None:
    context = browser.new_context(base_url=base_url, java_script_enabled=False)
    page = context.new_page()
    sign_in(page, base_url)
    page.goto("/settings/api")

    page.get_by_role("button", name="SendPulse SMTP").click()
    words = page.locator("#types input:checked").evaluate_all("all => all.map((one) => one.value)")
    create_webhook(page, receiver.url)

    assert words == [
        "delivered", "undelivered", "opened", "clicked", "spam_by_user", "unsubscribed",
    ]  # fmt: skip
    expect(page.get_by_role("status")).to_contain_text("The webhook is there.")
    context.close()
