"""SIGHUP: a certificate is read again, a terminal is gone, or nothing."""

import json
import signal
import subprocess
from pathlib import Path

from tests.cli.running import LIMIT_S, Postbell, line_with
from tests.forked import COMMAND
from tests.operating.test_process import READY, get, signals_of
from tests.wire.certificates import Authority


def test_a_worker_with_a_certificate_takes_sighup_too(tmp_path: Path) -> None:
    Authority(tmp_path).context("localhost")
    file = str(tmp_path / "localhost.pem")
    postbell = Postbell(tmp_path / "data", POSTBELL_TLS_CERT_FILE=file, POSTBELL_TLS_KEY_FILE=file)
    with postbell.running("serve", "--role", "worker") as process:
        line_with(process, READY)
        process.send_signal(signal.SIGHUP)
        events = [line["event"] for line in signals_of(process)]

    assert events[-3:] == ["certificate_read", "stopping", "stopped"]
    assert process.returncode == 0


def test_a_hangup_ends_a_service_in_clear_as_sigterm_does(tmp_path: Path) -> None:
    postbell = Postbell(tmp_path / "data", POSTBELL_LISTEN="127.0.0.1:0")
    with postbell.running("serve") as process:
        line_with(process, READY)
        process.send_signal(signal.SIGHUP)
        _, said = process.communicate(timeout=LIMIT_S)

    assert process.returncode == 0
    assert [json.loads(line)["event"] for line in said.splitlines()][-2:] == ["stopping", "stopped"]


def test_a_hangup_ends_no_service_that_ignores_it(tmp_path: Path) -> None:
    environ = Postbell(tmp_path / "data", POSTBELL_LISTEN="127.0.0.1:0").environ
    command = ["nohup", *COMMAND, "serve"]
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            url = line_with(process, READY)
            process.send_signal(signal.SIGHUP)

            assert get(url + "/healthz")[0] == 200
        finally:
            process.kill()
