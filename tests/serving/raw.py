"""A real `postbell serve` with small limits, and raw sockets that misbehave on purpose.

Each test comes from a network of its own, an address of loopback, so that limits on networks are
its own too.
"""

import base64
import contextlib
import itertools
import json
import re
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from tests.cli.prepared import prepare
from tests.cli.running import Postbell, line_with
from tests.forked import COMMAND
from tests.wire.certificates import Authority

EVENT = b'{"type": "delivered", "recipient": "ada@example.net"}'
TOKEN = "a-token-of-the-tests"
GET = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n"
OFTEN = ("--http-connects-per-network-s", "60000")
"""For tests that connect again and again until something is seen."""
LIMIT_S = 30
"""A client hears something within it, or fails."""
_NETWORKS = itertools.count(10)


class Answer(NamedTuple):
    status: int
    headers: dict[bytes, bytes]
    body: bytes


class Served(NamedTuple):
    """A service, and the Authorization header of an api user of it."""

    host: str
    port: int
    authorization: bytes
    process: "subprocess.Popen[str]"
    log: Path
    tls: ssl.SSLContext | None = None

    def post(self, *, more: bytes = b"", body: bytes = EVENT, path: bytes = b"") -> bytes:
        """Return a request with an event whose body has a length."""
        return self.head(b"content-length: %d\r\n%b" % (len(body), more), path) + body

    def head(self, more: bytes = b"", path: bytes = b"") -> bytes:
        """Return the head of a request with events, *more* header lines in it."""
        return (
            b"POST %b HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
            b"authorization: %b\r\n%b\r\n" % (path or b"/api/v1/events", self.authorization, more)
        )

    def connect(self, network: str = "", *, buffer_bytes: int = 0, plain: bool = False) -> "Client":
        """Connect from *network*, an address of loopback that nobody else uses by default;
        *plain* leaves the handshake to the caller."""
        sock = socket.socket()
        if buffer_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        sock.bind((network or a_network(), 0))
        sock.settimeout(LIMIT_S)
        sock.connect((self.host, self.port))
        if self.tls is not None and not plain:
            return Client(self.tls.wrap_socket(sock, server_hostname="localhost"))
        return Client(sock)

    def metric(self, name: str) -> float:
        """Return the value of a line of /metrics; 0 where it is not there yet."""
        place = f"https://localhost:{self.port}" if self.tls else f"http://{self.host}:{self.port}"
        url = f"{place}/metrics"
        request = urllib.request.Request(url, headers={"authorization": f"Bearer {TOKEN}"})
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self.tls)
        )
        with opener.open(request, timeout=LIMIT_S) as answer:
            text = answer.read().decode()
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0


class Client:
    """One connection; what it reads is parsed no further than it has to."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._here = b""

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def certificate(self) -> object:
        """Return the serial number of the server's."""
        assert isinstance(self.sock, ssl.SSLSocket)
        found = self.sock.getpeercert()
        assert found is not None
        return found["serialNumber"]

    def answer(self) -> Answer:
        """Read one whole answer."""
        while b"\r\n\r\n" not in self._here:
            self._read()
        head, _, self._here = self._here.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        headers = {name.lower(): value for name, value in (line.split(b": ", 1) for line in lines)}
        status = int(first.split()[1])
        size = int(headers.get(b"content-length", b"0"))
        if status != 100 and headers.get(b"transfer-encoding") == b"chunked":
            return Answer(status, headers, self._chunks())
        while len(self._here) < size:
            self._read()
        body, self._here = self._here[:size], self._here[size:]
        return Answer(status, headers, body)

    def answer_to(self, request: bytes) -> Answer:
        """Send *request* and read the answer; a refusal may come before it was sent."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.send(request)
        return self.answer()

    def rest(self) -> bytes:
        """Return what comes until the server closes; a reset is a close too."""
        with contextlib.suppress(ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
            while data := self.sock.recv(1 << 16):
                self._here += data
        rest, self._here = self._here, b""
        return rest

    def rest_after(self, mark: bytes) -> bytes:
        """Return what comes until *mark* was in it."""
        while mark not in self._here:
            self._read()
        rest, self._here = self._here, b""
        return rest

    def ended_within(self) -> float:
        """Wait until the server closes; return how long that took, in seconds."""
        began_s = time.monotonic()
        self.rest()
        return time.monotonic() - began_s

    def drip(self, data: bytes, every_s: float) -> float:
        """Send *data* byte by byte until the server closes; return how long it let that go on."""
        began_s = time.monotonic()
        self.sock.settimeout(every_s)
        for at in range(len(data)):
            try:
                self.sock.send(data[at : at + 1])
                received = self.sock.recv(1 << 16)
            except TimeoutError:
                continue
            except OSError:
                break
            self._here += received
            if not received:
                break
        self.sock.settimeout(LIMIT_S)
        return time.monotonic() - began_s

    def _chunks(self) -> bytes:
        body = b""
        while True:
            while b"\r\n" not in self._here:
                self._read()
            line, _, self._here = self._here.partition(b"\r\n")
            size = int(line, 16)
            while len(self._here) < size + 2:
                self._read()
            body += self._here[:size]
            self._here = self._here[size + 2 :]
            if not size:
                return body

    def _read(self) -> None:
        data = self.sock.recv(1 << 16)
        if not data:
            raise EOFError(f"the server closed after {self._here!r}")
        self._here += data


def a_strangers_head(size: int) -> bytes:
    """Return the head of a request that is refused whatever its body, of *size* bytes, is."""
    return (
        b"POST /api/v1/events HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n" % size
    )


def a_network() -> str:
    """Return an address of loopback that was not used yet."""
    number = next(_NETWORKS)
    return f"127.0.{number >> 8}.{number & 255}"


@contextlib.contextmanager
def served(folder: Path, *flags: str, tls: Authority | None = None) -> Iterator[Served]:
    """Run the service with one account and one api user; its log is in `folder/log`."""
    postbell = Postbell(folder / "data", POSTBELL_LISTEN="127.0.0.1:0")
    _, printed = prepare(
        postbell.folder,
        ("accounts", "create", "acme"),
        ("api-users", "create", "acme", "shop", "--json"),
    )
    key = json.loads(printed)["api_key"]
    if tls is not None:
        tls.context("localhost")
        file = str(folder / "localhost.pem")
        flags += ("--tls-cert-file", file, "--tls-key-file", file)
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            [*COMMAND, "serve", "--metrics-token", TOKEN, *flags],
            env=postbell.environ,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            url = line_with(process, r"^postbell is ready: (\S+)$")
            host, _, port = url.rpartition("/")[2].rpartition(":")
            authorization = b"Basic " + base64.b64encode(f"shop:{key}".encode())
            context = tls and ssl.create_default_context(cafile=str(tls.file))
            host = host.replace("[::]", "127.0.0.1")
            yield Served(host, int(port), authorization, process, folder / "log", context)
        finally:
            process.kill()
