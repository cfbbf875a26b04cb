"""A path that there is not: a page for browsers, problem+json for everybody else."""

import httpx
import pytest

from postbell import api
from postbell.web import lost_page, routes
from tests.web.visiting import House

HTML = "text/html,application/xhtml+xml"


async def ask(house: House, method: str, path: str, **headers: str) -> httpx.Response:
    service = house.service
    app = api.build(
        service.desk,
        service.reports,
        service.ingest,
        service.engine,
        dialect_routes=routes(house.site),
        lost_page=lost_page(house.site),
    )
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url=house.base_url
    ) as client:
        return await client.request(method, path, headers=headers)


async def test_a_browser_is_told_in_its_language(house: House) -> None:
    answer = await ask(house, "GET", "/nowhere", accept=HTML, **{"accept-language": "ru"})

    assert answer.status_code == 404
    assert "Такой страницы нет" in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("method", "path", "accept"),
    [
        ("GET", "/nowhere", "application/json"),
        ("GET", "/nowhere", "*/*"),
        ("POST", "/nowhere", HTML),
        ("GET", "/api/v1/nowhere", HTML),
    ],
)
async def test_others_get_json(house: House, method: str, path: str, accept: str) -> None:
    answer = await ask(house, method, path, accept=accept)

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_browser_reaches_what_there_is(house: House) -> None:
    answer = await ask(house, "GET", "/healthz", accept=HTML)

    assert answer.status_code == 200
