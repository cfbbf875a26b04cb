"""The goals name what exists, and judge."""

import msgspec
from bench.goals import GOALS, Goal
from bench.measuring import Result
from bench.scenarios import SCENARIOS


def result(**members: float) -> Result:
    costs = {"cpu_us": 1.0, "rate": 1.0, "peak_mib": 1.0, "floor_us": 1.0, "ratio": 1.0}
    return msgspec.convert({"name": "latency", **costs, **members}, Result)


def test_every_goal_is_of_a_scenario_and_of_a_figure() -> None:
    scenarios = {scenario.name for scenario in SCENARIOS}

    assert {goal.scenario for goal in GOALS} <= scenarios
    assert {goal.member for goal in GOALS} <= set(Result.__struct_fields__)


def test_a_goal_is_met_up_to_its_limit() -> None:
    goal = Goal("latency", "p99_ms", 25)

    assert goal.is_met(result(p99_ms=25.0))
    assert not goal.is_met(result(p99_ms=25.1))
