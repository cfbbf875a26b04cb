"""A page that stays open, and a form that was begun, outlive the server and the session."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.cli.running import Postbell
from tests.web.walking import EMAIL, PASSWORD, serving, sign_in

ADDRESS = "https://app.example.com/hooks"


@pytest.fixture
def postbell(tmp_path: Path) -> Postbell:
    made = Postbell(tmp_path / "data")
    words = ("accounts", "create", "acme", "--owner", EMAIL, "--password-file", "-")
    assert made(*words, given=PASSWORD).returncode == 0
    return made


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(timezone_id="Asia/Tokyo")
    yield context.new_page()
    context.close()


def test_a_page_without_news_says_since_when_until_it_has_some(
    page: Page, postbell: Postbell
) -> None:
    with serving(postbell) as base_url:
        sign_in(page, base_url)
        page.goto(base_url + "/")
        expect(page.locator("#stale")).to_be_hidden()

    expect(page.locator("#stale")).to_be_visible()
    expect(page.locator("#stale time")).to_have_text(re.compile(r"\d:\d\d:\d\d"))
    shown = page.locator("#stale").inner_text()
    with serving(postbell, base_url.removeprefix("http://")):
        expect(page.locator("#stale")).to_be_hidden(timeout=60_000)

    assert shown.startswith("No news since ") and "does not answer" in shown


def test_who_was_signed_out_elsewhere_finds_the_form_as_it_was(
    page: Page, postbell: Postbell
) -> None:
    with serving(postbell) as base_url:
        sign_in(page, base_url)
        page.goto(base_url + "/webhooks/new")
        page.get_by_role("button", name="SendPulse SMTP").click()
        page.get_by_label("URL", exact=True).fill(ADDRESS)
        page.get_by_label("Opened").uncheck()
        done = postbell("owners", "sign-out", EMAIL)
        assert done.returncode == 0, done.stderr

        page.get_by_role("button", name="Create webhook").click()
        page.get_by_label("E-mail address").fill(EMAIL)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()

        expect(page.get_by_role("status").first).to_contain_text("nothing was done")
        expect(page.get_by_label("URL", exact=True)).to_have_value(ADDRESS)
        expect(page.get_by_label("Opened")).not_to_be_checked()
        expect(page.get_by_label("Clicked")).to_be_checked()
