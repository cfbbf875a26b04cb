"""Rows to records and back; times are microseconds, compound members JSON."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from postbell.blocks import BlockHeader, IdBlock, Position, Range, checksum_of
from postbell.body_limits import BodyLimit
from postbell.clock import from_us, to_us
from postbell.events import EventType
from postbell.ports import QuarantinedFact, QueueLengths, SourceRow, SourceStanding
from postbell.records import (
    Account,
    ApiUser,
    BatchState,
    Entry,
    IdempotencyKey,
    Lane,
    OpenBatch,
    Replay,
    ReplayFilter,
    ReplayState,
    Revision,
)
from postbell.rights import ApiKey, KeyScope
from postbell.stops import Stop
from postbell.storage.identity import damaged
from postbell.storage.sql.reading import readable
from postbell.storage.sql.transaction import Row

json = msgspec.json.Encoder().encode
entries_to_body = msgspec.msgpack.Encoder().encode
entries_of_body = msgspec.msgpack.Decoder(list[Entry]).decode
_types = msgspec.json.Decoder(tuple[EventType, ...]).decode
_members = msgspec.json.Decoder(dict[str, Any]).decode
headers_of = msgspec.json.Decoder(tuple[tuple[str, str], ...]).decode
_ranges = msgspec.json.Decoder(tuple[Range, ...]).decode
_filter = msgspec.json.Decoder(ReplayFilter).decode
_standing = msgspec.json.Decoder(SourceStanding).decode


def us(moment: datetime | None) -> int | None:
    return None if moment is None else to_us(moment)


def moment(micros: int | None) -> datetime | None:
    return None if micros is None else from_us(micros)


def span_us(seconds: float) -> int:
    return round(seconds * 1_000_000)


def left_s(until_us: int, now_us: int) -> float:
    """Return for how long a lease lasts."""
    return max(until_us - now_us, 0) / 1_000_000


def text(value: object) -> str:
    """Return *value* as JSON text."""
    return json(value).decode()


def types_text(types: tuple[EventType, ...] | None) -> str | None:
    return None if types is None else text(types)


def types_of(value: str | None) -> tuple[EventType, ...] | None:
    return None if value is None else _types(value)


def members_of(value: str) -> dict[str, Any]:
    return _members(value)


def account(row: Row) -> Account:
    return Account(row[0], row[1], from_us(row[2]))


def account_of(row: Row) -> str:
    """Return the name of the account that a row belongs to, its third column; raise ValueError
    where that is not there."""
    if row[2] is None:
        raise ValueError(f"account {row[1]}, whose it is, is not there")
    name: str = row[2]
    return name


def api_user(row: Row, keys: Iterable[Row]) -> ApiUser:
    keys_of = tuple(readable(api_key, keys, "key of api user"))
    return ApiUser(
        row[0], row[1], account_of(row), row[3], from_us(row[4]), moment(row[5]), keys_of
    )


def api_key(row: Row) -> ApiKey:
    """Return a key; the row begins with the id of its api user."""
    return ApiKey(
        id=row[1],
        key_hash=row[2],
        scope=KeyScope(row[3]),
        created_at=from_us(row[4]),
        expires_at=moment(row[5]),
        used_at=moment(row[6]),
        hint=row[7],
    )


def whole_header(row: Row) -> BlockHeader:
    if len(row[6]) != 4 * len(row[5]):
        raise ValueError("it has not as many sizes as codes")
    return header(row)


def header(row: Row) -> BlockHeader:
    return BlockHeader(row[0], row[1], row[2], row[3], from_us(row[4]), row[5], row[6])


def is_sound(row: Row, *, is_choosy: bool) -> bool:
    """Say whether a row of `load_block` is as it was written; raise DamagedBlock where the caller
    is choosy.  Nobody knows of one that was written before there were checksums."""
    if row[9] is None or row[9] == checksum_of(header(row), row[7], row[8]):
        return True
    if is_choosy:
        raise damaged(row[0])
    return False


def id_block(row: Row) -> IdBlock:
    if len(row[2]) % 8:
        raise ValueError("its hashes are not of 8 bytes each")
    return IdBlock(row[0], from_us(row[1]), row[2])


def idempotency_key(row: Row) -> IdempotencyKey:
    return IdempotencyKey(row[0], row[1], row[2], row[3], from_us(row[4]))


def lane(row: Row) -> Lane:
    return Lane(
        webhook_id=row[0],
        account_id=row[1],
        cursor=Position(row[2], row[3]),
        epoch=row[4],
        writes=row[5],
        failing_since=moment(row[6]),
        failures=row[7],
        last_success_at=moment(row[8]),
        hold_until=moment(row[9]),
        delivered=row[10],
        body_limit=None if row[11] is None else BodyLimit(from_us(row[11]), row[12], row[13]),
        stop=_stop(row[17], row[18]),
    )


def _stop(until: int | None, is_still: int) -> Stop | None:
    return None if until is None else Stop(from_us(until), bool(is_still))


def lane_values(lane: Lane) -> tuple[Any, ...]:
    """Return what `set_lane` takes of a lane, after what is checked."""
    limit = lane.body_limit
    return (
        lane.cursor.block,
        lane.cursor.offset,
        us(lane.failing_since),
        lane.failures,
        us(lane.last_success_at),
        us(lane.hold_until),
        lane.delivered,
        *((us(limit.at), limit.refused_bytes, limit.taken_bytes) if limit else (None, 0, 0)),
        *_stop_values(lane.stop),
    )


def _stop_values(stop: Stop | None) -> tuple[int | None, bool]:
    return (None, False) if stop is None else (to_us(stop.until), stop.is_still)


def batch(row: Row) -> OpenBatch:
    return OpenBatch(
        id=row[0],
        webhook_id=row[1],
        revision=row[2],
        range=Range(Position(row[3], row[4]), Position(row[5], row[6])),
        count=row[7],
        cut_at=from_us(row[8]),
        state=BatchState(row[9]),
        attempts=row[10],
        next_at=moment(row[11]),
        last_status=row[12],
        last_error=row[13],
        body_hash=row[14],
        done=row[15],
        replay_id=row[16],
        parked_at=moment(row[17]),
        parent=row[18],
        opened_at=moment(row[19]),
        bisect_since=moment(row[20]),
        stop=_stop(row[21], row[22]),
    )


def batch_values(batch: OpenBatch, account_id: int) -> tuple[Any, ...]:
    """Return what `put_batch` takes."""
    return (
        batch.id,
        batch.webhook_id,
        account_id,
        batch.revision,
        *batch.range.start,
        *batch.range.end,
        batch.count,
        to_us(batch.cut_at),
        batch.state.value,
        batch.attempts,
        us(batch.next_at),
        batch.last_status,
        batch.last_error,
        batch.body_hash,
        batch.done,
        batch.replay_id,
        us(batch.parked_at),
        batch.parent,
        us(batch.opened_at),
        us(batch.bisect_since),
        *_stop_values(batch.stop),
    )


def queue(row: Row) -> QueueLengths:
    return QueueLengths(
        webhook_id=row[0],
        cursor=Position(row[2], row[3]),
        failing_since=moment(row[4]),
        first_block=row[5],
        opened_at=moment(row[6]),
        parked=row[7],
        last_success_at=moment(row[8]),
    )


def replay(row: Row) -> Replay:
    return Replay(
        id=row[0],
        account_id=row[1],
        webhook_id=row[2],
        revision=row[3],
        created_at=from_us(row[4]),
        rate_per_s=row[5],
        position=Position(row[6], row[7]),
        state=ReplayState(row[8]),
        events=row[9],
        filter=_filter(row[10]),
        ranges=_ranges(row[11]),
    )


def replay_values(replay: Replay) -> tuple[Any, ...]:
    """Return what `add_replay` takes."""
    return (
        replay.account_id,
        replay.webhook_id,
        replay.revision,
        to_us(replay.created_at),
        float(replay.rate_per_s),
        *replay.position,
        replay.state.value,
        replay.events,
        text(replay.filter),
        text(replay.ranges),
    )


def revision(row: Row) -> Revision:
    return Revision(
        number=row[0],
        start=Position(row[1], row[2]),
        api_user_id=row[3],
        types=types_of(row[4]),
        dialect=row[5],
        options=members_of(row[6]),
        ids_name_bytes=bool(row[7]),
    )


def source(found: Row) -> SourceRow:
    name, revision, checkpoint, position, taken, duplicates, refused = found[:7]
    moved_at, standing, crowded_out, unmatched, quarantined = found[7:]
    return SourceRow(
        name=name,
        revision=revision,
        checkpoint=checkpoint,
        position=position,
        taken=taken,
        duplicates=duplicates,
        refused=refused,
        moved_at=moment(moved_at),
        standing=_standing(standing),
        quarantined=quarantined,
        crowded_out=crowded_out,
        unmatched=unmatched,
    )


def standing(found: Row) -> SourceStanding:
    return _standing(found[0])


def quarantined(found: Row) -> QuarantinedFact:
    fact_id, source, at, place, code, message, size_bytes, is_wanted, raw = found
    return QuarantinedFact(
        id=fact_id,
        source=source,
        at=from_us(at),
        place=place,
        code=code,
        message=message,
        raw=raw,
        size_bytes=size_bytes,
        is_wanted=bool(is_wanted),
    )
