"""Running the demo: receiver, service, webhooks, a stream of events and a log of mail that a source
reads, in one task group."""

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
from postbell.cli.demo.maillog import MailLog
from postbell.cli.demo.props import ACCOUNT, API_USER, Props, make_customer, prepare
from postbell.cli.demo.stream import Stream
from postbell.cli.receiver import receiving
from postbell.errors import ServiceError
from postbell.serving.server import bind
from postbell.settings.members import Settings
from postbell.settings.values import Address
from postbell.storage.folders import make_folder

TICK_S = 0.25
RECEIVER = Address("127.0.0.1", 8026)
LINES_PER_EVENT = 2
"""Of the log of Postfix, for each event that is sent; four lines make an event."""
MOST_LINES = 100
MAX_LOG_BYTES = 1 << 20
"""Then it is rotated, and the one before it goes."""


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
    mail_log = settings.data_dir / "mail.log"
    source = {"kind": "postfix", "path": str(mail_log.absolute())}
    owner = {"account": ACCOUNT, "api_user": API_USER}
    settings = msgspec.structs.replace(
        settings, source=settings.source | {"postfix": source | owner}
    )
    await asyncio.to_thread(make_folder, settings.data_dir)
    await asyncio.to_thread(_append, mail_log, [])  # so that nobody has to wait for it
    api_key = await make_customer(settings)
    board = Board()
    async with receiving(_bind_or_any(RECEIVER), board.answer) as receiver_url:
        service_stop = asyncio.Event()
        is_up: asyncio.Future[str] = loop.create_future()
        async with asyncio.TaskGroup() as tasks:
            service = serve(settings, "all", ready=is_up.set_result, stop=service_stop)
            tasks.create_task(service, name="service")
            props = await prepare(settings, await is_up, api_key, receiver_url)
            board.secrets = props.secrets
            _introduce(board, settings, props, receiver_url)
            if plan.seconds:
                loop.call_later(plan.seconds, stop.set)
            with board.shown():
                playing = [tasks.create_task(_produce(props, plan, board), name="stream")]
                if not plan.events:
                    writing = _write_log(mail_log, plan)
                    playing.append(tasks.create_task(writing, name="mail log"))
                await stop.wait()
                for each in playing:
                    each.cancel()
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


async def _write_log(path: Path, plan: Plan) -> None:
    """Write what Postfix would log of other mail, and rotate it as an operator's machine does."""
    made, due = MailLog(plan.seed + int(datetime.now(UTC).timestamp())), 0.0
    while True:
        due += plan.rate_per_s * TICK_S * LINES_PER_EVENT
        count = int(min(due, MOST_LINES))
        due = min(due - count, MOST_LINES)
        await asyncio.to_thread(_append, path, made.take(count, datetime.now(UTC)))
        await asyncio.sleep(TICK_S)


def _append(path: Path, lines: list[str]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)
        is_full = file.tell() > MAX_LOG_BYTES
    if is_full:
        path.rename(path.with_name(path.name + ".1"))


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
        f"mail log: {settings.source['postfix']['path']}   (made up; read by a source)",
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
