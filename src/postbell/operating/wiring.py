"""What an operator watches a process by: metrics, notices, traces; and TLS at its listener.

`app` wires it around the roles; nothing here is needed to take in or deliver an event.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from ipaddress import ip_address
from typing import NamedTuple

from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from postbell.clock import Clock
from postbell.dialects import DIALECTS
from postbell.directory import Directory
from postbell.duties import Duty
from postbell.operating.mailing import Mailer
from postbell.operating.metrics import Metrics, Pools
from postbell.operating.metrics.requests import PATH
from postbell.operating.notices import Recipients, Teller
from postbell.operating.notices.posting import SendMail
from postbell.operating.standings import Standings
from postbell.operating.tracing import Tracing, tracing
from postbell.ports import Engine, Sender
from postbell.presence import ALONE, Doing
from postbell.reports import Reports
from postbell.serving import process
from postbell.serving.listening import Door
from postbell.serving.proxying import Trusting, Unnamed
from postbell.serving.server import address_of, bind, serving
from postbell.settings.members import Settings
from postbell.settings.values import Address, read_address
from postbell.signals import log
from postbell.text.networks import too_wide

OLD_MEMORY = "notices.json"
"""In the data folder: what notices were told, before storage kept that."""
SHUTDOWN_S = 1.0


class Operating(NamedTuple):
    """What the roles take of it; *metrics_address* is "" without a listener of its own."""

    metrics: Metrics
    traces: Tracing | None
    send_mail: SendMail | None
    settings: Settings
    metrics_address: str
    unnamed: Unnamed

    def routes(self) -> list[BaseRoute]:
        """Return `/metrics` for the main listener, unless it has one of its own."""
        if self.settings.metrics_listen:
            return []
        return [Route(PATH, self.metrics.scrape(self.settings.metrics_token))]

    def around(self, app: ASGIApp) -> ASGIApp:
        """Return *app* traced, counted, and behind the proxies that are trusted."""
        if self.traces is not None:
            app = self.traces.around(app)
        app = self.metrics.requests.around(app)
        return Trusting(app, self.settings.trusted_proxies, self.unnamed)

    def sender(self, sender: Sender) -> Sender:
        """Return *sender* traced, where traces are made."""
        return sender if self.traces is None else self.traces.sender(sender)


@contextlib.asynccontextmanager
async def operating(
    settings: Settings,
    clock: Clock,
    engine: Engine,
    directory: Directory,
    *,
    role: str,
    pools: Pools,
    door: Door | None = None,
    doing: Doing = ALONE,
    owner: str = "",
) -> AsyncIterator[Operating]:
    """Measure and tell inside the block, of the installation what *doing* says; notices are the
    workers', who hold their lease as *owner*."""
    teller: Teller | None = None

    def is_wanted() -> bool:
        is_told = teller is not None and teller.is_holding
        return is_told or doing.term(Duty.FIGURES) is not None

    reports = Reports(engine, DIALECTS, directory, clock, installation_policies=settings.policy)
    standings = Standings(reports, directory, engine.log, clock, is_wanted=is_wanted)
    doors = [] if door is None else [door]
    metrics = Metrics(
        engine,
        directory,
        standings,
        clock,
        role=role,
        region=settings.region,
        pools=pools,
        doors=doors,
        doing=doing,
    )
    async with contextlib.AsyncExitStack() as stack:
        send_mail, metrics_address = None, ""
        if settings.smtp_url:
            sender = settings.notice_from or settings.operator_email or "postbell@localhost"
            mailer = Mailer(settings.smtp_url, sender, clock, ca_file=settings.ca_file)
            stack.callback(mailer.close)
            send_mail = mailer.send
        if settings.metrics_listen:
            where = read_address(settings.metrics_listen)
            sock = stack.enter_context(contextlib.closing(bind(where, "--metrics-listen")))
            metrics_address = str(address_of(sock))
            doors.append(Door(settings, name="metrics"))
            await stack.enter_async_context(
                serving(metrics.listener(), sock, shutdown_s=SHUTDOWN_S, door=doors[-1])
            )
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(standings.run(), name="standings"),
                group.create_task(metrics.run(), name="metrics"),
            ]
            if role != "api" and (send_mail is not None or settings.operator_webhook):
                teller = Teller(
                    engine,
                    directory,
                    standings,
                    clock,
                    Recipients(
                        send_mail,
                        settings.operator_email,
                        settings.operator_webhook,
                        settings.region,
                        settings.public_url,
                    ),
                    owner=owner or process.owner(),
                    old_memory=settings.data_dir / OLD_MEMORY,
                    lag_limit_s=settings.lag_limit_s,
                    silence_h=settings.silence_h,
                )
                tasks.append(group.create_task(teller.run(), name="notices"))
            unnamed = Unnamed(clock)
            yield Operating(metrics, tracing(engine), send_mail, settings, metrics_address, unnamed)
            for task in tasks:
                task.cancel()


def warn_of_clear_keys(settings: Settings, address: Address) -> None:
    """Log where keys could be read on their way: no TLS, no trusted proxy, and not loopback."""
    if settings.tls_cert_file or settings.trusted_proxies:
        return
    if not _is_loopback(address):
        log("keys_in_clear", address=str(address))


def warn_of_no_sign_in(settings: Settings, address: Address) -> None:
    """Log where others than this machine's users are operators: by the address, or by a proxy."""
    is_passed_on = bool(settings.trusted_proxies or settings.public_url)
    if not settings.sign_in and (is_passed_on or not _is_loopback(address)):
        log("sign_in_off", address=str(address))


def warn_of_wide_networks(settings: Settings) -> None:
    """Log where a setting takes much of the Internet for networks of one's own."""
    for name in ("trusted_proxies", "allow_networks", "mta_lookup_networks"):
        wide = too_wide(getattr(settings, name))
        if wide:
            log("networks_too_wide", setting=name, networks=wide)


def warn_of_unnamed_proxy(settings: Settings) -> None:
    """Log where customers come through a proxy, by the public URL, and no setting names it."""
    is_direct = settings.tls_cert_file or not settings.public_url.startswith("https:")
    if not is_direct and not settings.trusted_proxies:
        log("proxy_unnamed", peer="", requests=0, setting="trusted_proxies")


def _is_loopback(address: Address) -> bool:
    return ip_address(address.host.partition("%")[0]).is_loopback
