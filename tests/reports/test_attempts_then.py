"""An attempt of yesterday shows where it went yesterday, and keeps no secret for it."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from postbell.attempts import HIDDEN, shown, then, used_of
from postbell.dialects import DIALECTS
from postbell.records import Outcome, Webhook
from postbell.reports import Reports
from postbell.reports.exchange import Sent
from postbell.sealing import load_or_create
from postbell.storage import sqlite
from postbell.storage.memory import MemoryEngine
from tests.delivery.rig import Rig, event, running
from tests.fakes import FakeClock

OLD = "https://ada:pass-word@a.example/hooks/v1?token=hush-hush&flag"
NEW = "https://b.example/hooks/v2"
OWN = (("X-Token", "s3cret"), ("X-Env", "prod"))


@pytest.fixture(params=["memory", "sqlite"])
async def rig(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock
) -> AsyncIterator[Rig]:
    if request.param == "memory":
        engine = MemoryEngine(clock)
    else:
        key = load_or_create(tmp_path / "key")
        engine = await sqlite.open(tmp_path / "postbell.db", key, clock, worker=True)
    async with running(engine, clock) as rig:
        yield rig
    await engine.close()


async def fail(rig: Rig, **members: object) -> tuple[Webhook, str]:
    """Let one attempt to OLD fail; return the webhook and the batch's id."""
    webhook = await rig.webhook(OLD, headers=OWN, policy={"max_wait_s": 0}, **members)
    rig.sender.standing[OLD] = Outcome(status=503)
    await rig.send(event(1), event(2))
    await rig.turn()
    (batch,) = (await rig.engine.ledger.open_batches())[:1] or [None]
    assert batch is not None
    return webhook, batch.id


async def change(rig: Rig, webhook: Webhook, **members: object) -> None:
    await rig.engine.registry.set_webhook(msgspec.structs.replace(webhook, **members))
    await rig.directory.refresh()


async def sent(rig: Rig, batch_id: str) -> Sent:
    reports = Reports(rig.engine, DIALECTS, rig.directory, rig.clock)
    found = await reports.exchange.sent(None, batch_id, rig.clock.now())
    assert found is not None
    return found


async def test_what_is_as_it_was_is_shown_whole(rig: Rig) -> None:
    _, batch_id = await fail(rig)

    found = await sent(rig, batch_id)

    assert (found.url, found.is_changed, found.is_unsure) == (OLD, False, False)
    assert found.headers[-2:] == list(OWN)


async def test_another_url_and_other_headers_of_now_are_not_those_of_then(rig: Rig) -> None:
    webhook, batch_id = await fail(rig)
    await change(rig, webhook, url=NEW, headers=(("X-Token", "another"), ("X-Env", "prod")))

    found = await sent(rig, batch_id)

    assert found.url == "https://***@a.example/hooks/v1?token=***&flag"
    assert found.headers[-2:] == [("X-Token", HIDDEN), ("X-Env", "prod")]
    assert found.is_changed


async def test_a_header_that_was_added_since_was_not_sent(rig: Rig) -> None:
    webhook, batch_id = await fail(rig)
    await change(rig, webhook, headers=(*OWN, ("X-More", "1")))

    found = await sent(rig, batch_id)

    assert "X-More" not in dict(found.headers)
    assert not found.is_changed


async def test_single_events_that_went_one_by_one_keep_it_too(rig: Rig) -> None:
    webhook = await rig.webhook(OLD, headers=OWN, dialect="engagelab")
    await rig.send(event(1), event(2))
    await rig.turn()
    await change(rig, webhook, url=NEW)
    ids = [dict(each.headers)["postbell-batch"] for each in rig.sender.got[OLD]]

    found = await sent(rig, ids[0])

    assert len(ids) == 2
    assert found.url == "https://***@a.example/hooks/v1?token=***&flag"


async def test_the_journal_holds_no_secret_of_it(rig: Rig) -> None:
    await fail(rig)

    (block,) = await rig.engine.journal.scan(0, 10)
    kept = msgspec.msgpack.encode(block.entries)

    assert b"a.example/hooks/v1" in kept and b"X-Token" in kept
    for secret in (b"pass-word", b"hush", b"s3cret", b"ada:"):
        assert secret not in kept


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://a.example/x", "https://a.example/x"),
        ("https://a.example:8443/", "https://a.example:8443/"),
        ("https://u@a.example/x?a=1&b", "https://***@a.example/x?a=***&b"),
        ("https://a.example/services/T0/abcdefghijklmnopqrstuvwxyz", None),
        ("https://a.example/x?" + "t" * 40, "https://a.example/x?tttt***"),
        ("https://[::1]:1/x", "https://[::1]:1/x"),
    ],
)
def test_what_may_be_secret_in_a_url_is_not_shown(url: str, said: str | None) -> None:
    assert shown(url) == (said or "https://a.example/services/T0/abcd***")


def test_a_value_of_three_stars_is_known_as_what_it_is() -> None:
    own = (("X-Odd", HIDDEN),)

    assert then(used_of(NEW, own), NEW, own).is_changed is False
    assert then(used_of(NEW, own), NEW, ()).is_changed is True
