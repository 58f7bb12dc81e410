"""Where Kubernetes' own scheduler puts the pods of a training job, on FAKE nodes: objects without a kubelet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from services.operator.rayjob import JOB_LABEL, ray_job
from tests.chart.render import of_kind, rendered
from tests.chart.rules import at
from tests.chart.test_samples import operator_config
from tests.cluster.conftest import eventually
from tests.cluster.control_plane import ControlPlane
from tests.unit.operator.jobs import job

# Apart from the platform's namespace, whose quota would end the contest before the scheduler sees it.
PLACE = "scheduling"
GPUS = 8
NODES: dict[str, dict[str, Any]] = {
    "gpu-a": {"labels": {"lima.dev/pool": "gpu"}, "gpus": GPUS},
    "gpu-b": {"labels": {"lima.dev/pool": "gpu"}, "gpus": GPUS},
    "cpu-a": {"labels": {"lima.dev/pool": "cpu"}, "gpus": 0},
}


@pytest.fixture
def nodes(control_plane: ControlPlane) -> Iterator[None]:
    for program in ("kube-controller-manager", "kube-scheduler"):
        if not control_plane.has(program):
            pytest.skip(f"KUBEBUILDER_ASSETS holds no {program}, which is what is asked here")
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    place = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLACE, "labels": labels}}
    control_plane.must("apply", "-f", "-", stdin=json.dumps(place))
    runtime = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "nvidia"}, "handler": "x"}
    control_plane.must("apply", "-f", "-", stdin=json.dumps(runtime))
    for name, told in NODES.items():
        taints = [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}] if told["gpus"] else []
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": told["labels"]},
            "spec": {"taints": taints},
        }
        control_plane.must("create", "-f", "-", stdin=json.dumps(node))
        has = {"cpu": "128", "memory": "2Ti", "ephemeral-storage": "4Ti", "pods": "110"}
        has |= {"nvidia.com/gpu": str(told["gpus"])} if told["gpus"] else {}
        status = {"capacity": has, "allocatable": has, "conditions": [{"type": "Ready", "status": "True"}]}
        patch = json.dumps({"status": status})
        control_plane.must("patch", "node", name, "--subresource=status", "--type=merge", "-p", patch)
    yield
    control_plane.must("-n", PLACE, "delete", "pods", "--all", "--force", "--grace-period=0")
    control_plane.must("delete", "node", *NODES)
    control_plane.must("delete", "runtimeclass", "nvidia")


def start(plane: ControlPlane, name: str) -> None:
    """Make the pods of a job, as KubeRay does from its RayJob: two of eight GPUs each, and a head."""
    asked = job(name, compute={"workers": 2 * GPUS, "gpusPerWorker": 1}, workersPerPod=GPUS)
    cluster = ray_job(asked, asked.training_spec("lima"), operator_config("gpu"))["spec"]["rayClusterSpec"]
    (workers,) = cluster["workerGroupSpecs"]
    templates = {f"{name}-head": cluster["headGroupSpec"]["template"]}
    templates |= {f"{name}-worker-{number}": workers["template"] for number in range(workers["replicas"])}
    for pod, template in templates.items():
        manifest = {"apiVersion": "v1", "kind": "Pod", **json.loads(json.dumps(template))}
        manifest["metadata"] |= {"name": pod, "namespace": PLACE}
        # The chart, whose account this is, is not installed here.
        manifest["spec"]["serviceAccountName"] = "default"
        plane.must("create", "-f", "-", stdin=json.dumps(manifest))


def places(plane: ControlPlane, name: str) -> dict[str, str]:
    """Pod to node, for every pod of a job that has one."""
    found = json.loads(plane.must("-n", PLACE, "get", "pods", "-l", f"{JOB_LABEL}={name}", "-o", "json"))["items"]
    return {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in found if "nodeName" in pod["spec"]}


def unschedulable(plane: ControlPlane, name: str) -> list[str]:
    found = json.loads(plane.must("-n", PLACE, "get", "pods", "-l", f"{JOB_LABEL}={name}", "-o", "json"))["items"]
    conditions = [c for pod in found for c in pod.get("status", {}).get("conditions") or []]
    return [c["message"] for c in conditions if c["type"] == "PodScheduled" and c["status"] == "False"]


@pytest.mark.usefixtures("nodes")
def test_gpu_workers_go_to_gpu_nodes_and_a_finished_job_holds_none(control_plane: ControlPlane) -> None:
    eventually(lambda: "default" in control_plane.must("-n", PLACE, "get", "serviceaccounts", "-o", "name"))
    start(control_plane, "first")
    eventually(lambda: len(places(control_plane, "first")) == 3)
    first = places(control_plane, "first")
    assert first["first-head"] == "cpu-a"
    assert {first["first-worker-0"], first["first-worker-1"]} == {"gpu-a", "gpu-b"}
    start(control_plane, "second")
    eventually(lambda: any("Insufficient nvidia.com/gpu" in line for line in unschedulable(control_plane, "second")))
    assert set(places(control_plane, "second")) <= {"second-head"}
    # KubeRay deletes the cluster of a finished RayJob at once: shutdownAfterJobFinishes.
    control_plane.must(
        "-n", PLACE, "delete", "pods", "-l", f"{JOB_LABEL}=first", "--force", "--grace-period=0", "--wait=true"
    )
    eventually(lambda: len(places(control_plane, "second")) == 3)


@pytest.mark.usefixtures("nodes")
def test_what_needs_no_gpu_stays_away_from_the_gpu_nodes(control_plane: ControlPlane) -> None:
    (deployment,) = [m for m in of_kind(rendered("gpu"), "Deployment") if m["metadata"]["name"] == "lima-console"]
    pod = {"apiVersion": "v1", "kind": "Pod", **json.loads(json.dumps(at(deployment, "spec.template")))}
    pod["metadata"] |= {"name": "console", "namespace": PLACE, "labels": {JOB_LABEL: "console"}}
    pod["spec"]["serviceAccountName"] = "default"
    control_plane.must("create", "-f", "-", stdin=json.dumps(pod))
    eventually(lambda: places(control_plane, "console"))
    assert places(control_plane, "console") == {"console": "cpu-a"}
