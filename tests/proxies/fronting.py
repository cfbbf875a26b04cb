"""The real service behind a real proxy, both as `docs/howto/run-behind-tls.md` prints them."""

import contextlib
import os
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from tests.cli.prepared import prepare
from tests.cli.running import Postbell
from tests.fakes import KEY
from tests.wire.certificates import Authority

ROOT = Path(__file__).parent.parent.parent
HOWTO = ROOT / "docs" / "howto" / "run-behind-tls.md"
HOST = "events.example.com"
PASSWORD = "correct horse battery"
START_S = 30.0
INSIDE = "127.0.0.1:8025"
NGINX = """
daemon off;
master_process off;
error_log {folder}/error.log;
pid {folder}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""
"""What a system has around a site: Debian's own names folders that belong to it."""
PLAIN_CADDY = f"""{{
    admin unix//var/lib/caddy/admin.sock
    http_port 80
    https_port 443
}}

{HOST} {{
    tls /etc/ssl/{HOST}.pem /etc/ssl/{HOST}.key
    reverse_proxy {INSIDE}
}}
"""
"""As short as many write it: everything that a client sends passes."""


class Front(NamedTuple):
    """A proxy that listens on *port* with a certificate of *authority*, and the process behind."""

    port: int
    inside_port: int
    pid: int
    authority: Path
    postbell: Postbell

    def client(self, address: str = "127.0.0.1") -> httpx.Client:
        """Return a client that comes from this address of loopback."""
        return httpx.Client(
            transport=_Named(verify=self.context(), local_address=address),
            base_url=f"https://127.0.0.1:{self.port}",
            headers={"host": HOST},
            timeout=30,
        )

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.authority)


class _Named(httpx.HTTPTransport):
    """Asks under the name of the certificate."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions = {**request.extensions, "sni_hostname": HOST}
        return super().handle_request(request)


def printed(language: str) -> str:
    """Return the howto's only block of code in a language."""
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", HOWTO.read_text(), re.M | re.S)
    return str(block)


def printed_settings() -> dict[str, str]:
    """Return the settings of the howto's service behind a proxy, but for where it listens."""
    (line,) = (
        line for line in HOWTO.read_text().splitlines() if f"--listen {INSIDE} --public-url" in line
    )
    words = shlex.split(line)[2:]
    pairs = zip(words[::2], words[1::2], strict=True)
    settings = {"POSTBELL_" + flag[2:].upper().replace("-", "_"): value for flag, value in pairs}
    del settings["POSTBELL_LISTEN"]
    return settings


@contextlib.contextmanager
def fronted(proxy: str, folder: Path, text: str = "", **settings: str) -> Iterator[Front]:
    """Serve behind *proxy*, configured with *text*, by default what the howto prints for it."""
    authority = Authority(folder)
    authority.context(HOST)
    port, inside_port = free_port(), free_port()
    postbell = Postbell(
        folder / "data",
        POSTBELL_LISTEN=f"127.0.0.1:{inside_port}",
        **printed_settings() | settings,
    )
    commands: list[tuple[str, ...]] = []
    for account, user in (("acme", "shop"), ("beta", "bank")):
        owner = ("--owner", f"{user}@example.com", "--password-file", "-")
        commands += [
            ("accounts", "create", account, *owner),
            ("api-users", "create", account, user, "--api-key", KEY),
        ]
    prepare(postbell.folder, *commands, given=PASSWORD)
    configured = _with_places(text or printed(proxy), folder, port, inside_port)
    command = _COMMANDS[proxy](folder, configured)
    log = folder / "log"
    with log.open("wb") as out:
        serve = (sys.executable, "-m", "postbell", "serve")
        with _running(serve, out, postbell.environ) as service:
            _wait(lambda: _is_ready(inside_port), service, log)
            with _running(command, out, {**os.environ, "HOME": str(folder)}) as process:
                front = Front(port, inside_port, service.pid, authority.file, postbell)
                _wait(lambda: _answers(front), process, log)
                yield front


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _with_places(text: str, folder: Path, port: int, inside_port: int) -> str:
    """Return a configuration with the ports and files of a test."""
    certificate = str(folder / f"{HOST}.pem")
    places = {
        rf"\b{re.escape(INSIDE)}\b": f"127.0.0.1:{inside_port}",
        r"/etc/ssl/\S+\.(pem|key)\b": certificate,
        r"\blisten 443\b": f"listen 127.0.0.1:{port}",
        r"\bbind :443\b": f"bind 127.0.0.1:{port}",
        r"\bhttps_port 443\b": f"https_port {port}",
        r"\bhttp_port 80\b": f"http_port {free_port()}\ndefault_bind 127.0.0.1",
        r"/var/lib/caddy\b": str(folder),
    }
    for pattern, value in places.items():
        text = re.sub(pattern, value, text)
    return text


def _nginx(folder: Path, site: str) -> list[str]:
    (folder / "site.conf").write_text(site)
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder))
    return [_program("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf")]


def _haproxy(folder: Path, text: str) -> list[str]:
    (folder / "haproxy.cfg").write_text(text)
    return [_program("haproxy"), "-db", "-f", str(folder / "haproxy.cfg")]


def _caddy(folder: Path, text: str) -> list[str]:
    (folder / "Caddyfile").write_text(text)
    return [_program("caddy"), "run", "--config", str(folder / "Caddyfile")]


_COMMANDS = {"nginx": _nginx, "haproxy": _haproxy, "caddy": _caddy}


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    assert found, f"{name} is missing; ./do test installs it"
    return found


@contextlib.contextmanager
def _running(
    command: Sequence[str], out: Any, environ: dict[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(command, env=environ, stdout=out, stderr=out) as process:
        try:
            yield process
        finally:
            process.kill()


def _wait(condition: Any, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until another process is up; fail with its log where it does not come."""
    deadline = time.monotonic() + START_S
    while not condition():
        is_over = process.poll() is not None or time.monotonic() > deadline
        assert not is_over, log.read_text(errors="replace")
        time.sleep(0.05)


def _is_ready(port: int) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _answers(front: Front) -> bool:
    try:
        with front.client() as client:
            return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False
