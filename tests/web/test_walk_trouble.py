"""A customer's walk through an outage, in a real Chromium: pages that stay open tell the news, and
every way out is one press away."""

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.web.walking import Receiver, create_webhook, send, sign_in, wait_for, watch

TYPES = ("delivered", "open", "click", "unsubscribe")


@pytest.fixture
def page(browser: Browser, base_url: str, receiver: Receiver) -> Iterator[Page]:
    """The page of a new webhook to the receiver, which works; nothing else is registered."""
    problems: list[str] = []
    receiver.status = 200
    receiver.events.clear()
    context = browser.new_context(base_url=base_url, viewport={"width": 1280, "height": 800})
    page = context.new_page()
    watch(page, problems)
    sign_in(page, base_url)
    page.goto("/webhooks/new")
    page.get_by_text("Batches, retries, headers").click()
    page.get_by_label("Wait at most (s)").fill("0.5")
    create_webhook(page, receiver.url)
    expect(page.locator("h1")).to_have_text("Up to date; nothing was sent yet.")
    yield page
    page.goto(webhook_path(page) + "/delete")
    page.get_by_role("button", name="Delete webhook").click()
    expect(page.get_by_role("status")).to_contain_text("The webhook is deleted.")
    context.close()
    assert [each for each in problems if "422" not in each] == []


@pytest.fixture(scope="module")
def key(browser: Browser, base_url: str) -> str:
    """The key of the api user that sends."""
    page = browser.new_page(base_url=base_url)
    sign_in(page, base_url)
    page.goto("/settings/api")
    page.get_by_label("New API user").fill("shop")
    page.get_by_role("button", name="Create", exact=True).click()
    key = page.locator(".new-key code").inner_text()
    page.close()
    return key


def webhook_path(page: Page) -> str:
    """Return the path of the newest webhook, from the list."""
    page.goto("/webhooks")
    found = re.findall(r'href="(/webhooks/\d+)"', page.content())
    return max(found, key=lambda path: int(path.rpartition("/")[2]))


def stay(page: Page) -> None:
    """Mark the document that is open, so that a reload is noticed; point at nothing."""
    page.mouse.move(1, 1)
    page.evaluate("window.stayed = true")


def has_stayed(page: Page) -> bool:
    return bool(page.evaluate("window.stayed === true"))


def test_an_open_page_tells_of_an_outage_and_one_press_catches_up(
    page: Page, base_url: str, receiver: Receiver, key: str
) -> None:
    receiver.status = 503
    path = webhook_path(page)
    page.goto(path)
    stay(page)
    send(base_url, key, "delivered", "open")

    expect(page.locator("h1")).to_contain_text("The receiver is failing: it answers 503")
    assert has_stayed(page)
    expect(page.locator("#batches")).to_contain_text('{"error": "maintenance"}')
    page.goto("/")
    expect(page.locator(".attention")).to_contain_text("is failing: 503 since")
    page.locator(".attention a").click()

    receiver.status = 200
    page.get_by_role("button", name="Try everything now").click()
    stay(page)

    expect(page.locator("h1")).to_contain_text("Up to date; the last batch arrived")
    assert has_stayed(page)
    assert [event["type"] for event in receiver.events] == ["delivered", "open"]


def test_what_happened_between_a_page_and_its_stream_is_told(
    page: Page, base_url: str, receiver: Receiver, key: str
) -> None:
    held: list[Route] = []
    page.route("**/live", lambda route: held.append(route))
    page.goto(webhook_path(page))
    stay(page)
    wait_for(page, lambda: bool(held))
    send(base_url, key, "delivered")
    wait_for(page, lambda: len(receiver.events) == 1)

    for route in held:
        route.continue_()

    said = "Up to date; the last batch arrived"
    expect(page.locator("h1")).to_contain_text(said, timeout=10_000)
    assert has_stayed(page)
    page.unroute_all()


def test_a_count_stays_though_news_come_in(
    page: Page, base_url: str, receiver: Receiver, key: str
) -> None:
    page.goto(webhook_path(page))
    page.get_by_text("Send old events again").click()
    send(base_url, key, "delivered")
    wait_for(page, lambda: len(receiver.events) == 1)
    page.get_by_role("button", name="Count them").click()
    expect(page.locator("#replay")).to_contain_text("would be sent again.")
    stay(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    send(base_url, key, "open")
    wait_for(page, lambda: len(receiver.events) == 2)
    page.wait_for_timeout(100)

    assert has_stayed(page)
    assert asked == []


def test_a_refused_batch_is_split_parked_and_sent_again(
    page: Page, base_url: str, receiver: Receiver, key: str
) -> None:
    receiver.status = 503
    path = webhook_path(page)
    send(base_url, key, *TYPES)
    page.goto(path)
    page.locator("#batches a.row").first.click()
    expect(page.locator("h1")).to_contain_text("Not taken yet")

    page.get_by_role("button", name="Split in two").click()
    expect(page.locator("h1")).to_have_text("Split into two halves, which went on by themselves.")
    page.locator(".case a.mono").first.click()
    page.get_by_role("button", name="Park").click()
    expect(page.locator("h1")).to_contain_text("it can be sent again")

    page.goto("/batches?state=parked")
    expect(page.locator("h1")).to_have_text("1 batch is parked: we gave it up.")
    expect(page.locator("tbody tr")).to_have_count(1)
    receiver.status = 200
    page.goto(path)
    page.get_by_label("and the 2 parked events").check()
    page.get_by_role("button", name="Try everything now").click()

    wait_for(page, lambda: len(receiver.events) == len(TYPES))
    assert sorted(event["type"] for event in receiver.events) == sorted(TYPES)


def test_a_paused_webhook_is_resumed_from_now_on(
    page: Page, base_url: str, receiver: Receiver, key: str
) -> None:
    path = webhook_path(page)
    page.goto(path)
    page.get_by_role("button", name="Pause").click()
    stay(page)
    send(base_url, key, "delivered", "open", "click")
    expect(page.locator("h1")).to_have_text("Paused by a person. 3 events wait.")
    assert has_stayed(page)

    page.get_by_role("button", name="Resume and skip 3 events").click()
    expect(page.get_by_role("status")).to_contain_text("skipped and counted")
    send(base_url, key, "unsubscribe")

    wait_for(page, lambda: bool(receiver.events))
    assert [event["type"] for event in receiver.events] == ["unsubscribe"]
    page.goto(path)
    expect(page.locator("dt", has_text="Skipped, 24 h").locator("+ dd")).to_have_text("3")


def test_a_range_of_time_is_sent_again(
    page: Page, base_url: str, receiver: Receiver, key: str
) -> None:
    path = webhook_path(page)
    send(base_url, key, "delivered")
    wait_for(page, lambda: len(receiver.events) == 1)
    receiver.events.clear()
    page.goto(path)
    page.get_by_text("Send old events again").click()

    page.get_by_label("Since", exact=True).fill("2020-01-01T00:00:00")
    page.get_by_label("Until", exact=True).fill("2020-01-02T00:00:00")
    page.get_by_role("button", name="Count them").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("Since", exact=True)).to_have_value("2020-01-01T00:00")
    page.get_by_label("Until", exact=True).fill("")
    page.get_by_role("button", name="Count them").click()
    page.get_by_role("button", name="Send again").click()

    expect(page.get_by_role("status")).to_contain_text("they go out as new batches")
    wait_for(page, lambda: bool(receiver.events))
    assert receiver.events[-1]["type"] == "delivered"


def test_a_body_is_searched_and_a_chart_tells_its_figures(
    page: Page, base_url: str, receiver: Receiver, key: str
) -> None:
    path = webhook_path(page)
    send(base_url, key, *TYPES)
    wait_for(page, lambda: len(receiver.events) == len(TYPES))
    page.goto(path)
    page.locator("#batches a.row").first.click()

    page.get_by_label("Find in the body").fill("USER2@")
    page.get_by_role("button", name="Find").click()
    expect(page.locator("#sent")).to_contain_text("1 line has it.")
    expect(page.locator("mark")).to_have_text("user2@")

    page.goto("/?span=1h")
    page.locator(".chart .hint").last.hover()
    expect(page.locator(".tip")).to_contain_text("Clicked")
    page.locator(".chart .hint").last.click()
    expect(page.locator("h1")).to_contain_text("found")


def test_a_key_is_not_revoked_before_it_is_said_what_is_lost(
    page: Page, base_url: str, key: str
) -> None:
    page.goto("/settings/api")
    page.get_by_label("New API user").fill("temporary")
    page.get_by_role("button", name="Create", exact=True).click()
    made = page.locator(".new-key code").inner_text()
    row = page.locator(".api-user", has_text="temporary")

    row.get_by_text("Revoke API user", exact=True).press("Enter")
    expect(row).to_contain_text("temporary is refused at once and for good")
    assert status(base_url, "temporary", made) == 200
    row.get_by_role("button", name="Revoke temporary").press("Enter")
    expect(page.get_by_role("status")).to_contain_text("refused from now on")

    assert status(base_url, "temporary", made) == 401
    assert status(base_url, "shop", key) == 200


def status(base_url: str, name: str, key: str) -> int:
    """Return what the API answers to an api user."""
    return httpx.get(f"{base_url}/api/v1/webhooks", auth=(name, key)).status_code
