"""One job at a time: observe, decide, act. Safe to run again at any moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog
from pydantic import ValidationError

from services.operator.config import OperatorConfig
from services.operator.finetunejob import API_VERSION, KIND, FineTuneJob, FineTuneJobStatus, parse_job
from services.operator.plan import refusal_of
from services.operator.rayjob import ray_job
from services.operator.state import LINGER_SECONDS, Child, Observed, Outcome, Refusal, decide, lingers
from services.shared.errors import InvalidInput, LimaError, NotFound
from services.shared.objects import ObjectStore
from services.shared.records import RunStatus

log = structlog.get_logger()
MAX_STATUS_BYTES = 1 << 20
Manifest = dict[str, Any]


class Copy(Protocol):
    """The local copy of a kind's objects: services.operator.informer.Informer."""

    installed: bool

    def get(self, name: str) -> Manifest | None: ...


class Writer(Protocol):
    """What a reconciler may change: services.operator.cluster.Cluster."""

    def apply(self, manifest: Manifest) -> None: ...
    def create(self, manifest: Manifest) -> Manifest: ...
    def delete(self, manifest: Manifest) -> None: ...
    def patch_status(self, api_version: str, kind: str, name: str, status: Manifest) -> None: ...


@dataclass(frozen=True)
class Reconciler:
    cluster: Writer
    jobs: Copy
    ray_jobs: Copy
    store: ObjectStore
    config: OperatorConfig
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def reconcile(self, name: str) -> float | None:
        """Bring one job a step nearer to what it asks for.

        Returns: seconds until it must be looked at again, or None when only a change needs that.
        Raises: ApiException, HTTPError, LimaError: try again later.
        """
        manifest = self.jobs.get(name)
        if manifest is None or "deletionTimestamp" in manifest["metadata"]:
            return None  # Kubernetes deletes what the job owns.
        try:
            job = parse_job(manifest)
        except InvalidInput as invalid:
            self._refuse_unreadable(manifest, invalid)
            return None
        seen = self._observe(job)
        outcome = decide(seen)
        if outcome.expired:
            self.cluster.delete(manifest)
            return None
        self._act(job, outcome)
        return self._next_look(seen, outcome)

    def _observe(self, job: FineTuneJob) -> Observed:
        child = self.ray_jobs.get(job.child_name)
        if job.finished:
            return Observed(job, child, None, None, self.now())
        submitting = child is None and not job.spec.suspend
        run = self._read_run(job)
        return Observed(job, child, run, self._refusal(job) if submitting else None, self.now())

    def _refusal(self, job: FineTuneJob) -> Refusal | None:
        if not self.ray_jobs.installed:
            remedy = "install KubeRay 1.7 or newer (helm install kuberay-operator kuberay/kuberay-operator)"
            return Refusal("KubeRayMissing", f"this cluster has no ray.io/v1 RayJob: {remedy}", final=False)
        return refusal_of(job, self.store, self.config)

    def _read_run(self, job: FineTuneJob) -> RunStatus | None:
        key = f"{job.run_prefix}/status.json"
        try:
            return RunStatus.model_validate_json(self.store.get_bytes(key, MAX_STATUS_BYTES))
        except NotFound:
            return None
        except ValidationError as error:
            log.warning("status.json cannot be read", key=key, error=str(error)[:500])
            return None

    def _act(self, job: FineTuneJob, outcome: Outcome) -> None:
        if outcome.child is Child.APPLY:
            self.cluster.apply(ray_job(job, job.training_spec(self.store.bucket), self.config))
        elif outcome.child is Child.DELETE:
            child = self.ray_jobs.get(job.child_name)
            if child is not None:
                self.cluster.delete(child)
        if outcome.status != job.status:
            self._write_status(job.name, outcome.status)
        if outcome.status.phase != job.status.phase:
            self._tell(job, outcome.status)

    def _write_status(self, name: str, status: FineTuneJobStatus) -> None:
        self.cluster.patch_status(API_VERSION, KIND, name, status.model_dump(mode="json", by_alias=True))

    def _refuse_unreadable(self, manifest: Manifest, invalid: LimaError) -> None:
        """A spec that the CRD's schema let through and the types do not take."""
        readable = {**manifest, "spec": {"baseModel": "models/unreadable/0", "dataset": _NO_DATASET}}
        job = parse_job(readable)
        refused = Refusal("InvalidSpec", str(invalid), final=True)
        self._act(job, decide(Observed(job, None, None, refused, self.now())))

    def _tell(self, job: FineTuneJob, status: FineTuneJobStatus) -> None:
        """An Event, which `kubectl describe` shows."""
        bad = status.phase in ("Failed", "Refused")
        reasons = [condition for condition in status.conditions if condition.message] or status.conditions
        log.info("phase changed", job=job.name, before=job.status.phase, now=status.phase)
        self.cluster.create(
            {
                "apiVersion": "events.k8s.io/v1",
                "kind": "Event",
                "metadata": {"name": f"{job.name}.{time.time_ns():x}", "namespace": job.namespace},
                "eventTime": self.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                "reportingController": "lima.dev/operator",
                "reportingInstance": self.config.lease_name,
                "action": "Reconcile",
                "reason": status.phase,
                "type": "Warning" if bad else "Normal",
                "note": reasons[0].message[:1000] or status.phase,
                "regarding": {
                    "apiVersion": API_VERSION,
                    "kind": KIND,
                    "name": job.name,
                    "namespace": job.namespace,
                    "uid": job.uid,
                },
            }
        )

    def _next_look(self, seen: Observed, outcome: Outcome) -> float | None:
        status, spec = outcome.status, seen.job.spec
        if status.phase not in ("Succeeded", "Failed"):
            return None if status.phase == "Suspended" else float(self.config.resync_seconds)
        waits = [spec.ttl_seconds_after_finished, LINGER_SECONDS if lingers(seen) else None]
        due = [seconds for seconds in waits if seconds is not None]
        if not due or status.completion_time is None:
            return None
        since = (self.now() - datetime.fromisoformat(status.completion_time)).total_seconds()
        # What is overdue is being deleted, and its going wakes this job.
        return min(due) - since + 1.0 if since <= min(due) else float(self.config.resync_seconds)


_NO_DATASET = {"name": "unreadable", "digest": "0" * 12}
