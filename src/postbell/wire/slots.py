"""Who may open the next connection: limits in total, per account, and per host of an account.

The sender takes a slot for every request it has out.  Limits count per account, so that one
account can neither use up a host's share nor stand in front of the others: waiting requests are
served account by account, in turn.
"""

import asyncio
from collections import deque
from typing import NamedTuple


class Busy(Exception):
    """No slot was free in time; *reason* names the limit."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SlotLimits(NamedTuple):
    """Requests at once, and how long and how many may wait for their turn."""

    total: int
    per_account: int
    per_host: int
    max_wait_s: float = 30.0
    max_waiting: int = 10_000


class Slot:
    """The share of one account at one host; what `take` and `wait` return and `free` takes."""

    __slots__ = ("account", "host", "in_use", "waiters")

    def __init__(self, account: "_Account", host: str) -> None:
        self.account = account
        self.host = host
        self.in_use = 0
        self.waiters: deque[asyncio.Future[None]] = deque()


class _Account:
    __slots__ = ("hosts", "id", "in_use", "is_in_turn", "waiting")

    def __init__(self, account_id: int) -> None:
        self.id = account_id
        self.in_use = 0
        self.waiting = 0
        self.is_in_turn = False
        self.hosts: dict[str, Slot] = {}


class Slots:
    """One pool of slots."""

    def __init__(self, limits: SlotLimits) -> None:
        self._limits = limits
        self._free = limits.total
        self._waiting = 0
        self._accounts: dict[int, _Account] = {}
        self._turns: deque[_Account] = deque()

    @property
    def total(self) -> int:
        return self._limits.total

    @property
    def in_use(self) -> int:
        return self._limits.total - self._free

    @property
    def waiting(self) -> int:
        return self._waiting

    def take(self, account_id: int, host: str) -> Slot | None:
        """Return a slot if one is free and nobody of the account waits for this host."""
        account = self._accounts.get(account_id)
        if account is None:
            account = self._accounts[account_id] = _Account(account_id)
        slot = account.hosts.get(host)
        if slot is None:
            slot = account.hosts[host] = Slot(account, host)
        if self._free > 0 and not slot.waiters and self._has_room(slot):
            self._use(slot)
            return slot
        self._forget_if_idle(slot)
        return None

    async def wait(self, account_id: int, host: str) -> Slot:
        """Return a slot as soon as it is this request's turn; raise Busy after *max_wait_s*, or
        at once where *max_waiting* requests wait already."""
        slot = self.take(account_id, host)
        if slot is not None:
            return slot
        limits = self._limits
        if self._waiting >= limits.max_waiting:
            raise Busy(f"{self._waiting} requests wait for a connection already")
        account = self._accounts.setdefault(account_id, _Account(account_id))
        slot = account.hosts.setdefault(host, Slot(account, host))
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        slot.waiters.append(turn)
        account.waiting += 1
        self._waiting += 1
        self._enter(account)
        try:
            async with asyncio.timeout(limits.max_wait_s):
                await turn
        except TimeoutError:
            self._give_up(slot, turn)
            raise Busy(
                f"no connection was free within {limits.max_wait_s:g} s (limits: "
                f"{limits.total} in all, {limits.per_account} an account, "
                f"{limits.per_host} a host of an account)"
            ) from None
        except asyncio.CancelledError:
            self._give_up(slot, turn)
            raise
        return slot

    def free(self, slot: Slot) -> None:
        """Give a slot back and pass it on to whose turn it is."""
        account = slot.account
        self._free += 1
        slot.in_use -= 1
        account.in_use -= 1
        if self._waiting:
            self._enter(account)
            self._pass_on()
        self._forget_if_idle(slot)

    def close(self) -> None:
        """Cancel all that wait."""
        for account in self._accounts.values():
            for slot in account.hosts.values():
                for turn in slot.waiters:
                    turn.cancel()

    def _give_up(self, slot: Slot, turn: asyncio.Future[None]) -> None:
        if turn in slot.waiters:
            slot.waiters.remove(turn)
            slot.account.waiting -= 1
            self._waiting -= 1
            self._forget_if_idle(slot)
        elif not turn.cancelled():  # the slot came in the same moment
            self.free(slot)

    def _has_room(self, slot: Slot) -> bool:
        limits = self._limits
        return slot.in_use < limits.per_host and slot.account.in_use < limits.per_account

    def _use(self, slot: Slot) -> None:
        self._free -= 1
        slot.in_use += 1
        slot.account.in_use += 1

    def _enter(self, account: _Account) -> None:
        if account.waiting and not account.is_in_turn:
            account.is_in_turn = True
            self._turns.append(account)

    def _pass_on(self) -> None:
        while self._free > 0 and self._turns:
            account = self._turns.popleft()
            account.is_in_turn = False
            slot = next(
                (s for s in account.hosts.values() if s.waiters and self._has_room(s)), None
            )
            if slot is None:
                continue  # its own limits hold it back; its next freed slot brings it here again
            turn = slot.waiters.popleft()
            account.waiting -= 1
            self._waiting -= 1
            account.hosts[slot.host] = account.hosts.pop(slot.host)
            if not turn.done():
                self._use(slot)
                turn.set_result(None)
            self._enter(account)

    def _forget_if_idle(self, slot: Slot) -> None:
        account = slot.account
        if not slot.in_use and not slot.waiters:
            account.hosts.pop(slot.host, None)
        if not account.in_use and not account.waiting and not account.hosts:
            self._accounts.pop(account.id, None)
