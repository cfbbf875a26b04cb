"""`postbell health` beside the real service."""

import re
import socket
from pathlib import Path

import pytest

from tests.cli.running import Postbell, line_with
from tests.proxies.fronting import free_port
from tests.wire.certificates import Authority


def test_a_service_that_serves_is_well_and_ready(tmp_path: Path) -> None:
    port = free_port()
    postbell = Postbell(tmp_path / "data", POSTBELL_LISTEN=f"0.0.0.0:{port}")
    before = postbell("health")

    with postbell.running("serve") as process:
        line_with(process, "(postbell is ready)")
        well, ready = postbell("health"), postbell("health", "--ready")

    assert (before.returncode, well.returncode, ready.returncode) == (1, 0, 0)
    assert re.match(rf"error: no service answers on 127\.0\.0\.1:{port}: ", before.stderr)
    assert (well.stdout, ready.stdout) == ("ok\n", "ready\n")


def test_a_service_with_a_certificate_of_a_name_is_asked_by_address(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.context("events.example.com")
    pem = str(tmp_path / "events.example.com.pem")
    postbell = Postbell(
        tmp_path / "data",
        POSTBELL_LISTEN=f"127.0.0.1:{free_port()}",
        POSTBELL_TLS_CERT_FILE=pem,
        POSTBELL_TLS_KEY_FILE=pem,
    )

    with postbell.running("serve") as process:
        line_with(process, "(postbell is ready)")
        well = postbell("health")

    assert (well.returncode, well.stdout) == (0, "ok\n")


def test_a_worker_is_asked_on_its_listener_for_metrics(tmp_path: Path) -> None:
    postbell = Postbell(tmp_path / "data", POSTBELL_METRICS_LISTEN=f"127.0.0.1:{free_port()}")

    with postbell.running("serve", "--role", "worker") as process:
        line_with(process, "(postbell is ready)")
        well = postbell("health", "--worker")

    assert (well.returncode, well.stdout) == (0, "ok\n")
    assert "metrics_listen" in Postbell(tmp_path / "data")("health", "--worker").stderr


def test_what_is_not_ready_and_what_is_no_service_says_so(tmp_path: Path) -> None:
    gone = f"postgresql://postbell@127.0.0.1:{free_port()}/none"
    postbell = Postbell(
        tmp_path / "data",
        POSTBELL_LISTEN=f"127.0.0.1:{free_port()}",
        POSTBELL_DATABASE_URL=gone,
    )
    with postbell.running("serve") as process:
        assert process.stderr is not None
        assert "start_waits" in process.stderr.readline()
        well, ready = postbell("health"), postbell("health", "--ready")

    assert (well.returncode, ready.returncode) == (0, 1)
    assert ready.stderr.startswith("error: unavailable: cannot open the database")


def test_a_warning_of_who_is_ready_is_told_and_fails_nothing(tmp_path: Path) -> None:
    told = b'{"status": "ready", "warning": "fsync is off on the server: power can lose it"}'
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        postbell = Postbell(tmp_path, POSTBELL_LISTEN=f"127.0.0.1:{port}")
        with postbell.running("health", "--ready") as process:
            taken, _ = listening.accept()
            with taken:
                taken.recv(1000)
                taken.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(told) + told)
            said, _ = process.communicate()

    assert process.returncode == 0
    assert said == "ready\nwarning: fsync is off on the server: power can lose it\n"


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\n\r\nhello", b"garbage\r\n\r\n"])
def test_another_program_on_the_port_is_no_service(tmp_path: Path, said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        postbell = Postbell(tmp_path, POSTBELL_LISTEN=f"127.0.0.1:{port}")
        with postbell.running("health") as process:
            taken, _ = listening.accept()
            with taken:
                taken.recv(1000)
                taken.sendall(said)
            _, told = process.communicate()

    assert process.returncode == 1
    assert f"error: no service answers on 127.0.0.1:{port}" in told
