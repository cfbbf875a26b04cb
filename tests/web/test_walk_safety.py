"""Setting up a second factor and ending sessions, in a real Chromium, against the real service."""

import re
import time

import pyotp
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.web.walking import OPERATOR, PASSWORD, Album, cookies_of, sign_in, watch

PATH = "/settings/account/second-factor"
SESSIONS = "/settings/account/sessions"


def code_of(secret: str, used: str = "") -> str:
    """Return a code of *secret* that was not *used*: of now, or of the step that follows."""
    codes, step = pyotp.TOTP(secret), int(time.time()) // 30
    return next(each for each in map(codes.generate_otp, (step, step + 1)) if each != used)


def secret_on(page: Page) -> str:
    return page.locator("code.secret").inner_text().replace(" ", "")


@pytest.mark.long
def test_a_second_factor_is_set_up_and_asked_for_with_the_keyboard_alone(
    browser: Browser, base_url: str
) -> None:
    problems: list[str] = []
    album = Album(browser)
    context = browser.new_context(base_url=base_url)
    page = context.new_page()
    watch(page, problems)
    sign_in(page, base_url)

    page.goto(PATH)
    album.show(page, "second-factor-off")
    page.get_by_label("Present password").focus()
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator("svg.qr")).to_be_visible()
    album.show(page, "second-factor-picture")
    box = page.locator("svg.qr").bounding_box()
    assert box is not None and box["width"] == box["height"] >= 200
    secret = secret_on(page)

    page.get_by_label("One-time code").focus()
    page.keyboard.type("1234567")
    page.keyboard.press("Enter")
    expect(page.locator(".error")).to_contain_text("The code is wrong")
    album.show(page, "second-factor-wrong")
    first = code_of(secret)
    page.get_by_label("One-time code").focus()
    page.keyboard.type(first)
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Keep these recovery codes, then go on.")
    album.show(page, "second-factor-codes")
    recovery = page.locator("pre.codes").inner_text().split()
    page.get_by_role("link", name="I have kept them").press("Enter")
    expect(page.locator("main")).to_contain_text("10 left")
    for summary in page.locator("details.more > summary").all():
        summary.press("Enter")
    album.show(page, "second-factor-on")

    other = browser.new_context(base_url=base_url, java_script_enabled=False)
    there = other.new_page()
    sign_in(there, base_url)
    expect(there.get_by_label("One-time code")).to_be_focused()
    there.keyboard.type(code_of(secret, first))
    there.keyboard.press("Enter")
    there.wait_for_url(re.compile(r"/$"))

    third = browser.new_context(base_url=base_url)
    phone = third.new_page()
    watch(phone, problems)
    sign_in(phone, base_url)
    album.show(phone, "code")
    phone.get_by_role("link", name="Use a recovery code").press("Enter")
    expect(phone.get_by_label("Recovery code")).to_be_focused()
    album.show(phone, "code-recovery")
    phone.get_by_label("Recovery code").press_sequentially(recovery[0])
    phone.keyboard.press("Enter")
    phone.wait_for_url(re.compile(r"/$"))

    page.goto("/settings/account")
    page.get_by_role("link", name="See where you are signed in").press("Enter")
    expect(page.locator("h1")).to_have_text("You are signed in with 3 browsers.")
    expect(page.locator("tbody tr")).to_have_count(3)
    expect(page.locator(".badge")).to_have_text("this one")
    album.take(
        base_url,
        {"sessions": SESSIONS, "second-factor": PATH, "account": "/settings/account"},
        cookies_of(context.cookies()),
    )
    page.get_by_role("button", name="Sign out everywhere else").press("Enter")
    expect(page.locator("h1")).to_have_text("You are signed in with this browser only.")
    for ended in (there, phone):
        ended.goto(f"{base_url}/webhooks")
        expect(ended.locator("h1")).to_have_text("Sign in")
    for each in (context, other, third):
        each.close()

    assert [each for each in problems if "422" not in each] == []
    assert album.problems == []


def test_a_page_of_sessions_ends_all_of_them(browser: Browser, base_url: str) -> None:
    context = browser.new_context(base_url=base_url)
    page = context.new_page()
    sign_in(page, base_url, OPERATOR)

    page.goto(SESSIONS)
    page.get_by_role("button", name="Sign out everywhere, here too").click()

    expect(page.get_by_role("status")).to_have_text("You are signed out.")
    page.goto("/operator")
    expect(page.locator("h1")).to_have_text("Sign in")
    context.close()
