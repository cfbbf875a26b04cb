"""A connection on which mails come in, by SMTP (RFC 5321) or LMTP (RFC 2033): the protocol is that
of a library (decision 0018), what is here bounds it.

Of a mail's content the beginning is kept, the rest is counted and let go; a connection has as long
for each mail as for any command.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, cast

from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session

from postbell import fences
from postbell.sources.mail.mime import MAX_MAIL_BYTES
from postbell.text.networks import Networks, is_in

MAX_SIZE_BYTES = 64 << 20
"""So large a mail is taken at all: some systems return all of what they could not deliver."""
MAX_LINE_BYTES = 1 << 16
MAX_RECIPIENTS = 100
COMMAND_S = 300.0
HANDSHAKE_S = 30.0
NULL, END = "<>", b"\r\n.\r\n"

Take = Callable[[bytes, str, list[str]], Awaitable[str]]
"""Takes a mail: its content, its sender ("" for the null one), its recipients; returns the answer,
which promises what it says."""


class MailTerms(NamedTuple):
    """Who may connect, how many at once, and what becomes of their mails."""

    networks: Networks
    max_connections: int
    tls: Callable[[], ssl.SSLContext | None]
    """Returns what a new connection may begin TLS with."""
    take: Take
    turned_away: Callable[[str, str], None]
    """Hears why, and which peer: `network`, `connections`, `time`, `tls`."""


class MailConnections:
    """The connections that are open."""

    def __init__(self, terms: MailTerms) -> None:
        self.terms = terms
        self._open: set[MailConnection] = set()

    def refusal(self, peer: str) -> str:
        """Return what a peer is turned away with, "" where it may come in."""
        if not is_in(peer, self.terms.networks):
            self.terms.turned_away("network", peer)
            return "554 5.7.1 no mail is taken from your network\r\n"
        if len(self._open) >= self.terms.max_connections:
            self.terms.turned_away("connections", peer)
            return "421 4.7.0 too many connections; come back later\r\n"
        return ""

    def add(self, one: "MailConnection") -> None:
        self._open.add(one)

    def remove(self, one: "MailConnection") -> None:
        self._open.discard(one)

    def close(self) -> None:
        for one in list(self._open):
            one.abort()


class MailConnection(SMTP):
    """One connection."""

    line_length_limit = MAX_LINE_BYTES

    def __init__(self, connections: MailConnections) -> None:
        self._connections = connections
        self._is_refused = False
        super().__init__(
            _Handler(connections.terms.take, is_lmtp=isinstance(self, LMTP)),
            data_size_limit=MAX_SIZE_BYTES,
            enable_SMTPUTF8=True,
            hostname=socket.gethostname(),
            ident="Postbell",
            tls_context=connections.terms.tls(),
            timeout=COMMAND_S,
            auth_exclude_mechanism=("LOGIN", "PLAIN"),
            loop=asyncio.get_running_loop(),
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        if peer is None:  # who connected is gone already
            self._is_refused = True
            transport.abort()
            return
        refusal = self._connections.refusal(peer[0])
        self._is_refused = bool(refusal)
        if refusal:
            transport.write(refusal.encode())
            transport.close()
            return
        self._connections.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self.transport is not None:
            self._connections.remove(self)
            super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        if not self._is_refused:
            super().data_received(data)

    def eof_received(self) -> bool | None:
        return False if self._is_refused else super().eof_received()

    def abort(self) -> None:
        """End the connection, whether its peer reads or not."""
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()

    def _timeout_cb(self) -> None:
        self._turn_away("time")

    def _turn_away(self, reason: str) -> None:
        peer = cast(Session, self.session).peer or ("",)
        self._connections.terms.turned_away(reason, peer[0])
        self.abort()

    async def smtp_STARTTLS(self, arg: str | None) -> None:
        """Begin TLS; what came in clear behind the command is let go (RFC 3207 section 4.2)."""
        if arg or self.tls_context is None or self._tls_protocol:
            await self.push("501 Syntax: STARTTLS" if arg else "454 TLS not available")
            return
        reader, writer, session = self._reader, self._writer, cast(Session, self.session)
        writer.write(b"220 Ready to start TLS\r\n")
        # Nobody has a turn from here until the transport hands over: what is cleared came in clear.
        reader._buffer.clear()  # type: ignore[attr-defined]
        try:
            transport = await self.loop.start_tls(
                self._writer.transport,
                self,
                self.tls_context,
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_S,
            )
        except OSError as error:  # of TLS and of time, too
            self._turn_away("tls")
            self.connection_lost(error)  # which loops do not say of one that is lost in a handshake
            return
        reader._transport = writer._transport = transport  # type: ignore[attr-defined]
        self.transport, self._tls_protocol = transport, cast(Any, transport)
        self.envelope, self.session = Envelope(), Session(self.loop)
        self.session.peer, self.session.ssl = session.peer, {"sslcontext": self.tls_context}

    async def smtp_DATA(self, arg: str | None) -> None:
        """Take a mail's content (RFC 5321 section 4.1.1.4) and answer for it."""
        envelope = cast(Envelope, self.envelope)
        if await self.check_helo_needed():
            return
        if arg or not envelope.rcpt_tos:
            await self.push("501 Syntax: DATA" if arg else "503 Error: need RCPT command")
            return
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        envelope.content, size = await self._content()
        if size > MAX_SIZE_BYTES:
            status = f"552 5.3.4 a mail of over {MAX_SIZE_BYTES} bytes is not taken"
        else:
            status = await self._call_handler_hook("DATA")
        self.envelope = Envelope()
        await self.push(status)

    async def _content(self) -> tuple[bytes, int]:
        """Return the beginning of a mail's content, and how long it was."""
        kept, size = bytearray(), 0
        self._reader._buffer[:0] = b"\r\n"  # type: ignore[attr-defined]  # content may be nothing
        while True:
            try:
                chunk = await self._reader.readuntil(END)
            except asyncio.LimitOverrunError as error:
                chunk = await self._reader.read(error.consumed)
            size += len(chunk)
            if len(kept) < MAX_MAIL_BYTES:
                kept += chunk
            if chunk.endswith(END):
                return bytes(kept.replace(b"\r\n.", b"\r\n")[2:]), size


class LmtpMailConnection(MailConnection, LMTP):
    """One connection of LMTP: DATA is answered once for each recipient."""


class _Handler:
    """What the library asks of whoever takes mails."""

    def __init__(self, take: Take, *, is_lmtp: bool) -> None:
        self._take = take
        self._is_lmtp = is_lmtp

    async def handle_EHLO(
        self, _: SMTP, session: Session, __: Envelope, hostname: str, answers: list[str]
    ) -> list[str]:
        session.host_name = hostname
        known = ("250-AUTH", "250-HELP", "250 HELP")
        kept = [line for line in answers if not line.startswith(known)]
        return [*kept, "250-ENHANCEDSTATUSCODES", "250 PIPELINING"]

    async def handle_RCPT(
        self, _: SMTP, __: Session, envelope: Envelope, address: str, ___: list[str]
    ) -> str:
        if len(envelope.rcpt_tos) >= MAX_RECIPIENTS:
            return "452 4.5.3 too many recipients"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:
        sender = envelope.mail_from or NULL
        content = cast(bytes, envelope.content)
        status = await self._take(content, sender.strip(NULL), envelope.rcpt_tos)
        return "\r\n".join([status] * (len(envelope.rcpt_tos) if self._is_lmtp else 1))

    async def handle_exception(self, error: Exception) -> str:
        fences.note("door", error, item="a connection of mail")
        return "451 4.3.0 an internal error; it was logged"


def connection(connections: MailConnections, protocol: str) -> Any:
    """Return what speaks *protocol*, `lmtp` or `smtp`, on a new connection."""
    return (LmtpMailConnection if protocol == "lmtp" else MailConnection)(connections)


logging.getLogger("mail.log").setLevel(logging.CRITICAL + 1)  # it writes what clients say
