"""Which key signs a delivery: the webhook's own, where it has none in force its account's."""

from datetime import timedelta

from postbell.dialects.engagelab.signature import md5
from postbell.ports import NewSecret, Request
from postbell.records import Outcome, SecretKind
from tests.delivery.rig import Rig, event, running

URL = "https://a.example/hook"


def signer(rig: Rig, keys: list[str]) -> list[str]:
    """Return which of *keys* signed each delivery."""
    signed = []
    for request in rig.sender.got[URL]:
        headers = {name.lower(): value for name, value in request.headers}
        stamp, signature = headers["x-webhook-timestamp"], headers["x-webhook-signature"]
        signed += [key for key in keys if md5(stamp, key) == signature]
    return signed


async def test_a_key_of_the_account_that_was_made_later_does_not_sign_for_a_webhooks_own() -> None:
    async with running() as rig:
        own = NewSecret(SecretKind.APP_KEY, "its-own-key", rig.clock.now())
        await rig.webhook(dialect="engagelab", secrets=[own])
        shared = NewSecret(SecretKind.APP_KEY, "shared-key", rig.clock.now() + timedelta(seconds=1))
        await rig.engine.registry.add_secrets([shared], account_id=rig.account.id)
        rig.clock.advance(2)

        await rig.send(event(1))
        await rig.turn()

        assert signer(rig, ["its-own-key", "shared-key"]) == ["its-own-key"]


async def test_the_accounts_key_signs_until_a_webhooks_own_begins() -> None:
    async with running() as rig:
        shared = NewSecret(SecretKind.APP_KEY, "shared-key", rig.clock.now())
        await rig.engine.registry.add_secrets([shared], account_id=rig.account.id)
        own = NewSecret(SecretKind.APP_KEY, "its-own-key", rig.clock.now() + timedelta(hours=1))
        await rig.webhook(dialect="engagelab", secrets=[own])

        await rig.send(event(1))
        await rig.turn()
        rig.clock.advance(3600)
        await rig.send(event(2))
        await rig.turn()

        assert signer(rig, ["its-own-key", "shared-key"]) == ["shared-key", "its-own-key"]


async def test_keys_of_a_dialect_that_a_webhook_had_before_do_not_hide_the_accounts() -> None:
    async with running() as rig:
        shared = NewSecret(SecretKind.APP_KEY, "shared-key", rig.clock.now())
        await rig.engine.registry.add_secrets([shared], account_id=rig.account.id)
        old = NewSecret(SecretKind.SYMMETRIC, "whsec_" + "A" * 32, rig.clock.now())
        await rig.webhook(dialect="engagelab", secrets=[old])

        await rig.send(event(1))
        await rig.turn()

        assert signer(rig, ["shared-key"]) == ["shared-key"]


async def test_what_had_to_wait_for_a_connection_is_signed_as_it_leaves() -> None:
    async with running() as rig:
        key = NewSecret(SecretKind.APP_KEY, "its-own-key", rig.clock.now())
        await rig.webhook(dialect="mailgun", secrets=[key])

        def is_busy(request: Request) -> Outcome:
            rig.clock.advance(1200)
            return Outcome(error="busy")

        rig.sender.answers[URL] = [is_busy]
        await rig.send(event(1))
        await rig.turn()

        stamps = [body["signature"]["timestamp"] for body in rig.bodies()]
        tokens = {body["signature"]["token"] for body in rig.bodies()}
        assert int(stamps[1]) - int(stamps[0]) == 1200
        assert len(tokens) == 1
