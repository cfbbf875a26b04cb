"""The EngageLab-compatible API, line by line of its page."""

from asyncio import gather
from collections.abc import AsyncIterator

import pytest

from postbell.records import Outcome
from tests.api.service import Service, running

PATH = "/v1/webhooks"
URL = "http://qxxx.com"
ALL_CODES = [1, 3, 4, 5, 10, 11, 12, 18, 32]


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running() as service:
        yield service


async def add(service: Service, user: str = "alice", **members: object) -> int:
    response = await service.call("POST", PATH, user=user, json={"url": URL, **members})
    assert response.status_code == 200, response.text
    return response.json()["result"][0]["id"]


async def rows(service: Service, **query: object) -> list[dict[str, object]]:
    return (await service.call("GET", PATH, params=query)).json()["result"]


async def test_the_documented_list_has_the_documented_shape(service: Service) -> None:
    first = await add(service, api_user="anna", event=[1, 3])
    second = await add(service, api_user="anna", event=[1, 3])

    response = await service.call("GET", f"{PATH}?api_user=anna&offset=0&limit=1")

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert second == first + 1
    assert response.json() == {
        "result": [{"url": URL, "event": [1, 3], "api_user": "anna", "id": second}],
        "count": 1,
        "total": 2,
    }


async def test_the_documented_add_has_the_documented_shape(service: Service) -> None:
    body = {"url": URL, "api_user": "anna", "event": [1, 3]}

    response = await service.call("POST", PATH, json=body)

    assert response.status_code == 200
    assert response.json() == {
        "result": [{"url": URL, "event": [1, 3], "api_user": "anna", "id": 1}]
    }


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_put_and_the_printed_post_modify(service: Service, method: str) -> None:
    webhook = await add(service, api_user="anna", event=[1, 3])

    response = await service.call(method, f"{PATH}/{webhook}", json={"url": "http://example2.com"})

    assert response.status_code == 200
    assert response.json() == {"count": 1}
    assert await rows(service) == [
        {"url": "http://example2.com", "event": [1, 3], "api_user": "anna", "id": webhook}
    ]


async def test_a_change_of_the_selection_says_from_when_on_it_counts(service: Service) -> None:
    webhook = await add(service, api_user="anna", event=[1, 3])
    service.clock.advance(10)

    at_once = await service.call("PUT", f"{PATH}/{webhook}", json={"url": "http://example2.com"})
    later = await service.call("PUT", f"{PATH}/{webhook}", json={"event": [1]})

    assert "postbell-effective-from" not in at_once.headers
    assert later.json() == {"count": 1}
    assert later.headers["postbell-effective-from"] == "2026-11-21T12:00:10.000000Z"


async def test_delete_answers_the_documented_count(service: Service) -> None:
    webhook = await add(service)

    response = await service.call("DELETE", f"{PATH}/{webhook}")

    assert response.status_code == 200
    assert response.json() == {"count": 1}
    assert await rows(service) == []


@pytest.mark.parametrize("members", [{}, {"api_user": None, "event": None}, {"api_user": "all"}])
async def test_absent_null_and_all_mean_every_api_user_and_event(
    service: Service, members: dict[str, object]
) -> None:
    await add(service, **members)

    (row,) = await rows(service)

    assert row["api_user"] == "all"
    assert row["event"] == ALL_CODES


@pytest.mark.parametrize("code", ALL_CODES)
async def test_every_documented_code_is_taken_and_read_back(service: Service, code: int) -> None:
    await add(service, event=[code])

    (row,) = await rows(service)

    assert row["event"] == [code]


async def test_duplicates_of_codes_are_dropped_and_their_order_is_kept(service: Service) -> None:
    await add(service, event=[32, 3, 32, 1, 3])

    (row,) = await rows(service)

    assert row["event"] == [32, 3, 1]


async def test_rows_come_newest_first_and_offset_counts_from_there(service: Service) -> None:
    ids = [await add(service) for _ in range(4)]

    found = await rows(service, offset=1, limit=2)

    assert [row["id"] for row in found] == [ids[2], ids[1]]


async def test_a_limit_over_100_counts_as_100(service: Service) -> None:
    for _ in range(102):
        await add(service)

    response = (await service.call("GET", f"{PATH}?limit=200")).json()

    assert (response["count"], response["total"]) == (100, 102)
    assert len(response["result"]) == 100


async def test_no_limit_means_100(service: Service) -> None:
    for _ in range(101):
        await add(service)

    response = (await service.call("GET", PATH)).json()

    assert (response["count"], response["total"]) == (100, 101)


async def test_limit_zero_gives_no_rows_and_the_total(service: Service) -> None:
    await add(service)

    response = await service.call("GET", f"{PATH}?limit=0")

    assert response.json() == {"result": [], "count": 0, "total": 1}


async def test_the_filter_compares_the_stored_value_exactly(service: Service) -> None:
    everyone = await add(service)
    anna = await add(service, api_user="anna")

    assert [row["id"] for row in await rows(service, api_user="anna")] == [anna]
    assert [row["id"] for row in await rows(service, api_user="all")] == [everyone]
    assert await rows(service, api_user="abcd") == []


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("offset=", 30001),
        ("offset=-1", 30002),
        ("offset=x", 30002),
        ("offset=1.5", 30002),
        ("offset=%D9%A1", 30002),
        ("offset=99999999999999999999", 30002),
        ("limit=", 30003),
        ("limit=-1", 30004),
        ("limit=ten", 30004),
        ("limit=1e2", 30004),
    ],
)
async def test_a_bad_page_is_refused_with_its_code(service: Service, query: str, code: int) -> None:
    response = await service.call("GET", f"{PATH}?{query}")

    assert response.status_code == 400
    assert response.json()["code"] == code


BAD_MEMBERS = [
    ({"url": None}, 30705),
    ({"url": ""}, 30705),
    ({"url": "123456"}, 30706),
    ({"url": 123456}, 30706),
    ({"url": "ftp://example.com"}, 30706),
    ({"url": "http://"}, 30706),
    ({"url": "http://127.0.0.1/x"}, 30706),
    ({"url": "http://2130706433/"}, 30706),
    ({"url": "http://localhost/"}, 30706),
    ({"url": "http://example.com/#x"}, 30706),
    ({"url": "http://example.com/\x00"}, 30706),
    ({"url": "http://example.com/" + "x" * 2048}, 30706),
    ({"api_user": "qq.com"}, 30702),
    ({"api_user": "bob"}, 30702),
    ({"api_user": ""}, 30702),
    ({"api_user": 7}, 30702),
    ({"api_user": ["anna"]}, 30702),
    ({"event": []}, 30703),
    ({"event": [2]}, 30704),
    ({"event": [1, 99]}, 30704),
    ({"event": "1,3"}, 30704),
    ({"event": ["1"]}, 30704),
    ({"event": [1.0]}, 30704),
    ({"event": [True]}, 30704),
    ({"event": [None]}, 30704),
    ({"event": {}}, 30704),
    ({"event": [10**400]}, 30704),
]


@pytest.mark.parametrize(("members", "code"), BAD_MEMBERS)
async def test_bad_members_of_an_add_are_refused_and_nothing_is_stored(
    service: Service, members: dict[str, object], code: int
) -> None:
    response = await service.call("POST", PATH, json={"url": URL, **members})

    assert response.status_code == 400
    assert set(response.json()) == {"code", "message"}
    assert response.json()["code"] == code
    assert response.json()["message"]
    assert await rows(service) == []


@pytest.mark.parametrize(
    ("members", "code"), [row for row in BAD_MEMBERS if row[0] != {"url": None}]
)
async def test_bad_members_of_a_change_are_refused_and_nothing_changes(
    service: Service, members: dict[str, object], code: int
) -> None:
    webhook = await add(service, event=[1])
    before = await rows(service)

    response = await service.call("PUT", f"{PATH}/{webhook}", json=members)

    assert (response.status_code, response.json()["code"]) == (400, code)
    assert await rows(service) == before


async def test_a_missing_url_is_empty(service: Service) -> None:
    response = await service.call("POST", PATH, json={"event": [1]})

    assert (response.status_code, response.json()["code"]) == (400, 30705)


@pytest.mark.parametrize("body", [{}, {"url": None, "api_user": None, "event": None}])
async def test_a_change_of_nothing_counts_the_row(
    service: Service, body: dict[str, object]
) -> None:
    webhook = await add(service, api_user="anna", event=[5])
    before = await rows(service)

    response = await service.call("PUT", f"{PATH}/{webhook}", json=body)

    assert response.json() == {"count": 1}
    assert await rows(service) == before


async def test_unknown_members_and_the_bodies_of_get_and_delete_are_ignored(
    service: Service,
) -> None:
    added = await service.call(
        "POST", PATH, json={"url": URL, "body": {}, "id": 99, "dialect": "x"}
    )
    listed = await service.call("GET", PATH, content=b"{broken")
    deleted = await service.call("DELETE", f"{PATH}/1", content=b"{broken")

    assert added.json()["result"][0]["id"] == 1
    assert listed.json()["total"] == 1
    assert deleted.json() == {"count": 1}


async def test_every_api_user_manages_all_webhooks_of_its_account_and_no_other(
    service: Service,
) -> None:
    webhook = await add(service, "alice")

    mine = await service.call("GET", PATH, user="anna")
    theirs = await service.call("GET", PATH, user="bob")
    put = await service.call("PUT", f"{PATH}/{webhook}", user="bob", json={"event": [1]})
    deleted = await service.call("DELETE", f"{PATH}/{webhook}", user="bob")

    assert mine.json()["total"] == 1
    assert theirs.json() == {"result": [], "count": 0, "total": 0}
    assert put.json() == deleted.json() == {"code": 30709, "message": "not found"}


async def test_only_webhooks_of_this_dialect_are_seen(service: Service) -> None:
    native = (await service.webhook())["id"]

    response = await service.call("DELETE", f"{PATH}/{native}")

    assert await rows(service) == []
    assert (response.status_code, response.json()["code"]) == (404, 30709)


async def test_a_webhook_made_here_speaks_engagelab(service: Service) -> None:
    webhook = await add(service, event=[4])

    view = (await service.call("GET", f"/api/v1/webhooks/{webhook}")).json()

    assert view["dialect"] == "engagelab"
    assert view["types"] == ["hard_bounce", "dropped", "failed"]
    assert view["policy"]["success"] == [200, 204]
    assert view["policy"]["max_events"] == 1


async def test_a_second_webhook_for_a_url_is_fine_by_default(service: Service) -> None:
    assert await add(service) != await add(service)


async def test_a_second_webhook_for_a_url_is_30708_where_the_operator_says_so() -> None:
    async with running(face={"unique_urls": True}) as service:
        await add(service)
        other = await add(service, url="http://other.example")

        added = await service.call("POST", PATH, json={"url": URL})
        moved = await service.call("PUT", f"{PATH}/{other}", json={"url": URL})
        same = await service.call("PUT", f"{PATH}/{other}", json={"url": "http://other.example"})

        assert (added.status_code, added.json()["code"]) == (400, 30708)
        assert (moved.status_code, moved.json()["code"]) == (400, 30708)
        assert same.json() == {"count": 1}


async def test_of_two_webhooks_for_a_url_that_come_at_once_one_is_30708() -> None:
    async with running(face={"unique_urls": True}) as service:
        adding = (service.call("POST", PATH, json={"url": URL}) for _ in range(4))

        answers = [(one.status_code, one.json().get("code")) for one in await gather(*adding)]

        assert sorted(answers, key=str) == [(200, None)] + [(400, 30708)] * 3
        assert len(await rows(service)) == 1


async def test_a_url_check_that_fails_is_30707(service: Service) -> None:
    webhook = await add(service)
    await service.call(
        "PATCH", f"/api/v1/webhooks/{webhook}", json={"options": {"url_check": "get"}}
    )
    service.receivers.answer = lambda _: Outcome(status=404)

    response = await service.call("PUT", f"{PATH}/{webhook}", json={"url": "http://new.example"})

    assert (response.status_code, response.json()["code"]) == (400, 30707)
    assert (await rows(service))[0]["url"] == URL


async def test_no_url_is_called_by_default(service: Service) -> None:
    await add(service)

    assert service.receivers.got == []
