"""python -m services.inference.replica: Ray Serve with the deployer, in the foreground.

Attaches to the Ray cluster that RAY_ADDRESS names, else starts one on this machine. Serve listens on
LIMA_REPLICA_HOST:LIMA_REPLICA_PORT; LIMA_READY_FILE is written once it answers.
"""

from __future__ import annotations

import json
import os
import signal
import sys

import structlog

from services.inference.replica.settings import ReplicaSettings
from services.shared import logs
from services.shared.errors import LimaError

# A local Ray counts logical CPUs only to admit work; replicas and training jobs of one laptop share its cores.
LOCAL_CPUS = 16

RAY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    # Serve looks at its deployments ten times a second, which takes a twentieth of a processor from the replicas.
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
    # Our endpoints never block their loop, so that nothing is gained by handing each message to another thread.
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
}

logger = structlog.get_logger()


def main() -> int:
    try:
        settings = ReplicaSettings()
    except LimaError as error:
        print(f"replica: {error}", file=sys.stderr)
        return 1
    logs.configure(settings, "replica")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    try:
        start_serve(settings)
        _write_ready_file(settings)
        logger.info("replica_serving", url=f"http://{settings.replica_host}:{settings.replica_port}")
        while True:
            signal.pause()
    finally:
        stop_serve()


def _end(number: int, frame: object) -> None:
    """Ends the program wherever it is: starting Ray takes long, and whoever stops us must not wait for it."""
    raise SystemExit(0)


def start_serve(settings: ReplicaSettings) -> None:
    """Connects to Ray, starts Serve on the configured address and runs the deployer."""
    # Before ray is imported: it reads these once.
    for name, value in RAY.items():
        os.environ.setdefault(name, value)
    import ray
    from ray import serve

    from services.inference.replica.app import build_deployer
    from services.inference.replica.deployer import ROUTE

    if os.environ.get("RAY_ADDRESS"):
        ray.init(log_to_driver=False)
    else:
        ray.init(address="local", num_cpus=LOCAL_CPUS, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": settings.replica_host, "port": settings.replica_port, "request_timeout_s": None})
    serve.run(build_deployer(), name="deployer", route_prefix=ROUTE)


def stop_serve() -> None:
    """Leaves an attached cluster's deployments running; a local Ray ends with this process."""
    import ray

    ray.shutdown()


def _write_ready_file(settings: ReplicaSettings) -> None:
    if settings.ready_file is None:
        return
    url = f"http://{settings.replica_host}:{settings.replica_port}"
    settings.ready_file.parent.mkdir(parents=True, exist_ok=True)
    partial = settings.ready_file.with_name(f"{settings.ready_file.name}.partial")
    partial.write_text(json.dumps({"service": "replica", "pid": os.getpid(), "url": url}))
    partial.replace(settings.ready_file)


if __name__ == "__main__":
    sys.exit(main())
