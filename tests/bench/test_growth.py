"""The scenario `growth`, with few events."""

import pytest
from bench.scenarios import SCENARIOS

from bench import growth


@pytest.mark.long
def test_each_figure_is_taken_at_a_tenth_of_the_events_and_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(growth, "REST_S", 0)
    monkeypatch.setattr(growth, "ROUNDS", 2)
    (scenario,) = (each for each in SCENARIOS if each.name == "growth")

    found = scenario.run(scenario, 3_000)

    assert found.grown is not None and found.page_ms is not None
    assert set(growth.PAGES) < set(found.grown)
    assert all(small > 0 and whole > 0 for small, whole in found.grown.values())
    assert found.page_ms == max(found.grown[page][1] for page in growth.PAGES)
