"""A connection: the state that it is in, and what moves it on to another.

`states` has the table.  Every move goes through `_enter`, which arms the one deadline there is.
Reading is off whenever what would be read has nobody to take it, so that what a peer can make us
hold is one read.
"""

import asyncio
import ssl
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

from uvicorn.server import ServerState

from postbell.serving.listening.door import Door
from postbell.serving.listening.exchange import App, Exchange
from postbell.serving.listening.framing import Framing
from postbell.serving.listening.gone import GONE
from postbell.serving.listening.pace import ExchangePace, Unsealing
from postbell.serving.listening.refusals import FULL, SLOW_BODY, TINY_RECORDS, Refusal, answer
from postbell.serving.listening.room import HeadRoom
from postbell.serving.listening.states import RULES, SILENT, State


class Served(NamedTuple):
    """What the connections of one server have in common; *tasks* owns what answers requests, and
    *tls* gives the context of a new connection where there is TLS."""

    app: App
    door: Door
    tasks: asyncio.TaskGroup
    tls: Callable[[], ssl.SSLContext] | None


class Connection(asyncio.BufferedProtocol):
    """The protocol of one connection."""

    def __init__(self, served: Served, server: ServerState) -> None:
        self._served = served
        self._door = served.door
        self._seconds = served.door.seconds
        self._server = server
        self._loop = asyncio.get_running_loop()
        self.transport: Any = None
        self._is_reading = True
        self._network = ""
        self._client = self._local = ("", 0)
        self._framing: Framing
        self._pace: ExchangePace
        self._exchange: Exchange | None = None
        self._writable: asyncio.Event | None = None
        self._entered_s = 0.0
        self._drained_bytes = 0
        self._in_row = 0
        self._room = HeadRoom(served.door.heads)
        self._peer_ended = False
        self._is_stopping = self.is_last = False
        self.state = State.FRESH if served.tls is None else State.HANDSHAKE
        self.deadline_s = float("inf")

    # ---- the transport tells ------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        """Ask the door whether there is a place."""
        self.transport = transport
        self._client = (transport.get_extra_info("peername") or ("", 0))[:2]
        try:
            self._network = self._door.admit(self, self._client[0])
        except LookupError as reason:
            self._turn_away(str(reason))
            return
        self._local = (transport.get_extra_info("sockname") or ("", 0))[:2]
        self._framing = Framing(self._door.limits)
        self._pace = ExchangePace(self._door.limits)
        self._server.connections.add(self)  # type: ignore[arg-type]  # uvicorn names its own
        self._arm()

    def secured(self) -> None:
        """Begin with HTTP: the handshake is done."""
        self._pace.unsealing = Unsealing()
        self._enter(State.FRESH)

    def connection_lost(self, exc: Exception | None) -> None:
        self._part()
        self._door.leave(self, self._network)
        self._network = ""
        self._server.connections.discard(self)
        self.state = State.CLOSING
        self.transport = GONE

    def get_buffer(self, sizehint: int) -> memoryview:
        is_large = self.state is State.BODY or self.state is State.DRAINING
        view = self._door.body_view if is_large else self._door.head_view
        unsealing = self._pace.unsealing
        return view if unsealing is None else view[: unsealing.reads()]

    def buffer_updated(self, nbytes: int) -> None:
        if self.state is State.CLOSING:
            return
        if self.state is State.DRAINING:
            self._drained_bytes += nbytes
            if self._drained_bytes > self._door.limits.http_drain_bytes:
                self._end("drain_bytes")
        elif not self._pace.has_read(nbytes):
            self._door.ended["tiny_records"] += 1
            self.refuse(TINY_RECORDS)
        elif nbytes:
            self._framing.receive(bytes(self._door.body_view[:nbytes]))
            self._advance()

    def eof_received(self) -> bool:
        """The peer sends no more; it may still read the answer to a whole request."""
        self._peer_ended = True
        is_answered = self.state in (State.ANSWERING, State.WRITING) and self._framing.is_whole
        if not is_answered:
            if self.state is not State.CLOSING:
                self._enter(State.CLOSING)
            self._part()
            return False
        self.is_last = True
        if self._exchange is not None:
            self._exchange.hear_no_more()
        return True

    def pause_writing(self) -> None:
        self._writable = asyncio.Event()
        if self.state is State.BODY and self._is_reading:
            self._pause_body()
        if self.state in (State.BODY, State.ANSWERING):
            self._enter(State.WRITING)
            self._room.keep(may_go=True)
            self._read(False)

    def resume_writing(self) -> None:
        if self._writable is not None:
            self._writable.set()
            self._writable = None
        if self.state is not State.WRITING:
            return
        self._pace.stalled(self._loop.time() - self._entered_s)
        if self._exchange is None:
            self._next()
        else:
            self._go_on(self._exchange)

    # ---- the exchange asks (see `exchange.Line`) ----------------------------------------------

    @property
    def date(self) -> bytes:
        return self._door.date

    def read_body(self) -> None:
        if self.state is State.BODY and not self._is_reading:
            self.deadline_s = self._loop.time() + self._pace.body_s
            self._read(True)

    def write(self, data: bytes) -> None:
        self._pace.wrote(len(data))
        self.transport.write(data)

    async def writable(self) -> None:
        while self._writable is not None:
            await self._writable.wait()

    def answered(self) -> None:
        self._exchange = None
        self._room.leave()
        if self.state is not State.WRITING:
            self._next()

    def abort(self) -> None:
        if self.state is not State.CLOSING:
            self._enter(State.CLOSING)
        self.transport.abort()
        self._part()

    # ---- its owners ask -----------------------------------------------------------------------

    @property
    def turns_as(self) -> Hashable:
        """Whose turn it is when it is this connection's: its network's, where that is counted."""
        return self._network or self

    def shutdown(self) -> None:
        """End as soon as what was begun is answered; uvicorn says so when it stops."""
        self.is_last = self._is_stopping = True
        self._seconds = self._door.last_seconds
        if self.state is State.HANDSHAKE:
            self.abort()
        elif self._exchange is None and self.state not in (State.WRITING, State.CLOSING):
            self._close()
        else:
            self.deadline_s = min(self.deadline_s, self._loop.time() + self._seconds[self.state])

    def make_room(self) -> None:
        if self.state in SILENT:
            self._close()
        else:
            self.abort()

    def expire(self) -> None:
        state = self.state
        if state is State.WRITING and self._took_enough():
            return
        if state is State.DRAINING:
            self._door.ended[state.value] += 1
            self._close()
        elif state in SILENT:
            self._end(state.value, abort=False)
        elif state is State.HEAD:
            self._door.ended[state.value] += 1
            self.refuse(Refusal(408, "head_timeout", "the head of the request came too slowly"))
        elif state is State.BODY and self._is_reading and not self._exchange_started():
            self._door.ended[state.value] += 1
            self.refuse(SLOW_BODY)
        else:
            self._end(state.value)

    # ---- moving -------------------------------------------------------------------------------

    def _enter(self, state: State) -> None:
        """Move to *state*: the one place where it changes, and where the deadline is set."""
        before = self.state
        if state not in RULES[before].then:
            raise RuntimeError(f"a connection does not go from {before.value} to {state.value}")
        self.state = state
        self._door.moved(self, before)
        self._arm()

    def _arm(self) -> None:
        self._entered_s = self._loop.time()
        self.deadline_s = self._entered_s + self._seconds[self.state]

    def _advance(self) -> None:
        """Look at what came, as far as it is this connection's turn."""
        try:
            if self._exchange is None:
                if self.state is not State.WRITING:
                    self._look_for_head()
            elif self.state is State.BODY:
                self._hand_over(self._exchange)
        except Refusal as refusal:
            self.refuse(refusal)
            return
        if self._framing.is_ahead:
            self._read(False)

    def _look_for_head(self) -> None:
        head = self._framing.head()
        self._room.hold(self._framing.head_bytes, self.turns_as, self.refuse)
        if head is None:
            if self._framing.has_begun and self.state is not State.HEAD:
                self._enter(State.HEAD)
            self._read(True)
            return
        framing = self._framing
        data = b"" if framing.is_whole else framing.body()
        scope = head.scope(self._client, self._local, "https" if self._pace.unsealing else "http")
        exchange = Exchange(self, scope, head)
        exchange.take(data, is_whole=framing.is_whole)
        is_enough = self._in_row >= self._door.limits.http_in_row
        self.is_last |= framing.closes or head.is_old or is_enough
        self._exchange = exchange
        self._pace.begin()
        self._go_on(exchange)
        self._door.turns.take(self.turns_as, self, lambda: self._begin(exchange))

    def _begin(self, exchange: Exchange) -> None:
        """Let the application answer: it is this connection's turn."""
        task = self._served.tasks.create_task(exchange.run(self._served.app))
        self._server.tasks.add(task)
        task.add_done_callback(self._server.tasks.discard)

    def _go_on(self, exchange: Exchange) -> None:
        """Go where a request belongs that is being handled."""
        if exchange.is_whole:
            self._enter(State.ANSWERING)
            self._room.keep(may_go=False)
            self._read(not self._framing.is_ahead and not self._peer_ended)
            return
        self._enter(State.BODY)
        self._stop_body()
        if exchange.is_waiting:
            self.read_body()

    def _hand_over(self, exchange: Exchange) -> None:
        """Give the application what came of the body; the next part is read when it asks."""
        data = self._framing.body()
        self._pause_body()
        self._pace.came(len(data))
        exchange.take(data, is_whole=self._framing.is_whole)
        self.is_last = self.is_last or not self._framing.is_exact
        if exchange.is_whole:
            self._go_on(exchange)
        elif exchange.is_waiting:
            self.read_body()

    def _pause_body(self) -> None:
        """Keep what is left of the time for the body, while nothing of it is read."""
        self._pace.body_s = self.deadline_s - self._loop.time()
        self._stop_body()

    def _stop_body(self) -> None:
        """Read nothing until the application asks for it, which has the time for an answer."""
        self._read(False)
        self.deadline_s = self._loop.time() + self._door.seconds[State.ANSWERING]

    def _next(self) -> None:
        """Go on after an answer: to what is here already, to waiting, or to the end."""
        if self.is_last or not self._framing.is_whole:
            self._finish()
            return
        self._framing.again()
        if not self._framing.is_ahead:
            self._in_row = 0
            self._enter(State.IDLE)
            self._read(True)
            return
        self._in_row += 1
        self._enter(State.IDLE)
        self._advance()

    def _finish(self) -> None:
        """Let the peer read the last answer: a close with bytes unread would tell it to forget."""
        is_done = self._framing.is_whole and not self._framing.is_ahead
        is_over = self._peer_ended or self.transport.is_closing()
        if is_over or (is_done and self._is_stopping):
            self._close()
            return
        self._enter(State.DRAINING)
        self.transport.write_eof()
        self._read(True)

    def _close(self) -> None:
        if self.state is not State.CLOSING:
            self._enter(State.CLOSING)
        self.transport.close()
        self._part()

    def _end(self, what: str, *, abort: bool = True) -> None:
        self._door.ended[what] += 1
        if abort:
            self.abort()
        else:
            self._close()

    def refuse(self, refusal: Refusal) -> None:
        """Answer what cannot be taken, and end."""
        self._door.refused[refusal.code] += 1
        if self._exchange_started():
            self.abort()
            return
        self._part()
        self.is_last = True
        self.write(answer(refusal, self._door.date))
        if self.state is not State.CLOSING:
            self._finish()

    def _turn_away(self, reason: str) -> None:
        """Refuse the connection itself: nothing is kept of it."""
        self.state = State.CLOSING
        if self._served.tls is None and reason in FULL:
            self.transport.write(answer(FULL[reason], self._door.date))
            self.transport.close()
        else:
            self.transport.abort()

    def _part(self) -> None:
        """Let the application know that nobody waits any longer."""
        exchange, self._exchange = self._exchange, None
        if self._room.leave():
            self._framing.forget()
        if exchange is not None:
            exchange.leave()
            self._door.turns.leave(self.turns_as, self)
        if self._writable is not None:
            self._writable.set()
            self._writable = None

    # ---- details ------------------------------------------------------------------------------

    def _read(self, is_wanted: bool) -> None:
        if is_wanted is not self._is_reading and not self.transport.is_closing():
            self._is_reading = is_wanted
            if is_wanted:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def _took_enough(self) -> bool:
        """Say whether the peer takes the answer at the least rate, and give it its time if so."""
        left_bytes = self.transport.get_write_buffer_size()
        may_s = self._pace.write_s(left_bytes, self._seconds[State.WRITING])
        self.deadline_s = self._entered_s + may_s
        return self.deadline_s > self._loop.time()

    def _exchange_started(self) -> bool:
        return self._exchange is not None and self._exchange.started
