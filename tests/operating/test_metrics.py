"""Metrics, read back with Prometheus' own parser."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import uvloop
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics

from postbell.blocks import BlockHeader, Position, Range, pack_sizes
from postbell.clock import from_us
from postbell.operating.metrics import MAX_WEBHOOKS, exposition
from postbell.operating.metrics.following import Moments
from postbell.operating.metrics.requests import Requests, face_of
from postbell.operating.metrics.shapes import Counter
from postbell.ports import Fact, Progress, RefusedFact, Space
from postbell.records import Entry, EntryKind, LaneChange, Outcome, Verdict
from postbell.suppressing.telling import SuppressionTeller
from tests.operating.rig import Watched, watched
from tests.reports.test_sources import standing


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Watched]:
    async with watched(tmp_path) as rig:
        yield rig


def entry(rig: Watched, verdict: Verdict, outcome: Outcome, delivered: int = 0) -> Entry:
    return Entry(
        kind=EntryKind.ATTEMPT,
        at=rig.service.clock.now() + timedelta(seconds=2),
        account_id=rig.service.acme,
        webhook_id=1,
        revision=1,
        batch_id="bat_1",
        range=Range(Position(1, 0), Position(1, 2)),
        count=2,
        attempt=1,
        delivered=delivered,
        verdict=verdict,
        outcome=outcome,
    )


async def record(rig: Watched, *entries: Entry) -> None:
    claim = await rig.service.engine.ledger.lane(1)
    assert claim is not None
    change = LaneChange(webhook_id=1, epoch=claim.lane.epoch, entries=entries)
    assert await rig.service.engine.ledger.record([change]) == []


async def test_accepted_events_are_counted_by_api_user_and_type(rig: Watched) -> None:
    await rig.service.events("open", "open", "delivered")
    await rig.service.events("open", user="bob")
    await rig.metrics.read()

    samples = await rig.samples()

    name = "postbell_events_accepted_total"
    assert samples[f"{name},api_user=alice,type=open"] == 2
    assert samples[f"{name},api_user=alice,type=delivered"] == 1
    assert samples[f"{name},api_user=bob,type=open"] == 1


async def test_nothing_is_counted_twice(rig: Watched) -> None:
    await rig.service.events("open")
    await rig.metrics.read()
    await rig.metrics.read()

    samples = await rig.samples()

    assert samples["postbell_events_accepted_total,api_user=alice,type=open"] == 1


async def test_attempts_are_counted_by_outcome_and_timed(rig: Watched) -> None:
    await rig.service.webhook(dialect="sendpulse")
    await rig.service.events("open", "open")
    good = Outcome(status=200, phases_ms=(1.0, 2.0, 2.0, 30.0, 40.0))
    await record(
        rig,
        entry(rig, Verdict.RETRY, Outcome(status=503)),
        entry(rig, Verdict.RETRY, Outcome(error="timeout")),
        entry(rig, Verdict.DELIVERED, good, delivered=2),
    )
    await rig.metrics.read()

    samples = await rig.samples()

    attempts = "postbell_attempts_total,dialect=sendpulse"
    assert samples[f"{attempts},result=5xx,verdict=retry"] == 1
    assert samples[f"{attempts},result=timeout,verdict=retry"] == 1
    assert samples[f"{attempts},result=2xx,verdict=delivered"] == 1
    assert samples["postbell_events_delivered_total,dialect=sendpulse"] == 2
    answers = "postbell_answer_seconds_bucket,dialect=sendpulse"
    assert samples[f"{answers},le=0.025"] == 0
    assert samples[f"{answers},le=0.05"] == 1
    assert samples[f"{answers},le=+Inf"] == 1
    assert samples["postbell_answer_seconds_sum,dialect=sendpulse"] == pytest.approx(0.04)
    assert samples["postbell_delivery_delay_seconds_sum,dialect=sendpulse"] == 2


async def test_lag_and_waiting_are_told_for_each_webhook(rig: Watched) -> None:
    await rig.service.webhook()
    await rig.service.events("open", "delivered")
    rig.service.clock.advance(120)

    samples = await rig.samples()

    assert samples["postbell_webhook_waiting_events,account=acme,webhook=1"] == 2
    assert samples["postbell_webhook_lag_seconds,account=acme,webhook=1"] == 120
    assert samples["postbell_waiting_events"] == 2
    assert samples["postbell_lag_seconds"] == 120
    assert samples["postbell_webhooks,health=behind"] == 1


async def test_only_the_worst_webhooks_have_values_of_their_own(rig: Watched) -> None:
    for _ in range(MAX_WEBHOOKS + 5):
        await rig.service.webhook(types=["click"])
    late = await rig.service.webhook(types=["open"])
    await rig.service.events("open")
    rig.service.clock.advance(60)

    samples = await rig.samples()

    shown = [name for name in samples if name.startswith("postbell_webhook_lag_seconds")]
    assert len(shown) == MAX_WEBHOOKS
    assert samples[f"postbell_webhook_lag_seconds,account=acme,webhook={late['id']}"] == 60
    assert samples["postbell_webhooks,health=up_to_date"] == MAX_WEBHOOKS + 5


async def test_a_deleted_webhook_is_told_no_more(rig: Watched) -> None:
    made = await rig.service.webhook()
    before = await rig.samples()
    await rig.service.desk.delete_webhook(rig.service.acme, made["id"])
    after = await rig.samples()

    name = "postbell_webhook_lag_seconds,account=acme,webhook=1"
    assert (name in before, name in after) == (True, False)


async def test_the_pool_the_process_and_the_version_are_told(rig: Watched) -> None:
    samples = await rig.samples()

    assert samples["postbell_connections,pool=healthy,state=in_use"] == 3
    assert samples["postbell_connections,pool=healthy,state=waiting"] == 1
    assert samples["postbell_connections_limit,pool=healthy"] == 512
    assert samples["process_resident_memory_bytes"] > 0
    assert any(name.startswith("postbell_info,region=sg,role=all") for name in samples)


@pytest.mark.parametrize("is_sure", [True, False])
async def test_a_clock_that_nobody_can_be_sure_of_is_told(rig: Watched, is_sure: bool) -> None:
    rig.service.clock.is_sure = is_sure

    assert (await rig.samples())["postbell_clock_sure"] == float(is_sure)


async def test_what_the_storage_takes_on_disk_is_told(rig: Watched) -> None:
    engine = rig.service.engine

    async def space() -> Space:
        return Space(3 << 20, 1 << 20, 5)

    engine.space = space
    samples = await rig.samples()

    assert samples["postbell_database_bytes"] == 3 << 20
    assert samples["postbell_database_free_bytes"] == 1 << 20
    assert samples["postbell_database_wal_bytes"] == 5


async def test_openmetrics_is_written_where_it_is_asked_for(rig: Watched) -> None:
    await rig.service.events("open")
    await rig.metrics.read()

    content_type, text = await rig.metrics.write("application/openmetrics-text; version=1.0.0")

    assert content_type.startswith("application/openmetrics-text")
    names = {family.name for family in openmetrics(text.decode())}
    assert {"postbell_events_accepted", "postbell_loop_delay_seconds"} <= names


def test_new_labels_over_the_limit_count_as_other() -> None:
    counter = Counter("x", "X.", ("who",), max_series=2)

    for who in ("a", "b", "c", "d", "a"):
        counter.add((who,))

    assert counter.counts == {("a",): 2, ("b",): 1, ("other",): 2}


@pytest.mark.parametrize(
    ("path", "face"),
    [
        ("/api/v1/events", "ingest"),
        ("/api/v1/webhooks/1", "native"),
        ("/v1/webhooks", "engagelab"),
        ("/v2/email-service/webhook", "sendpulse"),
        ("/oauth/access_token", "sendpulse"),
        ("/healthz", "health"),
        ("/metrics", "metrics"),
        ("/", "web"),
        ("/webhooks/7", "web"),
        ("*", "web"),
    ],
)
def test_every_path_belongs_to_a_face(path: str, face: str) -> None:
    assert face_of(path) == face


def test_requests_are_timed_rightly_also_by_uvloop_whose_clock_stands_still_meanwhile() -> None:
    requests = Requests()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        until = time.perf_counter() + 0.03
        while time.perf_counter() < until:
            pass
        await send({"type": "http.response.start", "status": 204, "headers": []})

    async def nothing(*_: Any) -> None:
        pass

    scope = {"type": "http", "path": "/v1/webhooks", "method": "GET"}
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(requests.around(slow)(scope, nothing, nothing))

    samples = {sample.name: sample.value for sample in requests.times.family().samples}
    assert samples["postbell_http_request_seconds_sum"] >= 0.03


def test_times_are_known_of_so_many_blocks_and_no_more() -> None:
    moments = Moments(3)
    began = from_us(1_000_000)

    for block_id in range(1, 6):
        at = began + timedelta(seconds=block_id)
        moments.add(BlockHeader(block_id, 1, 1, 1, at, b"\x01", pack_sizes((5,))))

    assert [moments.get(block_id) for block_id in (1, 2, 6)] == [None, None, None]
    assert moments.get(3) == began + timedelta(seconds=3)
    assert moments.get(5) == began + timedelta(seconds=5)


async def test_sources_are_told_whichever_process_runs_them(rig: Watched) -> None:
    engine, clock = rig.service.engine, rig.service.clock
    since = clock.now() - timedelta(minutes=5)
    told = standing(clock, facts_per_s=2.5, behind_since=since)
    revisions = await engine.checkpoints.tell({"mail": told})
    facts = [RefusedFact(Fact("line 3", b"no event"), "malformed", "no JSON")]
    counts = {"taken": 7, "duplicates": 2, "refused": 1}
    progress = Progress("mail", revisions["mail"], b"x", quarantine=facts, **counts)
    head = await engine.log.head()
    await engine.log.append([], [], head=head, now=clock.now(), progress=[progress])

    samples = await rig.samples()

    labels = ",account=acme,source=mail"
    assert samples[f"postbell_source_taken_total{labels}"] == 7
    assert samples[f"postbell_source_duplicates_total{labels}"] == 2
    assert samples[f"postbell_source_refused_total{labels}"] == 1
    assert samples[f"postbell_source_quarantined{labels}"] == 1
    assert samples[f"postbell_source_crowded_out_total{labels}"] == 0
    assert samples[f"postbell_source_lag_bytes{labels}"] == 12
    assert samples[f"postbell_source_facts_per_second{labels}"] == 2.5
    last = f"postbell_source_last_read_timestamp_seconds{labels}"
    assert samples[last] == clock.now().timestamp()
    assert samples[f"postbell_source_behind_seconds{labels}"] == 300
    assert samples[f"postbell_source_ill_seconds{labels}"] == 0
    assert samples[f"postbell_source_state{labels},state=up_to_date"] == 1


async def test_suppression_lists_and_their_changes_are_told(rig: Watched) -> None:
    service = rig.service
    before = Counted(await rig.samples())
    for address in ("ada@example.net", "bob@example.net"):
        await service.desk.add_suppression(service.acme, {"address": address})
    await service.desk.remove_suppression(service.acme, "bob@example.net")
    while await SuppressionTeller(
        service.engine.suppressions, service.ingest, service.directory
    ).step():
        pass

    samples = await rig.samples()

    changes = "postbell_suppression_changes_total"
    assert samples["postbell_suppressions,account=acme"] == 1
    assert before.rise(samples, f"{changes},change=suppressed,reason=manual") == 2
    assert before.rise(samples, f"{changes},change=removed,reason=manual") == 1


async def test_the_longest_lists_are_told_apart_and_the_others_together(
    rig: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exposition, "MAX_LISTS", 1)
    service = rig.service
    for account, many in (("acme", 3), ("beta", 2)):
        for number in range(many):
            form = {"address": f"ada{number}@example.net"}
            await service.desk.add_suppression(service.accounts[account].id, form)

    samples = await rig.samples()

    lists = {name: value for name, value in samples.items() if "postbell_suppressions," in name}
    assert lists == {
        "postbell_suppressions,account=acme": 3,
        "postbell_suppressions,account=other": 2,
    }


class Counted:
    """What counters of the process stood at: they begin with it, and so before a test."""

    def __init__(self, samples: dict[str, float]) -> None:
        self._before = samples

    def rise(self, samples: dict[str, float], name: str) -> float:
        return samples[name] - self._before.get(name, 0)
