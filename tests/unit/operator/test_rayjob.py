"""The RayJob of a FineTuneJob: what KubeRay, Kubernetes and the cluster's owner ask of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.operator.rayjob import SPEC_ANNOTATION, SPEC_FILE, ray_job
from tests.chart.policy import insecure
from tests.chart.rules import at, containers, pod_specs, violations
from tests.chart.schemas import problems
from tests.unit.operator.jobs import config, job
from training_jobs.spec import parse_spec

GPU_POOL = {
    "nodeSelector": {"lima.dev/pool": "gpu"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "runtimeClassName": "nvidia",
}


def child(changes: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    asked = job(**spec)
    return ray_job(asked, asked.training_spec("lima"), config(**(changes or {})))


EIGHT_GPUS: dict[str, Any] = {"compute": {"workers": 16, "gpusPerWorker": 1, "cpusPerWorker": 2}, "workersPerPod": 8}


@pytest.mark.parametrize("spec", [{}, EIGHT_GPUS, {"deadlineSeconds": 3600, "retries": 0}])
def test_kuberay_and_kubernetes_take_it(spec: dict[str, Any]) -> None:
    made = child(**spec)
    assert problems(made, "1.37") == []
    assert violations(made) == []


def test_every_pod_is_restricted() -> None:
    made = child(**EIGHT_GPUS)
    assert len(list(pod_specs(made))) == 3, "submitter, head and workers"
    assert insecure(made) == []


def test_the_training_job_finds_its_whole_spec_in_a_file() -> None:
    asked = job(recipe={"epochs": 2})
    spec = asked.training_spec("lima")
    made = ray_job(asked, spec, config())
    head = at(made, "spec.rayClusterSpec.headGroupSpec.template")
    assert parse_spec(json.loads(head["metadata"]["annotations"][SPEC_ANNOTATION])) == spec
    (volume,) = [volume for volume in head["spec"]["volumes"] if volume["name"] == "spec"]
    (item,) = volume["downwardAPI"]["items"]
    assert item["fieldRef"]["fieldPath"] == f"metadata.annotations['{SPEC_ANNOTATION}']"
    (mount,) = [mount for mount in head["spec"]["containers"][0]["volumeMounts"] if mount["name"] == "spec"]
    assert f"{mount['mountPath']}/{item['path']}" == SPEC_FILE
    assert SPEC_FILE in at(made, "spec.entrypoint")


def test_workers_share_pods_and_ask_for_whole_gpus_where_the_pool_is() -> None:
    made = child({"worker": {"pool": GPU_POOL}}, **EIGHT_GPUS)
    (group,) = at(made, "spec.rayClusterSpec.workerGroupSpecs")
    assert (group["replicas"], group["minReplicas"], group["maxReplicas"]) == (2, 2, 2)
    worker = group["template"]["spec"]
    assert worker["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 8
    assert worker["containers"][0]["resources"]["requests"]["cpu"] == "16"
    assert {key: worker[key] for key in GPU_POOL} == GPU_POOL
    head = at(made, "spec.rayClusterSpec.headGroupSpec.template.spec")
    assert "nodeSelector" not in head
    assert "nvidia.com/gpu" not in head["containers"][0]["resources"]["limits"]
    assert at(made, "spec.rayClusterSpec.headGroupSpec.rayStartParams")["num-cpus"] == "0"


def test_the_head_names_all_of_rays_ports() -> None:
    (head, *_) = [container for path, container, _ in containers(child()) if "headGroupSpec" in path]
    assert {port["containerPort"] for port in head["ports"]} == {6379, 8265, 10001, 8000}


def test_a_finished_job_holds_no_gpu() -> None:
    # KubeRay counts these seconds from the end of the work to the end of its cluster.
    assert at(child(), "spec.shutdownAfterJobFinishes") is True
    assert at(child(), "spec.ttlSecondsAfterFinished") == 0
    assert at(child(), "spec.rayClusterSpec.enableInTreeAutoscaling") is False


def test_pods_reach_no_cluster_api_and_ray_asks_for_a_token() -> None:
    assert all(spec["automountServiceAccountToken"] is False for _, spec, _ in pod_specs(child()))
    assert at(child(), "spec.rayClusterSpec.authOptions.mode") == "token"


@pytest.mark.parametrize(
    ("gang", "queue", "labels"),
    [
        ("none", "", {}),
        ("kueue", "", {"kueue.x-k8s.io/queue-name": "default-queue"}),
        ("kueue", "mine", {"kueue.x-k8s.io/queue-name": "mine"}),
        ("volcano", "mine", {"volcano.sh/queue-name": "mine"}),
    ],
)
def test_gang_scheduling_is_a_matter_of_labels(gang: str, queue: str, labels: dict[str, str]) -> None:
    made = child({"gang": gang, "queue": "default-queue"}, queue=queue)
    found = {key: value for key, value in made["metadata"]["labels"].items() if "queue" in key or "scheduler" in key}
    assert found == labels
    # Kueue suspends and resumes by itself: a field that we owned would fight it.
    assert "suspend" not in made["spec"]


def test_the_child_goes_with_its_job() -> None:
    (owner,) = child()["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("FineTuneJob", "lima", True)
