"""What the operator is told: its own settings from the environment, and the cluster's facts from a file.

The chart writes the file (`operator.json` in a ConfigMap) from its `training` values.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.operator.finetunejob import camel
from services.shared.errors import FieldViolation, InvalidInput, InvalidInputs
from services.shared.settings import Settings


class OperatorSettings(Settings):
    operator_config: Path = Path("/etc/lima/operator.json")
    namespace: str = Field("default", pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
    # The holder's identity in the Lease.
    pod_name: str = "operator"


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=camel, populate_by_name=True)


class Pool(Section):
    """Where pods of a kind may run: parts of a pod's spec, as Kubernetes spells them."""

    node_selector: dict[str, str] = {}
    tolerations: list[dict[str, Any]] = []
    affinity: dict[str, Any] = {}
    runtime_class_name: str = ""
    priority_class_name: str = ""


UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def byte_count(quantity: str | int) -> int:
    """Bytes that a Kubernetes quantity of memory stands for.

    Raises:
        InvalidInput: it is none.
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([kMGT]?|[KMGT]i)", str(quantity))
    if not match:
        raise InvalidInput("memory", quantity, "must be a quantity such as 80Gi")
    return int(float(match[1]) * UNITS[match[2]])


class Resources(Section):
    requests: dict[str, str | int] = {}
    limits: dict[str, str | int] = {}


class PodKind(Section):
    resources: Resources = Resources()
    pool: Pool = Pool()


class OperatorConfig(Section):
    """Everything that a RayJob of ours needs and a FineTuneJob does not say."""

    image: str
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    image_pull_secrets: list[str] = []
    service_account: str = "default"
    # Labels of every training pod: what NetworkPolicies select them by.
    labels: dict[str, str] = {}
    # Variables of every training pod, as in a container's `env`: where the object store is.
    environment: list[dict[str, Any]] = []
    head: PodKind = PodKind()
    worker: PodKind = PodKind()
    shared_memory: str = "1Gi"
    scratch: str = "20Gi"
    # Memory of one GPU of the pool; empty leaves the memory plan unchecked.
    gpu_memory: str = Field("", pattern=r"^([0-9]+(\.[0-9]+)?([kMGT]|[KMGT]i)?)?$")
    gang: Literal["none", "kueue", "volcano"] = "none"
    queue: str = ""
    resync_seconds: int = Field(15, ge=1)
    lease_name: str = "lima-operator"

    @property
    def gpu_bytes(self) -> int | None:
        return byte_count(self.gpu_memory) if self.gpu_memory else None

    @property
    def worker_bytes(self) -> int | None:
        """Memory of one worker pod."""
        limit = self.worker.resources.limits.get("memory")
        return None if limit is None else byte_count(limit)


def load_config(path: Path) -> OperatorConfig:
    """The file of the cluster's facts.

    Raises:
        InvalidInput: the file cannot be read; InvalidInputs: its keys that are unknown or wrong.
    """
    try:
        return OperatorConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        remedy = "the chart mounts it there; by hand, name a file in LIMA_OPERATOR_CONFIG"
        raise InvalidInput("LIMA_OPERATOR_CONFIG", str(path), f"cannot be read ({error.strerror})", remedy) from None
    except ValidationError as error:
        raise InvalidInputs(
            [
                FieldViolation(".".join(map(str, detail["loc"])), str(detail.get("input"))[:200], detail["msg"])
                for detail in error.errors()
            ]
        ) from None
