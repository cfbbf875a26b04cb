"""`/metrics`: what a Prometheus server reads of this process and of the installation.

`exposition` gathers it, `following` counts what the log and the journal say, `requests` what comes
in; `shapes` are counters that cost little.
"""

from postbell.operating.metrics.exposition import MAX_WEBHOOKS, Metrics, Pools, PoolUse

__all__ = ["MAX_WEBHOOKS", "Metrics", "PoolUse", "Pools"]
