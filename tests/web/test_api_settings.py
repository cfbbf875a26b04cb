"""Account settings -> API: a URL, ticks, done on that very page; keys shown once."""

import re
from datetime import timedelta

from postbell.rights import KeyScope, KeyTerms
from tests.api.service import KEY, URL, basic
from tests.web.visiting import Browser, House, open_house

RUSSIAN = {"accept-language": "ru-RU,ru;q=0.9,en;q=0.5"}


async def test_the_whole_of_the_russian_document_happens_on_one_page(
    house: House, ada: Browser
) -> None:
    text = await ada.get("/settings/api?dialect=sendpulse", headers=RUSSIAN)
    labels = re.findall(r"<span>([^<]+?) <small><code>\w+</code></small></span>", text)

    await ada.send("/settings/api", url=URL, dialect="sendpulse", types=["opened", "clicked"])

    (webhook,) = await house.service.reports.matching_webhooks(house.service.acme)
    assert "Настройки аккаунта → API" in text
    assert {
        "Доставлено", "Не доставлено", "Открыто", "Переход по ссылке", "Отмечено как спам",
        "Отписался",
    } <= set(labels)  # fmt: skip
    assert ada.path.partition("#")[0] == "/settings/api"
    assert "Вебхук создан" in ada.text or "The webhook is there." in ada.text
    assert URL in ada.text
    assert [str(kind) for kind in webhook.types or ()] == ["open", "click"]


async def test_wrong_input_stays_on_the_page_with_what_was_typed(ada: Browser) -> None:
    await ada.get("/settings/api")

    text = await ada.send("/settings/api", url="https://10.0.0.1/hook", types="open")

    assert ada.status == 422
    assert 'value="https://10.0.0.1/hook"' in text
    assert 'id="url-error"' in text
    assert "API users and keys" in text


async def test_a_key_is_shown_once_in_full_and_works(house: House, ada: Browser) -> None:
    await ada.get("/settings/api")
    text = await ada.send("/settings/api/users", name="shop")
    (key,) = set(re.findall(r"\bpb_[\w-]{30,}", text))
    later = await ada.get("/settings/api")

    answer = await house.service.call(
        "GET", "/api/v1/webhooks", headers={"authorization": basic("shop", key)}
    )

    assert answer.status_code == 200
    assert f"-u shop:{key}" in text
    assert ada.page.headers["cache-control"] == "no-store"
    assert key not in later


async def status_with(house: House, key: str, path: str = "/api/v1/webhooks") -> int:
    headers = {"authorization": basic("alice", key)}
    return (await house.service.call("GET", path, headers=headers)).status_code


def key_in(text: str) -> str:
    """Return the key that a page shows."""
    (key,) = set(re.findall(r"\bpb_[\w-]{30,}", text))
    return str(key)


async def test_a_key_is_replaced_at_once_and_revoked(house: House, ada: Browser) -> None:
    await ada.get("/settings/api")
    key = key_in(await ada.send("/settings/api/keys/1/rotate", overlap_h="0"))
    old, new = await status_with(house, KEY), await status_with(house, key)

    revoked = await ada.send("/settings/api/users/1/revoke")

    assert (old, new, await status_with(house, key)) == (401, 200, 401)
    assert "Revoked: alice" in " ".join(re.sub("<[^>]+>", " ", revoked).split())


async def test_the_old_key_works_on_for_as_long_as_was_chosen(house: House, ada: Browser) -> None:
    ends = house.service.clock.now() + timedelta(days=50)
    await house.service.desk.add_api_key("alice", terms=KeyTerms(KeyScope.READ, ends))
    await ada.get("/settings/api")
    text = await ada.send("/settings/api/keys/1/rotate", overlap_h="24")
    both = [await status_with(house, KEY), await status_with(house, key_in(text))]

    house.service.clock.advance(86_400)

    assert both == [200, 200]
    assert re.search(r"The one that it replaces ends <time [^>]+>in 1\s+d", text)
    assert await status_with(house, KEY) == 401


async def test_a_further_key_has_a_scope_and_an_end(house: House, ada: Browser) -> None:
    await ada.get("/settings/api")
    ends = house.service.clock.now() + timedelta(days=2)

    text = await ada.send(
        "/settings/api/users/1/keys", scope="read", expires_at=f"{ends:%Y-%m-%dT%H:%M}"
    )
    key = key_in(text)
    reads, sends = (
        await status_with(house, key),
        (
            await house.service.call(
                "POST", "/api/v1/events", headers={"authorization": basic("alice", key)}, json=[]
            )
        ).status_code,
    )
    (user,) = [u for u in await house.service.reports.api_users() if u.name == "alice"]
    listed = await ada.get("/settings/api")
    await ada.send(f"/settings/api/keys/{user.keys[1].id}/revoke")

    assert (reads, sends) == (200, 403)
    assert "It is for: reading only." in text
    assert "…" + key[-4:] in listed
    assert (await status_with(house, key), await status_with(house, KEY)) == (401, 200)


async def test_a_wrong_end_stays_beside_its_field_with_what_was_typed(ada: Browser) -> None:
    await ada.get("/settings/api")

    text = await ada.send("/settings/api/users/1/keys", scope="ingest", expires_at="tomorrow")

    assert ada.status == 422
    assert 'value="tomorrow"' in text
    assert 'id="ends-1-error"' in text
    assert '<option value="ingest" selected>' in text


async def test_an_account_with_many_api_users_has_them_on_several_pages(
    house: House, ada: Browser
) -> None:
    for number in range(30):
        await house.service.desk.create_api_user("acme", f"more{number:02}")

    first = await ada.get("/settings/api")
    (after,) = re.findall(r"\?users_after=(\d+)", first)
    second = await ada.get(f"/settings/api?users_after={after}")

    assert len(first.encode()) < 120_000
    assert ">alice</h3>" in first and ">more29</h3>" not in first
    assert ">more29</h3>" in second and ">alice</h3>" not in second


async def test_no_page_reaches_the_keys_of_another_account(house: House, ada: Browser) -> None:
    bob = await house.service.desk.find_api_user("bob")
    await ada.get("/settings/api")
    token = ada.token

    for path in ("rotate", "revoke"):
        answer = await ada.client.post(
            f"/settings/api/keys/{bob.keys[0].id}/{path}", data={"csrf": token}
        )
        assert answer.status_code == 404

    assert await house.service.desk.find_api_user("bob") == bob


async def test_a_name_that_is_taken_or_wrong_is_explained_beside_the_field(ada: Browser) -> None:
    await ada.get("/settings/api")

    taken = await ada.send("/settings/api/users", name="bob")
    taken_status = ada.status
    wrong = await ada.send("/settings/api/users", name="a:b")

    assert taken_status == 409 and "Choose another name" in taken
    assert ada.status == 422 and "colons" in wrong and 'value="a:b"' in wrong


async def test_the_base_url_is_this_data_centres_and_curl_lines_are_filled_in() -> None:
    public_url = "https://tr.postbell.example/"
    async with open_house(
        base_url="https://postbell", public_url=public_url, region="Turkey"
    ) as house:
        text = await (await house.visitor()).get("/settings/api")

    assert "This data centre is Turkey." in text
    assert "curl -u alice:API_KEY https://tr.postbell.example/api/v1/events" in text
    assert "https://tr.postbell.example/v1/webhooks" in text
    assert "https://tr.postbell.example/oauth/access_token" in text


async def test_the_curl_line_that_lists_webhooks_is_right(house: House, ada: Browser) -> None:
    text = await ada.get("/settings/api")
    (line,) = re.findall(r"<pre[^>]*>(curl -u \S+ \S+/api/v1/webhooks)</pre>", text)
    user, _, url = line.removeprefix("curl -u ").partition(" ")

    answer = await house.service.client.get(
        url.removeprefix("http://postbell"),
        headers={"authorization": basic(user.partition(":")[0], KEY)},
    )

    assert answer.status_code == 200
