"""Browsers that leave before their form is whole."""

from typing import Any

from tests.web.visiting import House


async def test_no_page_is_made_for_a_form_that_never_becomes_whole(house: House) -> None:
    sent: list[dict[str, Any]] = []
    arriving = iter(
        [
            {"type": "http.request", "body": b"email=ada", "more_body": True},
            {"type": "http.disconnect"},
        ]
    )

    async def receive() -> dict[str, Any]:
        return next(arriving)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/login", "raw_path": b"/login",
        "query_string": b"", "root_path": "", "scheme": "http", "server": ("postbell", 80),
        "client": ("198.51.100.7", 1),
        "headers": [
            (b"host", b"postbell"), (b"content-type", b"application/x-www-form-urlencoded"),
        ],
    }  # fmt: skip

    await house.app(scope, receive, send)

    assert [each["status"] for each in sent if "status" in each] == [400]
    assert b"".join(each.get("body", b"") for each in sent) == b""
