"""The Grafana dashboard asks for metrics that the programs have."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

from prometheus_client import CollectorRegistry

from services.operator.app import Operator
from services.shared.rpc.metrics import RpcMetrics, new_registry
from tests.chart.render import of_kind, rendered
from tests.unit.operator.jobs import config


def dashboard() -> dict[str, Any]:
    (held,) = [m for m in of_kind(rendered("prod"), "ConfigMap") if m["metadata"]["name"] == "lima-dashboard"]
    loaded: dict[str, Any] = json.loads(held["data"]["lima.json"])
    return loaded


def exported(registry: CollectorRegistry) -> set[str]:
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
    return {family.name + suffix for family in registry.collect() for suffix in suffixes[family.type]}


def test_every_metric_is_one_that_a_program_exports() -> None:
    registry = new_registry()
    RpcMetrics(registry)
    # No connection is made before the operator runs.
    Operator(None, None, config(), "test", registry)  # type: ignore[arg-type]
    asked = {name for panel in dashboard()["panels"] for t in panel["targets"] for name in metrics(t["expr"])}
    assert len(asked) >= 8
    assert asked <= exported(registry)


def metrics(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:lima|process)_\w+", expression))


def test_panels_do_not_overlap() -> None:
    places = sorted((p["gridPos"]["y"], p["gridPos"]["x"]) for p in dashboard()["panels"])
    assert all(first != second for first, second in pairwise(places))
