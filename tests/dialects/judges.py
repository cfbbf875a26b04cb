"""django-anymail's receivers on loopback, which judge what really comes off the socket."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import anymail.signals
import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler

from postbell.ports import NewSecret, Probe, Request
from postbell.records import SecretKind
from postbell.wire.guard import Guard
from postbell.wire.resolver import Resolver
from postbell.wire.sender import CurlSender
from tests.delivery.rig import Rig
from tests.wire.conftest import LOOPBACK

KEY = "postbell-test-signing-key"

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF="anymail.urls",
    LOGGING_CONFIG=None,
    SECRET_KEY="of no use",
    ANYMAIL_MAILGUN_WEBHOOK_SIGNING_KEY=KEY,
    ANYMAIL_MANDRILL_WEBHOOK_KEY=KEY,
)
django.setup()


@dataclass
class Judge:
    """What came: *asked* are method and body, *answers* the judge's own statuses, *events* what it
    told its signal; the first *refusing* are answered with 503 whatever the judge says."""

    port: int = 0
    asked: list[tuple[str, bytes]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)
    refusing: int = 0

    def url(self, path: str, user: str = "") -> str:
        return f"http://{user}127.0.0.1:{self.port}/{path}/"

    def bodies(self) -> list[bytes]:
        return [body for _, body in self.asked]


@contextmanager
def judging() -> Iterator[Judge]:
    """Serve all of django-anymail's receivers; their keys are KEY."""
    judge, handler = Judge(), WSGIHandler()

    def app(environ: dict[str, Any], start: Any) -> Any:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = BytesIO(body)
        judge.asked.append((environ["REQUEST_METHOD"], body))

        def answer(status: str, headers: Any, info: Any = None) -> Any:
            judge.answers.append(int(status[:3]))
            if judge.refusing:
                judge.refusing -= 1
                status = "503 Not Now"
            return start(status, headers, info)

        return handler(environ, answer)

    def note(event: Any, **_: Any) -> None:
        judge.events.append(event)

    anymail.signals.tracking.connect(note)
    with make_server("127.0.0.1", 0, app, _Threads, _Silent) as server:
        judge.port = server.server_port
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        try:
            yield judge
        finally:
            server.shutdown()
            serving.join()
            anymail.signals.tracking.disconnect(note)


def sender() -> CurlSender:
    return CurlSender(Guard(LOOPBACK, Resolver()))


def request_of(judge: Judge, probe: Probe) -> Request:
    return Request(
        url=judge.url("mandrill"),
        headers=probe.headers,
        body=probe.body,
        is_head=probe.method == "HEAD",
        timeout_s=10,
        account_id=1,
        webhook_id=1,
    )


def send_for_real(rig: Rig) -> CurlSender:
    """Let the rig's worker send over sockets; the caller closes what is returned."""
    made = sender()
    rig.sender = made
    tasks = rig.worker.tasks
    rig.worker = rig.new_worker("real")
    rig.worker.tasks = tasks
    return made


def own_key(rig: Rig) -> list[NewSecret]:
    return [NewSecret(SecretKind.APP_KEY, KEY, rig.clock.now())]


class _Threads(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Silent(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing."""
