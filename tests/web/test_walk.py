"""A new user's walk through the pages, in a real Chromium, against the real service.

Every page is looked at, at phone and desktop width, in dark and light; pictures go to the folder
that POSTBELL_PICTURES names.
"""

import re

import pytest
from playwright.sync_api import Browser, expect

from tests.web.walking import (
    EMAIL,
    OPERATOR,
    PASSWORD,
    VARIANTS,
    Album,
    Receiver,
    cookies_of,
    create_webhook,
    send,
    sign_in,
    until,
    wait_for,
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
    sign_in(page, base_url)

    page.goto("/settings/api")
    expect(page.locator("h1")).to_have_text("Give a URL, tick the events, done.")
    page.get_by_label("New API user").fill("shop")
    page.get_by_role("button", name="Create", exact=True).click()
    key = page.locator(".new-key code").inner_text()
    page.locator(".new-key button.copy").click()
    assert page.evaluate("navigator.clipboard.readText()") == key

    refused = create_webhook(page, "http://10.1.2.3/hook")
    expect(refused).to_contain_text("10.1.2.3")
    expect(page.get_by_label("URL", exact=True)).to_have_value("http://10.1.2.3/hook")
    create_webhook(page, receiver.url)
    expect(page.get_by_role("status")).to_contain_text("The webhook is there.")
    page.get_by_role("link", name=receiver.url, exact=True).click()
    expect(page.locator("h1")).to_have_text("Up to date; nothing was sent yet.")

    send(base_url, key, "delivered", "open", "click")
    until(page, "the last batch arrived", "/webhooks/1")
    assert [event["type"] for event in receiver.events] == ["delivered", "open", "click"]

    page.get_by_role("link", name="Test", exact=True).click()
    page.get_by_role("button", name="Play all cases").click()
    expect(page.locator("h1")).to_have_text("The receiver passed 20 of 21 cases.")
    expect(page.locator("details.case[open]")).to_contain_text("401 or 403")

    receiver.status = 503
    send(base_url, key, "delivered", "spam_report")
    until(page, "The receiver is failing: it answers 503", "/webhooks/1")
    page.locator("a.row[href^='/batches/']").first.click()
    expect(page.locator("h1")).to_contain_text("Not taken yet after")
    expect(page.locator("main")).to_contain_text('{"error": "maintenance"}')
    batch = page.url
    receiver.status = 200
    receiver.events.clear()
    page.get_by_role("button", name="Try now").click()
    until(page, "Delivered: 2 events.", batch)
    assert [event["type"] for event in receiver.events] == ["delivered", "spam_report"]

    page.goto("/webhooks/1")
    page.get_by_text("Send old events again").click()
    receiver.events.clear()
    page.get_by_role("button", name="Count them").click()
    expect(page.locator("#replay")).to_contain_text("5 events would be sent again.")
    page.get_by_role("button", name="Send again").click()
    expect(page.get_by_role("status")).to_contain_text("they go out as new batches")
    wait_for(page, lambda: len(receiver.events) == 5)

    page.get_by_role("link", name="Secrets").click()
    page.get_by_role("button", name="Rotate").click()
    expect(page.locator("tbody tr")).to_have_count(2)

    page.goto("/webhooks/1")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("h1")).to_have_text("Paused by a person. Nothing waits.")
    send(base_url, key, "open")
    until(page, "1 event waits.", "/webhooks/1")

    album = Album(browser)
    album.take(
        base_url,
        {
            "dashboard": "/",
            "webhooks": "/webhooks",
            "webhook": "/webhooks/1",
            "webhook-new": "/webhooks/new",
            "webhook-settings": "/webhooks/1/settings",
            "webhook-secrets": "/webhooks/1/secrets",
            "webhook-test": "/webhooks/1/test",
            "webhook-delete": "/webhooks/1/delete",
            "batches": "/batches",
            "batch": batch.removeprefix(base_url),
            "events": "/events",
            "message": "/messages/m-0",
            "settings-api": "/settings/api",
            "settings-account": "/settings/account",
            "trail": "/settings/trail",
            "suppressions": "/suppressions",
        },
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

    page.goto("/webhooks/1/delete")
    expect(page.locator("main")).to_contain_text("1 waiting event will not be sent.")
    page.get_by_role("button", name="Delete webhook").click()
    expect(page.locator("h1")).to_have_text("No webhook yet.")
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
