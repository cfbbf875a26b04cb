"""What tests of the shape share."""

from collections.abc import Iterator

import pytest

from tests.shape import source


@pytest.fixture(scope="module", autouse=True)
def read_once() -> Iterator[None]:
    """Read the source once for each module of tests; as trees it takes a hundred megabytes."""
    yield
    source.parsed.cache_clear()
    source.nodes.cache_clear()
