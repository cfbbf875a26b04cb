"""The only wiring of a serving process: what is started, in which order, and how it ends.

Started: engine, directory, worker, ingest, HTTP.  Ended: worker and HTTP take nothing new and
finish what is in flight, at the same time; then ingest, sender and engine close.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal, NamedTuple

from postbell import __version__, api, sealing, sources
from postbell.clock import Clock
from postbell.delivery.worker import Worker
from postbell.desk import Desk
from postbell.dialects import DIALECTS
from postbell.dialects.engagelab.routes import routes as engagelab_routes
from postbell.dialects.sendpulse_api import routes as sendpulse_routes
from postbell.directory import Directory
from postbell.errors import Overloaded, PostbellError, StorageError, TakenOver
from postbell.index.indexer import Indexer
from postbell.ingest import user_agents
from postbell.ingest.ingest import Ingest
from postbell.mta import answering
from postbell.operating.metrics import PoolUse
from postbell.operating.wiring import (
    Operating,
    operating,
    warn_of_clear_keys,
    warn_of_no_sign_in,
    warn_of_unnamed_proxy,
    warn_of_wide_networks,
)
from postbell.ports import Engine, Sender, UrlGuard
from postbell.presence import Presence, duties_of
from postbell.reports import Reports
from postbell.reports.live import Live
from postbell.serving import process
from postbell.serving.listening import Door
from postbell.serving.opening import open_sender
from postbell.serving.server import address_of, bind, serving
from postbell.serving.tls import Certificate, certificate
from postbell.settings.members import Settings
from postbell.signals import log
from postbell.sources.running import SourceParts, Sources
from postbell.starting import opened
from postbell.suppressing.follower import SuppressionFollower
from postbell.suppressing.telling import SuppressionTeller
from postbell.verp import PURPOSE, Tracer
from postbell.web import Site, lost_page, refused_page, words
from postbell.web import routes as web_routes
from postbell.web.pictures import PICTURES

Role = Literal["api", "worker", "all"]
ROLES: tuple[Role, ...] = ("api", "worker", "all")
USES_S = 60.0


class Parts(NamedTuple):
    """What a role is made of."""

    settings: Settings
    clock: Clock
    engine: Engine
    directory: Directory
    guard: UrlGuard
    sender: Sender
    live: Live
    presence: Presence


async def serve(
    settings: Settings,
    role: Role,
    *,
    ready: Callable[[str], None],
    stop: asyncio.Event | None = None,
) -> None:
    """Serve until *stop* is set (by default: by signals), then end cleanly.

    *ready* is told the base URL, "" for a worker, once everything is up; and again where the
    database became another one, so that all began anew.  Any other unexpected error in any part
    ends the whole: the log is durable, a supervisor starts the process again.
    """
    process.prepare()
    process.keep_owner()
    tls = certificate(settings.tls_cert_file, settings.tls_key_file)
    if stop is None:
        stop = asyncio.Event()
        process.stop_on_signals(stop, at_hangup=None if tls is None else tls.reload)
    is_over = False
    while not is_over:
        try:
            await _serve_once(settings, role, tls, ready, stop)
            is_over = True
        except* TakenOver:
            is_over = stop.is_set()
            if not is_over:
                log("starts_anew", role=role)


async def _serve_once(
    settings: Settings,
    role: Role,
    tls: Certificate | None,
    ready: Callable[[str], None],
    stop: asyncio.Event,
) -> None:
    """Serve until *stop* is set; raise TakenOver where the database is another one by then."""
    async with contextlib.AsyncExitStack() as stack:
        sock = bind(settings.listen) if role != "worker" else None
        if sock is not None:
            stack.callback(sock.close)
            warn_of_clear_keys(settings, address_of(sock))
            warn_of_unnamed_proxy(settings)
            warn_of_no_sign_in(settings, address_of(sock))
        warn_of_wide_networks(settings)
        door = Door(settings, trusted=settings.trusted_proxies)
        storage = await opened(settings, role, sock, door, tls, stop)
        if storage is None:
            return
        clock, engine, directory, ingest = storage
        stack.push_async_callback(engine.close)
        guard, sender = open_sender(settings, clock)
        stack.push_async_callback(sender.close)
        live = Live(engine, directory, clock)
        me = process.member(role, clock.now())
        presence = Presence(engine.crew, directory, clock, me, duties_of(settings, role))
        parts = Parts(settings, clock, engine, directory, guard, sender, live, presence)
        address = str(address_of(sock)) if sock is not None else ""
        try:
            async with asyncio.TaskGroup() as tasks:
                follower = tasks.create_task(directory.follow(engine.bell), name="directory")
                garbage = tasks.create_task(process.collect(), name="garbage")
                tables = tasks.create_task(asyncio.to_thread(user_agents.tables), name="tables")
                catalogues = tasks.create_task(asyncio.to_thread(words.read), name="catalogues")
                await presence.try_report()
                reporting = tasks.create_task(presence.run(), name="presence")
                async with contextlib.AsyncExitStack() as roles:
                    worker = None
                    operation = await roles.enter_async_context(
                        operating(
                            settings,
                            clock,
                            engine,
                            directory,
                            role=role,
                            door=door if sock is not None else None,
                            pools=lambda: [PoolUse(*pool) for pool in sender.usage()],
                            doing=presence,
                            owner=me.name,
                        )
                    )
                    ticker = tasks.create_task(clock.run(), name="clock")  # notices hear of it
                    parts = parts._replace(sender=operation.sender(sender))
                    if role != "api":
                        worker = await roles.enter_async_context(_working(parts, tasks))
                    if sock is not None and ingest is not None:
                        taking_in = _ingesting(parts, ingest, operation, tasks)
                        app = await roles.enter_async_context(taking_in)
                        await asyncio.wait((tables, catalogues))  # no request is to make them
                        await roles.enter_async_context(
                            serving(
                                operation.around(app),
                                sock,
                                shutdown_s=settings.shutdown_s,
                                door=door,
                                certificate=tls,
                            )
                        )
                        roles.callback(live.close)
                        roles.callback(app.stop)
                    log(
                        "started",
                        role=role,
                        address=address,
                        metrics=operation.metrics_address,
                        region=settings.region,
                        version=__version__,
                    )
                    ready(f"http{'s' * (tls is not None)}://{address}" if address else "")
                    await stop.wait()
                    log("stopping", role=role)
                    began = time.monotonic()
                    presence.end()
                    if worker is not None:
                        worker.stop()
                for each in (reporting, follower, ticker, garbage):
                    each.cancel()
                await presence.leave()
        except Exception as error:
            _log_failure(error)
            raise
    log("stopped", seconds=round(time.monotonic() - began, 3))


@contextlib.asynccontextmanager
async def _ingesting(
    parts: Parts, ingest: Ingest, operation: Operating, tasks: asyncio.TaskGroup
) -> AsyncIterator[Any]:
    """Run *ingest* inside the block and give the HTTP application on top of it."""
    settings = parts.settings
    task = tasks.create_task(ingest.run(), name="ingest")
    desk = Desk(
        parts.engine,
        DIALECTS,
        parts.guard,
        parts.clock,
        parts.directory,
        installation_policies=settings.policy,
        max_webhooks_per_account=settings.max_webhooks_per_account,
        max_api_users_per_account=settings.max_api_users_per_account,
        sender=parts.sender,
    )
    reports = Reports(
        parts.engine,
        DIALECTS,
        parts.directory,
        parts.clock,
        installation_policies=settings.policy,
        has_index=settings.index == "on",
    )
    site = Site(
        desk=desk,
        reports=reports,
        public_url=settings.public_url,
        region=settings.region,
        retention_days=settings.retention_days,
        sign_in=settings.sign_in,
        hosts=settings.hosts,
        second_factor=settings.second_factor,
        support=settings.support,
        default_dialect=settings.default_dialect,
        send_mail=operation.send_mail,
        pictures=PICTURES,
        unnamed_proxy=operation.unnamed.peer,
        live=parts.live,
    )
    sealer = sealing.load_or_create(settings.secret_key_path)
    tracer = Tracer(sealer.derived(PURPOSE))
    named = {name: sources.open(members, tracer) for name, members in settings.source.items()}
    engine, directory = parts.engine, parts.directory
    beyond = SourceParts(ingest, engine.checkpoints, engine.quarantine, directory, parts.clock)
    reading = tasks.create_task(Sources(named, beyond).run(), name="sources")
    teller = SuppressionTeller(engine.suppressions, ingest, directory)
    telling = tasks.create_task(teller.run(), name="suppressions")
    noting = tasks.create_task(_noting_uses(desk), name="key-uses")
    routes = [
        *engagelab_routes(desk, reports, unique_urls=settings.unique_urls),
        *sendpulse_routes(desk, reports, sealer),
        *web_routes(site),
        *operation.routes(),
    ]
    async with answering(settings, parts.engine.suppressions, parts.directory, parts.clock):
        yield api.build(
            desk,
            reports,
            ingest,
            parts.engine,
            dialect_routes=routes,
            lost_page=lost_page(site),
            hosts=site.guarded_hosts,
            refused_page=refused_page(site),
            public_url=settings.public_url,
            tracer=tracer,
        )
    reading.cancel()
    noting.cancel()
    telling.cancel()
    await asyncio.wait((reading, telling))
    await _note_uses(desk)
    task.cancel()


@contextlib.asynccontextmanager
async def _working(parts: Parts, tasks: asyncio.TaskGroup) -> AsyncIterator[Worker]:
    """Deliver inside the block; its end stops the worker and waits for what is in flight."""
    worker = Worker(
        parts.engine,
        DIALECTS,
        parts.sender,
        parts.clock,
        parts.directory,
        installation_policies=parts.settings.policy,
        retention_days=parts.settings.retention_days,
        trail_days=parts.settings.trail_days,
        owner=parts.presence.name,
        shutdown_s=parts.settings.shutdown_s,
        doing=parts.presence,
    )
    task = tasks.create_task(worker.run(), name="worker")
    index = None
    if parts.settings.index == "on":
        indexer = Indexer(parts.engine, parts.clock, doing=parts.presence)
        index = tasks.create_task(indexer.run(), name="index")
    follower = SuppressionFollower(parts.engine, parts.clock, doing=parts.presence)
    following = tasks.create_task(follower.run(), name="suppressions")
    yield worker
    following.cancel()
    if index is not None:
        index.cancel()
    worker.stop()
    await task


async def _noting_uses(desk: Desk) -> None:
    """Write down now and then which api keys were used: never a write for a request."""
    while True:
        await asyncio.sleep(USES_S)
        await _note_uses(desk)


async def _note_uses(desk: Desk) -> None:
    try:
        await desk.note_uses()
    except (Overloaded, StorageError) as error:
        log("key_uses_late", error=error.message)


def _log_failure(error: BaseException) -> None:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    is_known = isinstance(error, PostbellError)
    log("failed", error=f"{type(error).__name__}: {error}", exc_info=None if is_known else error)
