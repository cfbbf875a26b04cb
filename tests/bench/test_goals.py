"""The goals name what exists, and judge."""

import msgspec
from bench.goals import GOALS, POSTGRES_GOALS, Goal, of
from bench.measuring import Result, beside
from bench.scenarios import SCENARIOS


def result(**members: float) -> Result:
    costs = {"cpu_us": 1.0, "rate": 1.0, "peak_mib": 1.0, "floor_us": 1.0, "ratio": 1.0}
    return msgspec.convert({"name": "latency", **costs, **members}, Result)


def test_every_goal_is_of_a_scenario_and_of_a_figure() -> None:
    scenarios = {scenario.name for scenario in SCENARIOS}

    assert {goal.scenario for goal in GOALS + POSTGRES_GOALS} <= scenarios
    assert {goal.member for goal in GOALS + POSTGRES_GOALS} <= set(Result.__struct_fields__)


def test_a_goal_is_met_up_to_its_limit() -> None:
    goal = Goal("latency", "p99_ms", 25)

    assert goal.is_met(result(p99_ms=25.0))
    assert not goal.is_met(result(p99_ms=25.1))


def test_what_postgresql_takes_is_judged_by_what_sqlite_took_in_the_same_run() -> None:
    sqlite = result(cpu_us=2.0, p99_ms=10.0)
    postgres = result(cpu_us=3.0, p99_ms=25.0, server_us=1.0)

    found = beside(sqlite, postgres)

    assert (found.against, found.p99_against, found.server_against) == (1.5, 2.5, 0.5)
    assert found.name == "latency-postgres"
    assert of("latency-two-postgres") == [Goal("latency-two", "p99_against", 2)]
