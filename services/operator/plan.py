"""Whether a job can be submitted at all: its settings, its dataset, its base model, and the memory it would need."""

from __future__ import annotations

from services.operator.config import OperatorConfig
from services.operator.finetunejob import FineTuneJob
from services.operator.state import Refusal
from services.shared.errors import InvalidInput
from services.shared.objects import MANIFEST, ObjectStore


def refusal_of(job: FineTuneJob, store: ObjectStore, config: OperatorConfig) -> Refusal | None:
    """The first reason against `job`, or None.

    What is missing now may come: such a refusal is not final, and is looked at again.
    """
    try:
        job.training_spec(store.bucket)
    except InvalidInput as invalid:
        return Refusal("InvalidSpec", str(invalid), final=True)
    for field, reason, prefix, remedy in (
        ("spec.dataset", "DatasetNotFound", job.spec.dataset.prefix, "lima dataset list"),
        ("spec.baseModel", "ModelNotFound", job.spec.base_model, "lima model list"),
    ):
        if store.stat(f"{prefix}/{MANIFEST}") is None:
            message = f"{field}: there is no {store.uri(f'{prefix}/{MANIFEST}')}. See what there is: {remedy}"
            return Refusal(reason, message, final=False)
    return None
