"""Who held each webhook under which epoch, looked up in the database again and again."""

from collections.abc import Iterable

from tests.chaos.witness import Problems

LOOK_EVERY_S = 0.5
ASKED = "SELECT webhook_id, epoch, owner FROM lanes WHERE owner <> ''"


class Holders:
    """One epoch of a webhook has one holder, and epochs never go back: a worker whose webhook is
    another's writes under an epoch that is over, and is refused."""

    def __init__(self, problems: Problems) -> None:
        self.looks = self.moves = 0
        self._problems = problems
        self._last: dict[int, tuple[int, str]] = {}

    def seen(self, rows: Iterable[str]) -> None:
        """Take in what the database says, each row as "webhook|epoch|owner"."""
        self.looks += 1
        for row in rows:
            webhook, epoch, owner = row.split("|")
            last_epoch, last_owner = self._last.get(int(webhook), (0, owner))
            if int(epoch) < last_epoch:
                self._problems.note(f"webhook {webhook}: epoch {epoch} after {last_epoch}")
            elif int(epoch) == last_epoch and owner != last_owner:
                self._problems.note(
                    f"webhook {webhook}: epoch {epoch} is held by {last_owner} and {owner}"
                )
            self.moves += owner != last_owner
            self._last[int(webhook)] = int(epoch), owner
