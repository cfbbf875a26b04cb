"""Ways to damage a database with SQL, each with the place that an audit must name first.

Block b holds the events e6(b-1) to e6b-1, whose sequence numbers are one higher.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import msgspec
from msgspec.structs import replace

from postbell.audit import Problem
from postbell.blocks import Position, Range
from postbell.lane.run import has_bit, set_bit
from postbell.records import Entry, EntryKind, Outcome, Verdict
from tests.audit.building import DELETED, FAILING, NATIVE, PICKY, SENDPULSE, SKIPPED, SLOW, TYPES

entries_of = msgspec.msgpack.Decoder(list[Entry]).decode
body_of = msgspec.msgpack.Encoder().encode


class Rows(Protocol):
    """A connection as `sqlite3` has them."""

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> Any:
        """Run a statement; return a cursor."""
        ...


Damage = Callable[[Rows], Problem]
DAMAGES: list[Damage] = []


class Line(NamedTuple):
    """An entry and the journal row that holds it."""

    row: int
    entries: list[Entry]
    at: int

    @property
    def entry(self) -> Entry:
        return self.entries[self.at]


def damage(function: Damage) -> Damage:
    DAMAGES.append(function)
    return function


def lines(db: Rows, webhook_id: int, kind: str) -> list[Line]:
    """Return the webhook's entries of a kind; those of attempts only where they delivered."""
    return [line for line in _lines(db, webhook_id) if line.entry.kind == kind]


def _lines(db: Rows, webhook_id: int) -> Iterator[Line]:
    for row, body in db.execute("SELECT id, body FROM journal ORDER BY id").fetchall():
        entries = entries_of(body)
        for at, entry in enumerate(entries):
            is_failed = entry.kind is EntryKind.ATTEMPT and not entry.delivered
            if entry.webhook_id == webhook_id and entry.replay_id is None and not is_failed:
                yield Line(row, entries, at)


def rewrite(db: Rows, line: Line, **members: Any) -> Entry:
    """Store the entry with other members, and return it as it was."""
    entries = list(line.entries)
    entries[line.at] = replace(line.entry, **members)
    db.execute("UPDATE journal SET body = ? WHERE id = ?", (body_of(entries), line.row))
    return line.entry


def event_at(webhook_id: int, revision: int, position: Position, **members: Any) -> Problem:
    """Return the place of an event as an audit names it."""
    number = 6 * (position.block - 1) + position.offset
    return Problem(
        what=members.pop("what"),
        account_id=1,
        webhook_id=webhook_id,
        revision=revision,
        block=position.block,
        offset=position.offset,
        sequence=number + 1,
        event_id=f"e{number}",
        **members,
    )


def batch_at(webhook_id: int, revision: int, position: Position, batch: str, what: str) -> Problem:
    """Return the place of a batch as an audit names it."""
    return Problem(
        what=what,
        account_id=1,
        webhook_id=webhook_id,
        revision=revision,
        block=position.block,
        offset=position.offset,
        batch_ids=(batch,),
    )


@damage
def a_journal_row_is_gone(db: Rows) -> Problem:
    line = lines(db, NATIVE, "attempt")[3]
    db.execute("DELETE FROM journal WHERE id = ?", (line.row,))
    start = line.entry.range.start
    return event_at(NATIVE, 1, _event(start), what="no batch and no entry holds it")


@damage
def a_journal_row_is_not_found_by_its_webhook(db: Rows) -> Problem:
    line = lines(db, SENDPULSE, "attempt")[0]
    db.execute("DELETE FROM journal_webhooks WHERE journal_id = ?", (line.row,))
    return event_at(SENDPULSE, 1, Position(1, 0), what="no batch and no entry holds it")


@damage
def an_entry_is_there_twice(db: Rows) -> Problem:
    found = lines(db, NATIVE, "attempt")
    line = next(line for line in found if line.row == found[5].row)
    db.execute(
        "INSERT INTO journal (id, first_at, last_at, count, body)"
        " SELECT (SELECT max(id) + 1 FROM journal), first_at, last_at, count, body"
        " FROM journal WHERE id = ?",
        (line.row,),
    )
    db.execute(
        "INSERT INTO journal_webhooks SELECT webhook_id, (SELECT max(id) FROM journal), account_id"
        " FROM journal_webhooks WHERE journal_id = ?",
        (line.row,),
    )
    start, name = line.entry.range.start, line.entry.batch_id
    return event_at(
        NATIVE, 1, _event(start), what="the event is held 2 times", batch_ids=(name, name)
    )


@damage
def an_attempt_delivered_fewer_than_it_says(db: Rows) -> Problem:
    line = lines(db, NATIVE, "attempt")[2]
    rewrite(db, line, delivered=3)
    start, name = line.entry.range.start, line.entry.batch_id
    return batch_at(NATIVE, 1, start, name, "with the verdict delivered delivered 3 of 4")


@damage
def a_batch_counts_fewer_than_it_holds(db: Rows) -> Problem:
    line = lines(db, NATIVE, "attempt")[2]
    rewrite(db, line, delivered=3, count=3)
    start, name = line.entry.range.start, line.entry.batch_id
    return batch_at(NATIVE, 1, start, name, "3 events are said to be delivered, but 4 match")


@damage
def a_delivered_batch_has_no_successful_attempt(db: Rows) -> Problem:
    line = lines(db, NATIVE, "attempt")[1]
    rewrite(db, line, verdict=Verdict.RETRY)
    start, name = line.entry.range.start, line.entry.batch_id
    return batch_at(NATIVE, 1, start, name, "with the verdict retry delivered 4 of 4")


@damage
def a_delivered_batch_had_no_answer(db: Rows) -> Problem:
    line = lines(db, NATIVE, "attempt")[1]
    rewrite(db, line, outcome=Outcome(error="timeout"))
    start, name = line.entry.range.start, line.entry.batch_id
    return batch_at(NATIVE, 1, start, name, "without an answer counts as delivered")


@damage
def a_batch_was_delivered_under_another_revision(db: Rows) -> Problem:
    line = lines(db, NATIVE, "attempt")[0]
    rewrite(db, line, revision=2)
    what = "a batch of revision 2 holds an event of another"
    return event_at(NATIVE, 1, Position(1, 0), what=what, batch_ids=(line.entry.batch_id,))


@damage
def a_delivered_range_begins_earlier(db: Rows) -> Problem:
    """By one event that the dialect has no word for: only the ranges tell."""
    first, second = next(
        (one, other)
        for one, other in pairwise(lines(db, SENDPULSE, "attempt"))
        if one.entry.range.end == other.entry.range.start and _is_after_request(other)
    )
    part = second.entry.range
    earlier = Position(part.start.block, part.start.offset - 1)
    rewrite(db, second, range=Range(earlier, part.end))
    names = (first.entry.batch_id, second.entry.batch_id)
    found = batch_at(SENDPULSE, 1, earlier, "", "the ranges of two batches overlap")
    return replace(found, batch_ids=names)


@damage
def an_expiry_is_gone(db: Rows) -> Problem:
    (line,) = lines(db, SENDPULSE, "expired")
    db.execute("DELETE FROM journal WHERE id = ?", (line.row,))
    start = _event(line.entry.range.start)
    return event_at(SENDPULSE, 1, start, what="no batch and no entry holds it")


@damage
def a_skip_counts_more_than_there_were(db: Rows) -> Problem:
    (line,) = lines(db, SKIPPED, "skipped")
    rewrite(db, line, count=85)
    what = "85 events are said to be skipped, but 84 match"
    return batch_at(SKIPPED, 1, line.entry.range.start, f"journal {line.row}", what)


@damage
def a_skip_begins_later(db: Rows) -> Problem:
    (line,) = lines(db, SKIPPED, "skipped")
    part = line.entry.range
    rewrite(db, line, range=Range(Position(2, 1), part.end), count=line.entry.count - 7)
    return event_at(SKIPPED, 1, Position(1, 0), what="no batch and no entry holds it")


@damage
def another_event_of_a_run_is_marked_as_delivered(db: Rows) -> Problem:
    line = lines(db, SLOW, "run")[0]
    done = bytearray(line.entry.done or b"")
    assert has_bit(done, 0)
    done[0] &= ~1
    set_bit(done, 50)
    rewrite(db, line, done=bytes(done))
    return event_at(SLOW, 1, Position(1, 0), what="no batch and no entry holds it")


@damage
def a_runs_bitmap_has_more_than_its_count(db: Rows) -> Problem:
    line = lines(db, SLOW, "run")[0]
    done = bytearray(line.entry.done or b"")
    set_bit(done, 50)
    rewrite(db, line, done=bytes(done))
    name = line.entry.batch_id
    return batch_at(SLOW, 1, line.entry.range.start, name, "the run's bitmap has")


@damage
def a_delivered_event_of_a_run_waits_again(db: Rows) -> Problem:
    name, done = db.execute("SELECT id, done FROM batches WHERE done IS NOT NULL").fetchone()
    done = bytearray(done)
    assert has_bit(done, 2)
    done[0] &= ~4
    db.execute("UPDATE batches SET done = ? WHERE id = ?", (bytes(done), name))
    what = "the event is held 2 times"
    return event_at(SLOW, 1, Position(1, 2), what=what, batch_ids=(name,))


@damage
def an_open_batch_is_gone(db: Rows) -> Problem:
    db.execute("DELETE FROM batches WHERE webhook_id = ? AND start_block = 3", (FAILING,))
    return event_at(FAILING, 1, Position(3, 4), what="no batch and no entry holds it")


@damage
def a_parked_batch_is_gone(db: Rows) -> Problem:
    db.execute("DELETE FROM batches WHERE webhook_id = ?", (PICKY,))
    return event_at(PICKY, 1, Position(2, 3), what="no batch and no entry holds it")


@damage
def an_open_batch_is_wider(db: Rows) -> Problem:
    at = (FAILING, 2, 2)
    (name,) = db.execute(
        "SELECT id FROM batches WHERE (webhook_id, start_block, start_offset) = (?, ?, ?)", at
    ).fetchone()
    db.execute("UPDATE batches SET end_block = 3, end_offset = 1 WHERE id = ?", (name,))
    what = "4 events are said to be waiting, but 5 match"
    return batch_at(FAILING, 1, Position(2, 2), name, what)


@damage
def an_open_batch_is_narrower(db: Rows) -> Problem:
    at = (FAILING, 2, 2)
    db.execute(
        "UPDATE batches SET end_offset = 5, count = 3"
        " WHERE (webhook_id, start_block, start_offset) = (?, ?, ?)",
        at,
    )
    return event_at(FAILING, 1, Position(2, 5), what="no batch and no entry holds it")


@damage
def an_open_batch_ends_behind_the_cursor(db: Rows) -> Problem:
    at = (FAILING, 5, 4)
    (name,) = db.execute(
        "SELECT id FROM batches WHERE (webhook_id, start_block, start_offset) = (?, ?, ?)", at
    ).fetchone()
    db.execute(
        "UPDATE batches SET webhook_id = ?, start_block = 16, start_offset = 6, end_block = 17,"
        " end_offset = 0, count = 0 WHERE id = ?",
        (SENDPULSE, name),
    )
    return batch_at(SENDPULSE, 1, Position(17, 0), name, "a batch ends behind the cursor")


@damage
def a_deleted_webhook_has_a_batch(db: Rows) -> Problem:
    db.execute(
        "UPDATE batches SET webhook_id = ? WHERE webhook_id = ? AND start_block = 0",
        (DELETED, FAILING),
    )
    return event_at(FAILING, 1, Position(1, 0), what="no batch and no entry holds it")


@damage
def a_cursor_is_further(db: Rows) -> Problem:
    db.execute("UPDATE lanes SET cursor_block = 17 WHERE webhook_id = ?", (SENDPULSE,))
    return event_at(SENDPULSE, 1, Position(17, 0), what="no batch and no entry holds it")


@damage
def a_cursor_is_behind(db: Rows) -> Problem:
    db.execute("UPDATE lanes SET cursor_block = 12 WHERE webhook_id = ?", (PICKY,))
    line = next(
        each for each in lines(db, PICKY, "attempt") if each.entry.range.end > Position(12, 6)
    )
    what = "the event lies behind the cursor, but a batch holds it"
    return event_at(PICKY, 1, Position(13, 0), what=what, batch_ids=(line.entry.batch_id,))


@damage
def a_cursor_is_behind_the_head(db: Rows) -> Problem:
    db.execute("UPDATE lanes SET cursor_block = 99 WHERE webhook_id = ?", (SENDPULSE,))
    what = "the cursor lies behind the head of the log, block 18"
    return Problem(what=what, account_id=1, webhook_id=SENDPULSE, block=99, offset=6)


@damage
def a_lane_is_gone(db: Rows) -> Problem:
    db.execute("DELETE FROM lanes WHERE webhook_id = ?", (SKIPPED,))
    return Problem(what="it has no lane", webhook_id=SKIPPED)


@damage
def a_revision_begins_earlier(db: Rows) -> Problem:
    db.execute(
        "UPDATE revisions SET start_block = 8 WHERE webhook_id = ? AND number = 2", (NATIVE,)
    )
    line = next(
        each for each in lines(db, NATIVE, "attempt") if each.entry.range.end > Position(8, 0)
    )
    what = "4 events are said to be delivered, but 3 match"
    return batch_at(NATIVE, 1, line.entry.range.start, line.entry.batch_id, what)


@damage
def a_webhook_starts_later_than_its_first_revision(db: Rows) -> Problem:
    db.execute("UPDATE webhooks SET start_block = 1, start_offset = 2 WHERE id = ?", (PICKY,))
    what = "the first revision does not begin at the webhook's start"
    return Problem(what=what, account_id=1, webhook_id=PICKY, revision=1, block=0, offset=0)


@damage
def a_block_in_the_middle_is_gone(db: Rows) -> Problem:
    db.execute("DELETE FROM blocks WHERE id = 7")
    what = "the log lacks 6 events between block 6 and this one"
    return Problem(what=what, account_id=1, block=8, offset=0, sequence=37)


@damage
def a_block_counts_from_another_number(db: Rows) -> Problem:
    db.execute("UPDATE blocks SET first_sequence = first_sequence - 2 WHERE id = 7")
    what = "the log counts events twice from this block on"
    return Problem(what=what, account_id=1, block=7, offset=0, sequence=37)


@damage
def the_newest_blocks_are_gone(db: Rows) -> Problem:
    db.execute("DELETE FROM blocks WHERE id >= 16")
    line = next(
        each for each in lines(db, NATIVE, "attempt") if each.entry.range.end > Position(16, 0)
    )
    what = f"{line.entry.count} events are said to be delivered, but 0 match"
    return batch_at(NATIVE, 3, line.entry.range.start, line.entry.batch_id, what)


@damage
def an_event_has_another_kind(db: Rows) -> Problem:
    """One that SendPulse's words lack; the native webhook takes both."""
    (codes,) = db.execute("SELECT codes FROM blocks WHERE id = 5").fetchone()
    changed = bytes((1, *codes[1:]))
    assert changed != codes
    db.execute("UPDATE blocks SET codes = ? WHERE id = 5", (changed,))
    line = next(
        each for each in lines(db, SENDPULSE, "attempt") if each.entry.range.end > Position(5, 0)
    )
    count = line.entry.count
    what = f"{count} events are said to be delivered, but {count - 1} match"
    return batch_at(SENDPULSE, 1, line.entry.range.start, line.entry.batch_id, what)


@damage
def a_block_belongs_to_another_api_user(db: Rows) -> Problem:
    db.execute("UPDATE blocks SET api_user_id = 1 WHERE id = 14")
    line = next(
        each for each in lines(db, NATIVE, "attempt") if each.entry.range.end > Position(14, 0)
    )
    what = "4 events are said to be delivered, but 2 match"
    return batch_at(NATIVE, 3, line.entry.range.start, line.entry.batch_id, what)


def _event(position: Position) -> Position:
    """Return where the event is that begins at or after *position*: blocks hold six."""
    if position.block == 0:
        return Position(1, 0)
    return Position(position.block + 1, 0) if position.offset == 6 else position


def _is_after_request(line: Line) -> bool:
    block, offset = line.entry.range.start
    return 0 < offset < 6 and TYPES[(6 * (block - 1) + offset - 1) % 4] == "request"
