"""Whether a job can be submitted at all: its settings, its dataset, its base model, and the memory it would need."""

from __future__ import annotations

import json
from typing import Any

from services.operator.config import OperatorConfig
from services.operator.finetunejob import FineTuneJob, camel
from services.operator.state import Refusal
from services.shared.errors import InvalidInput, LimaError, NotFound
from services.shared.objects import MANIFEST, ObjectStore
from training_jobs import memory_plan
from training_jobs.spec import TrainingSpec

MAX_CONFIG_BYTES = 1 << 20


def refusal_of(job: FineTuneJob, store: ObjectStore, config: OperatorConfig) -> Refusal | None:
    """The first reason against `job`, or None.

    What is missing now may come: such a refusal is not final, and is looked at again.
    """
    try:
        spec = job.training_spec(store.bucket)
    except InvalidInput as invalid:
        return Refusal("InvalidSpec", str(invalid), final=True)
    for field, reason, prefix, remedy in (
        ("spec.dataset", "DatasetNotFound", job.spec.dataset.prefix, "lima datasets list"),
        ("spec.baseModel", "ModelNotFound", job.spec.base_model, "lima models list"),
    ):
        if store.stat(f"{prefix}/{MANIFEST}") is None:
            message = f"{field}: there is no {store.uri(f'{prefix}/{MANIFEST}')}. See what there is: {remedy}"
            return Refusal(reason, message, final=False)
    try:
        model = json.loads(store.get_bytes(f"{job.spec.base_model}/config.json", MAX_CONFIG_BYTES))
        return _does_not_fit(job, spec, model, config)
    except NotFound:
        return None  # Not a Transformers folder: the run itself says so better.
    except (ValueError, LimaError) as error:
        return Refusal(
            "ModelUnreadable", f"spec.baseModel: its config.json cannot be planned with: {error}", final=True
        )


def _does_not_fit(job: FineTuneJob, spec: TrainingSpec, model: Any, config: OperatorConfig) -> Refusal | None:
    """Refuse what cannot run anywhere in this cluster, with the arithmetic and the nearest settings that can."""
    pod = config.worker_bytes
    host = None if pod is None else pod / job.spec.workers_per_pod
    on_gpu = spec.compute.gpus_per_worker > 0
    device = config.gpu_bytes if on_gpu else host
    if device is None:
        return None
    budget = (float(device), host if on_gpu else None)
    plan = memory_plan.plan(spec, model)
    if plan.fits(*budget):
        return None
    place = (
        f"one of the cluster's GPUs has {device / 1e9:.1f} GB" if on_gpu else f"its pod gives it {device / 1e9:.1f} GB"
    )
    if on_gpu and host is not None:
        place += f", and its pod gives it {host / 1e9:.1f} GB of host memory"
    needs = f"a worker needs {plan.device_bytes / 1e9:.1f} GB" + (
        f" and {plan.host_bytes / 1e9:.1f} GB of host memory" if plan.host_bytes else ""
    )
    nearest = memory_plan.nearest_fit(spec, model, *budget)
    advice = f"It fits with {_as_written(nearest[1])}" if nearest else "No setting of compute makes it fit here"
    return Refusal("DoesNotFit", "\n".join([f"{needs}, but {place}. {advice}.", *plan.arithmetic]), final=True)


def _as_written(change: str) -> str:
    """A change in the words of a FineTuneJob."""
    return ", ".join(
        f"{'.'.join(map(camel, path.split('.')))} = {value}"
        for path, _, value in (part.partition(" = ") for part in change.split(", "))
    )
