"""libcurl driven by the event loop: many exchanges at once, no threads.

libcurl names the sockets and the moment it waits for; the sockets sit in one epoll set of ours,
and only that set is in the loop, so a wake-up serves all ready sockets and costs the loop one
callback.  The sender above prepares each exchange and reads its end.
"""

import asyncio
import errno
import select
import socket
from collections.abc import Callable
from typing import NamedTuple

import pycurl

from postbell.wire.certificates import names_hosts

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 64 * 1024
KEPT_BODY_BYTES = 4 * 1024
MAX_WAKEUPS = 256


class End(NamedTuple):
    """How an exchange ended: libcurl's error number (0: well) and its words."""

    code: int
    text: str


class Transfer:
    """An easy handle with what it received; used again and again, for one request at a time.

    *refusal* names what forbids an address, empty for a good one; *refused* is the address that
    it forbade, and why.  *lacking* says what this machine had too little of for a socket.
    *is_tls* asks new connections for a certificate that names hosts; *is_nameless*: it did not.
    """

    __slots__ = (
        "_refusal",
        "body",
        "body_size",
        "easy",
        "future",
        "has_opened",
        "head",
        "head_size",
        "is_body_cut",
        "is_head_cut",
        "is_nameless",
        "is_tls",
        "lacking",
        "needs_fresh",
        "refused",
        "tries",
    )

    def __init__(self, refusal: Callable[[str], str]) -> None:
        self._refusal = refusal
        self.easy = pycurl.Curl()
        self.easy.setopt(pycurl.HEADERFUNCTION, self._on_head)
        self.easy.setopt(pycurl.WRITEFUNCTION, self._on_body)
        self.easy.setopt(pycurl.OPENSOCKETFUNCTION, self._on_open)
        self.easy.setopt(pycurl.PREREQFUNCTION, self._on_connected)
        self.is_tls = False
        self.clear()

    def clear(self) -> None:
        """Forget the last response."""
        self.head: list[bytes] = []
        self.head_size = 0
        self.is_head_cut = False
        self.body = b""
        self.body_size = 0
        self.is_body_cut = False
        self.refused: tuple[str, str] | None = None
        self.lacking = ""
        self.is_nameless = False
        self.tries = 0
        self.has_opened = False
        self.needs_fresh = False
        self.future: asyncio.Future[End] | None = None

    def _on_head(self, line: bytes) -> int | None:
        self.head_size += len(line)
        if self.head_size > MAX_HEAD_BYTES:
            self.is_head_cut = True
            return 0
        self.head.append(line)
        return None

    def _on_body(self, part: bytes) -> int | None:
        self.body_size += len(part)
        if self.body_size > MAX_BODY_BYTES:
            self.is_body_cut = True
        if len(self.body) < KEPT_BODY_BYTES:
            self.body += part[: KEPT_BODY_BYTES - len(self.body)]
        return 0 if self.is_body_cut else None

    def _on_open(self, purpose: int, address: tuple[int, int, int, tuple[str, int]]) -> object:
        """Make the socket for the address that is really connected to, or refuse it."""
        family, kind, protocol, where = address
        ip = where[0] if family in (socket.AF_INET, socket.AF_INET6) else ""
        if self._is_refused(ip):
            return pycurl.SOCKET_BAD
        try:
            lent = _LentSocket(family, kind, protocol)
        except OSError as error:  # an address family that this machine lacks fails like any other
            self.lacking = str(error) if error.errno in _EXHAUSTED else ""
            return pycurl.SOCKET_BAD
        self.has_opened = True
        return lent

    def _on_connected(self, ip: str, own_ip: str, port: int, own_port: int) -> int:
        """Look at a connection, new or kept, before the request goes out on it.

        libcurl answers a kept connection that died with the next kept one, up to five times;
        after the first, we want a fresh one instead.
        """
        self.tries += 1
        self.needs_fresh = self.tries > 1 and not self.has_opened
        if self.needs_fresh or self._is_refused(ip):
            return pycurl.PREREQFUNC_ABORT
        if self.is_tls and self.has_opened:  # a kept one was looked at when it was new
            self.is_nameless = not self._names_hosts()
        return pycurl.PREREQFUNC_ABORT if self.is_nameless else pycurl.PREREQFUNC_OK

    def _names_hosts(self) -> bool:
        """Look at the certificate of the new connection; pycurl gives it as text, or not at all
        where a part of it is none."""
        try:
            return names_hosts(self.easy.getinfo(pycurl.INFO_CERTINFO))
        except UnicodeDecodeError:
            return False

    def _is_refused(self, ip: str) -> bool:
        kind = self._refusal(ip)
        if kind:
            self.refused = ip, kind
        return bool(kind)


class _LentSocket(socket.socket):
    """pycurl duplicates the socket that it is given; ours closes with its last reference."""

    def __del__(self) -> None:
        if self.fileno() >= 0:
            self.close()


class CurlLoop:
    """One libcurl multi handle on one event loop; made and used there only."""

    def __init__(self, max_connections: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._ready = select.epoll()
        self._watched: set[int] = set()
        self._active: dict[pycurl.Curl, Transfer] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = 0.0
        self._due_at = 0.0
        self._is_kicked = False
        self._is_closed = False
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer)
        self._multi.setopt(pycurl.M_MAXCONNECTS, max_connections)
        self._multi.setopt(pycurl.M_MAX_TOTAL_CONNECTIONS, max_connections)
        self._loop.add_reader(self._ready.fileno(), self._on_ready)

    async def run(self, exchange: Transfer) -> End:
        """Make the exchange and return how it ended; when cancelled, its connection is closed."""
        easy = exchange.easy
        future: asyncio.Future[End] = self._loop.create_future()
        exchange.future = future
        self._active[easy] = exchange
        self._multi.add_handle(easy)
        try:
            return await future
        finally:
            if self._active.pop(easy, None) is not None:
                self._multi.remove_handle(easy)

    def close(self) -> None:
        """End all connections; exchanges under way are cancelled."""
        if self._is_closed:
            return
        self._is_closed = True
        self._loop.remove_reader(self._ready.fileno())
        if self._timer is not None:
            self._timer.cancel()
        for easy, exchange in self._active.items():
            self._multi.remove_handle(easy)
            if exchange.future is not None:
                exchange.future.cancel()
        self._active.clear()
        self._multi.close()
        self._ready.close()

    def _on_socket(self, what: int, fd: int, multi: object, data: object) -> None:
        """Watch a socket as libcurl says.

        A connection that we refuse before its request is closed unsaid, and the system forgets
        its number; an error here would stop every exchange for ever.
        """
        if what == pycurl.POLL_REMOVE:
            if fd in self._watched:
                self._watched.remove(fd)
                try:
                    self._ready.unregister(fd)
                except FileNotFoundError:
                    return
            return
        mask = _MASKS[what]
        if fd in self._watched:
            try:
                self._ready.modify(fd, mask)
                return
            except FileNotFoundError:
                pass
        self._watched.add(fd)
        self._ready.register(fd, mask)

    def _on_timer(self, wait_ms: int) -> None:
        if wait_ms == 0:
            if not self._is_kicked:
                self._is_kicked = True
                self._loop.call_soon(self._on_kick)
        elif wait_ms > 0:
            self._due_at = self._loop.time() + wait_ms / 1000
            if self._timer is None or self._due_at < self._armed_for:
                self._arm()
        else:
            self._due_at = 0.0

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed_for = self._due_at
        self._timer = self._loop.call_at(self._due_at, self._on_due)

    def _on_due(self) -> None:
        self._timer = None
        if self._due_at > self._loop.time():
            self._arm()
        elif self._due_at:
            self._act(pycurl.SOCKET_TIMEOUT, 0)
            self._collect()

    def _on_kick(self) -> None:
        if self._is_closed:
            return
        self._is_kicked = False
        self._act(pycurl.SOCKET_TIMEOUT, 0)
        self._collect()

    def _on_ready(self) -> None:
        for fd, events in self._ready.poll(0, MAX_WAKEUPS):
            self._act(fd, _FLAGS[events & _KNOWN])
        self._collect()

    def _act(self, fd: int, flags: int) -> None:
        self._multi.socket_action(fd, flags)

    def _collect(self) -> None:
        queued = 1
        while queued:
            queued, done, failed = self._multi.info_read()
            for easy in done:
                self._end(easy, _WELL)
            for easy, code, text in failed:
                self._end(easy, End(code, text))

    def _end(self, easy: pycurl.Curl, end: End) -> None:
        exchange = self._active.pop(easy)
        self._multi.remove_handle(easy)
        if exchange.future is not None and not exchange.future.done():
            exchange.future.set_result(end)


_WELL = End(0, "")

_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

_MASKS = {
    pycurl.POLL_IN: select.EPOLLIN,
    pycurl.POLL_OUT: select.EPOLLOUT,
    pycurl.POLL_INOUT: select.EPOLLIN | select.EPOLLOUT,
}

_KNOWN = select.EPOLLIN | select.EPOLLOUT | select.EPOLLERR | select.EPOLLHUP

_FLAGS = {
    events: (pycurl.CSELECT_IN if events & (select.EPOLLIN | select.EPOLLHUP) else 0)
    | (pycurl.CSELECT_OUT if events & select.EPOLLOUT else 0)
    | (pycurl.CSELECT_ERR if events & select.EPOLLERR else 0)
    for events in range(_KNOWN + 1)
    if events & _KNOWN == events
}
