"""The same walk where the database is PostgreSQL's, on every page of an account."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.cli.running import Postbell
from tests.postgres import server
from tests.web.steps import PAGES, first_steps, last_step
from tests.web.walking import EMAIL, OPERATOR, PASSWORD, Receiver, serving, sign_in, watch


@pytest.fixture
def base_url(tmp_path: Path) -> Iterator[str]:
    name = server().database()
    postbell = Postbell(tmp_path, POSTBELL_DATABASE_URL=server().url(name))
    for words in ((EMAIL, "acme"), (OPERATOR, "--operator", "ops")):
        create = ("accounts", "create", "--password-file", "-", "--owner", *words)
        done = postbell(*create, given=PASSWORD)
        assert done.returncode == 0, done.stderr
    with serving(postbell) as base_url:
        yield base_url
    server().drop(name)


@pytest.mark.long
def test_a_new_user_walks_through_the_pages(
    browser: Browser, base_url: str, receiver: Receiver
) -> None:
    problems: list[str] = []
    context = browser.new_context(base_url=base_url)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    watch(page, problems)

    batch = first_steps(page, base_url, receiver)
    for path in (*PAGES.values(), batch):
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == 200, path
    with_operator = browser.new_page(base_url=base_url)
    sign_in(with_operator, base_url, OPERATOR)
    for path in ("/operator", "/operator/trail"):
        with_operator.goto(path)
        expect(with_operator.locator("h1")).to_be_visible()
    with_operator.close()
    last_step(page)
    context.close()

    assert [each for each in problems if "422" not in each] == []
