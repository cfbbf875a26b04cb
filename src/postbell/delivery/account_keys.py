"""The signing keys of accounts, as a worker knows them: read before anything is taken from a lane
that signs with one, and again after each change of the registry."""

from collections.abc import Callable, Mapping, Sequence

from postbell.clock import Clock
from postbell.delivery.settle import AGAIN_S, Spawn, may_fail
from postbell.lane.held import Held
from postbell.ports import Dialect, Registry
from postbell.records import Secret, SecretKind, Webhook


class AccountKeys:
    """*known* is told of an account whose keys were asked for, once they were read or not."""

    def __init__(
        self,
        registry: Registry,
        dialects: Mapping[str, Dialect],
        clock: Clock,
        spawn: Spawn,
        known: Callable[[int], None],
    ) -> None:
        self._registry = registry
        self._dialects = dialects
        self._clock = clock
        self._spawn = spawn
        self._known = known
        self._keys: dict[int, list[Secret]] = {}
        self._version = -1
        self._read: set[int] = set()
        self._asked: set[int] = set()

    @property
    def is_busy(self) -> bool:
        return bool(self._asked)

    def heard(self, version: int) -> None:
        """Read everything again, when needed, once the registry has another *version*."""
        if self._version != version:
            self._version = version
            self._read.clear()

    def are_known(self, webhook: Webhook) -> bool:
        """Say whether what signs for a webhook is known; where not, it is read first.

        Nothing is taken from a lane before: who waits for a key would be overtaken.
        """
        account_id = webhook.account_id
        kinds = (self._dialects[one.dialect].secret_kinds for one in webhook.revisions)
        if account_id in self._read or not any(SecretKind.APP_KEY in each for each in kinds):
            return True
        if account_id not in self._asked:
            self._asked.add(account_id)
            self._spawn(self._ask(account_id))
        return False

    def of(self, held: Held) -> Sequence[Secret]:
        """Return the keys of a lane's account, as far as they were read."""
        return self._keys.get(held.webhook.account_id, ())

    async def _ask(self, account_id: int) -> None:
        """Read an account's keys, once after each change of the registry that we heard of."""
        version = self._version
        try:
            with may_fail("keys"):
                self._keys[account_id] = await self._registry.account_secrets(account_id)
                if version == self._version:
                    self._read.add(account_id)
                return
            await self._clock.sleep(AGAIN_S)
        finally:
            self._asked.discard(account_id)
            self._known(account_id)
