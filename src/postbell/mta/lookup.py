"""The lookup: a listener that a mail server asks whether a recipient is suppressed.

It answers from memory, whatever the database does.  Whoever may ask is named by network; what a
connection sends and leaves unread is bounded, and so is how many there are.
"""

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from typing import cast

from postbell.clock import Clock
from postbell.directory import Directory
from postbell.errors import BadInput
from postbell.mta.protocols import MAX_REQUEST_BYTES, Question, answer_to, next_request
from postbell.ports import Suppressions
from postbell.records import Account, ApiUser
from postbell.serving.server import address_of, bind
from postbell.settings.members import Settings
from postbell.settings.values import read_address
from postbell.signals import log
from postbell.suppressing.held import SuppressedAddresses
from postbell.suppressions import SuppressionReason
from postbell.text.networks import Networks, is_in

MAX_CONNECTIONS = 500
IDLE_S = 600.0
"""So long a connection may say nothing; Postfix keeps one for 300 s by default."""
ANSWERED_AT_ONCE = 50
"""Requests between two turns of others: about half a millisecond."""
ANSWERS = ("suppressed", "not_suppressed", "malformed")
answered: Counter[str] = Counter()
"""How many questions were answered so in this process; a malformed one ends its connection."""
REASONS = ("network", "connections")
refused: Counter[str] = Counter()
"""How many connections were not taken, by reason, in this process."""


@contextlib.asynccontextmanager
async def answering(
    settings: Settings, suppressions: Suppressions, directory: Directory, clock: Clock
) -> AsyncIterator[None]:
    """Answer on the port of the settings inside the block; nothing where there is none.

    It listens once the lists are in memory: until then a mail server finds nobody.  Raises
    BadInput where the account of the settings is not there.
    """
    if not settings.mta_lookup:
        yield
        return
    name = settings.mta_lookup_account
    account = await directory.find(lambda known: known.account_named(name)) if name else None
    if name and account is None:
        raise BadInput(f"mta_lookup_account: no account {name!r}", member="mta_lookup_account")
    held = SuppressedAddresses(suppressions, clock)
    lookup = Lookup(held, directory, account, settings.mta_lookup_networks)
    with contextlib.closing(bind(read_address(settings.mta_lookup), "--mta-lookup")) as sock:
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(lookup.serve(sock), name="suppressions")
            try:
                yield
            finally:
                serving.cancel()


class Lookup:
    """Who may ask, and what is answered; *account* is whose list it is where nobody says."""

    def __init__(
        self,
        held: SuppressedAddresses,
        directory: Directory,
        account: Account | None,
        networks: Networks,
    ) -> None:
        self._held = held
        self._directory = directory
        self._account = account
        self._networks = networks
        self._open: set[LookupConnection] = set()

    async def serve(self, sock: socket.socket) -> None:
        """Read the lists, then answer on *sock* until cancelled."""
        await self._held.begin()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(partial(LookupConnection, self), sock=sock)
        log("lookup_began", address=str(address_of(sock)))
        try:
            await self._held.run()
        finally:
            server.close()
            for each in list(self._open):
                each.end()

    def admit(self, connection: "LookupConnection", peer: str) -> bool:
        """Say whether somebody may ask."""
        reason = "" if is_in(peer, self._networks) else "network"
        if not reason and len(self._open) >= MAX_CONNECTIONS:
            reason = "connections"
        if reason:
            refused[reason] += 1
            log("lookup_refused", reason=reason, peer=peer)
            return False
        self._open.add(connection)
        return True

    def leave(self, connection: "LookupConnection") -> None:
        self._open.discard(connection)

    def find(self, question: Question) -> SuppressionReason | None:
        """Return why the recipient is suppressed: for the api user that is logged in by its name,
        else for the account of the settings."""
        reason = self._found(question)
        answered["not_suppressed" if reason is None else "suppressed"] += 1
        return reason

    def _found(self, question: Question) -> SuppressionReason | None:
        user: ApiUser | None = self._directory.known.api_user(question.login)
        if user is not None:
            return self._held.find(user.account_id, user.id, question.recipient)
        if self._account is None or not question.recipient:
            return None
        return self._held.find(self._account.id, 0, question.recipient)


class LookupConnection(asyncio.Protocol):
    """One connection of a mail server; requests are answered in their order."""

    _transport: asyncio.Transport
    _idle: asyncio.TimerHandle | None = None

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._buffer = bytearray()
        self._is_full = self._is_working = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # of any loop
        peer = transport.get_extra_info("peername")  # None: who connected is gone already
        if peer is not None and self._lookup.admit(self, str(peer[0])):
            self._wait()
        else:
            self.end()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._is_working:
            self._work()

    def pause_writing(self) -> None:
        self._is_full = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._is_full = False
        self._work()

    def connection_lost(self, error: Exception | None) -> None:
        self._lookup.leave(self)
        self._buffer.clear()
        if self._idle is not None:
            self._idle.cancel()

    def end(self) -> None:
        self._transport.abort()

    def _work(self) -> None:
        """Answer what came whole; the rest once others had their turn, or once it is read."""
        self._is_working = False
        for _ in range(ANSWERED_AT_ONCE):
            if self._is_full or self._transport.is_closing():
                return
            request = next_request(self._buffer)
            if request is None:
                if len(self._buffer) > MAX_REQUEST_BYTES:
                    answered["malformed"] += 1
                    self.end()
                else:
                    self._transport.resume_reading()
                    self._wait()
                return
            answer = answer_to(request, self._lookup.find)
            if answer is None:
                answered["malformed"] += 1
                self.end()
                return
            self._transport.write(answer)
        self._is_working = True
        self._transport.pause_reading()
        asyncio.get_running_loop().call_soon(self._work)

    def _wait(self) -> None:
        """End the connection where nothing whole comes for too long."""
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(IDLE_S, self.end)
