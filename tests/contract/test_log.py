"""What every engine's log promises."""

from datetime import timedelta

import pytest

from postbell.errors import HeadMoved
from postbell.ports import MOST_OTHERS
from tests.contract.making import Shop, block
from tests.fakes import drop

DAY_S = 86_400.0


async def test_an_empty_log_has_head_0(shop: Shop) -> None:
    assert await shop.engine.log.head() == 0
    assert await shop.engine.log.tail(0, 10) == []


async def test_appended_blocks_come_back_whole_and_in_order(shop: Shop) -> None:
    first, second = block(3, mark="a"), block(2, mark="b", user=2)

    headers = await shop.append(first, second)

    loaded = await shop.engine.log.load([header.id for header in headers])
    assert [b.header for b in loaded] == headers
    assert [b.body for b in loaded] == [first.body, second.body]
    assert [(h.api_user_id, h.codes, h.sizes) for h in headers] == [
        (1, first.codes, first.sizes),
        (2, second.codes, second.sizes),
    ]
    assert loaded[0].events()[2] == b'{"event_id":"a2"}'


async def test_ids_rise_and_sequences_count_events_of_each_account(shop: Shop) -> None:
    headers = await shop.append(block(3), block(2, account=2), block(4))
    later = await shop.append(block(1), block(1, account=2))

    assert [h.id for h in headers + later] == sorted({h.id for h in headers + later})
    assert [h.first_sequence for h in headers + later] == [1, 1, 4, 8, 3]


async def test_ids_and_sequences_go_on_after_everything_was_dropped(shop: Shop) -> None:
    [before] = await shop.append(block(3))

    dropped = await shop.engine.drop_blocks(before.id + 1, counted=())

    assert dropped == (1, before.id + 1)
    assert await shop.engine.log.head() == before.id
    [after] = await shop.append(block(1))
    assert after.id > before.id
    assert after.first_sequence == 4


async def test_an_append_passes_what_others_appended_and_tells_its_ids(shop: Shop) -> None:
    [*before] = await shop.append(block(3, mark="a"), block(mark="b"))

    log, key = shop.engine.log, shop.key()
    [header], others = await log.append([block()], [key], head=0, now=shop.clock.now())

    assert header.id == before[-1].id + 1
    assert others == await log.ids(0, 2)
    assert [each.block for each in others] == [each.id for each in before]
    assert [len(each.hashes) for each in others] == [24, 16]
    assert (await log.append([], [], head=header.id, now=shop.clock.now())).others == []


async def test_an_append_passes_only_so_much_of_others(shop: Shop) -> None:
    log, now = shop.engine.log, shop.clock.now()
    await shop.append(*[block(mark="a")] * (MOST_OTHERS + 1))

    with pytest.raises(HeadMoved):
        await log.append([block()], [], head=0, now=now)

    assert len((await log.append([block()], [], head=1, now=now)).others) == MOST_OTHERS


async def test_an_append_after_a_head_that_was_never_reached_is_refused(shop: Shop) -> None:
    await shop.append(block(mark="a"))

    with pytest.raises(HeadMoved):
        await shop.engine.log.append([block()], [], head=2, now=shop.clock.now())

    assert await shop.engine.log.head() == 1


async def test_an_append_of_what_others_appended_is_refused_whole(shop: Shop) -> None:
    [header] = await shop.append(block())

    with pytest.raises(HeadMoved):
        await shop.engine.log.append([block()], [shop.key()], head=0, now=shop.clock.now())

    assert await shop.engine.log.head() == header.id
    assert await shop.engine.log.find_key(1, "k1") is None


async def test_an_idempotency_key_is_stored_with_its_blocks(shop: Shop) -> None:
    key = shop.key()

    await shop.append(block(), keys=[key])

    assert await shop.engine.log.find_key(key.account_id, "k1") == key
    assert await shop.engine.log.find_key(shop.accounts[1].id, "k1") is None


async def test_a_key_from_before_the_given_time_is_replaced(shop: Shop) -> None:
    await shop.append(block(), keys=[shop.key()])
    shop.clock.advance(100)
    newer, log = shop.key(), shop.engine.log

    await log.append([], [newer], head=1, now=newer.at, keys_since=newer.at)

    assert await log.find_key(newer.account_id, "k1") == newer
    with pytest.raises(HeadMoved):
        await log.append([block()], [newer], head=1, now=newer.at, keys_since=newer.at)
    assert await log.head() == 1


async def test_a_key_that_exists_refuses_the_append_whole(shop: Shop) -> None:
    [header] = await shop.append(block(), keys=[shop.key()])

    with pytest.raises(HeadMoved):
        await shop.append(block(), keys=[shop.key("k2"), shop.key()])

    assert await shop.engine.log.head() == header.id
    assert await shop.engine.log.find_key(1, "k2") is None


async def test_the_same_key_of_another_account_is_another_key(shop: Shop) -> None:
    await shop.append(block(), keys=[shop.key()])

    await shop.append(keys=[shop.key(account=1)])

    assert await shop.engine.log.find_key(shop.accounts[1].id, "k1") == shop.key(account=1)


async def test_a_key_without_blocks_leaves_the_head(shop: Shop) -> None:
    headers = await shop.append(keys=[shop.key()])

    assert headers == []
    assert await shop.engine.log.head() == 0


async def test_recorded_at_never_goes_back(shop: Shop) -> None:
    [before] = await shop.append(block())

    shop.clock.advance(-60)
    [after] = await shop.append(block())

    assert after.recorded_at == before.recorded_at
    assert (await shop.engine.log.tail(0, 10))[1].recorded_at == before.recorded_at


async def test_recorded_at_recovers_once_a_clock_that_was_ahead_is_corrected(shop: Shop) -> None:
    log = shop.engine.log
    right = shop.clock.now()
    shop.clock.jump(DAY_S)
    [ahead] = await shop.append(block(), keys=[shop.key()])
    shop.clock.jump(-DAY_S)

    await log.correct(right)
    [after] = await shop.append(block())

    assert ahead.recorded_at == right + timedelta(days=1)
    assert after.recorded_at == right == await log.newest_at()
    assert (after.id, after.first_sequence) == (ahead.id + 1, ahead.first_sequence + ahead.count)
    await log.drop_keys(right + timedelta(seconds=1))
    assert await log.find_key(1, "k1") is None


async def test_a_clock_that_is_behind_everything_corrects_nothing_it_does_not_have_to(
    shop: Shop,
) -> None:
    log = shop.engine.log
    [header] = await shop.append(block())

    await log.correct(shop.clock.now() + timedelta(days=1))

    assert await log.newest_at() == header.recorded_at
    assert (await shop.append(block()))[0].recorded_at == header.recorded_at


async def test_first_since_takes_what_a_clock_ahead_stamped_for_what_it_can_be(shop: Shop) -> None:
    log, minute = shop.engine.log, timedelta(minutes=1)
    begun = shop.clock.now()
    ids = [(await shop.append(block(account=1 + n % 2)))[0].id for n in range(2)]
    shop.clock.jump(DAY_S)
    ids += [(await shop.append(block(account=1 + n % 2)))[0].id for n in range(2)]
    shop.clock.jump(-DAY_S)
    shop.clock.advance(60)
    await log.correct(shop.clock.now())
    for n in range(2):
        shop.clock.advance(60)
        ids += [(await shop.append(block(account=1 + n)))[0].id]

    assert await log.first_since(begun) == ids[0]
    assert await log.first_since(begun + minute) == ids[2]
    assert await log.first_since(begun + 2 * minute) == ids[4]
    assert await log.first_since(begun + 2 * minute, 2) == ids[5]
    assert await log.first_since(begun + 3 * minute) == ids[5]
    assert await log.first_since(begun + 4 * minute) == ids[5] + 1

    await shop.engine.drop_blocks(ids[4], counted=())
    assert await log.first_since(begun) == ids[4]
    assert await log.first_since(begun + 3 * minute) == ids[5]


async def test_what_a_clock_that_was_behind_corrected_keeps_its_time(shop: Shop) -> None:
    log = shop.engine.log
    right = shop.clock.now()
    [first] = await shop.append(block())
    shop.clock.jump(-100 * DAY_S)
    await log.correct(shop.clock.now())
    [behind] = await shop.append(block())
    shop.clock.jump(100 * DAY_S)
    [after] = await shop.append(block())

    assert behind.recorded_at < first.recorded_at <= after.recorded_at
    assert await log.first_since(right - timedelta(days=30)) == first.id


async def test_a_correction_is_corrected(shop: Shop) -> None:
    log = shop.engine.log
    begun = shop.clock.now()
    shop.clock.jump(30 * DAY_S)
    [ahead] = await shop.append(block())
    for _ in range(2):
        shop.clock.jump(-10 * DAY_S)
        await log.correct(shop.clock.now())
    [after] = await shop.append(block())

    assert after.recorded_at == begun + timedelta(days=10)
    assert await log.first_since(begun + timedelta(days=10)) == ahead.id
    assert await log.first_since(begun + timedelta(days=11)) == after.id + 1


async def test_headers_are_of_one_account_from_an_id_on_and_paged(shop: Shop) -> None:
    headers = await shop.append(block(), block(account=2), block(), block(), block())
    ours = [header for header in headers if header.account_id == 1]

    page = await shop.engine.log.headers(1, ours[1].id, 2)

    assert page == ours[1:3]
    assert await shop.engine.log.headers(1, page[-1].id + 1, 2) == ours[3:]
    assert await shop.engine.log.headers(2, 0, 10) == [headers[1]]
    assert await shop.engine.log.headers(3, 0, 10) == []


async def test_the_newest_block_of_an_account_is_found_until_retention_takes_it(
    shop: Shop,
) -> None:
    headers = await shop.append(block(), block(account=2), block())

    assert await shop.engine.log.newest(1) == headers[2]
    assert await shop.engine.log.newest(2) == headers[1]
    assert await shop.engine.log.newest(3) is None

    await drop(shop.engine, headers[2].id)

    assert await shop.engine.log.newest(1) == headers[2]
    assert await shop.engine.log.newest(2) is None


async def test_the_tail_is_of_all_accounts_exclusive_and_paged(shop: Shop) -> None:
    headers = await shop.append(block(), block(account=2), block())

    assert await shop.engine.log.tail(headers[0].id, 1) == [headers[1]]
    assert await shop.engine.log.tail(headers[1].id, 10) == [headers[2]]
    assert await shop.engine.log.tail(headers[2].id, 10) == []


async def test_id_hashes_are_read_in_order_and_paged(shop: Shop) -> None:
    first, second = block(2, mark="a"), block(3, mark="b")
    headers = await shop.append(first, second)

    pages = await shop.engine.log.ids(0, 1), await shop.engine.log.ids(headers[0].id, 5)

    assert [(i.block, i.hashes, i.recorded_at) for page in pages for i in page] == [
        (headers[0].id, first.hashes, headers[0].recorded_at),
        (headers[1].id, second.hashes, headers[1].recorded_at),
    ]


async def test_load_leaves_out_what_is_dropped_and_repeats_nothing(shop: Shop) -> None:
    headers = await shop.append(block(), block(), block())
    await shop.engine.drop_blocks(headers[1].id, counted=())

    loaded = await shop.engine.log.load([headers[2].id, headers[0].id, headers[1].id] * 2)

    assert [b.header.id for b in loaded] == [headers[1].id, headers[2].id]


async def test_first_since_finds_the_first_block_from_a_moment_on(shop: Shop) -> None:
    times, ids = [], []
    for number in range(7):
        times.append(shop.clock.now())
        ids.append((await shop.append(block(account=1 + number % 2)))[0].id)
        shop.clock.advance(10)
    first_since = shop.engine.log.first_since
    tick = timedelta(microseconds=1)

    assert [await first_since(at) for at in times] == ids
    assert [await first_since(at + tick) for at in times] == [*ids[1:], ids[-1] + 1]
    assert await first_since(times[2], 2) == ids[3]
    assert await first_since(times[6] + tick, 1) == ids[6] + 1
    assert await first_since(times[0] - tick) == ids[0]


async def test_first_since_is_above_the_head_of_an_emptied_log(shop: Shop) -> None:
    [header] = await shop.append(block())
    await shop.engine.drop_blocks(header.id + 1, counted=())

    assert await shop.engine.log.first_since(shop.clock.now()) == header.id + 1


async def test_every_block_below_goes_and_is_counted(shop: Shop) -> None:
    headers = await shop.append(*(block() for _ in range(70)))

    dropped = await shop.engine.drop_blocks(headers[65].id, counted=())

    assert dropped == (65, headers[65].id)
    assert (await shop.engine.log.tail(0, 100)) == headers[65:]


async def test_only_keys_older_than_the_moment_go(shop: Shop) -> None:
    await shop.append(keys=[shop.key("old")])
    shop.clock.advance(60)
    await shop.append(keys=[shop.key("new")])

    await shop.engine.log.drop_keys(shop.clock.now())

    assert await shop.engine.log.find_key(1, "old") is None
    assert await shop.engine.log.find_key(1, "new") is not None


async def test_a_full_block_comes_back_whole(shop: Shop) -> None:
    full = block(1000)

    [header] = await shop.append(full)

    [loaded] = await shop.engine.log.load([header.id])
    assert loaded.body == full.body
    assert len(loaded.events()) == 1000


async def test_when_the_clock_could_be_relied_on_is_remembered(shop: Shop) -> None:
    log = shop.engine.log
    assert await log.trusted_at() is None

    for _ in range(2):
        shop.clock.advance(60)
        await log.trust(shop.clock.now())

    assert await log.trusted_at() == shop.clock.now()
