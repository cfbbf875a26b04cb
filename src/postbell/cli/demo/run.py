"""Running the demo: receiver, service, webhooks and a stream of events, in one task group."""

import asyncio
import contextlib
import shlex
import shutil
import signal
import socket
import sys
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from pathlib import Path

import msgspec

from postbell.app import serve
from postbell.cli.client import ApiClient
from postbell.cli.demo.board import Board
from postbell.cli.demo.props import API_USER, Props, prepare
from postbell.cli.demo.stream import Stream
from postbell.cli.receiver import receiving
from postbell.errors import ServiceError
from postbell.serving.server import bind
from postbell.settings.members import Settings
from postbell.settings.values import Address

TICK_S = 0.25
RECEIVER = Address("127.0.0.1", 8026)


class Plan(msgspec.Struct, frozen=True):
    """How many events come how fast, and when it is over; 0 is without end."""

    rate_per_s: float
    events: int
    seconds: float
    seed: int


async def run(settings: Settings, plan: Plan, *, is_address_free_to_choose: bool) -> None:
    """Play until SIGINT or SIGTERM, or for the plan's seconds; then end cleanly."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    settings = msgspec.structs.replace(
        settings,
        allow_networks=(*settings.allow_networks, ip_network("127.0.0.0/8")),
        listen=_free(settings.listen) if is_address_free_to_choose else settings.listen,
        sign_in=settings.sign_in and not _is_loopback(settings.listen.host),
    )
    board = Board()
    async with receiving(_bind_or_any(RECEIVER), board.answer) as receiver_url:
        service_stop = asyncio.Event()
        is_up: asyncio.Future[str] = loop.create_future()
        async with asyncio.TaskGroup() as tasks:
            service = serve(settings, "all", ready=is_up.set_result, stop=service_stop)
            tasks.create_task(service, name="service")
            props = await prepare(settings, await is_up, receiver_url)
            board.secrets = props.secrets
            _introduce(board, settings, props, receiver_url)
            if plan.seconds:
                loop.call_later(plan.seconds, stop.set)
            with board.shown():
                source = tasks.create_task(_produce(props, plan, board), name="source")
                await stop.wait()
                source.cancel()
                service_stop.set()
    board.say(f"ended; {settings.data_dir} keeps everything for the next time")


async def _produce(props: Props, plan: Plan, board: Board) -> None:
    """Send events at the plan's rate until its number is reached."""
    stream = Stream(plan.seed)
    client = ApiClient(props.url, API_USER, props.api_key, give_up_s=5)
    due = 0.0
    with contextlib.closing(client):
        while not plan.events or board.sent < plan.events:
            due += plan.rate_per_s * TICK_S
            count = int(min(due, 1000))
            if plan.events:
                count = min(count, plan.events - board.sent)
            if count:
                due -= count
                batch = stream.take(count, datetime.now(UTC))
                answer = await asyncio.to_thread(client.call, "POST", "/api/v1/events", batch)
                if answer["rejected"]:
                    raise ServiceError(
                        f"the demo's own event was rejected: {answer['rejected'][0]}"
                    )
                board.sent += count
            await asyncio.sleep(TICK_S)


def _is_loopback(host: str) -> bool:
    """Say whether only this machine reaches *host*: then the dashboard needs no password."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _introduce(board: Board, settings: Settings, props: Props, receiver_url: str) -> None:
    ids = ", ".join(f"{webhook_id} {dialect}" for dialect, webhook_id in props.webhook_ids.items())
    for line in (
        f"postbell is ready: {props.url}" + ("" if settings.sign_in else "   (the dashboard)"),
        f"receiver: {receiver_url}   webhooks: {ids}",
        f"API user: {API_USER}   key: {props.api_key}",
        "Try it:",
        f"  curl -u {API_USER}:{props.api_key} -H 'Content-Type: application/json'"
        f' -d \'{{"type":"delivered","recipient":"you@example.com"}}\' {props.url}/api/v1/events',
        f"  curl -u {API_USER}:{props.api_key} {props.url}/v1/webhooks",
        f"  {_command()} webhooks list --data-dir {shlex.quote(str(settings.data_dir))}",
        "",
    ):
        board.say(line)


def _command() -> str:
    """Return what to type for this command: its name, where that is on the path."""
    called = Path(sys.argv[0])
    found = shutil.which("postbell")
    if called.name != "postbell":
        return f"{shlex.quote(sys.executable)} -m postbell"
    if found is not None and Path(found).samefile(called):
        return "postbell"
    with contextlib.suppress(ValueError):
        called = called.absolute().relative_to(Path.cwd())
    return shlex.quote(str(called))


def _bind_or_any(address: Address) -> socket.socket:
    return bind(_free(address))


def _free(address: Address) -> Address:
    """Return *address*, or the same host with a port of the machine's choice if it is taken."""
    try:
        bind(address).close()
    except ServiceError:
        return address._replace(port=0)
    return address
