"""A service with what its operator watches by: metrics, standings, notices, a mailbox."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session
from prometheus_client.parser import text_string_to_metric_families

from postbell.clock import SystemClock
from postbell.operating.mailing import Mailer
from postbell.operating.metrics import Metrics, PoolUse
from postbell.operating.notices import Recipients, Teller
from postbell.operating.standings import Standings
from postbell.records import LaneChange, OpenBatch
from tests.api.service import Service, running

OPERATOR = "ops@example.com"
SENDER = "bell@example.com"


class Mailbox:
    """An SMTP server on loopback that keeps what it takes; *refusal* answers recipients."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, EmailMessage]] = []
        self.refusal = ""
        self.arrived = asyncio.Event()

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.refusal:
            return self.refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, _class=EmailMessage, policy=default)
        self.taken += [(to, mail) for to in envelope.rcpt_tos]
        self.arrived.set()
        return "250 OK"

    def texts(self, to: str) -> list[str]:
        """Return the texts of the mails to one address."""
        return [mail.get_content() for each, mail in self.taken if each == to]


@asynccontextmanager
async def smtp(mailbox: Mailbox, **options: Any) -> AsyncIterator[str]:
    """Serve *mailbox* on a free port of loopback; gives the URL."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(mailbox, hostname="mail.example.com", loop=loop, **options), "127.0.0.1", 0
    )
    try:
        yield f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


class Watched:
    """A service, its mailbox, and what watches it."""

    def __init__(self, service: Service, url: str, mailbox: Mailbox, folder: Path) -> None:
        self.service = service
        self.mailbox = mailbox
        self.folder = folder
        self.mailer = Mailer(url, SENDER, SystemClock())
        self.standings = Standings(
            service.reports, service.directory, service.engine.log, service.clock
        )
        self.metrics = Metrics(
            service.engine,
            service.directory,
            self.standings,
            service.clock,
            role="all",
            region="sg",
            pools=lambda: [PoolUse("healthy", 3, 1, 512)],
        )
        self.notices = self.new_notices()

    def new_notices(self, **changes: Any) -> Teller:
        """Return notices as after a restart: only storage remembers."""
        settings: dict[str, Any] = {"lag_limit_s": 900.0, "silence_h": 0.0, "owner": "w1"} | changes
        webhook = settings.pop("operator_webhook", "")
        send_mail = settings.pop("send_mail", self.mailer.send)
        return Teller(
            self.service.engine,
            self.service.directory,
            self.standings,
            self.service.clock,
            Recipients(send_mail, OPERATOR, webhook, "sg", "https://bell.example.com"),
            **settings,
        )

    async def tell(self, seconds: float = 5.0) -> None:
        """Look at everything, let *seconds* pass, and send what is due."""
        await self.service.directory.refresh()
        await self.standings.look()
        await self.notices.look()
        self.service.clock.advance(seconds)
        await self.notices.post()
        await self.notices.mail()

    async def lane(
        self,
        webhook_id: int = 1,
        pause: str = "",
        put: tuple[OpenBatch, ...] = (),
        drop: tuple[str, ...] = (),
        **members: Any,
    ) -> None:
        """Change the lane of a webhook as the worker would."""
        from msgspec.structs import replace

        claim = await self.service.engine.ledger.lane(webhook_id)
        assert claim is not None
        change = LaneChange(
            webhook_id=webhook_id,
            epoch=claim.lane.epoch,
            lane=replace(claim.lane, **members),
            pause=pause,
            put=put,
            drop=drop,
        )
        assert await self.service.engine.ledger.intervene(change)

    async def samples(self) -> dict[str, float]:
        """Return what Prometheus reads, by `name{label=value}`."""
        await self.standings.look()
        _, text = await self.metrics.write("")
        return {
            sample.name
            + "".join(f",{k}={v}" for k, v in sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text.decode())
            for sample in family.samples
        }


@asynccontextmanager
async def watched(folder: Path) -> AsyncIterator[Watched]:
    """Give a watched service with a mailbox of its own."""
    mailbox = Mailbox()
    async with running() as service, smtp(mailbox) as url:
        rig = Watched(service, url, mailbox, folder)
        yield rig
        rig.mailer.close()
