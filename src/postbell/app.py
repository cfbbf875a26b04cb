"""The only wiring of a serving process: what is started, in which order, and how it ends.

Started: engine, directory, worker, ingest, HTTP.  Ended: worker and HTTP take nothing new and
finish what is in flight, at the same time; then ingest, sender and engine close.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal, NamedTuple

from postbell import __version__, api, sealing, sources
from postbell.api.health import unready
from postbell.clock import Clock
from postbell.delivery.worker import Worker
from postbell.desk import Desk
from postbell.dialects import DIALECTS
from postbell.dialects.engagelab.routes import routes as engagelab_routes
from postbell.dialects.sendpulse_api import routes as sendpulse_routes
from postbell.directory import Directory
from postbell.errors import Overloaded, PostbellError, StorageError
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
from postbell.serving.opening import may_open_later, open_engine, open_sender
from postbell.serving.server import address_of, bind, serving
from postbell.serving.timekeeping import SteadyClock
from postbell.serving.tls import Certificate, certificate
from postbell.settings.members import Settings
from postbell.signals import log
from postbell.sources.running import SourceParts, Sources
from postbell.suppressing.follower import SuppressionFollower
from postbell.suppressing.telling import SuppressionTeller
from postbell.verp import PURPOSE, Tracer
from postbell.web import Site, lost_page, refused_page, words
from postbell.web import routes as web_routes
from postbell.web.pictures import PICTURES

Role = Literal["api", "worker", "all"]
ROLES: tuple[Role, ...] = ("api", "worker", "all")
USES_S = 60.0
FULL_S = 1.0
"""A start that waits for space looks for it so often."""
SLOW_S = 3.0
LOOKING = "the database is still being opened; after an unclean end it is looked at, 30 s at most"
"""What is answered when that takes longer than SLOW_S."""


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

    *ready* is told the base URL, "" for a worker, once everything is up.  An unexpected error
    in any part ends the whole: the log is durable, a supervisor starts the process again.
    """
    process.prepare()
    tls = certificate(settings.tls_cert_file, settings.tls_key_file)
    if stop is None:
        stop = asyncio.Event()
        process.stop_on_signals(stop, at_hangup=None if tls is None else tls.reload)
    async with contextlib.AsyncExitStack() as stack:
        sock = bind(settings.listen) if role != "worker" else None
        if sock is not None:
            stack.callback(sock.close)
            warn_of_clear_keys(settings, address_of(sock))
            warn_of_unnamed_proxy(settings)
            warn_of_no_sign_in(settings, address_of(sock))
        warn_of_wide_networks(settings)
        clock = SteadyClock()
        door = Door(settings, trusted=settings.trusted_proxies)
        engine = await _opened(settings, clock, role, sock, door, tls, stop)
        if engine is None:
            return
        stack.push_async_callback(engine.close)
        known_at = await engine.log.trusted_at() or await engine.log.newest_at()
        if known_at is not None:
            clock.compare(known_at)
        guard, sender = open_sender(settings, clock)
        stack.push_async_callback(sender.close)
        directory = Directory(engine.registry)
        await directory.refresh()
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
                    if sock is not None:
                        app = await roles.enter_async_context(_ingesting(parts, operation, tasks))
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


async def _opened(
    settings: Settings,
    clock: Clock,
    role: Role,
    sock: socket.socket | None,
    door: Door,
    tls: Certificate | None,
    stop: asyncio.Event,
) -> Engine | None:
    """Open the storage.

    Where the disk is too full for that, its server is gone, or it is looked at after an unclean
    end, *sock* answers 503 (and /healthz 200); None where *stop* was set before.
    """
    has_space, failure = False, None
    async with asyncio.TaskGroup() as tasks, contextlib.AsyncExitStack() as stack:
        stopping = tasks.create_task(stop.wait(), name="stopping")
        stack.callback(stopping.cancel)

        async def answer_meanwhile(reason: str) -> None:
            nonlocal sock
            log("start_waits", role=role, error=reason)
            if sock is not None:
                front = serving(
                    unready(reason),
                    sock.dup(),
                    shutdown_s=settings.shutdown_s,
                    door=door,
                    certificate=tls,
                )
                await stack.enter_async_context(front)
                sock = None

        while not stop.is_set():
            opening = tasks.create_task(_tried(settings, clock, role), name="opening")
            stack.callback(opening.cancel)
            await asyncio.wait((opening,), timeout=SLOW_S)
            if not opening.done():
                await answer_meanwhile(LOOKING)
            await asyncio.wait((opening, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():
                break
            found = opening.result()
            if not isinstance(found, StorageError):
                return found
            is_late = await asyncio.to_thread(may_open_later, found, settings)
            if not found.retryable or (not is_late and has_space):
                failure = found
                break
            has_space = not is_late
            if not is_late:  # it may have come just now: try once more
                continue
            await answer_meanwhile(found.message)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FULL_S):
                    await stop.wait()
    if failure is not None:
        raise failure
    return None


async def _tried(settings: Settings, clock: Clock, role: Role) -> Engine | StorageError:
    """Return the opened storage, or why it cannot be opened."""
    try:
        known, worker = DIALECTS.keys(), role != "api"
        return await open_engine(settings, clock, worker=worker, serves=True, dialects=known)
    except StorageError as error:
        return error


@contextlib.asynccontextmanager
async def _ingesting(
    parts: Parts, operation: Operating, tasks: asyncio.TaskGroup
) -> AsyncIterator[Any]:
    """Run ingest inside the block and give the HTTP application on top of it."""
    settings = parts.settings
    ingest = Ingest(
        parts.engine,
        parts.clock,
        parts.directory,
        dedup_hours=settings.dedup_hours,
        dedup_ids=settings.dedup_ids,
    )
    await ingest.start()
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
