"""What reports show are frozen structs, and no dictionary that a face could write into."""

import inspect
from collections.abc import Iterator
from typing import Any, get_type_hints

import msgspec
import pytest

from postbell.api import schemas
from postbell.reports import (
    batch_views,
    core,
    event_views,
    opened,
    search,
    sources,
    stats,
    timeline,
    views,
)
from postbell.reports import trail as trail_report

MODULES = (batch_views, event_views, schemas, sources, stats, trail_report, views)
READERS = (
    core.Reports,
    opened.OpenBatches,
    search.Search,
    sources.SourcesReport,
    stats.Stats,
    timeline.Timeline,
    trail_report.TrailReport,
)


def shown() -> Iterator[type[msgspec.Struct]]:
    for module in MODULES:
        for each in vars(module).values():
            is_struct = inspect.isclass(each) and issubclass(each, msgspec.Struct)
            if is_struct and each is not msgspec.Struct:
                yield each


def answers() -> Iterator[tuple[str, Any]]:
    for reader in READERS:
        for name, method in inspect.getmembers(reader, inspect.isfunction):
            if not name.startswith("_"):
                yield f"{reader.__name__}.{name}", get_type_hints(method)["return"]


def test_every_view_is_frozen() -> None:
    thawed = {each.__name__ for each in shown() if not each.__struct_config__.frozen}

    assert thawed == set()


@pytest.mark.parametrize(("name", "answer"), list(answers()))
def test_no_report_answers_with_a_dictionary(name: str, answer: Any) -> None:
    assert "dict[" not in str(answer), name
