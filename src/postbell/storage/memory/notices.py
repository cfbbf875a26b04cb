"""What notices were told, and those that wait, in memory."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from itertools import islice

from postbell.ports import LETTERS_KEPT, Letter, Telling, ToldOf
from postbell.storage.memory.tables import NEVER, HeldDuty, Tables

NAME = "notices"


class MemoryNotices:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def told(self, after: int, limit: int) -> list[ToldOf]:
        found = sorted(self._tables.told.values())
        return [each for each in found if each.version > after][:limit]

    async def tell(self, tellings: Sequence[Telling]) -> list[str]:
        tables = self._tables
        refused = []
        for each in tellings:
            known = tables.told.get(each.subject)
            if known is not None and known.version != each.before:
                refused.append(each.subject)
                continue
            if each.told is not None:
                tables.last_told += 1
                tables.told[each.subject] = ToldOf(tables.last_told, each.subject, each.told)
            for letter in each.letters:
                self._add(letter)
        return refused

    def _add(self, letter: Letter) -> None:
        tables = self._tables
        tables.last_letter += 1
        tables.letters[tables.last_letter] = letter._replace(id=tables.last_letter)
        for each in self._of(letter.recipient)[:-LETTERS_KEPT]:
            del tables.letters[each.id]

    async def forget(self, told: Sequence[ToldOf]) -> None:
        for each in told:
            known = self._tables.told.get(each.subject)
            if known is not None and known.version == each.version:
                del self._tables.told[each.subject]

    async def hold(self, owner: str, *, lease_s: float) -> bool:
        now, lease = self._tables.clock.now(), timedelta(seconds=lease_s)
        holder = self._tables.duties.get(NAME, HeldDuty())
        if owner != holder.owner and now < holder.until <= now + 2 * lease:
            return False
        epoch = holder.epoch + (owner != holder.owner)
        self._tables.duties[NAME] = HeldDuty(owner, epoch, now + lease, holder.mark)
        return True

    async def release(self, owner: str) -> None:
        holder = self._tables.duties.get(NAME)
        if holder is not None and holder.owner == owner:
            self._tables.duties[NAME] = holder._replace(owner="", until=NEVER)

    async def recipients(self) -> list[str]:
        return sorted({letter.recipient for letter in self._tables.letters.values()})

    async def letters(self, recipient: str, limit: int) -> list[Letter]:
        return list(islice(self._of(recipient), limit))

    async def handed(self, ids: Collection[int]) -> None:
        for letter_id in ids:
            self._tables.letters.pop(letter_id, None)

    def _of(self, recipient: str) -> list[Letter]:
        return [each for each in self._tables.letters.values() if each.recipient == recipient]
