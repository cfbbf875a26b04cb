"""A whole installation copied from one database to another, of whichever engines.

What only grows (blocks of the log, journal, audit trail) is copied while the source serves, and
once more what came since. So are what nothing refers to, piece by piece where it is another, and
the index, as of one moment: it is a cursor over the log, and goes on from where it was. What is
left for the last step, while the source stands still, is small: accounts, keys, webhooks, lanes,
open batches. Every piece is one commit, read back and compared value by value; where a copy stands
is seen from what is there, so it is begun again wherever it was cut off.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from postbell.errors import Conflict, StorageError, UsageError
from postbell.ports.tables import CopyState, Key, OpenTables, Row, Stretch, TableShape

GROWING = ("blocks", "journal", "journal_webhooks", "trail")
"""Rows are added behind the others, or dropped, never changed."""
INDEX = "index_"
"""How tables, and numbers, of the index are called."""
PASSING = frozenset({"leases", "processes"})
"""What only processes that run now are about."""
NOTED = "meta"
LATER = {"lanes": frozenset({"batches"})}
"""Tables that are filled after others: a trigger counts on a lane what is parked when it comes."""
NOT_LAST = (INDEX, "copy_")
"""Numbers that the last step leaves as they are."""
HEADS, LOG = "heads", 0
"""The table of the next numbers, and the row of the log's."""
KEYS = 8192


class CopyProgress(NamedTuple):
    """Of a table *done* of *total* rows are looked at; *size_bytes* were copied in all."""

    table: str
    done: int
    total: int
    size_bytes: int


class CopiedTable(NamedTuple):
    """A table is alike on both sides: so many rows, of which so many had to be written."""

    table: str
    rows: int
    written: int


class Copied(NamedTuple):
    """What became of a copy; where *is_finished* the target is to be served from now on.

    *altered* texts held U+0000, which the target's engine cannot.
    """

    tables: list[CopiedTable]
    size_bytes: int
    altered: int
    is_finished: bool


async def copy(
    source: OpenTables, target: OpenTables, *, finish: bool, told: Callable[[CopyProgress], None]
) -> Copied:
    """Copy *source*, which is held to *finish*, into *target*; go on where that was begun.

    Raises UsageError for a target that holds anything else, and StorageError where a table is not
    alike on both sides, or one of them cannot go on.
    """
    shapes = _alike(await source.shapes(), await target.shapes())
    run = _Copying(source, target, shapes, told)
    await run.begin()
    await run.grown(finish=finish)
    await run.loose(finish=finish)
    if not finish or not await run.has_index():
        await run.index()
    if finish:
        await run.rest()
    return run.copied(is_finished=finish)


class _Copying:
    def __init__(
        self,
        source: OpenTables,
        target: OpenTables,
        shapes: Mapping[str, TableShape],
        told: Callable[[CopyProgress], None],
    ) -> None:
        self._source = source
        self._target = target
        self._told = told
        self._size_bytes = 0
        self._altered = 0
        self._tables: dict[str, CopiedTable] = {}
        self._done = self._total = self._written = 0
        names = shapes.keys() - PASSING - {NOTED}
        self._index = _in_order(shapes, {name for name in names if name.startswith(INDEX)})
        self._heads = shapes[HEADS]
        self._growing = [shapes[name] for name in GROWING]
        rest = names - set(GROWING) - {shape.name for shape in self._index}
        bound = {name for name in rest if shapes[name].parents}
        bound |= {parent for name in bound for parent in shapes[name].parents}
        self._loose = _in_order(shapes, rest - bound)
        self._bound = _in_order(shapes, bound)

    async def begin(self) -> None:
        """Let the target be a copy of the source, which this run writes and no other; raise
        Conflict where it is anything else."""
        async with self._target.claimed():
            await self._begun()

    async def _begun(self) -> None:
        identity = await self._source.identity()
        state = await self._source.state()
        is_ours = await self._target.origin() == identity
        if state is CopyState.FILLING or (state is CopyState.MOVED and not is_ours):
            raise Conflict(
                f"{self._source.place} is not what is served (it is a copy that is not finished, or"
                " was copied to another one); copy the one that is"
            )
        if is_ours:
            if await self._target.state() is CopyState.FILLING:
                return
            raise Conflict(
                f"{self._target.place} is a finished copy of {self._source.place}; serve it, or"
                " empty it to copy again"
            )
        every = [*self._growing, *self._index, *self._loose, *self._bound]
        for shape in every:
            if shape is not self._heads and await self._target.keys(shape, None, None, 1):
                raise Conflict(
                    f"{self._target.place} is not empty ({shape.name} has rows), and no copy of"
                    f" {self._source.place}; name an empty database"
                )
        await self._target.set_state(CopyState.FILLING, origin=identity)
        await self._target.set_notes({_INDEX_DONE: 0})

    async def grown(self, *, finish: bool) -> None:
        """Copy what came to what only grows, and drop what the source has dropped."""
        for shape in self._growing:
            here = await self._source.stretches(shape)
            there = await self._target.stretches(shape)
            if shape.name == "blocks":
                await self._refuse_set_back(shape, there)
                # Whoever looks whether a file is whole wants no block beyond the head.
                await self._synced(self._heads)
            self._begin(sum(each.rows for each in here.values()))
            for prefix, has in there.items():
                wants = here.get(prefix)
                if wants is None:
                    await self._target.replace(shape, _before(has.first), has.last, [])
                elif has.first < wants.first:
                    edge = _before(wants.first)
                    await self._target.replace(shape, _before(has.first), edge, [])
            for prefix, wants in here.items():
                old, begin = there.get(prefix), _before(wants.first)
                after = begin if old is None else max(old.last, begin)
                self._done += old.rows if old is not None else 0
                await self._appended(shape, after, wants.last)
            await self._settled(shape, here, finish=finish)

    async def loose(self, *, finish: bool) -> None:
        """Let tables that nothing refers to be as the source's are."""
        for shape in self._loose:
            await self._synced(shape)

    async def has_index(self) -> bool:
        return bool((await self._target.notes()).get(_INDEX_DONE))

    async def index(self) -> None:
        """Copy the index, as of one moment."""
        async with self._source.snapshot():
            marks = {k: v for k, v in (await self._source.notes()).items() if k.startswith(INDEX)}
            await self._target.set_notes({_INDEX_DONE: 0})
            for shape in (self._heads, *self._index):
                await self._synced(shape)
        await self._target.set_notes({**marks, _INDEX_DONE: 1})

    async def rest(self) -> None:
        """Copy what may only be copied while the source stands still, and hand over."""
        await self._source.free_lanes()
        await self._target.clear(self._bound[::-1])
        for shape in self._bound:
            await self._synced(shape)
        notes = await self._source.notes()
        await self._target.set_notes({k: v for k, v in notes.items() if not k.startswith(NOT_LAST)})
        await self._target.set_counters(await self._source.counters())
        await self._source.set_state(CopyState.MOVED)
        await self._target.set_state(CopyState.OPEN)

    def copied(self, *, is_finished: bool) -> Copied:
        tables = sorted(self._tables.values())
        return Copied(tables, self._size_bytes, self._altered, is_finished)

    async def _refuse_set_back(self, shape: TableShape, there: Mapping[Key, Stretch]) -> None:
        """Raise where the source was restored from a backup since, and has other blocks now."""
        for has in there.values():
            [newest] = await self._target.between(shape, _before(has.last), has.last, 1)
            found = await self._source.between(shape, _before(has.last), has.last, 1)
            [head] = await self._source.between(self._heads, (LOG - 1,), (LOG,), 1)
            log = dict(zip(_names(self._heads), head, strict=True))
            is_behind = log["next_sequence"] <= has.last[0]
            if is_behind or (found and found != [newest]):
                raise Conflict(
                    f"{self._source.place} was set back since the copy was begun: its block"
                    f" {has.last[0]} is another one; empty {self._target.place} and begin again"
                )

    async def _appended(self, shape: TableShape, after: Key | None, last: Key) -> None:
        while rows := await self._source.after(shape, after, last):
            after = _key(shape, rows[-1])
            await self._put(shape, None, None, rows)

    async def _settled(
        self, shape: TableShape, here: Mapping[Key, Stretch], *, finish: bool
    ) -> None:
        """See that the rows are those of the source; while that serves on it may have dropped some
        meanwhile, which is seen to the next time."""
        there = await self._target.stretches(shape)
        if finish and there != here:
            for prefix in here.keys() | there.keys():
                if here.get(prefix) != there.get(prefix):
                    await self._reconciled(shape, prefix)
            there = await self._target.stretches(shape)
            if there != here:
                raise self._differs(shape)
        self._end(shape, sum(each.rows for each in there.values()))

    async def _reconciled(self, shape: TableShape, prefix: Key) -> None:
        """Drop, and add, single rows until the keys are those of the source."""
        after: Key | None = None
        bounds = [
            stretch
            for tables in (self._source, self._target)
            if (stretch := (await tables.stretches(shape)).get(prefix)) is not None
        ]
        after = _before(min(each.first for each in bounds))
        last = max(each.last for each in bounds)
        while True:
            here = await self._source.keys(shape, after, last, KEYS)
            upto = here[-1] if len(here) == KEYS else last
            there: list[Key] = []
            while page := await self._target.keys(shape, there[-1] if there else after, upto, KEYS):
                there += page
            await self._target.drop(shape, sorted(set(there) - set(here)))
            for key in sorted(set(here) - set(there)):
                await self._appended(shape, _before(key), key)
            if upto == last:
                return
            after = upto

    async def _synced(self, shape: TableShape) -> None:
        """Let the table be as the source's is, writing only what is not."""
        self._begin(await self._source.count(shape))
        after: Key | None = None
        while rows := await self._source.after(shape, after, None):
            last = _key(shape, rows[-1])
            fitted = self._target.fitted(rows)
            if await self._target.between(shape, after, last, len(rows) + 1) == fitted:
                self._did(shape, rows, is_written=False)
            else:
                await self._put(shape, after, last, rows)
            after = last
        while extra := await self._target.keys(shape, after, None, KEYS):
            await self._target.replace(shape, after, extra[-1], [])
        count = await self._target.count(shape)
        if count != self._done:
            raise self._differs(shape)
        self._end(shape, count)

    async def _put(
        self, shape: TableShape, after: Key | None, last: Key | None, rows: list[Row]
    ) -> None:
        """Write rows, in one commit, and read them back."""
        fitted = self._target.fitted(rows)
        if fitted is not rows:
            self._altered += sum(a != b for a, b in zip(fitted, rows, strict=True))
        first, end = _key(shape, fitted[0]), _key(shape, fitted[-1])
        begin = after if last is not None else _before(first)
        await self._target.replace(shape, begin, last or end, fitted)
        if await self._target.between(shape, begin, end, len(rows) + 1) != fitted:
            raise self._differs(shape)
        self._did(shape, rows, is_written=True)

    def _begin(self, total: int) -> None:
        self._done, self._total, self._written = 0, total, 0

    def _did(self, shape: TableShape, rows: list[Row], *, is_written: bool) -> None:
        self._done += len(rows)
        if is_written:
            self._written += len(rows)
            self._size_bytes += sum(map(_size, rows))
        self._told(CopyProgress(shape.name, self._done, self._total, self._size_bytes))

    def _end(self, shape: TableShape, rows: int) -> None:
        self._tables[shape.name] = CopiedTable(shape.name, rows, self._written)

    def _differs(self, shape: TableShape) -> StorageError:
        return StorageError(
            f"{shape.name} of {self._target.place} is not as that of {self._source.place};"
            " nothing is served from the copy: empty it and begin again"
        )


_INDEX_DONE = "copy_has_index"


def _alike(
    here: Mapping[str, TableShape], there: Mapping[str, TableShape]
) -> dict[str, TableShape]:
    """Return the tables that both have, by name; raise UsageError where one has what the other
    lacks."""
    for name in sorted(here.keys() | there.keys()):
        sides = [set(shapes[name].columns) if name in shapes else set() for shapes in (here, there)]
        if different := sides[0] ^ sides[1]:
            columns = ", ".join(sorted(f"{column} ({kind})" for column, kind in different))
            raise UsageError(
                f"the two databases are not of one release: {name} differs in {columns}"
            )
    return {
        name: shape._replace(key=min(shape.key, there[name].key, key=len))
        for name, shape in here.items()
    }


def _in_order(shapes: Mapping[str, TableShape], chosen: set[str]) -> list[TableShape]:
    """Return tables so that each comes after those that it refers to."""
    found: list[TableShape] = []
    left = sorted(chosen)
    while left:
        known = {shape.name for shape in found}
        before = {name: shapes[name].parents | LATER.get(name, frozenset()) for name in left}
        ready = [name for name in left if not (before[name] & set(left)) - {name}]
        if not ready:
            raise UsageError(f"tables refer to each other in a ring: {', '.join(left)}")
        found += [shapes[name] for name in ready if name not in known]
        left = [name for name in left if name not in ready]
    return found


def _names(shape: TableShape) -> list[str]:
    return [name for name, _ in shape.columns]


def _key(shape: TableShape, row: Row) -> Key:
    names = _names(shape)
    return tuple(row[names.index(name)] for name in shape.key)


def _before(key: Key) -> Key:
    """Return a key before *key* whose last column is a number, and after the one before that."""
    return (*key[:-1], key[-1] - 1)


def _size(row: Row) -> int:
    return sum(len(value) if isinstance(value, str | bytes) else 8 for value in row)
