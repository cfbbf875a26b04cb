"""What a new user does with the pages, step by step, whatever the database is."""

from playwright.sync_api import Page, expect

from tests.web.walking import Receiver, create_webhook, send, sign_in, until, wait_for

PAGES = {
    "dashboard": "/",
    "webhooks": "/webhooks",
    "webhook": "/webhooks/1",
    "webhook-new": "/webhooks/new",
    "webhook-settings": "/webhooks/1/settings",
    "webhook-secrets": "/webhooks/1/secrets",
    "webhook-test": "/webhooks/1/test",
    "webhook-delete": "/webhooks/1/delete",
    "batches": "/batches",
    "events": "/events",
    "message": "/messages/m-0",
    "settings-api": "/settings/api",
    "settings-account": "/settings/account",
    "trail": "/settings/trail",
    "suppressions": "/suppressions",
}
"""Every page of an account that has one webhook, but for that of a batch."""


def first_steps(page: Page, base_url: str, receiver: Receiver) -> str:
    """Sign in, make a webhook, send, break the receiver and mend it, replay, and pause; return the
    path of a batch."""
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
    return batch.removeprefix(base_url)


def last_step(page: Page) -> None:
    page.goto("/webhooks/1/delete")
    expect(page.locator("main")).to_contain_text("1 waiting event will not be sent.")
    page.get_by_role("button", name="Delete webhook").click()
    expect(page.locator("h1")).to_have_text("No webhook yet.")
