"""What a refused event is told: the member, what is wrong with it, what to send instead."""

from collections.abc import AsyncIterator

import pytest

from tests.api.service import Service, running


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running() as service:
        yield service


@pytest.mark.parametrize(
    ("members", "code", "text"),
    [
        (b'"type":"nope"', "invalid", "member 'type': no event type 'nope'; known: request, sent,"),
        (b'"type":1', "invalid", "member 'type': expected `str`, got `int`"),
        (b'"x":1', "unknown_member", "unknown member 'x'"),
        (b'"metadata":[]', "invalid", "member 'metadata': expected `object | null`, got `array`"),
        (b'"metadata":{"a":' + b"[" * 20 + b"]" * 20 + b"}", "invalid", "lie in each other"),
        (b'"metadata":{"a":["\\u0000"]}', "invalid", "member 'metadata.a' holds the character"),
        (b'"smtp":{"code":"250"}', "invalid", "member 'smtp.code': expected `int | null`"),
        (b'"link":[]', "invalid", "member 'link': expected `object | null`, got `array`"),
        (b'"occurred_at":"now"', "invalid", "member 'occurred_at': 'now' is not an RFC 3339"),
        (b'"tags":["\\u0000"]', "invalid", "member 'tags' holds the character U+0000"),
        (b'"tags":["\\ud800"]', "malformed", "a string holds half a character, a lone surrogate"),
        (b'"tags":["\xff"]', "malformed", "byte 0xff is not UTF-8"),
        (b'"tags":["', "malformed", "the event is not valid JSON in UTF-8"),
    ],
)
async def test_a_refusal_says_what_is_wrong(
    service: Service, members: bytes, code: str, text: str
) -> None:
    head = b'{"recipient":"ada@example.net",'
    kind = b"" if members.startswith(b'"type"') else b'"type":"open",'

    response = await service.call(
        "POST",
        "/api/v1/events",
        content=head + kind + members + b"}\n",
        headers={"content-type": "application/x-ndjson"},
    )

    (rejected,) = response.json()["rejected"]
    assert rejected["index"] == 0
    assert rejected["code"] == code
    assert text in rejected["message"]
    assert "unknown" not in rejected["message"] or code == "unknown_member"
