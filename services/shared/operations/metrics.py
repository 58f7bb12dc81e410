"""Prometheus metrics of long-running operations."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# Seconds: from a dataset that exists already to a night of generation.
BUCKETS = (0.1, 1, 5, 30, 60, 300, 900, 3600, 14400, 43200)


class OperationMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._finished = Counter(
            "lima_operations_finished", "Operations ended here, by outcome", ["kind", "outcome"], registry=registry
        )
        self._seconds = Histogram(
            "lima_operation_seconds", "Time in the handler", ["kind"], buckets=BUCKETS, registry=registry
        )
        self._running = Gauge("lima_operations_running", "Operations at work here", ["kind"], registry=registry)

    def started(self, kind: str) -> None:
        self._running.labels(kind).inc()

    def ended(self, kind: str, outcome: str, seconds: float) -> None:
        """`outcome` is succeeded, failed, or released: handed back unfinished."""
        self._running.labels(kind).dec()
        self._finished.labels(kind, outcome).inc()
        self._seconds.labels(kind).observe(seconds)
