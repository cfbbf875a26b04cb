"""The real programs: `postbell serve` answers what Postfix' own client asks."""

import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.running import Postbell
from tests.mta.test_protocols import REFUSED
from tests.web.walking import serving

LIMIT_S = 60.0


class Postmap:
    """`postmap -q` asks a table as `smtpd` does."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._table = f"tcp:127.0.0.1:{port}"
        (folder / "main.cf").write_text("compatibility_level = 3.6\ninet_protocols = ipv4\n")

    def ask(self, address: str) -> str:
        """Return what Postfix is to do with an address, "" for nothing."""
        command = ("postmap", "-c", str(self._folder), "-q", address, self._table)
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        assert (done.returncode, done.stderr) in ((0, ""), (1, "")), done.stderr
        return done.stdout.rstrip("\n")

    def until(self, address: str, answer: str) -> None:
        """Wait until that is the answer."""
        ends_at = time.monotonic() + LIMIT_S
        while (found := self.ask(address)) != answer:
            assert time.monotonic() < ends_at, found
            time.sleep(0.05)


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number: int = free.getsockname()[1]
        return number


def test_postfix_is_told_to_refuse_what_was_suppressed(tmp_path: Path, port: int) -> None:
    (tmp_path / "conf").mkdir()
    postbell, postmap = Postbell(tmp_path), Postmap(tmp_path / "conf", port)
    postbell("accounts", "create", "acme")
    postbell.environ |= {
        "POSTBELL_MTA_LOOKUP": f"127.0.0.1:{port}",
        "POSTBELL_MTA_LOOKUP_ACCOUNT": "acme",
    }
    with serving(postbell):
        before = postmap.ask("ada@example.net")
        postbell("suppressions", "add", "acme", "Ada@Example.net")
        postmap.until("ADA@example.net", REFUSED.decode().replace("hard_bounce", "manual"))
        other = postmap.ask("eve@example.net")
        postbell("suppressions", "remove", "acme", "ada@example.net")
        postmap.until("ada@example.net", "")

    assert (before, other) == ("", "")
