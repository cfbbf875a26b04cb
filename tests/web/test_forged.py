"""Forms of other sites, and what every answer carries against tricks."""

import re

import pytest
from starlette.routing import Route

from tests.web.visiting import ADA, PASSWORD, Browser, House

WEBHOOK = "https://hooks.example.com/in"


async def post(browser: Browser, path: str, token: str | None) -> int:
    data = {"name": "shop"} | ({} if token is None else {"csrf": token})
    answer = await browser.client.post(path, data=data)
    return int(answer.status_code)


@pytest.mark.parametrize("token", [None, "", "0" * 40, "é"])
async def test_a_form_without_the_right_token_changes_nothing(
    house: House, ada: Browser, token: str | None
) -> None:
    status = await post(ada, "/settings/api/users", token)

    assert status == 403
    assert len(await house.service.reports.api_users(house.service.acme)) == 2


async def test_a_token_of_another_session_is_refused(house: House, ada: Browser) -> None:
    other = await house.visitor()
    await other.get("/settings/api")

    status = await post(ada, "/settings/api/users", other.token)

    assert status == 403


async def test_signing_in_needs_a_token_too(house: House) -> None:
    browser = house.browser()

    answer = await browser.client.post("/login", data={"email": ADA, "password": PASSWORD})

    assert answer.status_code == 403
    assert "postbell_session" not in answer.cookies


async def test_every_form_of_every_route_asks_for_the_token(house: House, ada: Browser) -> None:
    posts = [
        route.path.replace("{id}", "1")
        for route in house.app.routes
        if isinstance(route, Route) and "POST" in getattr(route.app, "_handlers", {})
    ]

    statuses = {path: await post(ada, path, None) for path in posts}

    assert len(posts) > 15
    assert set(statuses.values()) <= {403, 404}, statuses
    assert {path for path, status in statuses.items() if status == 404} == {
        "/operator/look/1",
        "/operator/sources/1/retry",
        "/operator/sources/1/drop",
    }


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"csrf=x", "multipart/form-data; boundary=x", 415),
        (b"csrf=x", "application/json", 415),
        (b"a=" + b"x" * 70_000, "application/x-www-form-urlencoded", 413),
        (b"a=%00", "application/x-www-form-urlencoded", 422),
        (b"a=%ff", "application/x-www-form-urlencoded", 422),
        (b"a=1&" * 600, "application/x-www-form-urlencoded", 422),
    ],
)
async def test_what_no_form_of_ours_sends_is_refused(
    ada: Browser, body: bytes, kind: str, status: int
) -> None:
    answer = await ada.client.post(
        "/settings/account", content=body, headers={"content-type": kind}
    )

    assert answer.status_code == status


async def test_every_page_is_strict_small_and_of_this_host(house: House, ada: Browser) -> None:
    await house.service.webhook()
    await house.service.webhook(dialect="engagelab")
    paths = [
        "/", "/webhooks", "/webhooks/new", "/webhooks/new?dialect=sendpulse", "/webhooks/1",
        "/webhooks/1/settings", "/webhooks/2/settings", "/webhooks/1/secrets", "/webhooks/1/test",
        "/webhooks/1/delete", "/batches", "/events", "/settings/api", "/settings/account",
        "/webhooks/99",
    ]  # fmt: skip

    for path in paths:
        text = await ada.get(path)
        policy = ada.page.headers["content-security-policy"]

        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy and "form-action 'self'" in policy
        assert ada.page.headers["x-content-type-options"] == "nosniff"
        assert ada.page.headers["cache-control"] == "no-store"
        assert len(ada.page.content) < 50_000, path
        assert not re.search(r"<style\b|\sstyle=|\son[a-z]+=|javascript:", text), path
        assert not re.findall(r"<script(?![^>]*\bsrc=)", text), path
        outside = re.findall(r'(?:src|href|action)="(https?:[^"]+)"', text)
        assert outside == [], path


async def test_static_files_never_go_stale(house: House, ada: Browser) -> None:
    text = await ada.get("/")
    css = re.findall(r'"(/static/[0-9a-f]+/[a-z]+\.(?:css|js|svg))"', text)

    assert len(css) >= 3
    for path in css:
        answer = await ada.client.get(path)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        assert (await ada.client.get(re.sub("/[0-9a-f]{12}/", "/000000000000/", path))).is_error


async def test_what_a_customer_writes_is_shown_as_text(house: House, ada: Browser) -> None:
    trick = "https://hooks.example.com/<script>alert(1)</script>"

    await ada.get("/webhooks/new")
    await ada.send("/webhooks/new", url="<script>alert(1)</script>", types="delivered")
    refused = ada.page.text
    await house.service.desk.create_webhook(house.service.acme, {"url": trick})
    await ada.get("/webhooks/1")

    assert "<script>alert" not in refused
    assert "<script>alert" not in ada.page.text
    assert "&lt;script&gt;alert" in ada.page.text


async def test_a_method_that_a_page_lacks_is_405(ada: Browser) -> None:
    answer = await ada.client.put("/webhooks", data={})

    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET"


async def test_head_is_get_without_a_body(ada: Browser) -> None:
    answer = await ada.client.head("/webhooks")

    assert answer.status_code == 200
    assert answer.content == b""
