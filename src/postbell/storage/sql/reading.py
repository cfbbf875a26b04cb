"""What rows are read as: what one of them holds keeps nobody from the others."""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from postbell.errors import DamagedRow
from postbell.fences import PASSING, count, fence
from postbell.storage.sql.transaction import Row

T = TypeVar("T")


def readable(
    make: Callable[[Row], T], found: Iterable[Row], what: str, *, account: int | None = None
) -> list[T]:
    """Return what can be read of *found*, whose first column is an id and the column *account*
    whose it is; what a row holds of one customer keeps no other's away.

    What was sealed with another key is an engine error.
    """
    made: list[T] = []
    for each in found:
        whose = "" if account is None else each[account]
        with fence("rows", item=f"{what} {each[0]}", account=whose):
            made.append(make(each))
    return made


def readable_one(
    make: Callable[[Row], T], found: Row | None, what: str, *, account: int | None = None
) -> T | None:
    """Return what `readable` makes of a row, None where there is none or it cannot be read."""
    made = readable(make, () if found is None else (found,), what, account=account)
    return made[0] if made else None


def asked_for(make: Callable[[Row], T], found: Row | None, what: str) -> T | None:
    """Return what is made of the row that somebody named, None where there is none; raise
    DamagedRow where it cannot be read."""
    if found is None:
        return None
    with damage_told(found, what):
        return make(found)


@contextmanager
def damage_told(found: Row, what: str) -> Iterator[None]:
    """Raise DamagedRow for whatever goes wrong where a value is made of the row that somebody
    named."""
    try:
        yield
    except PASSING:
        raise
    except Exception as error:
        count("rows")
        raise DamagedRow(
            f"{what} {found[0]} is there and cannot be read ({error}): start the release that"
            " wrote it; where that is this one, see to the disk, then restore a backup with"
            " 'postbell restore'"
        ) from error


async def read(
    make: Callable[[Row], Awaitable[T]],
    found: Iterable[Row],
    what: str,
    *,
    account: int | None = None,
) -> list[T]:
    """Do what `readable` does where more rows are read to make a value of one."""
    made: list[T] = []
    for each in found:
        whose = "" if account is None else each[account]
        with fence("rows", item=f"{what} {each[0]}", account=whose):
            made.append(await make(each))
    return made


async def read_one(
    make: Callable[[Row], Awaitable[T]], found: Row | None, what: str, *, account: int | None = None
) -> T | None:
    """Return what `read` makes of a row, None where there is none or it cannot be read."""
    made = await read(make, () if found is None else (found,), what, account=account)
    return made[0] if made else None


async def filled(
    page: Callable[[Row | None, int], Awaitable[list[Row]]],
    make: Callable[[Row], T],
    what: str,
    limit: int,
    *,
    account: int | None = None,
) -> list[T]:
    """Return *limit* readable records, fewer only where there are no more; *page* gives so many
    rows after the one that was read last."""
    made: list[T] = []
    last: Row | None = None
    while len(made) < limit:
        size = limit - len(made)
        found = await page(last, size)
        made += readable(make, found, what, account=account)
        if len(found) < size:
            break
        last = found[-1]
    return made
