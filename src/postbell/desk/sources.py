"""Sources as people see to them: begun anew, and their quarantine read again or emptied.

Whoever runs a source reads its facts again; here it is only said which.
"""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from postbell.desk.core import Core
from postbell.errors import NotFound
from postbell.ports import SourceRow
from postbell.trail import Change, Subject


class SourcesDesk(Core):
    """Looking after sources; *account* is the name of the one that asks, None for the operator."""

    async def find_source(self, account: str | None, name: str) -> SourceRow:
        """Return a source of the account; raise NotFound."""
        row = await self.engine.checkpoints.read(name)
        if row is None or (account is not None and not row.standing.is_of(account)):
            raise NotFound(
                f"no source {name[:40]!r}; 'postbell sources list' shows those there are"
            )
        return row

    async def forget_source(self, name: str) -> None:
        """Let a source begin anew, without anything that is kept of it; raise NotFound."""
        row = await self.find_source(None, name)
        forgetting = self.engine.checkpoints.forget(name)
        change = await self._change("source.forgotten", row)
        if not await self.trailed(forgetting, lambda was: change(None) if was else None):
            await self.find_source(None, name)  # it is gone meanwhile

    async def retry_quarantined(
        self, account: str | None, name: str, ids: Sequence[int] | None
    ) -> list[int]:
        """Let these facts in quarantine, None for all, be read again by whoever runs the source;
        return those that will be.  Raises NotFound for a source that there is not, and for facts
        of which none is there whole."""
        row = await self.find_source(account, name)
        wanting = self.engine.quarantine.want(name, ids)
        return await self._of_facts("source.retried", row, wanting, ids)

    async def drop_quarantined(
        self, account: str | None, name: str, ids: Sequence[int] | None
    ) -> list[int]:
        """Let go of these facts in quarantine, None for all; return those that were there.  Raises
        NotFound as `retry_quarantined` does."""
        row = await self.find_source(account, name)
        dropping = self.engine.quarantine.drop(name, ids)
        return await self._of_facts("source.discarded", row, dropping, ids)

    async def _of_facts(
        self,
        action: str,
        row: SourceRow,
        write: Coroutine[Any, Any, list[int]],
        ids: Sequence[int] | None,
    ) -> list[int]:
        change = await self._change(action, row)
        done = await self.trailed(write, lambda which: change(which) if which else None)
        if ids and not done:
            raise NotFound(
                f"none of these facts is in the quarantine of {row.name!r} any more, or not whole"
            )
        return done

    async def _change(
        self, action: str, row: SourceRow
    ) -> Callable[[Sequence[int] | None], Change]:
        """Say it to the account whose source it is; of a shared one to nobody but operators."""
        account = row.standing.account
        found = await self.directory.find(lambda known: known.account_named(account))
        account_id = None if found is None or row.standing.is_shared else found.id

        def change(facts: Sequence[int] | None) -> Change:
            members = None if facts is None else {"facts": len(facts)}
            return Change(action, account_id, Subject("source", "", row.name), None, members)

        return change
