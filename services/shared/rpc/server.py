"""Bootstrap of every gRPC server.

    # services/curation/__main__.py
    curation = Service(
        curation_pb2.DESCRIPTOR.services_by_name["CurationService"],
        curation_pb2_grpc.add_CurationServiceServicer_to_server,
        servicer,
        roles={"GetDataset": Role.VIEWER, "ListDatasets": Role.VIEWER},   # the others take OPERATOR
    )
    await serve(settings, "curation", [curation], operations=operations)

    # in tests: port 0, and the port that was bound
    async with running(settings, "curation", [curation]) as server:
        async with connect(server.address, token=TOKEN) as channel: ...

`serve` returns after SIGTERM or SIGINT. With LIMA_READY_FILE set, it writes {service, pid, address,
port, metrics_port} there once it answers. grpc.health.v1 knows "liveness", "readiness", "" and each service.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import structlog
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.shared.errors import FailedPrecondition
from services.shared.rpc import stages
from services.shared.rpc.metrics import MetricsServer, RpcMetrics, new_registry
from services.shared.rpc.pipeline import Pipeline
from services.shared.rpc.principal import Role, Tokens
from services.shared.rpc.tls import server_credentials
from services.shared.settings import Settings

if TYPE_CHECKING:
    from services.shared.operations import Operations

CONNECTION_AGE_SECONDS = 600
LIVENESS = "liveness"
READINESS = "readiness"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

log = structlog.get_logger()


@dataclass(frozen=True)
class Service:
    """One gRPC service, its servicer, and the roles its methods take (OPERATOR where none is given)."""

    descriptor: ServiceDescriptor
    add: Callable[[Any, Any], None]
    servicer: object
    roles: Mapping[str, Role] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = self.roles.keys() - self.descriptor.methods_by_name.keys()
        if unknown:
            raise ValueError(f"{self.descriptor.full_name} has no method {', '.join(sorted(unknown))}")

    def roles_by_path(self) -> dict[str, Role]:
        return {f"/{self.descriptor.full_name}/{method}": role for method, role in self.roles.items()}


class RunningServer:
    """A server that answers: where it is, and how to stop it."""

    def __init__(self, settings: Settings, services: Sequence[Service]) -> None:
        registry = new_registry()
        self._settings = settings
        self._health = health.aio.HealthServicer()
        self._names = [service.descriptor.full_name for service in services]
        self._server = _build(settings, services, RpcMetrics(registry), self._health)
        self._health_server: grpc.aio.Server | None = None
        self._metrics: MetricsServer | None = None
        self.registry = registry
        self.port = 0
        self.metrics_port = 0

    @property
    def address(self) -> str:
        host = self._settings.bind_host
        return f"{'127.0.0.1' if host in ('0.0.0.0', '[::]', '') else host}:{self.port}"  # noqa: S104

    async def start(self) -> None:
        settings = self._settings
        await self._set_readiness(NOT_SERVING)
        self.port = _bind(self._server, settings)
        self._metrics = MetricsServer(settings.metrics_host, settings.metrics_port, self.registry)
        self.metrics_port = self._metrics.port
        if settings.health_port is not None:
            self._health_server = grpc.aio.server()
            health_pb2_grpc.add_HealthServicer_to_server(self._health, self._health_server)
            _bind_port(self._health_server, f"{settings.bind_host}:{settings.health_port}", None)
            await self._health_server.start()
        await self._server.start()
        await self._health.set(LIVENESS, SERVING)
        await self._set_readiness(SERVING)

    async def stop(self) -> None:
        """NOT_SERVING, a moment for load balancers to see it, then the calls at work may finish.

        Liveness stays as it is: a server that drains must not be killed for it.
        """
        await self._set_readiness(NOT_SERVING)
        await asyncio.sleep(self._settings.shutdown_notice_seconds)
        await self._server.stop(self._settings.shutdown_drain_seconds)
        if self._health_server is not None:
            await self._health_server.stop(0)
        if self._metrics is not None:
            await asyncio.to_thread(self._metrics.stop)

    async def _set_readiness(self, status: Any) -> None:
        for name in ("", READINESS, *self._names):
            await self._health.set(name, status)


@asynccontextmanager
async def running(
    settings: Settings, service: str, services: Sequence[Service], *, operations: Operations | None = None
) -> AsyncIterator[RunningServer]:
    """A server for the length of the block, with google.longrunning.Operations when `operations` is given."""
    if operations is not None:
        services = [*services, operations.service()]
    server = RunningServer(settings, services)
    try:
        await server.start()
        if operations is not None:
            # Only now: a server that found its port taken must not take up another one's work.
            await operations.run(server.registry)
        log.info("server is up", address=server.address, metrics_port=server.metrics_port)
        _write_ready_file(settings, service, server)
        yield server
    finally:
        # Shielded: a second signal must not cut the drain short and leave half the parts running.
        await asyncio.shield(_shut_down(settings, server, operations))
        log.info("server is down")


async def serve(
    settings: Settings, service: str, services: Sequence[Service], *, operations: Operations | None = None
) -> None:
    """Run a server until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with running(settings, service, services, operations=operations):
        await stopped.wait()


async def _shut_down(settings: Settings, server: RunningServer, operations: Operations | None) -> None:
    _remove_ready_file(settings)
    if operations is not None:
        operations.begin_stop()
    await server.stop()
    if operations is not None:
        await operations.stop()


def _build(
    settings: Settings, services: Sequence[Service], metrics: RpcMetrics, health_servicer: Any
) -> grpc.aio.Server:
    roles = {path: role for service in services for path, role in service.roles_by_path().items()}
    pipeline = Pipeline(
        [
            stages.observe(metrics),
            stages.map_errors,
            stages.authenticate(Tokens.from_settings(settings), roles),
            stages.limit_time(settings),
        ]
    )
    limit = settings.rpc_message_mebibytes << 20
    server = grpc.aio.server(
        interceptors=[pipeline],
        options=[
            ("grpc.max_receive_message_length", limit),
            ("grpc.max_send_message_length", limit),
            # Two servers on one port would share its calls at random.
            ("grpc.so_reuseport", 0),
            # Clients look the name up again now and then, and so find replicas that were added.
            ("grpc.max_connection_age_ms", CONNECTION_AGE_SECONDS * 1000),
            ("grpc.max_connection_age_grace_ms", int(settings.rpc_maximum_seconds * 1000)),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ],
    )
    for service in services:
        service.add(service.servicer, server)
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    names = [service.descriptor.full_name for service in services]
    reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    return server


def _bind(server: grpc.aio.Server, settings: Settings) -> int:
    return _bind_port(server, f"{settings.bind_host}:{settings.port}", server_credentials(settings))


def _bind_port(server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None) -> int:
    try:
        if credentials is None:
            return int(server.add_insecure_port(address))
        return int(server.add_secure_port(address, credentials))
    except RuntimeError as error:
        raise FailedPrecondition(
            f"cannot listen on {address}", remedy="stop the program that holds the port, or set another LIMA_PORT"
        ) from error


def _write_ready_file(settings: Settings, service: str, server: RunningServer) -> None:
    if settings.ready_file is None:
        return
    content = {
        "service": service,
        "pid": os.getpid(),
        "address": server.address,
        "port": server.port,
        "metrics_port": server.metrics_port,
    }
    settings.ready_file.parent.mkdir(parents=True, exist_ok=True)
    partial = settings.ready_file.with_name(f"{settings.ready_file.name}.partial")
    partial.write_text(json.dumps(content))
    partial.replace(settings.ready_file)


def _remove_ready_file(settings: Settings) -> None:
    """Remove what this process wrote: one that did not come up must not hide the one that did."""
    if settings.ready_file is None or not settings.ready_file.exists():
        return
    if json.loads(settings.ready_file.read_text())["pid"] == os.getpid():
        settings.ready_file.unlink(missing_ok=True)
