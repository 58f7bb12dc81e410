"""Prometheus metrics of the RPCs, and the HTTP port they are read from."""

from __future__ import annotations

import threading
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from services.shared.errors import FailedPrecondition

POLL_SECONDS = 0.05
READ_SECONDS = 10
# Seconds: from a cached read to a whole streamed answer.
BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class RpcMetrics:
    """Only methods that exist are counted, so a stranger cannot grow the number of series."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "lima_rpc_requests", "RPCs finished, by method and status code", ["method", "code"], registry=registry
        )
        self._seconds = Histogram(
            "lima_rpc_seconds", "Duration of RPCs", ["method", "code"], buckets=BUCKETS, registry=registry
        )
        self._in_flight = Gauge("lima_rpc_in_flight", "RPCs at work", ["method"], registry=registry)

    def started(self, method: str) -> None:
        self._in_flight.labels(method).inc()

    def finished(self, method: str, code: str, seconds: float) -> None:
        self._in_flight.labels(method).dec()
        self._requests.labels(method, code).inc()
        self._seconds.labels(method, code).observe(seconds)


def new_registry() -> CollectorRegistry:
    """A registry of one server: two servers in one process (as in tests) must not share series."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class _QuietHandler(WSGIRequestHandler):
    # A peer that sends half a request must not hold a thread for ever.
    timeout = READ_SECONDS

    def log_message(self, format: str, *arguments: object) -> None:
        """A line for every scrape would drown the others."""


class MetricsServer:
    """`/metrics` over HTTP, on a port of its own."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry) -> None:
        try:
            self._server = make_server(host, port, make_wsgi_app(registry), ThreadingWSGIServer, _QuietHandler)
        except OSError as error:
            raise FailedPrecondition(
                f"cannot serve metrics on {host}:{port}: {error.strerror}",
                remedy="stop the program that holds the port, or set LIMA_METRICS_PORT=0 for any free one",
            ) from error
        self.port: int = self._server.server_port
        # The default interval would make every stop of a server take half a second longer.
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": POLL_SECONDS}, daemon=True, name="metrics"
        )
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
