"""Two tabs of a real Chromium on one form: what collides is said, and nothing typed is lost."""

from playwright.sync_api import Browser, Page, expect

from tests.web.walking import Album, Receiver, create_webhook, sign_in, watch


def test_two_tabs_save_one_webhook(browser: Browser, base_url: str, receiver: Receiver) -> None:
    problems: list[str] = []
    context = browser.new_context(base_url=base_url, viewport={"width": 1280, "height": 800})
    mine, theirs = context.new_page(), context.new_page()
    watch(mine, problems)
    sign_in(mine, base_url)
    mine.goto("/webhooks/new")
    create_webhook(mine, receiver.url)
    path = mine.url.partition("?")[0] + "/settings"
    for page in (mine, theirs):
        page.goto(path)
        page.get_by_text("Batches, retries, headers").click()

    theirs.get_by_label("URL", exact=True).fill(receiver.url + "/theirs")
    theirs.get_by_label("Answer within (s)").fill("7")
    save(theirs)
    mine.get_by_label("URL", exact=True).fill(receiver.url + "/mine")
    mine.get_by_label("Events in a batch").fill("300")
    save(mine)

    expect(mine.get_by_role("alert")).to_contain_text("somebody changed the same meanwhile")
    expect(mine.locator("#url-error")).to_contain_text(f"{receiver.url}/theirs. Save all the same")
    expect(mine.get_by_label("URL", exact=True)).to_have_value(receiver.url + "/mine")
    expect(mine.get_by_label("Answer within (s)")).to_have_value("7")
    album = Album(browser)
    album.show(mine, "two-tabs-webhook")

    mine.get_by_role("button", name="Save all the same").click()

    expect(mine.get_by_role("status")).to_be_visible()
    expect(mine.get_by_label("URL", exact=True)).to_have_value(receiver.url + "/mine")
    expect(mine.get_by_label("Answer within (s)")).to_have_value("7")
    expect(mine.get_by_label("Events in a batch")).to_have_value("300")

    for page in (mine, theirs):
        page.goto("/settings/account")
    for page, zone in ((mine, "Asia/Tokyo"), (theirs, "Europe/Paris")):
        page.get_by_label("Time zone").select_option(zone)
        save(page)
    expect(theirs.locator("#time_zone-error")).to_contain_text("Stored meanwhile: Asia/Tokyo.")
    album.show(theirs, "two-tabs-account")
    theirs.get_by_label("Time zone").select_option("")
    theirs.get_by_role("button", name="Save all the same").click()
    expect(theirs.get_by_role("status")).to_contain_text("Saved.")

    assert mine.evaluate("getComputedStyle(document.querySelector('h1')).unicodeBidi") == "isolate"
    assert [each for each in problems if "409" not in each] == []
    assert album.problems == []
    context.close()


def save(page: Page) -> None:
    page.get_by_role("button", name="Save", exact=True).click()
