"""python -m services.operator: watches one namespace until it is told to stop."""

from __future__ import annotations

import signal
import sys

from services.operator.app import Operator
from services.operator.cluster import Cluster, connect
from services.operator.config import OperatorSettings, load_config
from services.operator.health import HealthServer
from services.shared.errors import LimaError
from services.shared.logs import configure
from services.shared.objects import ObjectStore
from services.shared.rpc.metrics import new_registry


def main() -> int:
    try:
        settings = OperatorSettings()
        configure(settings, "operator")
        config = load_config(settings.operator_config)
        registry = new_registry()
        cluster = Cluster(connect(), settings.namespace)
        operator = Operator(cluster, ObjectStore.from_settings(settings), config, settings.pod_name, registry)
    except LimaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    # Ready also while standing by: it serves nobody, and a rollout must not wait for the Lease.
    health = HealthServer(settings.metrics_host, settings.metrics_port, registry, lambda: operator.alive, lambda: True)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: operator.stop())
    try:
        return operator.run()
    finally:
        health.stop()


if __name__ == "__main__":
    sys.exit(main())
