"""An experiment on a platform in a cluster: its runs are FineTuneJobs, made and followed through kubectl."""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from services.cli.experiment.training import read_status
from services.cli.kubectl_commands.jobs import API_VERSION
from services.shared.errors import AlreadyExists, FailedPrecondition, InvalidInput, NotFound

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from services.cli.experiment.document import Run
    from services.cli.kubectl_commands.cluster import Kubectl
    from services.cli.output import Progress
    from services.shared.objects import ObjectStore
    from services.shared.records import RunStatus
    from services.shared.settings import Settings

T = TypeVar("T")

POLL_SECONDS = 2.0
# An operator that runs says something about a new job at once.
OPERATOR_SECONDS = 120.0
KIND = "finetunejobs.lima.dev"
SECTIONS = ("recipe", "compute", "checkpoints", "evaluation")
# The operator adds a dash and a hash of 8, and KubeRay takes 47 characters.
MAX_NAME = 38


@dataclass(frozen=True)
class ClusterSite:
    """A platform that `helm install` made; everything of it runs already."""

    kubectl: Kubectl
    reached: Settings

    def settings(self) -> Settings:
        return self.reached

    def start(self, *components: str) -> None:
        """Kubernetes keeps the services running."""

    async def watched(self, work: Awaitable[T]) -> T:
        return await work

    async def train(self, run: Run, spec: Any, store: ObjectStore, progress: Progress) -> RunStatus:
        manifest = job_manifest(run, spec, store)
        name = manifest["metadata"]["name"]
        await self._create(manifest)
        begin = time.monotonic()
        while (status := await self._status(name)).get("phase") != "Succeeded":
            if not status and time.monotonic() - begin > OPERATOR_SECONDS:
                raise FailedPrecondition(
                    f"nobody looked at FineTuneJob {name} for {OPERATOR_SECONDS:.0f} s",
                    remedy="the operator does not run: kubectl get deployments -l app.kubernetes.io/component=operator",
                )
            _raise_if_ended(name, status)
            progress.update(_stage(status), status.get("step", 0), status.get("totalSteps", 0), "steps")
            await asyncio.sleep(POLL_SECONDS)
        kept = await asyncio.to_thread(read_status, store, status["run"])
        if kept is None:
            raise NotFound("run", status["run"], remedy=f"FineTuneJob {name} succeeded, but the store lost its run")
        return kept

    async def _create(self, manifest: dict[str, Any]) -> None:
        """Make the job, or find it: its name holds the hash of all that decides it. One that failed is tried anew."""
        name = manifest["metadata"]["name"]
        try:
            found = await self._status(name)
        except NotFound:
            found = None
        if found is not None and found.get("phase") in ("Failed", "Refused"):
            await asyncio.to_thread(self.kubectl, "delete", KIND, name, "--wait=true")
            found = None
        if found is None:
            text = json.dumps(manifest)
            try:
                await asyncio.to_thread(self.kubectl, "create", "--validate=strict", "-f", "-", stdin=text)
            except AlreadyExists:
                return  # By the same command beside this one.

    async def _status(self, name: str) -> dict[str, Any]:
        told = await asyncio.to_thread(self.kubectl, "get", KIND, name, "--output=json")
        status: dict[str, Any] = json.loads(told).get("status") or {}
        return status


def job_manifest(run: Run, spec: Any, store: ObjectStore) -> dict[str, Any]:
    """The FineTuneJob of an experiment's run; `spec` is its TrainingSpec, whose inputs are known.

    Raises InvalidInput for what a FineTuneJob cannot say.
    """
    if run.tracking:
        raise InvalidInput("tracking", str(run.tracking), "goes with local runs only: a FineTuneJob has none")
    _, dataset, digest = store.key(spec.dataset).rstrip("/").split("/")
    # A cluster's runs are Ray's: how a local one is started says nothing about what it trains.
    sections = {"compute": {key: value for key, value in run.compute.items() if key != "engine"}}
    sections = {name: camel_keys(sections.get(name, getattr(run, name))) for name in SECTIONS}
    label, _, inputs = spec.run.rpartition("-")
    # KubeRay makes Services by this name, which begin with a letter.
    label = label if label[:1].isalpha() else f"run-{label}"
    return {
        "apiVersion": API_VERSION,
        "kind": "FineTuneJob",
        "metadata": {"name": f"{label[: MAX_NAME - 1 - len(inputs)].rstrip('-')}-{inputs}"},
        "spec": {
            "baseModel": store.key(spec.base_model).rstrip("/"),
            "dataset": {"name": dataset, "digest": digest},
            "preset": run.preset,
            **{name: section for name, section in sections.items() if section},
        },
    }


def camel_keys(value: Any) -> Any:
    """The same value with every key of every mapping as Kubernetes spells it.

    >>> camel_keys({"residual_dropout": {"top": 0.05}})
    {'residualDropout': {'top': 0.05}}
    """
    if isinstance(value, dict):
        spelled = {re.sub(r"_([a-z])", lambda match: match[1].upper(), key): inner for key, inner in value.items()}
        return {key: camel_keys(inner) for key, inner in spelled.items()}
    return [camel_keys(inner) for inner in value] if isinstance(value, list) else value


def _raise_if_ended(name: str, status: dict[str, Any]) -> None:
    if status.get("phase") in ("Failed", "Refused"):
        raise FailedPrecondition(
            f"FineTuneJob {name} {status['phase'].lower()}: {_why(status)}",
            remedy=f"kubectl lima logs {name}; mend it, then run the same command: it goes on from the last checkpoint",
        )
    if status.get("phase") == "Suspended":
        raise FailedPrecondition(
            f"FineTuneJob {name} is suspended", remedy=f"kubectl lima resume {name}, then run the same command again"
        )


def _stage(status: dict[str, Any]) -> str:
    if status.get("phase") != "Running":
        return _why(status) or "waiting for the operator"
    loss = f", loss {status['loss']}" if status.get("loss") else ""
    return f"epoch {status.get('epoch', 0)}/{status.get('totalEpochs', 0)}{loss}"


def _why(status: dict[str, Any]) -> str:
    """The message of the condition that decides."""
    told = [c for c in status.get("conditions") or [] if c.get("message")]
    return str(told[0]["message"]) if told else ""
