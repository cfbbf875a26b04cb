"""What a webhook gets, when, and how often: the whole path on the memory engine."""

import asyncio
import json
from datetime import timedelta

import pytest
from msgspec.structs import replace

from postbell.blocks import Position
from postbell.records import BatchState, LaneChange, Outcome, WebhookState
from tests.delivery.rig import OK, event, running

URL = "https://a.example/hook"
DOWN = Outcome(status=503)


async def test_events_arrive_in_one_batch_once_the_oldest_has_waited_long_enough():
    async with running() as rig:
        await rig.webhook(policy={"max_wait_s": 5})
        await rig.send(*[event(n) for n in range(3)])
        await rig.turn()
        early = rig.bodies()

        await rig.later(5)

        assert early == []
        assert [[e["event_id"] for e in body] for body in rig.bodies()] == [["e0", "e1", "e2"]]
        assert (await rig.audit()).problems == []


async def test_a_full_batch_goes_at_once_and_the_rest_waits():
    async with running() as rig:
        await rig.webhook(policy={"max_events": 2, "max_wait_s": 60})

        await rig.send(*[event(n) for n in range(5)])
        await rig.turn()

        assert [len(body) for body in rig.bodies()] == [2, 2]
        await rig.later(60)
        assert [len(body) for body in rig.bodies()] == [2, 2, 1]


async def test_a_batch_is_cut_at_max_bytes_and_one_oversize_event_goes_alone():
    async with running() as rig:
        await rig.webhook(policy={"max_bytes": 2048, "max_wait_s": 0})
        big = event(1, message={"subject": "x" * 3000})

        await rig.send(event(0), big, event(2))
        await rig.turn()

        assert [[e["event_id"] for e in b] for b in rig.bodies()] == [["e0"], ["e1"], ["e2"]]


async def test_only_ticked_types_of_the_scope_arrive():
    async with running() as rig:
        other = await rig.engine.registry.add_api_user(
            rig.account.id, "other", "x", rig.clock.now()
        )
        await rig.directory.refresh()
        await rig.webhook(api_user="main", types=("click",), policy={"max_wait_s": 0})

        await rig.send(event(0, "click"), event(1, "open"))
        await rig.send(event(2, "click"), user=other)
        await rig.turn()

        assert [[e["event_id"] for e in body] for body in rig.bodies()] == [["e0"]]
        assert (await rig.audit()).problems == []


async def test_a_failed_batch_is_tried_again_with_the_same_id_and_bytes():
    async with running() as rig:
        await rig.webhook(policy={"max_wait_s": 0, "retry_waits_s": [5, 30]})
        rig.sender.answers[URL] = [DOWN, Outcome(error="timeout"), OK]

        await rig.send(event(0))
        await rig.turn()
        await rig.later(6)
        await rig.later(36)

        first, second, third = rig.sender.got[URL]
        assert first.body == second.body == third.body
        assert len(set(rig.ids())) == 1
        attempts = [dict(r.headers)["postbell-attempt"] for r in rig.sender.got[URL]]
        assert attempts == ["1", "2", "3"]
        assert (await rig.audit()).rows[0].delivered == 1


async def test_a_failed_batch_does_not_hold_up_the_next():
    async with running() as rig:
        await rig.webhook(policy={"max_wait_s": 0, "retry_waits_s": [60]})
        rig.sender.answers[URL] = [DOWN]

        await rig.send(event(0))
        await rig.turn()
        await rig.send(event(1))
        await rig.turn()

        assert [b[0]["event_id"] for b in rig.bodies()] == ["e0", "e1"]
        await rig.later(80)
        assert [b[0]["event_id"] for b in rig.bodies()] == ["e0", "e1", "e0"]


async def test_ordered_delivery_waits_for_the_head_of_the_line():
    async with running() as rig:
        policy = {"max_wait_s": 0, "retry_waits_s": [60], "ordered": True, "max_events": 2}
        await rig.webhook(policy=policy)
        rig.sender.answers[URL] = [DOWN]

        await rig.send(*[event(n) for n in range(6)])
        await rig.turn()
        before = [[e["event_id"] for e in body] for body in rig.bodies()]
        await rig.later(80)

        assert before == [["e0", "e1"]]
        after = [e["event_id"] for body in rig.bodies()[1:] for e in body]
        assert after == ["e0", "e1", "e2", "e3", "e4", "e5"]
        assert rig.sender.most_at_once == 1


async def test_a_batch_is_parked_after_its_last_retry_and_is_counted():
    async with running() as rig:
        await rig.webhook(policy={"max_wait_s": 0, "retry_waits_s": [1]})
        rig.sender.standing[URL] = Outcome(status=500, body=b"no")

        await rig.send(event(0), event(1))
        await rig.turn()
        await rig.later(2)

        (batch,) = await rig.engine.ledger.open_batches()
        assert (batch.state, batch.attempts, batch.last_status) == (BatchState.PARKED, 2, 500)
        found = await rig.audit()
        assert (found.rows[0].parked, found.problems) == (2, [])


async def test_refused_batches_are_parked_and_do_not_make_an_outage():
    async with running() as rig:
        policy = {"max_wait_s": 0, "max_events": 1, "refused": [406]}
        webhook = await rig.webhook(policy=policy)
        rig.sender.answers[URL] = [Outcome(status=406)] * 9

        await rig.send(*[event(n) for n in range(10)])
        await rig.turn()

        batches = await rig.engine.ledger.open_batches()
        assert [(b.state, b.attempts, b.last_status) for b in batches] == [
            (BatchState.PARKED, 1, 406)
        ] * 9
        assert len(rig.sender.got[URL]) == 10
        claim = await rig.engine.ledger.lane(webhook.id)
        assert claim is not None
        lane = claim.lane
        assert (lane.failures, lane.failing_since, lane.delivered) == (0, None, 1)
        assert (await rig.audit()).problems == []


async def test_in_an_outage_what_is_refused_does_not_keep_the_next_one_waiting():
    async with running() as rig:
        await rig.webhook(policy={"max_wait_s": 0, "max_events": 1, "refused": [406]})
        rig.sender.answers[URL] = [Outcome(status=503)] * 3 + [Outcome(status=406)] * 5
        await rig.send(*[event(n) for n in range(3)])
        await rig.turn()
        await rig.send(*[event(n) for n in range(3, 20)])

        await rig.later(40)

        assert len(rig.sender.got[URL]) == 3 + 20
        (row,) = (await rig.audit()).rows
        assert (row.delivered, row.parked) == (15, 5)


@pytest.mark.parametrize("status", [413, 429, 503])
async def test_retry_after_holds_the_whole_webhook_for_at_most_an_hour(status):
    async with running() as rig:
        await rig.webhook(policy={"max_wait_s": 0, "retry_waits_s": [1, 1]})
        rig.sender.answers[URL] = [Outcome(status=status, retry_after_s=7200)]

        await rig.send(event(0))
        await rig.turn()
        await rig.send(event(1))
        await rig.later(3590)
        held = len(rig.bodies())
        await rig.later(11)

        assert held == 1
        assert len(rig.bodies()) == (2 if status == 413 else 3)  # which parks a single event


@pytest.mark.parametrize("single", [{}, {"max_events": 1}])
async def test_retry_after_beside_a_refused_status_holds_the_whole_webhook(single):
    async with running() as rig:
        await rig.webhook(policy={"max_wait_s": 0, "refused": [406], "concurrency": 1, **single})
        rig.sender.answers[URL] = [Outcome(status=406, retry_after_s=600)]

        await rig.send(event(0))
        await rig.turn()
        await rig.send(event(1))
        await rig.later(590)
        held = len(rig.bodies())
        await rig.later(11)

        assert (held, len(rig.bodies())) == (1, 2)
        (row,) = (await rig.audit()).rows
        assert (row.delivered, row.parked) == (1, 1)


async def test_gone_pauses_the_webhook_and_leaves_the_batch_due():
    async with running() as rig:
        webhook = await rig.webhook(policy={"max_wait_s": 0})
        rig.sender.answers[URL] = [Outcome(status=410)]

        await rig.send(event(0))
        await rig.turn()
        await rig.send(event(1))
        await rig.later(100_000)

        found = await rig.engine.registry.webhook(webhook.id)
        assert (found.state, found.state_reason) == (WebhookState.PAUSED, "gone")
        assert len(rig.bodies()) == 1
        (batch,) = await rig.engine.ledger.open_batches()
        assert batch.state is BatchState.WAITING
        assert (await rig.audit()).rows[0].waiting == 2


async def test_five_days_without_success_and_ten_failures_pause_the_webhook():
    async with running() as rig:
        webhook = await rig.webhook(policy={"max_wait_s": 0, "retry_waits_s": [50_000] * 12})
        rig.sender.standing[URL] = DOWN

        await rig.send(event(0))
        await rig.turn()
        for _ in range(12):
            await rig.later(61_000)

        found = await rig.engine.registry.webhook(webhook.id)
        assert (found.state, found.state_reason) == (WebhookState.PAUSED, "failing")


async def test_while_failing_one_batch_at_a_time_probes_and_success_makes_all_due():
    async with running() as rig:
        policy = {"max_wait_s": 0, "max_events": 2, "retry_waits_s": [100, 1000, 9999]}
        await rig.webhook(policy=policy)
        rig.sender.standing[URL] = DOWN

        await rig.send(*[event(n) for n in range(12)])
        await rig.turn()
        await rig.later(130)
        rig.sender.most_at_once = 0
        tried = len(rig.bodies())
        rig.sender.standing[URL] = OK
        await rig.later(1300)

        assert tried >= 6
        delivered = [e["event_id"] for body in rig.bodies()[tried:] for e in body]
        assert sorted(delivered) == sorted(f"e{n}" for n in range(12))
        found = await rig.audit()
        assert (found.rows[0].delivered, found.problems) == (12, [])


async def test_concurrency_is_never_exceeded():
    async with running() as rig:
        await rig.webhook(policy={"max_wait_s": 0, "max_events": 2, "concurrency": 3})

        rig.sender.gate = asyncio.Event()

        await rig.send(*[event(n) for n in range(40)])
        await rig.spin()
        rig.sender.gate.set()
        await rig.turn()

        assert rig.sender.most_at_once == 3
        assert sum(len(body) for body in rig.bodies()) == 40


async def test_single_events_are_sent_one_a_post_and_leave_no_rows():
    async with running() as rig:
        await rig.webhook(dialect="engagelab")

        await rig.send(*[event(n) for n in range(50)])
        await rig.turn()

        assert sorted(b["to"] for b in rig.bodies()) == sorted(
            f"user{n}@example.net" for n in range(50)
        )
        assert await rig.engine.ledger.open_batches() == []
        found = await rig.audit()
        assert (found.rows[0].delivered, found.problems) == (50, [])


async def test_a_single_event_that_fails_leaves_its_run_and_is_tried_again():
    async with running() as rig:
        await rig.webhook(dialect="engagelab")
        rig.sender.answers[URL] = [OK, DOWN, OK]

        await rig.send(*[event(n) for n in range(3)])
        await rig.turn()
        waiting = await rig.engine.ledger.open_batches()
        await rig.later(220)

        assert [batch.count for batch in waiting] == [1]
        assert len(rig.bodies()) == 4
        found = await rig.audit()
        assert (found.rows[0].delivered, found.problems) == (3, [])


async def test_events_a_dialect_has_no_word_for_are_counted_and_not_sent():
    async with running() as rig:
        await rig.webhook(dialect="sendpulse", policy={"max_wait_s": 0})

        await rig.send(event(0, "request"), event(1), event(2, "deferred"))
        await rig.turn()

        assert [[e["event"] for e in body] for body in rig.bodies()] == [["delivered"]]
        row = (await rig.audit()).rows[0]
        assert (row.matching, row.delivered, row.not_applicable) == (1, 1, 2)


async def test_a_new_revision_takes_effect_from_the_head_and_no_batch_crosses_it():
    async with running() as rig:
        webhook = await rig.webhook(types=("delivered",), policy={"max_wait_s": 60})
        await rig.send(event(0), event(1, "open"))
        await rig.turn()
        registry = rig.engine.registry

        await registry.set_webhook(
            replace(await registry.webhook(webhook.id), types=("open",), api_user="all")
        )
        await rig.send(event(2), event(3, "open"))
        await rig.turn()

        await rig.later(61)

        assert [[e["event_id"] for e in body] for body in rig.bodies()] == [["e0"], ["e3"]]
        found = await rig.audit()
        assert [(row.revision, row.delivered) for row in found.rows] == [(1, 1), (2, 1)]
        assert found.problems == []


async def test_a_paused_webhook_keeps_its_events_and_goes_on_when_resumed():
    async with running() as rig:
        webhook = await rig.webhook(policy={"max_wait_s": 0})
        registry = rig.engine.registry
        paused = replace(webhook, state=WebhookState.PAUSED, state_reason="customer")
        await registry.set_webhook(paused)
        await rig.send(event(0))
        await rig.turn()
        before = rig.bodies()

        await registry.set_webhook(replace(paused, state=WebhookState.ACTIVE, state_reason=""))
        await rig.turn()

        assert before == []
        assert len(rig.bodies()) == 1


async def test_an_error_of_ours_pauses_that_webhook_alone():
    async with running() as rig:
        broken = await rig.webhook("https://b.example/", policy={"max_wait_s": 0})
        await rig.webhook(policy={"max_wait_s": 0})

        def explode(_request):
            raise ZeroDivisionError("a bug of ours")

        rig.sender.standing["https://b.example/"] = explode

        await rig.send(event(0))
        await rig.turn()

        found = await rig.engine.registry.webhook(broken.id)
        assert (found.state, found.state_reason) == (WebhookState.PAUSED, "internal_error")
        assert len(rig.bodies()) == 1
        assert (await rig.audit()).problems == []


async def test_another_worker_goes_on_after_a_crash_with_the_same_id_and_bytes():
    async with running() as rig:
        await rig.webhook(policy={"max_wait_s": 0})
        rig.sender.gate = asyncio.Event()
        await rig.send(event(0))
        await rig.spin()
        for task in list(rig.worker.begun):
            task.cancel()
        rig.sender.gate = None
        rig.clock.advance(61)

        second = rig.new_worker("w2")
        second.tasks = rig.tasks
        rig.worker = second
        await second.claim()
        await rig.turn()

        assert len(rig.bodies()) == 2
        assert rig.ids()[0] == rig.ids()[1]
        assert rig.sender.got[URL][0].body == rig.sender.got[URL][1].body
        assert (await rig.audit()).problems == []


async def test_retention_drops_old_blocks_and_counts_what_was_not_delivered():
    async with running(retention_days=1) as rig:
        await rig.webhook(policy={"max_wait_s": 0, "retry_waits_s": [9999]})
        rig.sender.standing[URL] = DOWN
        await rig.send(event(0))
        await rig.turn()
        rig.clock.advance(2 * 86_400)
        await rig.send(event(1))

        await rig.worker.pruner.sweep(list(rig.worker.lanes.values()))
        await rig.turn()

        found = await rig.audit()
        assert found.problems == []
        assert found.events == 1
        entries = [e for b in await rig.engine.journal.scan(0, 100) for e in b.entries]
        assert [e.count for e in entries if e.kind == "expired"] == [1]


@pytest.mark.parametrize("dialect", ["native", "sendpulse", "engagelab"])
async def test_every_dialect_delivers_a_thousand_events(dialect):
    async with running() as rig:
        await rig.webhook(dialect=dialect, policy={"max_wait_s": 0})

        await rig.send(*[event(n) for n in range(1000)])
        await rig.turn()

        found = await rig.audit()
        assert (found.rows[0].delivered, found.problems) == (1000, [])


async def test_a_webhook_that_starts_now_gets_nothing_older():
    async with running() as rig:
        await rig.send(event(0))
        await rig.webhook(start=Position(0, -1), policy={"max_wait_s": 0})
        await rig.send(event(1))

        await rig.turn()

        assert [[e["event_id"] for e in body] for body in rig.bodies()] == [["e1"]]
        assert (await rig.audit()).problems == []


async def test_parked_batches_go_after_keep_parked_days():
    async with running() as rig:
        policy = {"max_wait_s": 0, "retry_waits_s": [], "keep_parked_days": 2}
        await rig.webhook(policy=policy)
        rig.sender.standing[URL] = DOWN
        await rig.send(event(0))
        await rig.turn()
        rig.clock.advance(timedelta(days=3).total_seconds())

        await rig.worker.pruner.sweep(list(rig.worker.lanes.values()))

        found = await rig.audit()
        assert (found.rows[0].expired, found.rows[0].parked, found.problems) == (1, 0, [])


def poisonous(*poison):
    """Answer 400 to every batch that holds one of these events."""

    def answer(request):
        found = {each["event_id"] for each in json.loads(request.body)}
        return Outcome(status=400, body=b"bad event") if found & set(poison) else OK

    return answer


async def test_a_refused_batch_is_split_down_to_the_one_event_that_is_refused():
    async with running() as rig:
        await rig.webhook(policy={"max_wait_s": 0, "retry_waits_s": [1]})
        rig.sender.standing[URL] = poisonous("e37")

        await rig.send(*[event(n) for n in range(100)])
        await rig.turn()
        await rig.later(2)
        await rig.later(2)

        (parked,) = await rig.engine.ledger.open_batches()
        assert (parked.state, parked.count, parked.last_status) == (BatchState.PARKED, 1, 400)
        found = await rig.audit()
        row = found.rows[0]
        assert (row.delivered, row.parked, found.problems) == (99, 1, [])


async def test_a_body_that_is_too_large_is_split_at_once():
    async with running() as rig:
        await rig.webhook(policy={"max_wait_s": 0})

        def small_only(request):
            return Outcome(status=413) if len(json.loads(request.body)) > 10 else OK

        rig.sender.standing[URL] = small_only

        await rig.send(*[event(n) for n in range(64)])
        await rig.turn()

        found = await rig.audit()
        assert (found.rows[0].delivered, found.problems) == (64, [])


async def test_a_batch_that_another_release_wrote_is_cut_anew_under_a_new_id():
    async with running() as rig:
        webhook = await rig.webhook(policy={"max_wait_s": 0, "retry_waits_s": [10]})
        rig.sender.answers[URL] = [DOWN]
        await rig.send(event(0))
        await rig.turn()
        claim = await rig.engine.ledger.lane(webhook.id)
        ours = claim.batches[0]
        older = replace(ours, id="bat_of_another_release", body_hash=b"of another release")
        change = LaneChange(
            webhook_id=webhook.id, epoch=claim.lane.epoch, put=(older,), drop=(ours.id,)
        )
        assert await rig.engine.ledger.intervene(change)

        await rig.later(13)

        assert rig.ids() == [ours.id, ours.id]  # as this release writes it, and names it
        found = await rig.audit()
        assert (found.rows[0].delivered, found.problems) == (1, [])
