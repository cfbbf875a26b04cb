"""What operates a real process: TLS, metrics over HTTP, the warning, notices end to end."""

import asyncio
import json
import re
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cli.running import LIMIT_S, Postbell, line_with
from tests.operating.rig import OPERATOR, SENDER, Mailbox, smtp
from tests.wire.certificates import Authority

TOKEN = "a-token-that-nobody-guesses"
READY = r"^postbell is ready: (\S+)$"


def get(url: str, context: ssl.SSLContext | None = None, **headers: str) -> tuple[int, bytes]:
    handlers: list[Any] = [urllib.request.ProxyHandler({})]
    if context is not None:
        handlers.append(urllib.request.HTTPSHandler(context=context))
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=LIMIT_S) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def signals_of(process: "subprocess.Popen[str]") -> list[dict[str, Any]]:
    """End the process and return the events of its log."""
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=LIMIT_S)
    return [json.loads(line) for line in said.splitlines()]


def serial(url: str, context: ssl.SSLContext) -> str:
    host, port = url.removeprefix("https://").split(":")
    with (
        socket.create_connection((host, int(port)), LIMIT_S) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        found = secured.getpeercert()
        assert found is not None
        assert secured.version() in ("TLSv1.2", "TLSv1.3")
        return str(found["serialNumber"])


def test_it_speaks_tls_and_takes_a_new_certificate_at_sighup(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.context("localhost")
    file = str(tmp_path / "localhost.pem")
    postbell = Postbell(
        tmp_path / "data",
        POSTBELL_LISTEN="127.0.0.1:0",
        POSTBELL_TLS_CERT_FILE=file,
        POSTBELL_TLS_KEY_FILE=file,
    )
    client = ssl.create_default_context(cafile=str(authority.file))
    with postbell.running("serve") as process:
        url = line_with(process, READY)
        before = serial(url, client)
        authority.context("localhost")
        process.send_signal(signal.SIGHUP)
        after = before
        for _ in range(1000):
            after = serial(url, client)
            if after != before:
                break
        client.check_hostname = False
        status, _ = get(url + "/healthz", client)
        with pytest.raises(OSError):
            get(url.replace("https", "http") + "/healthz")
        events = [line["event"] for line in signals_of(process)]

    assert url.startswith("https://")
    assert status == 200
    assert after != before
    assert "certificate_read" in events


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"CERT": "missing.pem", "KEY": "missing.pem"}, "cannot read the TLS file"),
        ({"CERT": "x.pem"}, "tls_key_file is missing; TLS needs certificate and key"),
        ({"CERT": "x.pem", "KEY": "x.pem"}, "do not work together"),
    ],
)
def test_a_certificate_that_does_not_work_is_named(
    tmp_path: Path, files: dict[str, str], said: str
) -> None:
    (tmp_path / "x.pem").write_text("nothing")
    variables = {f"POSTBELL_TLS_{name}_FILE": str(tmp_path / file) for name, file in files.items()}

    done = Postbell(tmp_path / "data", POSTBELL_LISTEN="127.0.0.1:0", **variables)("serve")

    assert done.returncode in (1, 2)
    assert said in done.stderr


@pytest.mark.parametrize(
    ("variables", "is_warned"),
    [
        ({"POSTBELL_LISTEN": "0.0.0.0:0"}, True),
        ({"POSTBELL_LISTEN": "127.0.0.1:0"}, False),
        ({"POSTBELL_LISTEN": "0.0.0.0:0", "POSTBELL_TRUSTED_PROXIES": "10.0.0.0/8"}, False),
    ],
)
def test_keys_in_clear_are_warned_of(
    tmp_path: Path, variables: dict[str, str], is_warned: bool
) -> None:
    with Postbell(tmp_path / "data", **variables).running("serve") as process:
        line_with(process, READY)
        events = [line["event"] for line in signals_of(process)]

    assert ("keys_in_clear" in events) == is_warned


@pytest.mark.parametrize(
    ("variables", "is_warned"),
    [
        ({"POSTBELL_PUBLIC_URL": "https://bell.example.com"}, True),
        (
            {
                "POSTBELL_PUBLIC_URL": "https://bell.example.com",
                "POSTBELL_TRUSTED_PROXIES": "127.0.0.1/32",
            },
            False,
        ),
        ({"POSTBELL_PUBLIC_URL": "http://bell.example.com"}, False),
    ],
)
def test_a_start_behind_a_proxy_that_is_not_named_is_warned_of(
    tmp_path: Path, variables: dict[str, str], is_warned: bool
) -> None:
    postbell = Postbell(tmp_path / "data", POSTBELL_LISTEN="127.0.0.1:0", **variables)
    with postbell.running("serve") as process:
        line_with(process, READY)
        events = [line["event"] for line in signals_of(process)]

    assert ("proxy_unnamed" in events) == is_warned


@pytest.mark.parametrize(
    ("variables", "warned"),
    [
        ({"LISTEN": "0.0.0.0:0", "SIGN_IN": "false"}, ["sign_in_off"]),
        ({"SIGN_IN": "false"}, []),
        ({"SIGN_IN": "false", "TRUSTED_PROXIES": "127.0.0.1/32"}, ["sign_in_off"]),
        ({"SIGN_IN": "false", "PUBLIC_URL": "https://bell.example.com"}, ["sign_in_off"]),
        ({"LISTEN": "0.0.0.0:0"}, []),
        ({"TRUSTED_PROXIES": "0.0.0.0/0"}, ["trusted_proxies"]),
        ({"TRUSTED_PROXIES": "::/0"}, ["trusted_proxies"]),
        ({"TRUSTED_PROXIES": "0.0.0.0/1,128.0.0.0/1"}, ["trusted_proxies"]),
        ({"TRUSTED_PROXIES": "10.0.0.0/8,fc00::/7,104.16.0.0/13,2400:cb00::/32"}, []),
        ({"ALLOW_NETWORKS": "0.0.0.0/0,::/0"}, ["allow_networks"]),
    ],
)
def test_settings_that_undo_protection_are_warned_of(
    tmp_path: Path, variables: dict[str, str], warned: list[str]
) -> None:
    given = {"LISTEN": "127.0.0.1:0"} | variables
    postbell = Postbell(tmp_path / "data")
    postbell.environ |= {f"POSTBELL_{name}": value for name, value in given.items()}
    with postbell.running("serve") as process:
        line_with(process, READY)
        lines = signals_of(process)

    names = ("sign_in_off", "networks_too_wide")
    found = [line.get("setting", line["event"]) for line in lines if line["event"] in names]
    assert found == warned


def test_metrics_are_for_those_who_bring_the_token(tmp_path: Path) -> None:
    postbell = Postbell(
        tmp_path / "data", POSTBELL_LISTEN="127.0.0.1:0", POSTBELL_METRICS_TOKEN=TOKEN
    )
    with postbell.running("serve") as process:
        url = line_with(process, READY) + "/metrics"
        shown, text = get(url, authorization=f"Bearer {TOKEN}")
        refused = [
            get(url, **headers)[0]
            for headers in (
                {},
                {"authorization": "Bearer another-token-of-16"},
                {"authorization": TOKEN},
                {"authorization": "Bearer "},
                {"x-forwarded-for": "127.0.0.1"},
            )
        ]
        names = {family.name for family in text_string_to_metric_families(text.decode())}

    assert shown == 200
    assert refused == [401] * 5
    assert {"postbell_events_accepted", "postbell_webhooks", "process_open_fds"} <= names


def test_without_a_token_metrics_are_for_nobody_on_the_main_listener(tmp_path: Path) -> None:
    with Postbell(tmp_path / "data", POSTBELL_LISTEN="127.0.0.1:0").running("serve") as process:
        url = line_with(process, READY) + "/metrics"
        here, said = get(url)
        empty, _ = get(url, authorization="Bearer ")

    assert (here, empty) == (403, 403)
    assert b"metrics_listen or metrics_token" in said


def test_a_token_that_is_too_short_is_refused_and_not_shown(tmp_path: Path) -> None:
    done = Postbell(tmp_path / "data", POSTBELL_METRICS_TOKEN="hunter2")("serve")

    assert done.returncode == 2
    assert "metrics_token" in done.stderr
    assert "hunter2" not in done.stderr


def test_without_sign_in_no_face_answers_to_a_foreign_name(tmp_path: Path) -> None:
    postbell = Postbell(
        tmp_path / "data",
        POSTBELL_LISTEN="127.0.0.1:0",
        POSTBELL_SIGN_IN="false",
        POSTBELL_PUBLIC_URL="https://bell.example.com",
        POSTBELL_HOSTS="events.example.org",
        POSTBELL_TRUSTED_PROXIES="127.0.0.0/8",
    )
    foreign = (
        {"host": "evil.example"},
        {"x-forwarded-for": "203.0.113.7", "x-forwarded-host": "evil.example"},
        {"host": "evil.example", "x-forwarded-for": "1.2.3.4", "x-forwarded-host": "localhost"},
        {"forwarded": "for=203.0.113.7;host=evil.example"},
    )
    with postbell.running("serve") as process:
        url = line_with(process, READY)
        paths = ("/", "/webhooks", "/api/v1/webhooks", "/v1/webhooks", "/v2/email-service/webhook")
        statuses = {get(url + path, **headers)[0] for path in paths for headers in foreign}
        names = ("bell.example.com", "events.example.org")
        own = [get(url + "/operator", host=name)[0] for name in names]
        local, _ = get(url + "/operator")

    assert statuses == {421}
    assert [*own, local] == [200, 200, 200]


def test_a_proxy_that_no_setting_names_is_warned_of_once(tmp_path: Path) -> None:
    with Postbell(tmp_path / "data", POSTBELL_LISTEN="127.0.0.1:0").running("serve") as process:
        url = line_with(process, READY)
        for _ in range(3):
            get(url + "/healthz", **{"x-forwarded-for": "203.0.113.7"})
        warned = [line for line in signals_of(process) if line["event"] == "proxy_unnamed"]

    assert [(line["peer"], line["setting"]) for line in warned] == [
        ("127.0.0.1", "trusted_proxies")
    ]


def test_a_worker_has_metrics_at_a_listener_of_its_own(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    postbell = Postbell(tmp_path / "data", POSTBELL_METRICS_LISTEN=f"127.0.0.1:{port}")
    with postbell.running("serve", "--role", "worker") as process:
        line_with(process, r"^postbell is ready: (delivering)$")
        scraped, text = get(f"http://127.0.0.1:{port}/metrics", **{"x-forwarded-for": "1.2.3.4"})
        other, _ = get(f"http://127.0.0.1:{port}/api/v1/webhooks")

    assert (scraped, other) == (200, 404)
    assert re.search(rb'postbell_info\{region="",role="worker"', text)


def test_a_metrics_listener_is_told_with_its_port_and_named_where_it_cannot_be(
    tmp_path: Path,
) -> None:
    postbell = Postbell(
        tmp_path / "data",
        POSTBELL_LISTEN="127.0.0.1:0",
        POSTBELL_METRICS_LISTEN="127.0.0.1:0",
        POSTBELL_LOG_FORMAT="json",
    )
    with postbell.running("serve") as process:
        line_with(process, READY)
        assert process.stderr is not None
        started = next(
            line for line in map(json.loads, process.stderr) if line["event"] == "started"
        )
        scraped, _ = get(f"http://{started['metrics']}/metrics")
        other = Postbell(
            tmp_path / "other",
            POSTBELL_LISTEN="127.0.0.1:0",
            POSTBELL_METRICS_LISTEN=started["metrics"],
        )("serve")

    assert scraped == 200
    assert other.returncode == 1
    assert "choose another address with --metrics-listen" in other.stderr


async def test_a_dead_receiver_is_told_by_mail_and_webhook(tmp_path: Path) -> None:
    mailbox = Mailbox()
    posted: asyncio.Queue[Any] = asyncio.Queue()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = re.search(rb"content-length: (\d+)", head.lower())
        assert size is not None
        posted.put_nowait(json.loads(await reader.readexactly(int(size[1]))))
        writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
        writer.close()

    operator = await asyncio.start_server(take, "127.0.0.1", 0)
    async with operator, smtp(mailbox) as mail_url, asyncio.timeout(2 * LIMIT_S):
        port = operator.sockets[0].getsockname()[1]
        postbell = Postbell(
            tmp_path / "data",
            POSTBELL_LISTEN="127.0.0.1:0",
            POSTBELL_SMTP_URL=mail_url,
            POSTBELL_NOTICE_FROM=SENDER,
            POSTBELL_OPERATOR_EMAIL=OPERATOR,
            POSTBELL_OPERATOR_WEBHOOK=f"http://127.0.0.1:{port}/bell",
            POSTBELL_REGION="sg",
        )
        loop = asyncio.get_running_loop()

        def wait_for_both() -> Any:
            asyncio.run_coroutine_threadsafe(mailbox.arrived.wait(), loop).result(LIMIT_S)
            return asyncio.run_coroutine_threadsafe(posted.get(), loop).result(LIMIT_S)

        notice = await asyncio.to_thread(_break_a_receiver, postbell, wait_for_both)

    assert notice["region"] == "sg"
    assert notice["notices"][0]["kind"] == "webhook_failing"
    assert notice["notices"][0]["webhook_id"] == 1
    assert "fails since" in mailbox.texts(OPERATOR)[0]


def _break_a_receiver(postbell: Postbell, told: Callable[[], Any]) -> Any:
    """Send an event to a webhook that nobody answers, and return what *told* waits for."""
    postbell("accounts", "create", "acme")
    key = postbell.json("api-users", "create", "acme", "shop")["api_key"]
    policy = ("--policy", "max_wait_s=0", "--policy", "retry_waits_s=[0.1,0.1,60]")
    with socket.socket() as silent, postbell.running("serve") as process:
        silent.bind(("127.0.0.1", 0))
        dead = silent.getsockname()[1]
        url = line_with(process, READY)
        made = postbell("webhooks", "create", "acme", f"http://127.0.0.1:{dead}/", *policy)
        assert made.returncode == 0, made.stderr
        sent = postbell(
            "events", "send", "-", "--url", url, "--api-user", "shop", "--api-key", key,
            given='{"type": "delivered", "recipient": "ada@example.net"}\n',
        )  # fmt: skip
        assert sent.returncode == 0, sent.stderr
        notice = told()
        process.send_signal(signal.SIGTERM)
        process.wait(LIMIT_S)
    return notice


def test_what_a_release_before_told_is_taken_over_at_the_start(tmp_path: Path) -> None:
    postbell = Postbell(
        tmp_path / "data",
        POSTBELL_LISTEN="127.0.0.1:0",
        POSTBELL_OPERATOR_WEBHOOK="http://127.0.0.1:9/bell",
    )
    postbell("accounts", "create", "acme")
    file = tmp_path / "data" / "notices.json"
    file.write_text('{"webhook 1 lag": ["behind", "2026-11-21T12:00:00Z", "behind"]}')

    with postbell.running("serve") as process:
        line_with(process, READY)
        ends_at = time.monotonic() + LIMIT_S
        while file.exists() and time.monotonic() < ends_at:
            time.sleep(0.05)
        signals_of(process)

    assert not file.exists()
