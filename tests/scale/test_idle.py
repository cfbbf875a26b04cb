"""The real service with webhooks that have nothing to do: `bench.idle` at a twentieth of its size.

The goal is 1 % of a core with 10,000 of them (docs/explain/performance.md); the tests that run
beside this one can double what the same work takes.
"""

from bench.idle import measure

MOST_PERCENT = 2.0


def test_idle_webhooks_cost_next_to_nothing() -> None:
    idle = measure(accounts=50, each=10, seconds=10)

    assert idle.webhooks == 500
    assert idle.percent <= MOST_PERCENT, idle
