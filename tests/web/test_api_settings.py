"""Account settings -> API: a URL, ticks, done on that very page; keys shown once."""

import re

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
    assert ada.path.partition("#")[0] == "/settings/api?done=webhook_created"
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


async def test_keys_are_rotated_and_revoked(house: House, ada: Browser) -> None:
    await ada.get("/settings/api")
    text = await ada.send("/settings/api/users/1/rotate")
    (key,) = set(re.findall(r"\bpb_[\w-]{30,}", text))
    old = await house.service.call("GET", "/api/v1/webhooks")
    new = await house.service.call(
        "GET", "/api/v1/webhooks", headers={"authorization": basic("alice", key)}
    )

    revoked = await ada.send("/settings/api/users/1/revoke")
    gone = await house.service.call(
        "GET", "/api/v1/webhooks", headers={"authorization": basic("alice", key)}
    )

    assert (old.status_code, new.status_code, gone.status_code) == (401, 200, 401)
    assert "Revoked: alice" in " ".join(re.sub("<[^>]+>", " ", revoked).split())


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
