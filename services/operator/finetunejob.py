"""FineTuneJob, the custom resource: its spec and status as types, and what follows from a spec alone.

Kubernetes spells names in camelCase; everything else in this project in snake_case. The sections that a training run
knows (recipe, compute, ...) are those of `training_jobs.spec`, spelled anew by rule, so there is one definition.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.shared.digest import digest_json
from services.shared.errors import FieldViolation, InvalidInputs
from training_jobs.presets import PRESETS
from training_jobs.spec import TrainingSpec, parse_spec

GROUP = "lima.dev"
VERSION = "v1alpha1"
KIND = "FineTuneJob"
API_VERSION = f"{GROUP}/{VERSION}"
# KubeRay refuses RayJob names over 47 characters; ours end with "-" and a hash.
HASH_LENGTH = 8
MAX_NAME = 47 - 1 - HASH_LENGTH
# KubeRay names Services after a RayJob, and a Service's name begins with a letter.
NAME_PATTERN = "^[a-z]([-a-z0-9]*[a-z0-9])?$"
NAME_RULE = f"must be at most {MAX_NAME} lower-case letters, digits and dashes that begin with a letter"
# Sections handed to the training run as they are; an absent one takes the preset's and the paper's numbers.
SECTIONS = ("recipe", "compute", "checkpoints", "evaluation")

PRESET_PATTERN = f"^({'|'.join(sorted(PRESETS))})$"


def camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)


def snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda match: f"_{match[0].lower()}", name)


def snake_keys(value: Any) -> Any:
    """The same value with every key of every mapping in snake_case."""
    if isinstance(value, dict):
        return {snake(key): snake_keys(inner) for key, inner in value.items()}
    return [snake_keys(inner) for inner in value] if isinstance(value, list) else value


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=camel, populate_by_name=True)


class Dataset(Part):
    """A dataset of the object store: datasets/<name>/<digest>."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$")]
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{12,64}$")]

    @property
    def prefix(self) -> str:
        return f"datasets/{self.name}/{self.digest}"


class CheckpointSelection(Part):
    """Which epoch's checkpoint becomes the result. LIMA picks one of epochs 5 to 10 by judging dev responses."""

    policy: Literal["Judged", "Last", "Epoch"] = "Judged"
    # For policy Epoch.
    epoch: Annotated[int, Field(ge=1, le=10_000)] | None = None


class Storage(Part):
    """Where a run is kept, and how much scratch disk a pod may use."""

    # Folder of the platform's bucket that holds <run>/.
    prefix: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*$", max_length=256)] = "runs"
    # Empty takes the cluster's default.
    scratch: Annotated[str, Field(pattern=r"^([0-9]+(Mi|Gi|Ti))?$", max_length=16)] = ""


class FineTuneJobSpec(Part):
    """What a person asks for. Immutable after creation, but for `suspend`."""

    # models/<name>/<version> of the object store.
    base_model: Annotated[
        str, Field(pattern=r"^models/[a-z0-9][a-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=256)
    ]
    dataset: Dataset
    preset: Annotated[str, Field(pattern=PRESET_PATTERN)] = "lima-7b"
    recipe: dict[str, Any] = {}
    compute: dict[str, Any] = {}
    checkpoints: dict[str, Any] = {}
    evaluation: dict[str, Any] = {}
    # Workers that share one pod, and so one node's fast links between GPUs. Divides compute.workers.
    workers_per_pod: Annotated[int, Field(ge=1, le=16)] = 1
    storage: Storage = Storage()
    checkpoint_selection: CheckpointSelection = CheckpointSelection()
    # Resume goes on from a run that this job's name and spec left in the store; Fresh never does.
    resume_policy: Literal["Resume", "Fresh"] = "Resume"
    # Times that a failed attempt is tried again, each on a new Ray cluster.
    retries: Annotated[int, Field(ge=0, le=20)] = 2
    # Seconds from the first attempt until the job fails.
    deadline_seconds: Annotated[int, Field(ge=60, le=31_536_000)] | None = None
    # Seconds after the end until the job is deleted; absent keeps it. The run in the store stays.
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=31_536_000)] | None = None
    queue: Annotated[str, Field(pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$", max_length=63)] = ""
    # Cancels a running job and keeps it; false goes on from the last checkpoint.
    suspend: bool = False


class Condition(Part):
    """One of Kubernetes' standard conditions."""

    type: Literal["Accepted", "Running", "Complete", "Failed"]
    status: Literal["True", "False", "Unknown"]
    reason: Annotated[str, Field(pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$", max_length=1024)]
    message: Annotated[str, Field(max_length=32768)] = ""
    observed_generation: int = 0
    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class FineTuneJobStatus(Part):
    """What the operator observed last, most of it mirrored from the run's status.json."""

    phase: Literal["Pending", "Refused", "Running", "Suspended", "Succeeded", "Failed"] = "Pending"
    observed_generation: int = 0
    conditions: tuple[Condition, ...] = ()
    run: str = ""
    ray_job: str = ""
    progress: str = ""
    step: int = 0
    total_steps: int = 0
    epoch: int = 0
    total_epochs: int = 0
    # Numbers as text: Kubernetes' conventions advise against floats in an API.
    loss: str = ""
    tokens_per_second: str = ""
    eta_seconds: int | None = None
    last_checkpoint: str = ""
    selected_checkpoint: str = ""
    restarts: int = 0
    start_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})] | None = None
    completion_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})] | None = None


class FineTuneJob(BaseModel):
    """One object as the API server returned it, its spec validated."""

    model_config = ConfigDict(frozen=True)

    name: str
    namespace: str
    uid: str
    generation: int
    created: str
    deleting: bool
    spec: FineTuneJobSpec
    status: FineTuneJobStatus

    @property
    def digest(self) -> str:
        """Hash of all that decides the child: suspending and expiring do not make another run."""
        spec = self.spec.model_dump(mode="json", by_alias=True, exclude={"suspend", "ttl_seconds_after_finished"})
        fresh = {"uid": self.uid} if self.spec.resume_policy == "Fresh" else {}
        return digest_json({"name": self.name, "spec": spec, **fresh})[:HASH_LENGTH]

    @property
    def child_name(self) -> str:
        """Name of the RayJob and of the run: the same spec never makes two."""
        return f"{self.name}-{self.digest}"

    @property
    def finished(self) -> bool:
        return self.status.phase in ("Succeeded", "Failed")

    @property
    def run_prefix(self) -> str:
        """Where the run's records are in the object store."""
        return f"{self.spec.storage.prefix}/{self.child_name}"

    def training_spec(self, bucket: str) -> TrainingSpec:
        """The run that this job asks for.

        Raises:
            InvalidInputs: a field that the CRD's schema let through, named as the person wrote it.
        """
        raw = {
            "run": self.child_name,
            "base_model": f"s3://{bucket}/{self.spec.base_model}",
            "dataset": f"s3://{bucket}/{self.spec.dataset.prefix}",
            "output": f"s3://{bucket}/{self.spec.storage.prefix}",
            "preset": self.spec.preset,
            **{name: snake_keys(getattr(self.spec, name)) for name in SECTIONS},
        }
        try:
            spec = parse_spec(raw)
        except InvalidInputs as invalid:
            violations = [
                FieldViolation(f"spec.{'.'.join(map(camel, found.field.split('.')))}", found.value, found.rule)
                for found in invalid.violations
            ]
            raise InvalidInputs(violations) from None
        if spec.compute.workers % self.spec.workers_per_pod:
            rule = f"must divide compute.workers ({spec.compute.workers})"
            raise InvalidInputs([FieldViolation("spec.workersPerPod", str(self.spec.workers_per_pod), rule)])
        return spec


def parse_job(manifest: dict[str, Any]) -> FineTuneJob:
    """A FineTuneJob from a manifest, out of a file or from the API server.

    Raises:
        InvalidInputs: every field of the spec that is unknown, of a wrong type or out of range.
    """
    metadata = manifest.get("metadata") or {}
    try:
        spec = FineTuneJobSpec.model_validate(manifest.get("spec") or {})
    except ValidationError as error:
        raise InvalidInputs([_violation(detail) for detail in error.errors()]) from None
    return FineTuneJob(
        name=str(metadata.get("name", "")),
        namespace=str(metadata.get("namespace", "")),
        uid=str(metadata.get("uid", "")),
        generation=int(metadata.get("generation", 1)),
        created=str(metadata.get("creationTimestamp", "")),
        deleting="deletionTimestamp" in metadata,
        spec=spec,
        status=parse_status(manifest),
    )


def parse_status(manifest: dict[str, Any]) -> FineTuneJobStatus:
    """The status in a manifest; one that another version of the operator wrote counts as none."""
    try:
        return FineTuneJobStatus.model_validate(manifest.get("status") or {})
    except ValidationError:
        return FineTuneJobStatus()


def _violation(detail: Any) -> FieldViolation:
    field = ".".join(str(part) for part in detail["loc"])
    return FieldViolation(f"spec.{field}", str(detail.get("input"))[:200], detail["msg"])
