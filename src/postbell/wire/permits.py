"""Who may open the next connection: limits in total, per account, and per host of an account.

The sender takes a slot for every request it has out.  Of each limit one half is for whoever
comes; of the other, a webhook gets one, and more only while its requests are answered quickly
and a quarter is left.  So those that hang cannot use up what their neighbours need, however
many requests each may have out; and who holds none is served before all who hold some.
"""

import asyncio
from collections import deque
from typing import NamedTuple


class Busy(Exception):
    """No slot was free in time; *reason* names the limit."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ShareLimits(NamedTuple):
    """Requests at once, and how long and how many may wait for their turn."""

    total: int
    per_account: int
    per_host: int
    max_wait_s: float = 30.0
    max_waiting: int = 10_000


class Permit:
    """The share of one webhook at one host; what `take` and `wait` return and `free` takes.

    It is forgotten while nothing is out, and with it that it *is_quick*.
    """

    __slots__ = ("account", "host", "in_use", "is_quick", "waiters", "webhook_id")

    def __init__(self, account: "_Account", webhook_id: int, host: "_Host") -> None:
        self.account = account
        self.webhook_id = webhook_id
        self.host = host
        self.in_use = 0
        self.is_quick = False
        self.waiters: deque[asyncio.Future[None]] = deque()


class _Host:
    """What all webhooks of one account have out to a host."""

    __slots__ = ("in_use", "name", "shares")

    def __init__(self, name: str) -> None:
        self.name = name
        self.in_use = 0
        self.shares = 0


class _Account:
    __slots__ = ("hosts", "id", "in_use", "is_in_turn", "shares", "waiting")

    def __init__(self, account_id: int) -> None:
        self.id = account_id
        self.in_use = 0
        self.waiting = 0
        self.is_in_turn = False
        self.hosts: dict[str, _Host] = {}
        self.shares: dict[tuple[int, str], Permit] = {}


class Shares:
    """One pool of slots."""

    def __init__(self, limits: ShareLimits) -> None:
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

    def take(self, account_id: int, webhook_id: int, host: str) -> Permit | None:
        """Return a slot where the webhook may have one now and waits for none yet."""
        slot = self._share(account_id, webhook_id, host)
        if not slot.waiters and self._has_room(slot):
            self._use(slot)
            return slot
        self._forget_if_idle(slot)
        return None

    async def wait(self, account_id: int, webhook_id: int, host: str) -> Permit:
        """Return a slot as soon as it is this request's turn; raise Busy after *max_wait_s*, or
        at once where too many wait: of the last quarter of *max_waiting* a webhook gets one."""
        slot = self.take(account_id, webhook_id, host)
        if slot is not None:
            return slot
        slot = self._share(account_id, webhook_id, host)
        limits = self._limits
        kept = limits.max_waiting // 4 if slot.waiters else 0
        if limits.max_waiting - self._waiting <= kept:
            self._forget_if_idle(slot)
            raise Busy(f"{self._waiting} requests wait for a connection already")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        slot.waiters.append(turn)
        slot.account.waiting += 1
        self._waiting += 1
        self._enter(slot.account)
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

    def free(self, slot: Permit, *, is_quick: bool = False) -> None:
        """Give a slot back and pass it on to whose turn it is.

        *is_quick* says that the request was answered soon, whatever the answer.
        """
        slot.is_quick = is_quick
        self._free += 1
        slot.in_use -= 1
        slot.host.in_use -= 1
        slot.account.in_use -= 1
        if self._turns:
            self._pass_on()
        self._forget_if_idle(slot)

    def close(self) -> None:
        """Cancel all that wait."""
        for account in self._accounts.values():
            for slot in account.shares.values():
                for turn in slot.waiters:
                    turn.cancel()

    def _give_up(self, slot: Permit, turn: asyncio.Future[None]) -> None:
        if turn in slot.waiters:
            slot.waiters.remove(turn)
            slot.account.waiting -= 1
            self._waiting -= 1
            self._forget_if_idle(slot)
        elif not turn.cancelled():  # the slot came in the same moment
            self.free(slot)

    def _has_room(self, slot: Permit) -> bool:
        """Say whether every limit leaves this webhook one more."""
        limits, host, account = self._limits, slot.host, slot.account
        quarters = 0 if not slot.in_use else 1 if slot.is_quick else 2
        return (
            (limits.per_host - host.in_use) * 4 > limits.per_host * quarters
            and (limits.per_account - account.in_use) * 4 > limits.per_account * quarters
            and self._free * 4 > limits.total * quarters
            and self._free > account.in_use
        )

    def _use(self, slot: Permit) -> None:
        self._free -= 1
        slot.in_use += 1
        slot.host.in_use += 1
        slot.account.in_use += 1

    def _enter(self, account: _Account) -> None:
        if not account.is_in_turn:
            account.is_in_turn = True
            self._turns.append(account)

    def _pass_on(self) -> None:
        """Serve accounts with waiting requests in turn, until none of them may have more."""
        held_back = 0
        while self._free > 0 and held_back < len(self._turns):
            account = self._turns.popleft()
            if not account.waiting:
                account.is_in_turn = False
                continue
            slot = self._next(account)
            if slot is not None:
                held_back = 0
                turn = slot.waiters.popleft()
                account.waiting -= 1
                self._waiting -= 1
                key = slot.webhook_id, slot.host.name
                account.shares[key] = account.shares.pop(key)
                if not turn.done():
                    self._use(slot)
                    turn.set_result(None)
            else:
                held_back += 1
            self._turns.append(account)

    def _next(self, account: _Account) -> Permit | None:
        """Return whose turn it is among the account's webhooks."""
        if account.in_use >= self._free:
            return None
        return next((s for s in account.shares.values() if s.waiters and self._has_room(s)), None)

    def _share(self, account_id: int, webhook_id: int, host: str) -> Permit:
        account = self._accounts.get(account_id)
        if account is None:
            account = self._accounts[account_id] = _Account(account_id)
        slot = account.shares.get((webhook_id, host))
        if slot is None:
            at = account.hosts.get(host)
            if at is None:
                at = account.hosts[host] = _Host(host)
            at.shares += 1
            slot = account.shares[webhook_id, host] = Permit(account, webhook_id, at)
        return slot

    def _forget_if_idle(self, slot: Permit) -> None:
        account, host = slot.account, slot.host
        if slot.in_use or slot.waiters:
            return
        if account.shares.pop((slot.webhook_id, host.name), None) is None:
            return
        host.shares -= 1
        if not host.shares:
            del account.hosts[host.name]
        if not account.shares:
            self._accounts.pop(account.id, None)
