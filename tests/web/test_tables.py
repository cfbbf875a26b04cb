"""No column leaves the page, whatever a customer or a receiver wrote into another one."""

from pathlib import Path

import httpx
from playwright.sync_api import Browser, Page

from tests.web.walking import Receiver, cookies_of, sign_in, until, watch

WIDE = """() => [...document.querySelectorAll(".table:not(.sums)")]
    .filter((each) => each.scrollWidth > each.clientWidth + 1)
    .map((each) => each.innerText.slice(0, 80))"""
ENDS = """() => [...document.querySelectorAll(".cut")].filter((each) => each.offsetParent)
    .every((each) => {
        const cell = each.closest("td, th").getBoundingClientRect();
        return each.lastElementChild.getBoundingClientRect().right <= cell.right + 1;
    })"""
WORD = "https://shop.example.com/" + "a-very-long-path/" * 20


def make_long(page: Page, base_url: str, url: str) -> None:
    """Send events and answers as long as they may be, and let the webhook fail."""
    page.goto("/settings/api")
    page.get_by_label("New API user").fill("s" * 64)
    page.get_by_role("button", name="Create", exact=True).click()
    key = page.locator(".new-key code").inner_text()
    for path in ("/" + "deep/" * 60 + "end", "/" + "x" * 300):
        answer = httpx.post(
            f"{base_url}/api/v1/webhooks",
            auth=("s" * 64, key),
            json={"url": url + path, "policy": {"max_wait_s": 0, "retry_waits_s": [0.1, 600]}},
        )
        assert answer.status_code == 201, answer.text
    message = {"id": "m-1", "subject": "Ж" * 300}
    events = [
        {
            "type": kind,
            "recipient": "r" * 60 + "@" + "long." * 20 + "example.net",
            "message": message,
            "smtp": {"code": 550, "enhanced": "5.7.1", "text": WORD},
        }
        for kind in ("soft_bounce", "hard_bounce", "delivered")
    ]
    answer = httpx.post(f"{base_url}/api/v1/events", auth=("s" * 64, key), json=events)
    assert answer.status_code == 202, answer.text


def test_long_answers_and_addresses_cut_no_other_column_off(
    browser: Browser, base_url: str, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.status = 500
    receiver.said = WORD * 3
    context = browser.new_context(base_url=base_url)
    page = context.new_page()
    problems: list[str] = []
    watch(page, problems)
    sign_in(page, base_url)
    make_long(page, base_url, receiver.url)
    until(page, "it answers 500", "/webhooks/1")
    batch = page.locator('a[href^="/batches/bat_"]').first.get_attribute("href") or ""

    for width, language in ((390, "en"), (1280, "en"), (1280, "ru"), (1920, "fr")):
        shown = browser.new_context(
            base_url=base_url, viewport={"width": width, "height": 900}, locale=language
        )
        shown.add_cookies(cookies_of(context.cookies()))
        look = shown.new_page()
        for path in (
            "/", "/webhooks", "/webhooks/1", "/batches", "/events", "/messages/m-1",
            "/settings/api", "/settings/account", batch,
        ):  # fmt: skip
            look.goto(path)
            look.screenshot(
                path=tmp_path / f"{path.strip('/').replace('/', '-')}-{width}-{language}.png"
            )
            if width > 390 and look.evaluate(WIDE):
                problems.append(f"{path} at {width} in {language}: {look.evaluate(WIDE)}")
            if not look.evaluate(ENDS):
                problems.append(f"{path} at {width} in {language} hides an end")
            if look.evaluate("document.documentElement.scrollWidth") > width:
                problems.append(f"{path} is wider than {width} in {language}")
        shown.close()
    context.close()

    assert problems == []
