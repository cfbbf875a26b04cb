"""The source `mail`: mail servers hand bounces, complaints, answers and unsubscribes over by LMTP
or SMTP.

A mail is answered with 250 once its events are durable, and with 451 where that takes too long: who
hands it over keeps it, and its events have the same ids when it comes again.
"""

import asyncio
import contextlib
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec

from postbell.errors import BadInput
from postbell.ports import Fact, Inlet, Recall, SourceReading, SourceState
from postbell.serving.server import bind
from postbell.serving.tls import certificate
from postbell.settings.values import Address, read_address
from postbell.signals import log
from postbell.sources.mail.mime import MAX_MAIL_BYTES
from postbell.sources.mail.reading import MailReader
from postbell.sources.mail.taking import Taking, gathered, read
from postbell.sources.rotation import modified_ns
from postbell.sources.samples import mails_of
from postbell.sources.whose import MEMBERS, Whose
from postbell.text.networks import Networks
from postbell.text.networks import read as read_network
from postbell.verp import Tracer


class MailMembers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the settings say of it."""

    listen: str
    protocol: Literal["lmtp", "smtp"] = "lmtp"
    networks: list[str] = msgspec.field(default_factory=lambda: ["127.0.0.0/8", "::1"])
    max_connections: int = 100
    unsubscribe: list[str] = []
    only_signed: bool = False
    tls_cert_file: str = ""
    tls_key_file: str = ""


def open(members: Mapping[str, Any], whose: Whose, tracer: Tracer) -> "MailSource":
    """Return the source of these members; raise BadInput that names a wrong one."""
    try:
        given = msgspec.convert(members, MailMembers)
    except msgspec.ValidationError as error:
        known = ", ".join(("kind", *MEMBERS, *MailMembers.__struct_fields__))
        raise BadInput(f"{error}; members: {known}", member="source") from None
    try:
        address = read_address(given.listen)
    except ValueError as error:
        raise BadInput(f"listen is {given.listen!r}; {error}", member="listen") from None
    try:
        networks = tuple(map(read_network, given.networks))
    except ValueError as error:
        raise BadInput(f"networks: {error}", member="networks") from None
    if given.max_connections < 1:
        raise BadInput("max_connections is below 1", member="max_connections")
    if bool(given.tls_cert_file) != bool(given.tls_key_file):
        raise BadInput("TLS needs tls_cert_file and tls_key_file", member="tls_cert_file")
    reader = MailReader(tracer, whose, given.unsubscribe, only_signed=given.only_signed)
    return MailSource(given, whose, address, networks, reader)


class MailSource:
    """Listens for mails; what is signed may be anybody's."""

    kind = "mail"
    is_shared = True

    def __init__(
        self,
        members: MailMembers,
        whose: Whose,
        address: Address,
        networks: Networks,
        reader: MailReader,
    ) -> None:
        self._members = members
        self._reader = reader
        self._address = address
        self._networks = networks
        self.place = f"{members.protocol}://{address}"
        self.account = whose.account
        self.api_user = whose.api_user
        self.port = 0
        """Where it listens, once it does."""

    def sample(self, file: BinaryIO) -> Iterator[Fact]:
        """Yield the one mail, or those of an mbox; raise ServiceError where it could not offer TLS
        to who hands them over."""
        certificate(self._members.tls_cert_file, self._members.tls_key_file)
        return mails_of(file, MAX_MAIL_BYTES)

    async def read(self, facts: Sequence[Fact], recall: Recall) -> SourceReading:
        """Return what these mails tell of, each as `arrived.enveloped` writes it."""
        return gathered([await asyncio.to_thread(read, self._reader, fact) for fact in facts])

    async def run(self, inlet: Inlet) -> None:
        """Listen until cancelled."""
        async with self._listening(inlet) as taking:
            inlet.report(SourceState.UP_TO_DATE)
            await taking.run()

    @contextlib.asynccontextmanager
    async def _listening(self, inlet: Inlet) -> AsyncIterator[Taking]:
        """Take mails inside the block; its end ends every connection."""
        from postbell.sources.mail.smtp import MailConnections, MailTerms, connection

        members = self._members
        tls = _FreshTls(members.tls_cert_file, members.tls_key_file)
        with contextlib.ExitStack() as stack:
            thread = ThreadPoolExecutor(1, "postbell-mail")
            stack.callback(thread.shutdown, wait=False, cancel_futures=True)
            taking = Taking(inlet, self._reader, thread)
            stack.callback(taking.fail)
            connections = MailConnections(
                MailTerms(
                    networks=self._networks,
                    max_connections=members.max_connections,
                    tls=tls.context,
                    take=taking.take,
                    turned_away=self._turned_away,
                )
            )
            stack.callback(connections.close)
            sock = bind(self._address, "'listen' of the source")
            loop = asyncio.get_running_loop()
            server = await loop.create_server(
                partial(connection, connections, members.protocol), sock=sock
            )
            stack.callback(server.close)
            self.port = sock.getsockname()[1]
            yield taking

    def _turned_away(self, reason: str, peer: str) -> None:
        turned_away[reason] += 1
        log("mail_turned_away", place=self.place, reason=reason, peer=peer)


class _FreshTls:
    """The certificate, read again for the next connection where its files changed."""

    def __init__(self, *files: str) -> None:
        self._files = files
        self._certificate = certificate(*files)
        self._stamps = self._now()

    def context(self) -> ssl.SSLContext | None:
        if self._certificate is None:
            return None
        stamps = self._now()
        if stamps != self._stamps:
            self._certificate.reload()
            self._stamps = stamps
        return self._certificate.context

    def _now(self) -> list[int]:
        return [modified_ns(Path(file)) for file in self._files]


REASONS = ("network", "connections", "time", "tls")
turned_away: Counter[str] = Counter()
"""How many connections were not taken or ended here, by reason, in this process."""
