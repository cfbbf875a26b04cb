"""What every engine promises of warrants: a write under a right that has ended writes nothing."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from msgspec.structs import replace

from postbell.errors import Unauthorized
from postbell.ports import NewSecret
from postbell.records import LaneChange, Owner, SecretKind, Session, Webhook
from postbell.suppressions import SuppressionRules
from postbell.warrants import KeyWarrant, SessionWarrant, Warrant, under
from tests.contract.making import Shop
from tests.contract.test_suppressions import ADA, entry

KEY_HASH = "sha256$00$00"
Write = Callable[[Shop, Webhook, Owner], Awaitable[object]]


def _owner(shop: Shop, email: str, **members: object) -> Owner:
    return Owner(
        id=0,
        account_id=shop.accounts[0].id,
        email=email,
        password_hash="$argon2id$",
        created_at=shop.clock.now(),
        **members,  # type: ignore[arg-type]
    )


def _secret(shop: Shop) -> NewSecret:
    return NewSecret(SecretKind.APP_KEY, "k" * 32, shop.clock.now())


async def _intervene(shop: Shop, webhook: Webhook, _owner: Owner) -> object:
    claim = await shop.engine.ledger.lane(webhook.id)
    assert claim is not None
    lane = replace(claim.lane, failures=7)
    return await shop.engine.ledger.intervene(
        LaneChange(webhook_id=webhook.id, epoch=lane.epoch, lane=lane)
    )


WRITES: dict[str, Write] = {
    "add_account": lambda s, w, o: s.engine.registry.add_account("new", s.clock.now()),
    "add_api_user": lambda s, w, o: s.engine.registry.add_api_user(
        w.account_id, "new", KEY_HASH, s.clock.now()
    ),
    "add_api_key": lambda s, w, o: s.engine.registry.add_api_key(
        s.users[1].id, KEY_HASH, s.clock.now()
    ),
    "end_api_keys": lambda s, w, o: s.engine.registry.end_api_keys(
        s.users[1].id, {s.users[1].keys[0].id: s.clock.now()}
    ),
    "revoke_api_user": lambda s, w, o: s.engine.registry.revoke_api_user(
        s.users[1].id, s.clock.now()
    ),
    "rehash_api_key": lambda s, w, o: s.engine.registry.rehash_api_key(
        s.users[1].keys[0].id, "scrypt$00$00", expect=KEY_HASH
    ),
    "add_webhook": lambda s, w, o: s.engine.registry.add_webhook(s.draft(), []),
    "set_webhook": lambda s, w, o: s.engine.registry.set_webhook(
        replace(w, url="https://other.example/")
    ),
    "delete_webhook": lambda s, w, o: s.engine.registry.delete_webhook(w.id, s.clock.now()),
    "add_secrets": lambda s, w, o: s.engine.registry.add_secrets([_secret(s)], webhook_id=w.id),
    "intervene": _intervene,
    "add_replay": lambda s, w, o: s.engine.ledger.add_replay(s.replay(w)),
    "add_owner": lambda s, w, o: s.engine.owners.add(_owner(s, "new@example.com")),
    "prefer": lambda s, w, o: s.engine.owners.prefer(o.id, language="fr"),
    "set_operator": lambda s, w, o: s.engine.owners.set_operator(o.id, True),
    "set_password": lambda s, w, o: s.engine.owners.set_password(
        o.id, expect=o.password_hash, password_hash="$argon2id$new"
    ),
    "remove_owner": lambda s, w, o: s.engine.owners.remove(o.id),
    "end_sessions": lambda s, w, o: s.engine.owners.end_sessions(owner_id=o.id),
    "suppress": lambda s, w, o: s.engine.suppressions.add([entry(s, "bob")], s.clock.now(), 0),
    "unsuppress": lambda s, w, o: s.engine.suppressions.remove([ADA], s.clock.now(), 0),
    "set_suppression_rules": lambda s, w, o: s.engine.suppressions.set_rules(
        1, SuppressionRules(is_on=True)
    ),
    "look_at": lambda s, w, o: s.engine.owners.look_at(b"root", s.accounts[1].id),
}


class Cast:
    """A webhook, a user of its account and an operator, who are signed in."""

    def __init__(self, webhook: Webhook, ada: Owner, root: Owner) -> None:
        self.webhook = webhook
        self.ada = ada
        self.root = root


async def _cast(shop: Shop) -> Cast:
    owners = shop.engine.owners
    ada = await owners.add(_owner(shop, "ada@example.com"))
    await owners.add(_owner(shop, "bob@example.com"))
    root = await owners.add(_owner(shop, "root@example.com", is_operator=True))
    await owners.add(_owner(shop, "more@example.com", is_operator=True))
    for digest, owner in ((b"ada", ada), (b"root", root)):
        now = shop.clock.now()
        account_id = owner.account_id
        opened = Session(
            digest=digest, owner_id=owner.id, account_id=account_id, created_at=now, seen_at=now
        )
        await owners.open_session(opened, expect="$argon2id$")
    await shop.engine.suppressions.add([entry(shop)], shop.clock.now(), 0)
    return Cast(await shop.webhook(), ada, root)


async def _everything(shop: Shop, webhook: Webhook) -> list[object]:
    """Return all that the writes could have touched."""
    engine = shop.engine
    return [
        await engine.registry.accounts(),
        await engine.registry.api_users(),
        await engine.registry.webhooks(),
        await engine.ledger.lane(webhook.id),
        await engine.ledger.replays(),
        await engine.owners.of(),
        await engine.owners.session(b"ada"),
        await engine.owners.session(b"root"),
        await engine.suppressions.rules(),
        await engine.suppressions.since(0, 100),
    ]


def _key(shop: Shop) -> KeyWarrant:
    return KeyWarrant(shop.users[0].keys[0].id)


async def _rotated(shop: Shop, cast: Cast) -> Warrant:
    now, old = shop.clock.now(), shop.users[0].keys[0].id
    await shop.engine.registry.add_api_key(shop.users[0].id, "sha256$11$11", now, ends={old: now})
    return _key(shop)


async def _over(shop: Shop, cast: Cast) -> Warrant:
    ends = {shop.users[0].keys[0].id: shop.clock.now() + timedelta(hours=1)}
    await shop.engine.registry.end_api_keys(shop.users[0].id, ends)
    shop.clock.advance(3600)
    return _key(shop)


async def _revoked(shop: Shop, cast: Cast) -> Warrant:
    await shop.engine.registry.revoke_api_user(shop.users[0].id, shop.clock.now())
    return _key(shop)


async def _signed_out(shop: Shop, cast: Cast) -> Warrant:
    await shop.engine.owners.end_sessions(digest=b"ada")
    return SessionWarrant(b"ada", cast.ada.account_id)


async def _elsewhere(shop: Shop, cast: Cast) -> Warrant:
    return SessionWarrant(b"ada", shop.accounts[1].id)


async def _no_operator(shop: Shop, cast: Cast) -> Warrant:
    return SessionWarrant(b"ada", cast.ada.account_id, needs_operator=True)


async def _lowered(shop: Shop, cast: Cast) -> Warrant:
    await shop.engine.owners.set_operator(cast.root.id, False)
    return SessionWarrant(b"root", cast.root.account_id, needs_operator=True)


async def _removed(shop: Shop, cast: Cast) -> Warrant:
    await shop.engine.owners.remove(cast.root.id)
    return SessionWarrant(b"root", cast.root.account_id)


ENDED = {
    "rotated": _rotated,
    "over": _over,
    "revoked": _revoked,
    "signed_out": _signed_out,
    "elsewhere": _elsewhere,
    "no_operator": _no_operator,
    "lowered": _lowered,
    "removed": _removed,
}


@pytest.mark.parametrize("ending", ENDED)
async def test_nothing_is_written_under_a_right_that_has_ended(shop: Shop, ending: str) -> None:
    cast = await _cast(shop)
    warrant = await ENDED[ending](shop, cast)
    before = await _everything(shop, cast.webhook)

    for name, write in WRITES.items():
        with under(warrant), pytest.raises(Unauthorized, match="ended"):
            await write(shop, cast.webhook, cast.ada)
            pytest.fail(f"{name} wrote")

    assert await _everything(shop, cast.webhook) == before


@pytest.mark.parametrize("name", WRITES)
async def test_what_holds_writes(shop: Shop, name: str) -> None:
    cast = await _cast(shop)
    before = await _everything(shop, cast.webhook)

    with under(_key(shop)):
        await WRITES[name](shop, cast.webhook, cast.ada)

    keys = await shop.engine.registry.webhook(cast.webhook.id)
    assert await _everything(shop, cast.webhook) != before or (keys and keys.secrets)


async def test_an_operators_session_writes_in_every_account(shop: Shop) -> None:
    cast = await _cast(shop)

    with under(SessionWarrant(b"root", shop.accounts[1].id, needs_operator=True)):
        made = await shop.engine.registry.add_account("third", shop.clock.now())

    with under(SessionWarrant(b"ada", cast.ada.account_id)):
        fresh = await shop.engine.owners.prefer(cast.ada.id, language="fr")
    assert (made.name, fresh.language) == ("third", "fr")


async def test_behind_the_block_nobody_is_asked(shop: Shop) -> None:
    with under(KeyWarrant(99)):
        pass

    made = await shop.engine.registry.add_account("third", shop.clock.now())

    assert made.created_at + timedelta(0) == shop.clock.now()
