"""Signing keys by forms, and the test button."""

import hmac
from base64 import b64decode, b64encode

from postbell.ports import Request
from postbell.records import Outcome
from postbell.signing import public_key
from tests.web.visiting import Browser, House


async def test_a_key_is_shown_and_rotated_with_an_overlap(house: House, ada: Browser) -> None:
    made = await house.service.webhook()
    old = made["secrets"][0]["value"]
    shown = await ada.get("/webhooks/1/secrets")

    text = await ada.send("/webhooks/1/secrets", overlap_h="24", kind="whsec")

    keys = (await house.service.desk.find_webhook(None, 1)).secrets
    assert old in shown
    assert ada.path == "/webhooks/1/secrets"
    assert [key.value in text for key in keys] == [True, True]
    assert keys[0].expires_at is not None and keys[1].expires_at is None


async def test_of_an_ed25519_key_the_public_one_is_shown_for_the_receiver(
    house: House, ada: Browser
) -> None:
    await house.service.webhook()
    await ada.get("/webhooks/1/secrets")

    text = await ada.send("/webhooks/1/secrets", overlap_h="24", kind="whsk")

    keys = (await house.service.desk.find_webhook(None, 1)).secrets
    assert public_key(keys[1].value) in text
    assert text.count("whpk_") == text.count(public_key(keys[1].value))


async def test_the_accounts_app_key_is_rotated_unless_the_webhook_asks_for_its_own(
    house: House, ada: Browser
) -> None:
    service = house.service
    await service.webhook(dialect="engagelab")
    app_key = (await service.desk.app_key(service.acme)).value
    shown = await ada.get("/webhooks/1/secrets")
    await ada.send("/webhooks/1/secrets", overlap_h="1")
    shared = await service.engine.registry.account_secrets(service.acme)
    await ada.send("/webhooks/1/secrets", overlap_h="0", own="on")

    own = (await service.desk.find_webhook(None, 1)).secrets
    assert app_key in shown and "of the whole account" in shown
    assert len(shared) == 2
    assert len(own) == 1


async def test_a_wrong_key_is_refused_beside_the_form(house: House, ada: Browser) -> None:
    await house.service.webhook()
    await ada.get("/webhooks/1/secrets")

    text = await ada.send("/webhooks/1/secrets", overlap_h="24", secret="short")
    bad_status = ada.status
    await ada.send("/webhooks/1/secrets", overlap_h="-5")

    assert bad_status == 422 and 'role="alert"' in text
    assert ada.status == 422
    assert len((await house.service.desk.find_webhook(None, 1)).secrets) == 1


async def test_an_unsigned_payload_says_so(house: House, ada: Browser) -> None:
    await house.service.webhook(dialect="sendpulse")

    text = await ada.get("/webhooks/1/secrets")

    assert "not signed" in text
    assert "<form" not in text.partition("<main")[2]


async def test_the_test_button_plays_every_case_and_counts_nothing(
    house: House, ada: Browser
) -> None:
    service = house.service
    await service.webhook()
    service.receivers.answer = lambda request: Outcome(
        status=401 if _is_forged(house, request) else 200
    )
    await ada.get("/webhooks/1/test")

    text = await ada.send("/webhooks/1/test", only="")

    view = await service.reports.webhook(None, 1)
    assert "The receiver passed all 21 cases." in text
    assert text.count('<details class="case"') == 21
    assert (view.delivered, view.waiting) == (0, 0)


async def test_a_receiver_that_takes_any_signature_fails_that_case(
    house: House, ada: Browser
) -> None:
    await house.service.webhook()
    await ada.get("/webhooks/1/test")

    text = await ada.send("/webhooks/1/test", only="signature")

    assert "The receiver did not pass the case." in text
    assert "answers 401 or 403" in text


async def test_a_receiver_out_of_reach_is_asked_once(house: House, ada: Browser) -> None:
    service = house.service
    await service.webhook()
    service.receivers.answer = lambda _: Outcome(error="connect", detail="refused")
    await ada.get("/webhooks/1/test")

    text = await ada.send("/webhooks/1/test", only="")

    assert len(service.receivers.got) == 1
    assert "the receiver cannot be reached" in text


def _is_forged(house: House, request: Request) -> bool:
    """Return whether another key than the webhook's signed, as a receiver finds out."""
    key = house.service.directory.known.webhooks[1].secrets[0].value
    headers = {name.lower(): value for name, value in request.headers}
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode()
    secret = b64decode(key.removeprefix("whsec_"))
    good = b64encode(hmac.digest(secret, signed + (request.body or b""), "sha256")).decode()
    return f"v1,{good}" not in headers["webhook-signature"].split()


async def test_verdicts_are_not_replaced_by_news_of_the_page_at_their_address(
    house: House, ada: Browser
) -> None:
    await house.service.webhook()
    before = await ada.get("/webhooks/1/test")

    after = await ada.send("/webhooks/1/test", only="signature")

    assert "data-part" not in before
    assert "data-answer" not in before and "data-answer" in after
