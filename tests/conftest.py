"""Fixtures that every kind of test shares."""

import functools
import gc
import itertools
import signal

import httpx
import pytest
from hypothesis import HealthCheck, settings

from tests.fakes import FakeClock

settings.register_profile(
    "busy", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("busy")


def pytest_configure() -> None:
    """Let processes of tests hear Ctrl-C although a shell that runs these in its background has
    told all its children not to."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


# Every client reads the certificates that the world trusts, 25 ms each time: here one does.
httpx._transports.default.create_ssl_context = functools.cache(httpx.create_ssl_context)


gc.disable()  # a fifth of the time until nine thousand tests are known


def pytest_collection_finish() -> None:
    """Let the collector of garbage pass over what the tests are from here on."""
    gc.enable()
    gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let each process of the run begin with its share of the long ones, lest one is left at the
    end, alone on its core: each is given one piece of the list, and what it has not begun goes to
    who has nothing left."""
    processes = getattr(config, "workerinput", {"workercount": 1})["workercount"]
    long = [item for item in items if item.get_closest_marker("long")]
    others = iter([item for item in items if not item.get_closest_marker("long")])
    dealt: list[pytest.Item] = []
    for process in range(processes):
        size = (len(items) - len(dealt)) // (processes - process)
        share = long[process::processes]
        dealt += [*share, *itertools.islice(others, max(0, size - len(share)))]
    items[:] = dealt


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()
