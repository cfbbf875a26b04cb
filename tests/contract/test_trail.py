"""What every engine promises of the audit trail: with the change, listed, dropped by age."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from postbell.blocks import START
from postbell.errors import Conflict, NotFound
from postbell.ports import (
    ENTRIES_SEEN,
    ApiUsers,
    NewSecret,
    Owners,
    Proof,
    Registry,
    SecondFactors,
    Suppressions,
    TrailPlace,
    TrailQuery,
)
from postbell.records import (
    LaneChange,
    Owner,
    Replay,
    ReplayFilter,
    Reset,
    SecretKind,
    Session,
)
from postbell.suppressions import SuppressionRules
from postbell.trail import Actor, ActorKind, Subject, TrailEntry
from tests.contract import test_second_factors as factors
from tests.contract import test_suppressions as suppressions
from tests.contract.making import Shop, span
from tests.contract.test_owners import add, open_session

ADA = Actor(ActorKind.PERSON, 7, "ada@example.com", "192.0.2.7", "pages")
KEY = Actor(ActorKind.KEY, 1, "acme-mail", "192.0.2.8", "native")
ROOT = Actor(ActorKind.COMMAND, 0, "root", "mail1", "cli")


def entry(shop: Shop, action: str = "webhook.changed", **members: Any) -> TrailEntry:
    defaults: dict[str, Any] = {
        "at": shop.clock.now(),
        "account_id": shop.accounts[0].id,
        "actor": ADA,
        "action": action,
        "subject": Subject("webhook", "3", "https://a.example"),
        "old": {"policy.max_events": 10, "types": None},
        "new": {"policy.max_events": 20, "types": '["open"]'},
    }
    return TrailEntry(**(defaults | members))


async def note(shop: Shop, *entries: TrailEntry) -> None:
    """Store entries, each with a write that means nothing else."""
    for each in entries:
        await shop.engine.trail.along(shop.engine.tries.give_back({}), lambda _, e=each: e)  # type: ignore[misc]


async def noted(shop: Shop, **wanted: Any) -> list[str]:
    return [each.action for each in await shop.engine.trail.entries(TrailQuery(**wanted))]


async def test_an_entry_is_listed_as_it_was_noted(shop: Shop) -> None:
    first = entry(shop)
    second = entry(shop, "account.created", account_id=None, actor=ROOT, old={}, new={"name": "x"})

    await note(shop, first, second)

    found = await shop.engine.trail.entries(TrailQuery())
    assert [each.id for each in found] == sorted((each.id for each in found), reverse=True)
    assert [replace(each, id=0) for each in found] == [second, first]


Write = Callable[[Shop], Awaitable[Coroutine[Any, Any, Any]]]


async def _owner(shop: Shop) -> Owner:
    return await shop.engine.owners.add(
        Owner(
            id=0,
            account_id=shop.accounts[0].id,
            email="ada@example.com",
            password_hash="",
            created_at=shop.clock.now(),
        )
    )


async def _second(shop: Shop) -> Owner:
    first = await shop.engine.owners.find(email="ada@example.com")
    assert first is not None
    return await shop.engine.owners.add(replace(first, id=0, email="bob@example.com"))


def _session(shop: Shop, owner: Owner) -> Session:
    now = shop.clock.now()
    return Session(
        digest=b"d", owner_id=owner.id, account_id=owner.account_id, created_at=now, seen_at=now
    )


async def _add_account(shop: Shop) -> Any:
    return shop.engine.registry.add_account("new", shop.clock.now())


async def _add_api_user(shop: Shop) -> Any:
    return shop.engine.registry.add_api_user(
        shop.accounts[0].id, "new", "sha256$0$0", shop.clock.now()
    )


async def _add_api_key(shop: Shop) -> Any:
    return shop.engine.registry.add_api_key(shop.users[0].id, "sha256$0$0", shop.clock.now())


async def _end_api_keys(shop: Shop) -> Any:
    ends = {shop.users[0].keys[0].id: shop.clock.now()}
    return shop.engine.registry.end_api_keys(shop.users[0].id, ends)


async def _revoke_api_user(shop: Shop) -> Any:
    return shop.engine.registry.revoke_api_user(shop.users[0].id, shop.clock.now())


async def _add_webhook(shop: Shop) -> Any:
    return shop.engine.registry.add_webhook(shop.draft(), [])


async def _set_webhook(shop: Shop) -> Any:
    webhook = await shop.webhook()
    return shop.engine.registry.set_webhook(replace(webhook, dialect="sendpulse"), expect=webhook)


async def _delete_webhook(shop: Shop) -> Any:
    return shop.engine.registry.delete_webhook((await shop.webhook()).id, shop.clock.now())


async def _add_secrets(shop: Shop) -> Any:
    key = NewSecret(SecretKind.APP_KEY, "k", shop.clock.now())
    return shop.engine.registry.add_secrets([key], account_id=shop.accounts[0].id)


async def _add_owner(shop: Shop) -> Any:
    owner = replace(await _owner(shop), id=0, email="bob@example.com")
    return shop.engine.owners.add(owner, most=9)


async def _prefer(shop: Shop) -> Any:
    return shop.engine.owners.prefer((await _owner(shop)).id, language="fr")


async def _set_operator(shop: Shop) -> Any:
    await _owner(shop)
    return shop.engine.owners.set_operator((await _second(shop)).id, True)


async def _set_password(shop: Shop) -> Any:
    owner = await _owner(shop)
    return shop.engine.owners.set_password(owner.id, expect="", password_hash="new")


async def _remove_owner(shop: Shop) -> Any:
    await _owner(shop)
    return shop.engine.owners.remove((await _second(shop)).id)


async def _open_session(shop: Shop) -> Any:
    return shop.engine.owners.open_session(_session(shop, await _owner(shop)), expect="")


async def _look_at(shop: Shop) -> Any:
    owner = await shop.engine.owners.set_operator((await _owner(shop)).id, True)
    await shop.engine.owners.open_session(_session(shop, owner), expect="")
    return shop.engine.owners.look_at(b"d", shop.accounts[1].id)


async def _end_sessions(shop: Shop) -> Any:
    return shop.engine.owners.end_sessions(owner_id=(await _owner(shop)).id)


async def _add_reset(shop: Shop) -> Any:
    owner = await _owner(shop)
    return shop.engine.owners.add_reset(Reset(b"r", owner.id, shop.clock.now()))


async def _finish_reset(shop: Shop) -> Any:
    owner, later = await _owner(shop), shop.clock.now() + timedelta(hours=1)
    await shop.engine.owners.add_reset(Reset(b"r", owner.id, later))
    return shop.engine.owners.finish_reset(b"r", password_hash="new", now=shop.clock.now())


async def _begin_factor(shop: Shop) -> Any:
    return factors.begin(shop, await add(shop))


async def _put_in_force(shop: Shop) -> Any:
    owner = await add(shop)
    await open_session(shop, owner, factors.HERE)
    factor = await factors.begin(shop, owner)
    assert factor is not None
    return factors.put_in_force(shop, factor)


async def _replace_recovery(shop: Shop) -> Any:
    _, factor = await factors.with_factor(shop)
    return shop.engine.second_factors.replace_recovery(
        Proof(factor.id, step=factors.STEP + 1), factors.CODES, password_hash=factors.PASSWORD
    )


async def _turn_off(shop: Shop) -> Any:
    _, factor = await factors.with_factor(shop)
    return shop.engine.second_factors.turn_off(
        Proof(factor.id, step=factors.STEP + 1), password_hash=factors.PASSWORD
    )


async def _remove_factor(shop: Shop) -> Any:
    owner, _ = await factors.with_factor(shop)
    return shop.engine.second_factors.remove(owner.id)


async def _begin_sign_in(shop: Shop) -> Any:
    owner, _ = await factors.with_factor(shop)
    return factors.half(shop, owner)


async def _finish_sign_in(shop: Shop) -> Any:
    owner, factor = await factors.with_factor(shop)
    assert await factors.half(shop, owner)
    return factors.finish(shop, owner, Proof(factor.id, step=factors.STEP + 1))


async def _forget_tries(shop: Shop) -> Any:
    for key in (b"a1", b"a2"):
        await shop.engine.tries.count({key: 1}, now=shop.clock.now(), window=timedelta(1))
    return shop.engine.tries.forget(b"a1", b"a2")


async def _count_try(shop: Shop) -> Any:
    return shop.engine.tries.count({b"a": 1}, now=shop.clock.now(), window=timedelta(1))


async def _intervene(shop: Shop) -> Any:
    return shop.engine.ledger.intervene(LaneChange(webhook_id=(await shop.webhook()).id, epoch=0))


async def _add_replay(shop: Shop) -> Any:
    webhook = await shop.webhook()
    return shop.engine.ledger.add_replay(
        Replay(
            id=0,
            account_id=webhook.account_id,
            webhook_id=webhook.id,
            revision=1,
            ranges=(span(1, 5),),
            filter=ReplayFilter(),
            created_at=shop.clock.now(),
            position=START,
        )
    )


async def _clear_index(shop: Shop) -> Any:
    return shop.engine.index.clear()


async def _suppress(shop: Shop) -> Any:
    return shop.engine.suppressions.add([suppressions.entry(shop)], shop.clock.now(), 0)


async def _unsuppress(shop: Shop) -> Any:
    await suppressions.add(shop, suppressions.entry(shop))
    return shop.engine.suppressions.remove([suppressions.ADA], shop.clock.now(), 0)


async def _set_rules(shop: Shop) -> Any:
    return shop.engine.suppressions.set_rules(1, SuppressionRules(is_on=True))


async def _rebuild(shop: Shop) -> Any:
    return shop.engine.suppressions.rebuild()


WRITES: dict[str, Write] = {
    "registry.add_account": _add_account,
    "registry.add_api_user": _add_api_user,
    "registry.add_api_key": _add_api_key,
    "registry.end_api_keys": _end_api_keys,
    "registry.revoke_api_user": _revoke_api_user,
    "registry.add_webhook": _add_webhook,
    "registry.set_webhook": _set_webhook,
    "registry.delete_webhook": _delete_webhook,
    "registry.add_secrets": _add_secrets,
    "owners.add": _add_owner,
    "owners.prefer": _prefer,
    "owners.set_operator": _set_operator,
    "owners.set_password": _set_password,
    "owners.remove": _remove_owner,
    "owners.open_session": _open_session,
    "owners.look_at": _look_at,
    "owners.end_sessions": _end_sessions,
    "owners.add_reset": _add_reset,
    "owners.finish_reset": _finish_reset,
    "second_factors.begin": _begin_factor,
    "second_factors.put_in_force": _put_in_force,
    "second_factors.replace_recovery": _replace_recovery,
    "second_factors.turn_off": _turn_off,
    "second_factors.remove": _remove_factor,
    "second_factors.begin_sign_in": _begin_sign_in,
    "second_factors.finish_sign_in": _finish_sign_in,
    "tries.count": _count_try,
    "tries.forget": _forget_tries,
    "ledger.intervene": _intervene,
    "ledger.add_replay": _add_replay,
    "suppressions.add": _suppress,
    "suppressions.remove": _unsuppress,
    "suppressions.set_rules": _set_rules,
    "suppressions.rebuild": _rebuild,
    "index.clear": _clear_index,
}
PORTS = {
    "registry": Registry,
    "owners": Owners,
    "second_factors": SecondFactors,
    "suppressions": Suppressions,
}
NO_CHANGES = {
    "registry.rehash_api_key", "registry.note_api_keys_used",
    "registry.version", "registry.accounts", "registry.api_users", "registry.webhook",
    "registry.webhooks", "registry.deleted_after", "registry.account_secrets",
    "owners.find", "owners.of", "owners.users", "owners.session", "owners.touch_session",
    "owners.sessions",
    "owners.sweep",
    "second_factors.of",
    "second_factors.is_in_force",
    "second_factors.in_force",
    "second_factors.half_sign_in",
    "suppressions.rules", "suppressions.followed", "suppressions.find", "suppressions.counted",
    "suppressions.entries", "suppressions.since", "suppressions.changes", "suppressions.take_in",
    "suppressions.drop_unfounded", "suppressions.end", "suppressions.sweep", "suppressions.told",
}  # fmt: skip
"""What only reads, and what the service does by itself."""


def test_every_write_of_what_customers_manage_is_tried_here() -> None:
    methods = {
        f"{port}.{name}"
        for port, protocol in (*PORTS.items(), ("registry", ApiUsers))
        for name in dir(protocol)
        if not name.startswith("_")
    }

    assert methods - NO_CHANGES <= set(WRITES)


@pytest.mark.parametrize("name", WRITES)
async def test_an_entry_is_made_of_what_the_write_returns(shop: Shop, name: str) -> None:
    told = []

    def tell(made: Any) -> TrailEntry:
        told.append(made)
        return entry(shop)

    made = await shop.engine.trail.along(await WRITES[name](shop), tell)

    assert told == [made]
    assert made is not False
    assert await noted(shop) == ["webhook.changed"]


async def test_a_write_that_fails_leaves_no_entry(shop: Shop) -> None:
    webhook = await shop.webhook()
    registry, trail = shop.engine.registry, shop.engine.trail
    changed = replace(webhook, dialect="sendpulse")

    with pytest.raises(Conflict):
        await trail.along(
            registry.set_webhook(changed, expect=changed), lambda _: entry(shop, "lost")
        )
    with pytest.raises(NotFound):
        await trail.along(registry.delete_webhook(99, shop.clock.now()), lambda _: entry(shop))

    assert await noted(shop) == []


async def test_a_write_that_was_refused_says_so_and_leaves_no_entry(shop: Shop) -> None:
    webhook = await shop.webhook()
    stale = LaneChange(webhook_id=webhook.id, epoch=99)

    is_done = await shop.engine.trail.along(
        shop.engine.ledger.intervene(stale), lambda done: entry(shop) if done else None
    )

    assert not is_done
    assert await noted(shop) == []


async def test_entries_of_writes_at_once_go_with_their_own(shop: Shop) -> None:
    registry, trail = shop.engine.registry, shop.engine.trail

    async def add(name: str) -> None:
        await trail.along(
            registry.add_account(name, shop.clock.now()),
            lambda made: entry(shop, account_id=made.id, new={"name": made.name}),
        )

    names = [f"new{number}" for number in range(20)]
    await asyncio.gather(
        *(add(name) for name in names), *(add("acme") for _ in range(20)), return_exceptions=True
    )

    found = await trail.entries(TrailQuery(), limit=100)
    accounts = {each.id: each.name for each in await registry.accounts()}
    assert sorted(each.new["name"] for each in found) == sorted(names)
    assert all(accounts[each.account_id or 0] == each.new["name"] for each in found)


async def test_an_account_sees_its_own_entries(shop: Shop) -> None:
    await note(shop, entry(shop), entry(shop, "other", account_id=shop.accounts[1].id))
    await note(shop, entry(shop, "installation", account_id=None))

    assert await noted(shop, account_id=shop.accounts[0].id) == ["webhook.changed"]
    assert await noted(shop) == ["installation", "other", "webhook.changed"]


async def test_entries_are_found_by_time_actor_action_and_subject(shop: Shop) -> None:
    began = shop.clock.now()
    await note(shop, entry(shop, "a", subject=Subject("webhook", "4")))
    shop.clock.advance(10)
    await note(shop, entry(shop, "b", actor=KEY, subject=Subject("batch", "x:y")))
    shop.clock.advance(10)
    await note(shop, entry(shop, "c", actor=ROOT))
    later = began + timedelta(seconds=10)

    assert await noted(shop, since=later) == ["c", "b"]
    assert await noted(shop, until=later) == ["a"]
    assert await noted(shop, since=later, until=later + timedelta(seconds=1)) == ["b"]
    assert await noted(shop, actor="key") == await noted(shop, actor="acme-mail") == ["b"]
    assert await noted(shop, action="a") == ["a"]
    assert await noted(shop, subject="webhook") == ["c", "a"]
    assert await noted(shop, subject="webhook:4") == ["a"]
    assert await noted(shop, subject="batch:x:y") == ["b"]
    assert await noted(shop, action="a", actor="key") == []


async def test_names_of_staff_can_be_kept_from_who_asks(shop: Shop) -> None:
    await note(shop, entry(shop, "a", actor=ROOT), entry(shop, "b"))

    assert await noted(shop, actor="root") == ["a"]
    assert await noted(shop, actor="root", hides_staff=True) == []
    assert await noted(shop, actor="command", hides_staff=True) == ["a"]
    assert await noted(shop, actor="ada@example.com", hides_staff=True) == ["b"]


async def test_pages_follow_each_other_also_within_one_moment(shop: Shop) -> None:
    await note(shop, *(entry(shop, str(number)) for number in range(7)))
    wanted, before, seen = TrailQuery(shop.accounts[0].id), None, []

    while page := await shop.engine.trail.entries(wanted, before=before, limit=3):
        seen += [each.action for each in page]
        before = TrailPlace(page[-1].at, page[-1].id)

    assert seen == list("6543210")


async def test_old_entries_go_in_steps_the_oldest_first(shop: Shop) -> None:
    for number in range(5):
        await note(shop, entry(shop, str(number)))
        shop.clock.advance(10)
    edge = shop.clock.now() - timedelta(seconds=15)

    gone = [await shop.engine.trail.drop(edge, 2) for _ in range(3)]

    assert gone == [2, 2, 0]
    assert await noted(shop) == ["4"]


async def test_a_search_looks_at_so_many_entries_and_says_where_it_stopped(shop: Shop) -> None:
    first = entry(shop, "rare")
    await note(shop, first)
    rest = ENTRIES_SEEN + 5
    for begin in range(0, rest, 1000):
        count = min(1000, rest - begin)
        await asyncio.gather(*(note(shop, entry(shop)) for _ in range(count)))
    trail, wanted = shop.engine.trail, TrailQuery(shop.accounts[0].id, action="rare")

    found = await trail.entries(wanted)
    edge = await trail.edge(wanted)
    later = await trail.entries(wanted, before=edge)
    end = await trail.edge(wanted, before=edge)

    assert found == []
    assert edge is not None
    assert [each.action for each in later] == ["rare"]
    assert end is None
    assert await trail.edge(TrailQuery(shop.accounts[1].id)) is None
    assert await trail.edge(TrailQuery(since=first.at)) == edge
    assert await trail.edge(TrailQuery(until=first.at)) is None
