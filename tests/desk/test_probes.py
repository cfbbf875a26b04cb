"""What a dialect asks of a URL before it is registered."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs

import pytest

from postbell.errors import BadInput
from postbell.records import Outcome
from tests.api.service import Service, running


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running() as service:
        yield service


FORM: dict[str, Any] = {
    "url": "https://user:pass@example.com/hooks/mandrill",
    "dialect": "mandrill",
    "options": {"url_check": "head_or_post"},
}


async def test_a_url_that_answers_head_is_asked_no_more(service: Service) -> None:
    await service.desk.create_webhook(service.acme, FORM)

    (asked,) = service.receivers.got
    assert (asked.is_head, asked.body) == (True, None)


async def test_a_url_that_does_not_is_sent_an_empty_array_with_the_key_of_tests(
    service: Service,
) -> None:
    service.receivers.answer = lambda request: Outcome(status=405 if request.is_head else 200)

    await service.desk.create_webhook(service.acme, FORM)

    _, post = service.receivers.got
    assert parse_qs((post.body or b"").decode()) == {"mandrill_events": ["[]"]}
    assert dict(post.headers)["X-Mandrill-Signature"] == "IWW00pvxDJxNzhfmIcG4ARrSAmg="


async def test_a_url_that_answers_neither_is_not_registered(service: Service) -> None:
    service.receivers.answer = lambda _: Outcome(status=405)

    with pytest.raises(BadInput) as error:
        await service.desk.create_webhook(service.acme, FORM)

    assert error.value.code == "url_check_failed"
    assert error.value.message.startswith("the url answered POST with status 405")
    assert await service.engine.registry.webhooks() == []


async def test_without_the_option_a_url_is_asked_nothing(service: Service) -> None:
    await service.desk.create_webhook(service.acme, {**FORM, "options": {}})

    assert service.receivers.got == []
