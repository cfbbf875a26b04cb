"""Forms that never become whole, or are too much: what is done for nobody costs little."""

from collections.abc import Awaitable, Callable
from typing import Any

from postbell.errors import Overloaded
from tests.web.visiting import House


async def answered(
    house: House, receive: Callable[[], Awaitable[dict[str, Any]]]
) -> tuple[int, dict[bytes, bytes], bytes]:
    """Return the answer to a form of a stranger that arrives as *receive* says."""
    sent: list[dict[str, Any]] = []

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

    body = b"".join(each.get("body", b"") for each in sent)
    return sent[0]["status"], dict(sent[0]["headers"]), body


async def test_no_page_is_made_for_a_form_that_never_becomes_whole(house: House) -> None:
    arriving = iter(
        [
            {"type": "http.request", "body": b"email=ada", "more_body": True},
            {"type": "http.disconnect"},
        ]
    )

    async def receive() -> dict[str, Any]:
        return next(arriving)

    status, _, body = await answered(house, receive)

    assert (status, body) == (400, b"")


async def test_a_stranger_whose_form_is_too_much_now_gets_a_sentence(house: House) -> None:
    async def receive() -> dict[str, Any]:
        raise Overloaded("requests in flight hold as much memory as they may", retry_after_s=3)

    status, headers, body = await answered(house, receive)

    assert (status, headers[b"retry-after"]) == (503, b"3")
    assert headers[b"content-type"].startswith(b"text/plain")
    assert b"Too much comes at once" in body
