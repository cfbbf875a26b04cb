"""What a source hands over: drafts of any account and its progress, durable in one commit."""

import asyncio
from datetime import datetime, tzinfo

import pytest

from postbell.errors import Conflict, HeadMoved, ServiceError, StorageError
from postbell.events import Draft, EventType, Message, Origin, Smtp
from postbell.ingest.queueing import Answer
from postbell.ports import Fact, Progress, SourceStanding, SourceState
from tests.delivery.rig import event, running
from tests.fakes import Remembering
from tests.ingest.test_ingest import FailingLog, stored_ids


def draft(number: int = 0, **members) -> Draft:
    given = {"event_id": f"s{number}", "type": EventType.SENT, "recipient": "a@b.example"}
    return Draft(**(given | members))


async def begin(rig, name: str = "mail") -> Progress:
    """Make a source known; return that it got somewhere."""
    standing = SourceStanding(
        kind="file",
        place="/f",
        account=rig.account.name,
        api_user=rig.user.name,
        state=SourceState.READING,
        seen_at=rig.clock.now(),
    )
    revisions = await rig.engine.checkpoints.tell({name: standing})
    return Progress(name, revisions[name], b"there", "line 7", refused=2)


async def take(rig, progress: Progress, *drafts: Draft) -> Answer:
    facts = [Fact(f"line {number}", b"raw") for number, _ in enumerate(drafts)]
    return await rig.ingest.take(rig.account, rig.user, drafts, facts, progress)


async def row(rig):
    found = await rig.engine.checkpoints.read("mail")
    assert found is not None
    return found


async def test_events_and_progress_are_durable_together():
    async with running() as rig:
        progress = await begin(rig)

        answer = await take(rig, progress, draft(0), draft(0), draft(1, recipient=""))

        found = await row(rig)
        assert (answer.accepted, answer.duplicates) == (1, 1)
        assert [(each.index, each.code) for each in answer.rejected] == [(2, "invalid")]
        assert await stored_ids(rig) == ["s0"]
        assert (found.checkpoint, found.position) == (b"there", "line 7")
        assert (found.taken, found.duplicates, found.refused) == (1, 1, 3)


async def test_a_fact_of_which_a_draft_is_rejected_goes_to_quarantine_once():
    """A report of two bad recipients is one fact; read again later it gives both events."""
    async with running() as rig:
        one, two = Fact("mail 1", b"two bad ones"), Fact("mail 2", b"one good, one bad")
        drafts = [
            draft(0, recipient=""),
            draft(1, recipient="x" * 999),
            draft(2),
            draft(3, recipient=" "),
        ]

        answer = await rig.ingest.take(
            rig.account, rig.user, drafts, [one, one, two, two], await begin(rig)
        )

        found = await row(rig)
        facts = await rig.engine.quarantine.page("mail", None, 10)
        assert (answer.accepted, len(answer.rejected)) == (1, 3)
        assert (found.taken, found.refused) == (1, 2 + 2)
        assert [(fact.place, fact.raw) for fact in facts] == [two[:2], one[:2]]
        assert await stored_ids(rig) == ["s2"]


async def test_progress_without_any_event_is_written():
    async with running() as rig:
        await take(rig, await begin(rig))

        assert (await row(rig)).checkpoint == b"there"


async def test_an_unknown_type_comes_in_by_this_door_only():
    async with running() as rig:
        unknown = draft(0, type=EventType.UNKNOWN)

        answer = await take(rig, await begin(rig), unknown)
        refused = await rig.send(event(1) | {"type": "unknown"})

        assert answer.accepted == 1
        assert [each.code for each in refused.rejected] == ["refused_type"]
        assert await stored_ids(rig) == ["s0"]


async def test_a_draft_names_another_account_and_its_api_user():
    async with running() as rig:
        registry = rig.engine.registry
        other = await registry.add_account("other", rig.clock.now())
        await registry.add_api_user(other.id, "theirs", "x", rig.clock.now())
        await rig.directory.refresh()

        answer = await take(
            rig,
            await begin(rig),
            draft(0),
            draft(1, account="other", api_user="theirs"),
            draft(2, account="other"),
            draft(3, account="other", api_user=rig.user.name),
            draft(4, account="nobody", api_user="theirs"),
            draft(1),
        )

        headers = await rig.engine.log.tail(0, 10)
        assert (answer.accepted, answer.duplicates) == (3, 0)
        assert {each.index: each.code for each in answer.rejected} == {
            2: "unknown_api_user",
            3: "unknown_api_user",
            4: "unknown_account",
        }
        assert [(header.account_id, header.count) for header in headers] == [
            (rig.account.id, 2),
            (other.id, 1),
        ]
        assert (await row(rig)).taken == 3


@pytest.mark.parametrize("members", [
    {"recipient": "x" * 999},
    {"recipient": 7},
    {"smtp": Smtp(code=-1)},
    {"smtp": Smtp(enhanced="five")},
    {"message": Message(subject="half \ud800")},
    {"tags": ["x" * 70_000]},
    {"metadata": {"a": {1, 2}, "b": object()}},
    {"occurred_at": "yesterday"},
    {"event_id": "not an id"},
])  # fmt: skip
async def test_a_draft_that_nobody_could_read_back_is_refused(members):
    async with running() as rig:
        answer = await take(rig, await begin(rig), draft(0, **members), draft(1))

        assert (answer.accepted, [each.index for each in answer.rejected]) == (1, [0])
        assert await stored_ids(rig) == ["s1"]


async def test_a_draft_is_not_changed_and_comes_in_once():
    async with running() as rig:
        progress = await begin(rig)
        given = draft(0, event_id=None, occurred_at=1755856802, recipient=" <A@B.example> ")
        before = draft(0, event_id=None, occurred_at=1755856802, recipient=" <A@B.example> ")

        first = await take(rig, progress, given)
        again = await take(rig, progress._replace(revision=progress.revision + 1), given)

        assert given == before
        assert (first.accepted, again.duplicates) == (1, 1)


async def test_a_source_that_stands_elsewhere_by_now_gets_nothing_in():
    async with running() as rig:
        progress = await begin(rig)
        await take(rig, progress, draft(0))

        with pytest.raises(Conflict, match="moved meanwhile"):
            await take(rig, progress, draft(1))

        assert await stored_ids(rig) == ["s0"]
        assert (await row(rig)).taken == 1


async def test_a_source_that_was_forgotten_gets_nothing_in():
    async with running() as rig:
        progress = await begin(rig)
        await rig.engine.checkpoints.forget("mail")

        with pytest.raises(Conflict):
            await take(rig, progress, draft(1))

        assert await stored_ids(rig) == []


async def test_one_that_stands_elsewhere_keeps_no_request_beside_it_out():
    async with running() as rig:
        progress = await begin(rig)
        await take(rig, progress, draft(0))

        stale, sent = await asyncio.gather(
            take(rig, progress, draft(1)), rig.send(event(2)), return_exceptions=True
        )

        assert isinstance(stale, Conflict)
        assert sent.accepted == 1
        assert await stored_ids(rig) == ["s0", "e2"]


async def test_a_fact_that_is_dropped_while_it_is_read_again_keeps_no_request_beside_it_out():
    async with running() as rig:
        await take(rig, await begin(rig), draft(0, recipient=""))
        [fact] = await rig.engine.quarantine.page("mail", None, 10)
        again = (await begin(rig))._replace(retried=[fact.id])
        await rig.engine.quarantine.drop("mail", [fact.id])

        gone, sent = await asyncio.gather(
            take(rig, again, draft(1)), rig.send(event(2)), return_exceptions=True
        )

        assert isinstance(gone, Conflict)
        assert sent.accepted == 1
        assert await stored_ids(rig) == ["e2"]


async def test_a_moved_head_is_followed():
    async with running() as rig:
        progress = await begin(rig)
        rig.engine.log = FailingLog(rig.engine.log, [HeadMoved("moved")])

        answer = await take(rig, progress, draft(0))

        assert answer.accepted == 1
        assert (await row(rig)).revision == progress.revision + 1


async def test_what_cannot_be_written_leaves_the_source_where_it_stands():
    async with running() as rig:
        progress = await begin(rig)
        rig.engine.log = FailingLog(rig.engine.log, [StorageError("the disk is full")])

        with pytest.raises(StorageError):
            await take(rig, progress, draft(0))
        answer = await take(rig, progress, draft(0))

        assert answer.accepted == 1
        assert (await row(rig)).checkpoint == b"there"


async def test_a_checkpoint_that_is_too_large_fails_its_source_alone():
    async with running() as rig:
        progress = await begin(rig)
        large = progress._replace(checkpoint=bytes(70_000))

        failed, sent = await asyncio.gather(
            take(rig, large, draft(0)), rig.send(event(1)), return_exceptions=True
        )

        assert isinstance(failed, ServiceError)
        assert sent.accepted == 1


class Odd(tzinfo):
    """A time zone that an error of ours befalls."""

    def utcoffset(self, _when):
        raise LookupError("a bug")


async def test_a_draft_that_an_error_of_ours_befalls_is_refused_and_the_others_come_in():
    async with running() as rig:
        odd = draft(0, metadata={"at": datetime(2026, 1, 1, tzinfo=Odd())})

        answer = await take(rig, await begin(rig), odd, draft(1))

        assert [(each.index, each.code) for each in answer.rejected] == [(0, "internal")]
        assert await stored_ids(rig) == ["s1"]
        assert (await row(rig)).refused == 3


async def test_an_unknown_type_goes_to_native_webhooks_only():
    async with running() as rig:
        await rig.webhook("https://a.example/native", policy={"max_wait_s": 0})
        await rig.webhook("https://a.example/other", dialect="sendpulse", policy={"max_wait_s": 0})
        unknown = draft(0, type=EventType.UNKNOWN, source=Origin(type="rebound"))

        await take(rig, await begin(rig), unknown, draft(1, type=EventType.DELIVERED))
        await rig.turn()

        [body] = rig.bodies("https://a.example/native")
        [other] = rig.bodies("https://a.example/other")
        assert [each["type"] for each in body] == ["unknown", "delivered"]
        assert body[0]["source"] == {"type": "rebound"}
        assert len(other) == 1
        assert (await rig.audit()).problems == []


async def test_drafts_of_an_account_and_an_api_user_that_were_just_made_are_taken(monkeypatch):
    async with running() as rig:
        registry, now = rig.engine.registry, rig.clock.now()
        progress = await begin(rig)
        remembering = await Remembering.of(registry)
        monkeypatch.setattr(registry, "version", remembering.version)
        account = await registry.add_account("new", now)
        await registry.add_api_user(account.id, "newcomer", "sha256$00$00", now)

        answer = await take(rig, progress, draft(0, account="new", api_user="newcomer"))

        assert (answer.accepted, answer.rejected) == (1, [])
        [header] = await rig.engine.log.tail(0, 10)
        assert header.account_id == account.id
