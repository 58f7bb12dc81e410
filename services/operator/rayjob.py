"""The RayJob that runs a FineTuneJob: one manifest, a pure function of the job and the cluster's facts.

Everything is under Kubernetes' "restricted" pod security, the submitter included, which KubeRay's own template is not.
The training image needs no cluster rights: pods carry no token and write their status to the object store.
"""

from __future__ import annotations

import json
import math
from typing import Any

from services.operator.config import OperatorConfig, PodKind, Pool
from services.operator.finetunejob import API_VERSION, KIND, FineTuneJob
from training_jobs.spec import TrainingSpec

RAY_API_VERSION = "ray.io/v1"
RAY_VERSION = "2.60.0"
# The spec travels as an annotation of the head's pod, which the kubelet shows there as a file: no ConfigMap to own,
# no quoting in a shell.
SPEC_FILE = "/etc/lima/spec.json"
SPEC_ANNOTATION = "lima.dev/training-spec"
ENTRYPOINT = f"python -m training_jobs run --spec {SPEC_FILE}"
JOB_LABEL = "lima.dev/finetunejob"
MANAGER = "lima-operator"
USER = 10001
# Paths inside the pods, each its own volume; behind the NetworkPolicies Ray listens on every interface of its pod.
TMP = "/tmp"  # noqa: S108
SHARED_MEMORY = "/dev/shm"  # noqa: S108
EVERY_INTERFACE = "0.0.0.0"  # noqa: S104
HEAD_PORTS = (("gcs", 6379), ("dashboard", 8265), ("client", 10001), ("serve", 8000))

Manifest = dict[str, Any]


def ray_job(job: FineTuneJob, spec: TrainingSpec, config: OperatorConfig) -> Manifest:
    """The child of `job`, owned by it and complete: what server-side apply makes true.

    Shapes: one head without CPUs for Ray's scheduler, and workers/workersPerPod pods that never come or go.
    """
    labels = {**config.labels, JOB_LABEL: job.name}
    manifest: Manifest = {
        "apiVersion": RAY_API_VERSION,
        "kind": "RayJob",
        "metadata": {
            "name": job.child_name,
            "labels": {**labels, **queue_labels(job, config)},
        },
        "spec": {
            "entrypoint": ENTRYPOINT,
            "submissionMode": "K8sJobMode",
            "backoffLimit": job.spec.retries,
            # KubeRay deletes a finished RayJob's cluster so many seconds later, and keeps RayJob and submitter's log.
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": 0,
            "submitterPodTemplate": _submitter(labels, config),
            "rayClusterSpec": _cluster(job, spec, labels, config),
        },
    }
    if job.spec.deadline_seconds is not None:
        manifest["spec"]["activeDeadlineSeconds"] = job.spec.deadline_seconds
    if job.namespace:
        manifest["metadata"]["namespace"] = job.namespace
    if job.uid:
        manifest["metadata"]["ownerReferences"] = [
            {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "name": job.name,
                "uid": job.uid,
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ]
    return manifest


def queue_labels(job: FineTuneJob, config: OperatorConfig) -> dict[str, str]:
    """What makes all pods of a job start together or not at all."""
    queue = job.spec.queue or config.queue
    if config.gang == "kueue":
        return {"kueue.x-k8s.io/queue-name": queue} if queue else {}
    if config.gang == "volcano":
        # That Volcano schedules at all is a setting of KubeRay's operator, for every job of the cluster.
        return {"volcano.sh/queue-name": queue} if queue else {}
    return {}


def _cluster(job: FineTuneJob, spec: TrainingSpec, labels: dict[str, str], config: OperatorConfig) -> Manifest:
    together = job.spec.workers_per_pod
    pods = spec.compute.workers // together
    gpus = spec.compute.gpus_per_worker * together
    cpus = math.ceil(spec.compute.cpus_per_worker * together)
    variables = _variables(config)
    head = _container("ray-head", variables, config.head, config)
    head["volumeMounts"].append({"name": "spec", "mountPath": "/etc/lima", "readOnly": True})
    head["ports"] = [{"name": name, "containerPort": port} for name, port in HEAD_PORTS]
    worker = _container("ray-worker", variables, config.worker, config, cpus=cpus, gpus=gpus)
    scratch = job.spec.storage.scratch or config.scratch
    head_pod = _pod(head, labels, config.head.pool, scratch, config)
    head_pod["metadata"]["annotations"] = {SPEC_ANNOTATION: _as_json(spec)}
    head_pod["spec"]["volumes"].append({"name": "spec", "downwardAPI": {"items": [_SPEC_ITEM]}})
    return {
        "rayVersion": RAY_VERSION,
        "enableInTreeAutoscaling": False,
        "authOptions": {"mode": "token"},
        "headGroupSpec": {
            "serviceType": "ClusterIP",
            "rayStartParams": {"num-cpus": "0", "dashboard-host": EVERY_INTERFACE},
            "template": head_pod,
        },
        "workerGroupSpecs": [
            {
                "groupName": "workers",
                "replicas": pods,
                "minReplicas": pods,
                "maxReplicas": pods,
                "rayStartParams": {"num-cpus": str(cpus), "num-gpus": str(gpus)},
                "template": _pod(worker, labels, config.worker.pool, scratch, config),
            }
        ],
    }


_SPEC_ITEM = {"path": "spec.json", "fieldRef": {"fieldPath": f"metadata.annotations['{SPEC_ANNOTATION}']"}}


def _as_json(spec: TrainingSpec) -> str:
    return json.dumps(spec.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))


def _variables(config: OperatorConfig) -> list[Manifest]:
    fixed = {
        "LIMA_STATE_DIR": "/var/lib/lima",
        "LIMA_LOG_FORMAT": "json",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "HF_HUB_OFFLINE": "1",
        # The root file system is read-only: everything that likes a home gets one on the scratch disk.
        "HOME": TMP,
    }
    return [{"name": name, "value": value} for name, value in fixed.items()] + config.environment


def _container(
    name: str, variables: list[Manifest], kind: PodKind, config: OperatorConfig, *, cpus: int = 0, gpus: int = 0
) -> Manifest:
    requests, limits = dict(kind.resources.requests), dict(kind.resources.limits)
    if cpus:
        requests["cpu"] = str(cpus)
        limits.pop("cpu", None)
    if gpus:
        limits["nvidia.com/gpu"] = gpus
    return {
        "name": name,
        "image": config.image,
        "imagePullPolicy": config.image_pull_policy,
        "env": variables,
        "resources": {"requests": requests, "limits": limits},
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": "state", "mountPath": "/var/lib/lima"},
            {"name": "tmp", "mountPath": TMP},
            {"name": "shm", "mountPath": SHARED_MEMORY},
        ],
    }


def _pod(
    container: Manifest, labels: dict[str, str], pool: Pool, scratch: str, config: OperatorConfig, **extra: Any
) -> Manifest:
    spec: Manifest = {
        "serviceAccountName": config.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(),
        "containers": [container],
        "volumes": [
            {"name": "state", "emptyDir": {"sizeLimit": scratch}},
            {"name": "tmp", "emptyDir": {"sizeLimit": scratch}},
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": config.shared_memory}},
        ],
        **extra,
    }
    if config.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in config.image_pull_secrets]
    spec |= {key: value for key, value in pool.model_dump(by_alias=True).items() if value}
    return {"metadata": {"labels": labels}, "spec": spec}


def _submitter(labels: dict[str, str], config: OperatorConfig) -> Manifest:
    """The small pod that hands the entrypoint to Ray and follows its log: what `kubectl lima logs` shows."""
    small = PodKind.model_validate(
        {"resources": {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}}
    )
    container = _container("ray-job-submitter", [{"name": "HOME", "value": TMP}], small, config)
    return _pod(container, labels, config.head.pool, "1Gi", config, restartPolicy="Never")


def pod_security() -> Manifest:
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Manifest:
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
