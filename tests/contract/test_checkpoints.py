"""What every engine keeps of sources: where they stand, with their events; what they remember."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from postbell.errors import BadInput, HeadMoved
from postbell.ports import (
    MAX_CHECKPOINT_BYTES,
    MAX_KEY_CHARS,
    MAX_VALUE_BYTES,
    Progress,
    Remembered,
    SourceStanding,
    SourceState,
)
from tests.contract.making import Shop, block

HOUR = timedelta(hours=1)


def standing(shop: Shop, state: SourceState = SourceState.READING) -> SourceStanding:
    return SourceStanding(
        kind="file",
        place="/var/log/events.jsonl",
        account="acme",
        api_user="acme-mail",
        state=state,
        seen_at=shop.clock.now(),
        lag_bytes=7,
    )


async def begin(shop: Shop, source: str = "mail") -> int:
    """Make a source known and return its revision."""
    return (await shop.engine.checkpoints.tell({source: standing(shop)}))[source]


async def move(shop: Shop, *progress: Progress, head: int | None = None) -> None:
    log = shop.engine.log
    head = await log.head() if head is None else head
    await log.append([block()], [], head=head, now=shop.clock.now(), progress=progress)


async def remember(shop: Shop, revision: int, *keys: str, most: int = 100) -> None:
    """Remember each key an hour longer than the one before."""
    now = shop.clock.now()
    kept = [Remembered(key, key.encode(), now + n * HOUR) for n, key in enumerate(keys, 1)]
    await move(shop, Progress("mail", revision, b"", remember=kept, most=most))


async def recall(shop: Shop, *keys: str) -> dict[str, bytes]:
    return await shop.engine.checkpoints.recall("mail", keys, shop.clock.now())


async def test_a_source_is_unknown_until_it_tells_how_it_does(shop: Shop) -> None:
    checkpoints = shop.engine.checkpoints

    before = (await checkpoints.read("mail"), await checkpoints.all())
    revision = await begin(shop)
    row = await checkpoints.read("mail")

    assert before == (None, [])
    assert row is not None
    assert (row.revision, row.checkpoint, row.taken, row.moved_at) == (revision, b"", 0, None)
    assert row.standing == standing(shop)


@pytest.mark.parametrize(("by", "after_s", "told"), [
    (SourceState.UP_TO_DATE, 20, SourceState.UP_TO_DATE),
    (SourceState.READING, 60, SourceState.READING),
    (SourceState.READING, 61, SourceState.FAILING),
    (SourceState.HELD, 0, SourceState.FAILING),
])  # fmt: skip
async def test_who_cannot_read_a_source_says_so_unless_another_process_reads_it(
    shop: Shop, by: SourceState, after_s: float, told: SourceState
) -> None:
    checkpoints = shop.engine.checkpoints
    first = await checkpoints.tell({"mail": replace(standing(shop, by), runner="one")})
    shop.clock.advance(after_s)
    failing = replace(standing(shop, SourceState.FAILING), runner="two")

    again = await checkpoints.tell({"mail": failing, "other": failing})

    assert again["mail"] == first["mail"]
    assert [row.standing.state for row in await checkpoints.all()] == [told, SourceState.FAILING]


async def test_a_process_that_could_read_a_source_says_that_it_cannot(shop: Shop) -> None:
    await begin(shop)

    await shop.engine.checkpoints.tell({"mail": standing(shop, SourceState.FAILING)})

    [row] = await shop.engine.checkpoints.all()
    assert row.standing.state is SourceState.FAILING


async def test_progress_is_written_with_its_events_and_counts_on(shop: Shop) -> None:
    revision = await begin(shop)
    await move(shop, Progress("mail", revision, b"one", "line 1", taken=5, refused=2, unmatched=4))
    shop.clock.advance(60)

    await move(shop, Progress("mail", revision + 1, b"two", "line 9", taken=1, duplicates=3))

    row = await shop.engine.checkpoints.read("mail")
    assert row is not None
    assert (row.revision, row.checkpoint, row.position) == (revision + 2, b"two", "line 9")
    assert (row.taken, row.duplicates, row.refused, row.unmatched) == (6, 3, 2, 4)
    assert row.moved_at == shop.clock.now()


async def test_progress_without_events_is_written_too(shop: Shop) -> None:
    revision = await begin(shop)

    progress = [Progress("mail", revision, b"on", refused=1)]
    headers, _ = await shop.engine.log.append(
        [], [], head=0, now=shop.clock.now(), progress=progress
    )

    row = await shop.engine.checkpoints.read("mail")
    assert headers == []
    assert row is not None
    assert (row.checkpoint, row.refused) == (b"on", 1)


@pytest.mark.parametrize("source", ["mail", "other"])
async def test_progress_from_elsewhere_is_refused_with_its_events(shop: Shop, source: str) -> None:
    """By another process that moved it meanwhile, or for a source that nobody knows."""
    revision = await begin(shop)
    await move(shop, Progress("mail", revision, b"ours"))

    with pytest.raises(HeadMoved):
        await move(shop, Progress(source, revision, b"theirs"))

    row = await shop.engine.checkpoints.read("mail")
    assert row is not None
    assert row.checkpoint == b"ours"
    assert await shop.engine.log.head() == 1


async def test_progress_is_refused_with_events_after_an_old_head(shop: Shop) -> None:
    revision = await begin(shop)
    await move(shop)

    with pytest.raises(HeadMoved):
        await move(shop, Progress("mail", revision, b"on"), head=0)

    row = await shop.engine.checkpoints.read("mail")
    assert row is not None
    assert row.checkpoint == b""


async def test_telling_changes_the_standing_only(shop: Shop) -> None:
    revision = await begin(shop)
    await move(shop, Progress("mail", revision, b"on", "line 3", taken=3))

    told = await shop.engine.checkpoints.tell({"mail": standing(shop, SourceState.HELD)})

    row = await shop.engine.checkpoints.read("mail")
    assert told == {"mail": revision + 1}
    assert row is not None
    assert (row.checkpoint, row.taken, row.standing.state) == (b"on", 3, SourceState.HELD)


async def test_sources_are_listed_by_name(shop: Shop) -> None:
    await begin(shop, "second")
    await begin(shop, "first")

    assert [row.name for row in await shop.engine.checkpoints.all()] == ["first", "second"]


async def test_a_forgotten_source_begins_anew(shop: Shop) -> None:
    revision = await begin(shop)
    await remember(shop, revision, "queue-id")
    shop.clock.advance(1)

    gone = await shop.engine.checkpoints.forget("mail")
    again = await shop.engine.checkpoints.forget("mail")
    anew = await begin(shop)

    row = await shop.engine.checkpoints.read("mail")
    assert (gone, again) == (True, False)
    assert row is not None
    assert (row.checkpoint, row.taken) == (b"", 0)
    assert anew > revision + 1
    assert await recall(shop, "queue-id") == {}


async def test_what_is_remembered_is_kept_until_it_ends(shop: Shop) -> None:
    await remember(shop, await begin(shop), "a", "b")

    both = await recall(shop, "a", "b", "c")
    shop.clock.advance(3600)
    later = await recall(shop, "a", "b")

    assert both == {"a": b"a", "b": b"b"}
    assert later == {"b": b"b"}


async def test_a_key_is_remembered_anew_and_forgotten(shop: Shop) -> None:
    revision = await begin(shop)
    await remember(shop, revision, "a", "b")
    until = shop.clock.now() + HOUR

    changed = [Remembered("a", b"new", until)]
    progress = Progress("mail", revision + 1, b"", forget=["b", "none"], remember=changed)
    await move(shop, progress)

    assert await recall(shop, "a", "b") == {"a": b"new"}


async def test_sources_remember_apart(shop: Shop) -> None:
    await remember(shop, await begin(shop), "a")
    other = await begin(shop, "other")
    await move(shop, Progress("other", other, b"", forget=["a"]))

    assert await recall(shop, "a") == {"a": b"a"}
    assert await shop.engine.checkpoints.recall("other", ["a"], shop.clock.now()) == {}


async def test_of_more_than_a_source_may_remember_the_first_to_end_are_let_go(shop: Shop) -> None:
    revision = await begin(shop)
    await remember(shop, revision, "a", "b", "c", most=3)

    await remember(shop, revision + 1, "c", "d", "e", most=3)

    assert list(await recall(shop, "a", "b", "c", "d", "e")) == ["b", "d", "e"]


async def test_what_was_swept_or_forgotten_makes_room(shop: Shop) -> None:
    revision = await begin(shop)
    await remember(shop, revision, "a", "b", "c", most=3)
    shop.clock.advance(3600)

    swept = await shop.engine.checkpoints.sweep(shop.clock.now(), 10)
    await move(shop, Progress("mail", revision + 1, b"", forget=["b"]))
    await remember(shop, revision + 2, "d", "e", most=3)

    assert swept == 1
    assert list(await recall(shop, "c", "d", "e")) == ["c", "d", "e"]


async def test_a_sweep_takes_a_few_at_a_time_those_that_ended_first(shop: Shop) -> None:
    await remember(shop, await begin(shop), "a", "b", "c")
    moment = shop.clock.now() + 2 * HOUR

    first = await shop.engine.checkpoints.sweep(moment, 1)
    left = await recall(shop, "a", "b", "c")
    then = await shop.engine.checkpoints.sweep(moment, 10)

    assert (first, list(left), then) == (1, ["b", "c"], 1)


@pytest.mark.parametrize(
    ("checkpoint", "key", "value"),
    [
        (bytes(MAX_CHECKPOINT_BYTES + 1), "k", b""),
        (b"", "k" * (MAX_KEY_CHARS + 1), b""),
        (b"", "k", bytes(MAX_VALUE_BYTES + 1)),
    ],
)
async def test_what_is_larger_than_it_may_be_is_refused_with_its_events(
    shop: Shop, checkpoint: bytes, key: str, value: bytes
) -> None:
    revision = await begin(shop)
    kept = [Remembered(key, value, shop.clock.now() + HOUR)]

    with pytest.raises(BadInput, match="the limit is"):
        await move(shop, Progress("mail", revision, checkpoint, remember=kept))

    assert await shop.engine.log.head() == 0


async def test_the_largest_is_kept_whole(shop: Shop) -> None:
    revision = await begin(shop)
    checkpoint, key, value = (
        bytes(MAX_CHECKPOINT_BYTES),
        "k" * MAX_KEY_CHARS,
        b"v" * MAX_VALUE_BYTES,
    )
    kept = [Remembered(key, value, shop.clock.now() + HOUR)]

    await move(shop, Progress("mail", revision, checkpoint, remember=kept))

    row = await shop.engine.checkpoints.read("mail")
    assert row is not None
    assert row.checkpoint == checkpoint
    assert await recall(shop, key) == {key: value}
