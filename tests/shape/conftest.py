"""What tests of the shape share."""

import gc
from collections.abc import Iterator

import pytest

from tests.shape import source


@pytest.fixture(scope="package", autouse=True)
def read_once() -> Iterator[None]:
    """Read the source once for all of them, and forget it: as trees it takes two hundred megabytes,
    which the collector of garbage would go through again and again."""
    gc.disable()
    yield
    source.parsed.cache_clear()
    source.nodes.cache_clear()
    gc.enable()
