"""FineTuneJobs and what surrounds them, as the tests of the operator need them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from services.operator.config import OperatorConfig
from services.operator.finetunejob import API_VERSION, KIND, FineTuneJob, parse_job
from services.shared.objects import ObjectStore
from services.shared.records import RunPhase, RunStatus

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DIGEST = "0123456789abcdef"
MODEL = "models/tiny/1"


def manifest(name: str = "lima", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name, "namespace": "lima"},
        "spec": {"baseModel": MODEL, "dataset": {"name": "lima", "digest": DIGEST}, **spec},
    }


def job(name: str = "lima", status: dict[str, Any] | None = None, **spec: Any) -> FineTuneJob:
    raw = manifest(name, **spec)
    raw["metadata"] |= {"uid": "11111111-2222", "generation": 1}
    return parse_job({**raw, "status": status or {}})


def config(**changes: Any) -> OperatorConfig:
    resources = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}
    return OperatorConfig.model_validate(
        {
            "image": "lima/ray:0.1.0",
            "labels": {"app.kubernetes.io/component": "ray-training"},
            "environment": [{"name": "LIMA_OBJECT_STORE_ENDPOINT", "value": "http://store:9000"}],
            "head": {"resources": resources},
            "worker": {"resources": resources},
            "resyncSeconds": 1,
            **changes,
        }
    )


def run_status(name: str, phase: RunPhase = RunPhase.RUNNING, **fields: Any) -> RunStatus:
    return RunStatus(run=name, phase=phase, updated=NOW, **fields)


def put_run(store: ObjectStore, status: RunStatus) -> None:
    store.put_bytes(f"runs/{status.run}/status.json", status.model_dump_json().encode())


def put_inputs(store: ObjectStore) -> None:
    """A dataset and a base model of which the operator looks at the manifests alone."""
    store.put_bytes(f"datasets/lima/{DIGEST}/manifest.json", b"{}")
    store.put_bytes(f"{MODEL}/manifest.json", b"{}")
