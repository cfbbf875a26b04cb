"""The wheel, as a user gets it: built, installed into an empty environment, and run."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path
from typing import TypeVar

import pytest

LIMIT_S = 90
ROOT = Path(__file__).parent.parent.parent
CLEAN = {key: value for key, value in os.environ.items() if not key.startswith("POSTBELL_")}
T = TypeVar("T")
NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by the installed backend without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    call = "import hatchling.build as b, sys; print(b.build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", call, folder], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return folder / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `postbell` command of an environment with nothing but the pinned packages and it."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder)
    python = str(folder / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-compile"]
    locked = ["--require-hashes", "-r", str(ROOT / "requirements.lock")]
    subprocess.run([*pip, *locked], check=True, timeout=300)
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True, timeout=60)
    return folder / "bin" / "postbell"


def test_the_wheel_says_its_licence_and_carries_its_text(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        licences = [name for name in archive.namelist() if name.endswith("/licenses/LICENSE")]
        said = message_from_bytes(archive.read(metadata))

    assert said["License-Expression"] == "Apache-2.0"
    assert len(licences) == 1


def test_the_wheel_carries_every_file_of_the_package(wheel: Path) -> None:
    source = ROOT / "src"
    kinds = {".py", ".sql", ".typed", ".html", ".css", ".js", ".svg", ".toml"}
    wanted = {
        str(path.relative_to(source))
        for path in (source / "postbell").rglob("*")
        if path.suffix in kinds or path.name == "py.typed"
    }

    with zipfile.ZipFile(wheel) as archive:
        carried = {name for name in archive.namelist() if name.startswith("postbell/")}

    assert wanted - carried == set()
    assert any(name.endswith(".sql") for name in wanted)
    assert {name for name in carried if Path(name).suffix not in kinds | {""}} == set()


def test_the_installed_command_says_its_version(installed: Path) -> None:
    done = subprocess.run([installed, "--version"], capture_output=True, text=True, env=CLEAN)

    assert done.stdout.strip() == "postbell 0.1.0"


def test_the_installed_service_gets_ready_and_ends_cleanly(installed: Path, tmp_path: Path) -> None:
    environ = {**CLEAN, "POSTBELL_LISTEN": "127.0.0.1:0", "POSTBELL_LOG_FORMAT": "json"}
    log = tmp_path / "log"

    with log.open("wb") as stream:
        process = subprocess.Popen([installed, "serve"], cwd=tmp_path, env=environ, stderr=stream)
    try:
        url = f"http://{until(started(log), process)}/readyz"
        ready = until(status(url), process)
        process.send_signal(signal.SIGTERM)
        ended = process.wait(40)
    finally:
        process.kill()
        process.wait()

    assert ready == 200
    assert ended == 0


def until(tries: Iterator[T | None], process: subprocess.Popen[bytes]) -> T:
    """Return the first thing that *tries* yields, while *process* lives, within LIMIT_S."""
    deadline = time.monotonic() + LIMIT_S
    for found in tries:
        if found is not None:
            return found
        assert process.poll() is None, "the service ended"
        assert time.monotonic() < deadline, f"not within {LIMIT_S} s"
        time.sleep(0.05)
    raise AssertionError("unreachable")


def started(log: Path) -> Iterator[str | None]:
    """Yield the address of the line `started`, None as long as it is missing."""
    while True:
        lines = [json.loads(line) for line in log.read_bytes().splitlines() if line[:1] == b"{"]
        yield next((line["address"] for line in lines if line["event"] == "started"), None)


def status(url: str) -> Iterator[int | None]:
    """Yield 200 once *url* answers with it, None before."""
    while True:
        try:
            with NO_PROXY.open(url, timeout=5) as response:
                yield response.status
        except urllib.error.URLError:
            yield None
