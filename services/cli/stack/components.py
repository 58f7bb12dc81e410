"""The programs of the local stack: how each is started and how one knows that it is ready."""

from __future__ import annotations

import json
import os
import socket
import sys
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.cli.stack.layout import Ports, StackFile, StackLayout

LOOPBACK = "127.0.0.1"
OBJECT_STORE = "object-store"
# Ray schedules by counting; training and serving share the processors in turn, so the count is generous.
RAY_LOGICAL_CPUS = 16
RAY_OBJECT_STORE_BYTES = 128 * 2**20


@dataclass(frozen=True)
class Component:
    name: str
    needs: tuple[str, ...]
    command: Callable[[StackLayout, StackFile], list[str]]
    port: Callable[[Ports], int]
    # What must hold besides a port that answers.
    check: Callable[[StackLayout, Ports], bool] = lambda layout, ports: True
    # How long it may take to come up, and to go.
    seconds: float = 60.0
    patience: float = 10.0
    # A component in which its server lives on when its own program is killed.
    host: str = ""
    # Times it is launched before its end while starting is believed.
    launches: int = 1

    def is_ready(self, layout: StackLayout, ports: Ports) -> bool:
        return accepts(self.port(ports)) and self.check(layout, ports)


def accepts(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=0.5):
            return True
    except OSError:
        return False


def serving(port: Callable[[Ports], int]) -> Callable[[StackLayout, Ports], bool]:
    """A check that a gRPC service says of itself that it serves (grpc.health.v1)."""

    def check(layout: StackLayout, ports: Ports) -> bool:
        import grpc
        from grpc_health.v1 import health_pb2, health_pb2_grpc

        with grpc.insecure_channel(f"{LOOPBACK}:{port(ports)}") as channel:
            try:
                reply = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=1)
            except grpc.RpcError:
                return False
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

    return check


def ray_has_started(layout: StackLayout, ports: Ports) -> bool:
    """Ray's port answers long before `ray start` has seen its node join; slow machines may fail in between.

    The last thing that it does is to write down its address.
    """
    try:
        return layout.ray_address.read_text().strip().endswith(f":{ports.ray}")
    except OSError:
        return False


def volumes_are_known(layout: StackLayout, ports: Ports) -> bool:
    """The store's S3 port answers up to seconds before its master hears which volumes there are.

    Until then what was written cannot be read.
    """
    del layout
    connection = HTTPConnection(LOOPBACK, ports.master, timeout=1)
    try:
        connection.request("GET", "/dir/status")
        topology = json.load(connection.getresponse())["Topology"]
    except (OSError, HTTPException, ValueError, KeyError):
        return False
    finally:
        connection.close()
    racks = [rack for centre in topology["DataCenters"] or () for rack in centre["Racks"] or ()]
    return any(rack["DataNodes"] for rack in racks)


def environment(layout: StackLayout, stack: StackFile) -> dict[str, str]:
    """What every process of the stack, and every command that talks to it, is told."""
    ports = stack.ports
    return {
        "LIMA_STATE_DIR": str(layout.state_dir.resolve()),
        "LIMA_TOKEN": stack.token,
        "LIMA_OBJECT_STORE_ENDPOINT": f"http://{LOOPBACK}:{ports.object_store}",
        "LIMA_OBJECT_STORE_ACCESS_KEY": stack.access_key,
        "LIMA_OBJECT_STORE_SECRET_KEY": stack.secret_key,
        "LIMA_CURATION_ADDRESS": f"{LOOPBACK}:{ports.curation}",
        "LIMA_INFERENCE_ADDRESS": f"{LOOPBACK}:{ports.inference}",
        "LIMA_JUDGING_ADDRESS": f"{LOOPBACK}:{ports.judging}",
        "LIMA_REPLICA_URL": f"http://{LOOPBACK}:{ports.replica}",
        "RAY_ADDRESS": f"{LOOPBACK}:{ports.ray}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": stack.ray_token,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        # Ray renices its workers; on a busy laptop they then starve and fail their health checks.
        "RAY_worker_niceness": "0",
        # Serve looks at its deployments ten times a second, a twentieth of a processor; half as often will do
        # here, where `lima run` waits for one model after another. And our endpoints never block their loop, so that
        # nothing is gained by handing each message to another thread.
        "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.2",
        "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
        "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
        "RAY_TMPDIR": str(layout.ray_temp),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(min(os.cpu_count() or 1, 8))),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
        # Workers look for ninja and the like beside the interpreter, also where no environment is activated.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        # The embedded object store reads its only key from here.
        "AWS_ACCESS_KEY_ID": stack.access_key,
        "AWS_SECRET_ACCESS_KEY": stack.secret_key,
        # It is written in Go, which otherwise keeps the memory that a large upload took.
        "GOMEMLIMIT": "256MiB",
        **stack.object_store,
    }


def listening(component: Component, ports: Ports) -> dict[str, str]:
    """Where one component listens, in addition to what all are told."""
    port = str(component.port(ports))
    # Serve binds the replica's port itself, wherever its controller runs, so it has a variable of its own.
    variable = "LIMA_REPLICA_PORT" if component.name == "replica" else "LIMA_PORT"
    return {variable: port, "LIMA_METRICS_PORT": str(getattr(ports, f"{component.name}_metrics", 0))}


def object_store_command(layout: StackLayout, stack: StackFile) -> list[str]:
    ports = stack.ports
    return [
        str(Path(sys.executable).parent / "weed"),
        # Into the stack's own log, and not into files of the machine's temporary folder.
        "-logtostderr=true",
        "mini",
        f"-dir={layout.objects}",
        f"-ip={LOOPBACK}",
        f"-ip.bind={LOOPBACK}",
        # Its defaults would send telemetry and open more servers than an object store needs.
        "-master.telemetry=false",
        "-admin.ui=false",
        "-webdav=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-s3.port={ports.object_store}",
        f"-s3.port.grpc={ports.object_store_grpc}",
        f"-master.port={ports.master}",
        f"-master.port.grpc={ports.master_grpc}",
        f"-volume.port={ports.volume}",
        f"-volume.port.grpc={ports.volume_grpc}",
        f"-filer.port={ports.filer}",
        f"-filer.port.grpc={ports.filer_grpc}",
        f"-admin.port={ports.admin}",
        f"-admin.port.grpc={ports.admin_grpc}",
    ]


def ray_command(layout: StackLayout, stack: StackFile) -> list[str]:
    return [
        str(Path(sys.executable).parent / "ray"),
        "start",
        "--head",
        "--block",
        f"--node-ip-address={LOOPBACK}",
        f"--port={stack.ports.ray}",
        f"--ray-client-server-port={stack.ports.ray_client}",
        f"--dashboard-agent-listen-port={stack.ports.ray_agent}",
        # Whatever is free: the usual range would meet our block of ports.
        "--min-worker-port=0",
        "--max-worker-port=0",
        f"--temp-dir={layout.ray_temp}",
        f"--num-cpus={RAY_LOGICAL_CPUS}",
        f"--object-store-memory={RAY_OBJECT_STORE_BYTES}",
        "--include-dashboard=false",
        "--disable-usage-stats",
        "--log-style=record",
    ]


def module(name: str) -> Callable[[StackLayout, StackFile], list[str]]:
    def command(layout: StackLayout, stack: StackFile) -> list[str]:
        del layout, stack
        return [sys.executable, "-m", name]

    return command


COMPONENTS: dict[str, Component] = {
    component.name: component
    for component in (
        Component(OBJECT_STORE, (), object_store_command, lambda ports: ports.object_store, check=volumes_are_known),
        Component(
            "ray",
            (),
            ray_command,
            lambda ports: ports.ray,
            check=ray_has_started,
            seconds=180,
            patience=0,
            # It gives its own parts 30 s, which a busy laptop may not keep.
            launches=3,
        ),
        Component(
            "curation",
            (OBJECT_STORE,),
            module("services.curation"),
            lambda ports: ports.curation,
            check=serving(lambda ports: ports.curation),
        ),
        Component(
            "replica",
            (OBJECT_STORE, "ray"),
            module("services.inference.replica"),
            lambda ports: ports.replica,
            host="ray",
            seconds=180,
            patience=0,
        ),
        Component(
            "inference",
            (OBJECT_STORE,),
            module("services.inference"),
            lambda ports: ports.inference,
            check=serving(lambda ports: ports.inference),
        ),
        Component(
            "judging",
            (OBJECT_STORE,),
            module("services.judging"),
            lambda ports: ports.judging,
            check=serving(lambda ports: ports.judging),
        ),
        Component("console", (OBJECT_STORE,), module("services.console"), lambda ports: ports.console),
    )
}


def components_of(stack: StackFile) -> dict[str, Component]:
    """What this stack is made of: no object store of its own where it was told of one elsewhere."""
    return {name: component for name, component in COMPONENTS.items() if not stack.object_store or name != OBJECT_STORE}


def with_needs(names: tuple[str, ...], stack: StackFile) -> list[Component]:
    """The named components and all they need of this stack, in an order in which they can be started."""
    ordered: dict[str, Component] = {}
    own = components_of(stack)

    def add(name: str) -> None:
        if name in own:
            for need in own[name].needs:
                add(need)
            ordered.setdefault(name, own[name])

    for name in names:
        add(name)
    return list(ordered.values())
