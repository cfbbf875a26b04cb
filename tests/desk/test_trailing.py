"""What the desk puts into the audit trail: who, what, before and after; nothing secret."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec
import pytest

from postbell.desk.acting import acts
from postbell.errors import Conflict, Unauthorized
from postbell.ports import TrailQuery
from postbell.records import LaneChange
from postbell.trail import Actor, ActorKind, Change, Subject, TrailEntry, entry_of
from tests.api.service import KEY, Service, running
from tests.fakes import FakeClock

ADA = Actor(ActorKind.PERSON, 7, "ada@acme.example", "192.0.2.7", "pages")
EVE = Actor(ActorKind.KEY, 1, "alice", "192.0.2.8", "native")
SECRETS = ("hush", "token", "confidential", "/in")
URL = "https://user:hush@hooks.example.com/in?token=confidential"


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running() as service:
        yield service


async def trail(service: Service) -> list[TrailEntry]:
    """Return what was noted since the service was opened, the oldest first."""
    found = await service.engine.trail.entries(TrailQuery(), limit=1000)
    return [each for each in reversed(found) if each.actor.kind is not ActorKind.SYSTEM]


async def test_a_change_says_who_made_it_what_it_was_and_what_it_is(service: Service) -> None:
    with acts(ADA):
        made = await service.desk.create_webhook(service.acme, {"url": URL})
    service.clock.advance(5)
    with acts(EVE):
        await service.desk.update_webhook(
            service.acme, made.id, {"types": ["open"], "policy": {"max_events": 7}}
        )

    created, changed = await trail(service)
    assert (created.action, created.actor) == ("webhook.created", ADA)
    assert created.new["url"] == "https://hooks.example.com/***"
    assert (changed.action, changed.actor) == ("webhook.changed", EVE)
    assert changed.at == service.clock.now()
    assert changed.subject == Subject("webhook", str(made.id), "https://hooks.example.com/***")
    assert changed.old == {"types": None}
    assert changed.new == {"types": "open", "policy.max_events": 7}


async def test_nothing_secret_is_in_the_trail(service: Service) -> None:
    keys = {"x-key": "hush-hush"}
    with acts(ADA):
        made = await service.desk.create_webhook(service.acme, {"url": URL, "headers": keys})
        await service.desk.update_webhook(
            service.acme, made.id, {"url": URL + "2", "headers": {"x-key": "hush again"}}
        )
        rotated = await service.desk.rotate_secret(service.acme, made.id)
        user = await service.desk.rotate_api_user("alice")
        await service.desk.create_owner(service.acme, "bob@acme.example", "hush hush hush 1")
        await service.desk.reset_password("bob@acme.example", "hush hush hush 2")

    entries = await trail(service)
    told = msgspec.json.encode(entries).decode()
    hidden = (*SECRETS, user.key, KEY, *(key.value for key in rotated))
    assert [secret for secret in hidden if secret in told] == []
    changed = next(entry for entry in entries if entry.action == "webhook.changed")
    assert changed.old == {"url": "https://hooks.example.com/***", "headers.x-key": "***"}
    assert changed.new == {
        "url": "https://hooks.example.com/*** (changed)",
        "headers.x-key": "*** (changed)",
    }


async def test_what_changes_nothing_is_not_in_the_trail(service: Service) -> None:
    made = await service.desk.create_webhook(service.acme, {"url": URL})
    owner = await service.desk.create_owner(service.acme, "bob@acme.example", None)

    with acts(ADA):
        await service.desk.update_webhook(service.acme, made.id, {"url": URL})
        await service.desk.resume(service.acme, made.id)
        await service.desk.prefer(owner, language=owner.language)

    assert await trail(service) == []


async def test_a_resumption_says_what_it_does_with_what_waits(service: Service) -> None:
    made = await service.desk.create_webhook(service.acme, {"url": URL})
    await service.events("open", "click")

    with acts(ADA):
        await service.desk.pause(service.acme, made.id)
        await service.desk.resume(service.acme, made.id, skip=True)

    entries = await trail(service)
    assert [(entry.action, entry.new) for entry in entries] == [
        ("webhook.paused", {"state": "paused", "state_reason": "customer"}),
        ("events.skipped", {"events": 2}),
        ("webhook.resumed", {"state": "active", "state_reason": ""}),
    ]


async def test_ending_the_waits_of_a_failing_webhook_is_kept(service: Service) -> None:
    made = await service.desk.create_webhook(service.acme, {"url": URL})
    claim = await service.engine.ledger.lane(made.id)
    assert claim is not None
    later = service.clock.now() + timedelta(hours=1)
    failing = msgspec.structs.replace(claim.lane, hold_until=later)
    change = LaneChange(webhook_id=made.id, epoch=claim.lane.epoch, lane=failing)
    await service.engine.ledger.record([change])

    with acts(ADA):
        await service.desk.resume(service.acme, made.id)
        await service.desk.resume(service.acme, made.id)

    assert [entry.action for entry in await trail(service)] == ["webhook.hurried"]


async def test_what_is_refused_is_not_in_the_trail(service: Service) -> None:
    with acts(ADA), pytest.raises(Conflict):
        await service.desk.create_account("acme")

    assert await trail(service) == []


async def test_each_of_many_at_once_is_its_own_actor(service: Service) -> None:
    async def make(number: int) -> None:
        with acts(msgspec.structs.replace(ADA, id=number)):
            await service.desk.create_account(f"new{number}")

    await asyncio.gather(*(make(number) for number in range(20)))

    entries = await trail(service)
    assert {entry.subject.name: entry.actor.id for entry in entries} == {
        f"new{number}": number for number in range(20)
    }


async def test_wrong_passwords_are_kept_only_so_often(service: Service) -> None:
    await service.desk.create_owner(service.acme, "bob@acme.example", "correct horse battery")
    guest = Actor(ActorKind.GUEST, 0, "", "192.0.2.9", "pages")

    for email in ("bob@acme.example", "nobody@acme.example"):
        for _ in range(7):
            with acts(guest), pytest.raises(Unauthorized):
                await service.desk.sign_in(email, "wrong")
    service.clock.advance(3600)
    with acts(guest), pytest.raises(Unauthorized):
        await service.desk.sign_in("bob@acme.example", "wrong")

    entries = await trail(service)
    assert [entry.action for entry in entries] == ["owner.refused"] * 6
    assert {entry.actor for entry in entries} == {guest}


async def test_an_operators_looks_are_kept_once_an_hour_and_session(service: Service) -> None:
    with acts(ADA):
        for where in ("s1", "s1", "s2"):
            await service.desk.note_look(service.acme, where)
        service.clock.advance(3600)
        await service.desk.note_look(service.acme, "s1")

    assert [entry.action for entry in await trail(service)] == ["account.viewed"] * 3


async def test_operators_are_the_installations_not_an_accounts(service: Service) -> None:
    with acts(ADA):
        await service.desk.create_owner(
            service.acme, "opal@ops.example", "correct horse battery", is_operator=True
        )

    assert [entry.account_id for entry in await trail(service)] == [None]


@pytest.mark.parametrize(
    "value", ["x" * 5000, "ё" * 5000, "\0" * 5000, "\ud800" * 300, ["y" * 999] * 99, 10**400, 1.5]
)
def test_an_entry_stays_small_whatever_a_customer_writes(value: object, clock: FakeClock) -> None:
    members = {f"{number}.{'n' * 300}": value for number in range(300)}
    long = msgspec.structs.replace(ADA, name="x" * 9000, address="y" * 9000)
    subject = Subject("webhook", "1", "z" * 9000)

    entry = entry_of(long, clock.now(), Change("webhook.changed", 1, subject, {}, members))

    assert entry is not None
    assert len(msgspec.json.encode(entry)) <= 8192
    assert entry.new["…"].endswith(" more")
