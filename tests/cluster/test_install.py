"""The chart against a real API server: installed, tested, upgraded, rolled back and uninstalled by both Helms."""

from __future__ import annotations

import base64
import copy
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.operator.rayjob import ray_job
from services.shared.settings import Settings
from tests.chart.curation import serving_curation
from tests.chart.render import CHART, HELMS, VARIANTS, helm, rendered, values_of
from tests.chart.rules import pod_specs
from tests.chart.test_samples import operator_config
from tests.chart.tools import ROOT
from tests.cluster.conftest import NAMESPACE, established, eventually, get, install_kuberay
from tests.cluster.control_plane import ControlPlane
from tests.unit.operator.jobs import job

# What Kubernetes itself puts into a namespace, and what happened there.
OWN = {"configmap/kube-root-ca.crt", "serviceaccount/default"}
PASSING = {"event", "event.events.k8s.io"}
CRD = "finetunejobs.lima.dev"
# Kinds of an operator that this control plane does not have.
NO_MONITORING = ("--set", "monitoring.serviceMonitor.enabled=false")


def run(plane: ControlPlane, version: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return helm(version, *arguments, "--kubeconfig", str(plane.kubeconfig()), "--namespace", NAMESPACE)


def must(plane: ControlPlane, version: str, *arguments: str) -> str:
    done = run(plane, version, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(plane: ControlPlane) -> set[str]:
    """Everything that is in the namespace, of every kind that the server knows, and what is beside it."""

    def listed() -> str:
        kinds = plane.must("api-resources", "--verbs=list", "--namespaced", "-o", "name").split()
        # A kind that is being deleted may go between the two questions: they are asked again.
        done = plane.kubectl("-n", NAMESPACE, "get", ",".join(kinds), "-o", "name")
        return done.stdout if done.returncode == 0 else ""

    inside = eventually(listed).split()
    beside = plane.must("get", "priorityclasses,persistentvolumes,clusterroles,clusterrolebindings", "-o", "name")
    every = {*inside, *beside.split()} - OWN
    return {name for name in every if name.partition("/")[0] not in PASSING}


def crd_exists(plane: ControlPlane) -> bool:
    return plane.kubectl("get", "crd", CRD).returncode == 0


@pytest.fixture
def clean(control_plane: ControlPlane) -> Iterator[None]:
    # A CRD that another test applied by hand is not Helm's to own.
    control_plane.kubectl("delete", "crd", CRD, "--ignore-not-found", "--wait=true")
    yield
    run(control_plane, "helm4", "uninstall", "lima", "--ignore-not-found", "--wait")
    control_plane.kubectl("delete", "crd", CRD, "--ignore-not-found", "--wait=true")
    control_plane.must("apply", "--server-side", "-f", str(CHART / "files/finetunejobs.yaml"))
    established(control_plane, CRD)


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("version", HELMS)
def test_install_upgrade_rollback_uninstall_leave_nothing_behind(control_plane: ControlPlane, version: str) -> None:
    before = objects(control_plane)
    must(control_plane, version, "install", "lima", str(CHART), *values_of("kind"))
    token = secret(control_plane)
    must(control_plane, version, "upgrade", "lima", str(CHART), *values_of("kind"), "--set", "judging.replicas=2")
    assert secret(control_plane) == token, "a generated secret is kept over upgrades"
    assert replicas(control_plane, "lima-judging") == 2
    must(control_plane, version, "rollback", "lima", "1")
    assert replicas(control_plane, "lima-judging") == 1
    assert secret(control_plane) == token
    must(control_plane, version, "uninstall", "lima")
    # What controllers made of it goes a moment later.
    eventually(lambda: not objects(control_plane) - before)
    assert not crd_exists(control_plane)


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("variant", [variant for variant in VARIANTS if variant != "kind"])
def test_every_variant_is_admitted_and_goes_again(control_plane: ControlPlane, variant: str) -> None:
    before = objects(control_plane)
    must(control_plane, "helm4", "install", "lima", str(CHART), *values_of(variant), *NO_MONITORING)
    must(control_plane, "helm4", "uninstall", "lima")
    assert crd_exists(control_plane), "jobs outlive the release, unless told otherwise"
    left = {f"persistentvolumeclaim/data-lima-{part}-0" for part in ("store", "database")}
    eventually(lambda: not objects(control_plane) - before - left)
    control_plane.must("-n", NAMESPACE, "delete", "persistentvolumeclaims", "--all")
    # A release of the same name takes the kept kind over.
    must(control_plane, "helm4", "install", "lima", str(CHART), *values_of("kind"), *NO_MONITORING)


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("version", HELMS)
def test_an_upgrade_carries_the_kind(control_plane: ControlPlane, version: str, tmp_path: Path) -> None:
    older = tmp_path / "lima"
    shutil.copytree(CHART, older)
    file = older / "files/finetunejobs.yaml"
    kind = yaml.safe_load(file.read_text())
    properties = kind["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    queue = properties.pop("queue")
    rules = kind["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"]
    rules[:] = [rule for rule in rules if "queue" not in rule["message"]]
    file.write_text(yaml.safe_dump(kind))
    must(control_plane, version, "install", "lima", str(older), *values_of("kind"))
    assert queue_of(control_plane) is None
    must(control_plane, version, "upgrade", "lima", str(CHART), *values_of("kind"))
    assert queue_of(control_plane) == queue


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("version", HELMS)
def test_an_upgrade_leaves_an_autoscalers_replicas_alone(control_plane: ControlPlane, version: str) -> None:
    scaled = ("--set", "inference.autoscaling.enabled=true")
    must(control_plane, version, "install", "lima", str(CHART), *values_of("kind"), *scaled)
    # As the autoscaler does, between its bounds of 2 and 8.
    control_plane.must("-n", NAMESPACE, "scale", "deployment", "lima-inference", "--replicas=5")
    more = ("--set", "logging.level=debug")
    must(control_plane, version, "upgrade", "lima", str(CHART), *values_of("kind"), *scaled, *more)
    assert replicas(control_plane, "lima-inference") == 5


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("version", HELMS)
def test_without_kuberay_the_chart_installs_says_so_and_an_upgrade_adds_the_replicas(
    control_plane: ControlPlane, version: str
) -> None:
    kinds = ("rayjobs", "rayservices", "rayclusters")
    control_plane.must("delete", "crd", *(f"{kind}.ray.io" for kind in kinds), "--wait=true")
    try:
        told = must(control_plane, version, "install", "lima", str(CHART), *values_of("kind"))
        assert "this cluster has no KubeRay" in told
        assert "helm install kuberay-operator" in told
    finally:
        for kind in kinds:
            install_kuberay(control_plane, kind)
    told = must(control_plane, version, "upgrade", "lima", str(CHART), *values_of("kind"))
    assert "no KubeRay" not in told
    assert get(control_plane, "rayservice", "lima-replicas")


def queue_of(plane: ControlPlane) -> Any:
    kind = json.loads(plane.must("get", "crd", CRD, "-o", "json"))
    schema = kind["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema["properties"]["spec"]["properties"].get("queue")


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("version", HELMS)
def test_helm_test_tells_a_platform_that_is_well_from_one_that_is_not(
    control_plane: ControlPlane, version: str, settings: Settings, tmp_path: Path
) -> None:
    """There is no kubelet: this test runs the pod's own command, against the real service, and says how it ended."""
    only = [f"{role}.enabled=false" for role in ("inference", "judging", "console", "replicas")]
    must(control_plane, version, "install", "lima", str(CHART), *values_of("kind"), "--set", ",".join(only))
    with serving_curation(settings, tmp_path, token(control_plane)) as address:
        well = verdict(control_plane, version, address, patience=120)
        assert well.returncode == 0, well.stderr
    assert verdict(control_plane, version, address, patience=1).returncode != 0


def verdict(plane: ControlPlane, version: str, curation: str, patience: float) -> subprocess.CompletedProcess[str]:
    kubelet = threading.Thread(target=run_verify, args=(plane, curation, patience))
    kubelet.start()
    done = run(plane, version, "test", "lima", "--timeout", "300s")
    kubelet.join()
    plane.kubectl("-n", NAMESPACE, "delete", "pod", "lima-verify", "--ignore-not-found", "--now")
    return done


def run_verify(plane: ControlPlane, curation: str, patience: float) -> None:
    pod = eventually(lambda: get(plane, "pod", "lima-verify"))
    (container,) = pod["spec"]["containers"]
    assert container["command"] == ["python", "/app/verify.py"]
    arguments = [argument.replace("lima-curation:50051", curation) for argument in container["args"]]
    environment = {**os.environ, "LIMA_TOKEN": token(plane), "PYTHONPATH": str(ROOT / "protos")}
    command = [sys.executable, str(ROOT / "images/verify.py"), *arguments, f"--patience={patience}"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    status = {"status": {"phase": "Failed" if ended.returncode else "Succeeded"}}
    plane.must(
        "-n", NAMESPACE, "patch", "pod", "lima-verify", "--subresource=status", "--type=merge", "-p", json.dumps(status)
    )


@pytest.mark.usefixtures("clean")
def test_every_pod_of_every_variant_is_admitted_where_restricted_is_enforced(control_plane: ControlPlane) -> None:
    must(control_plane, "helm4", "install", "lima", str(CHART), *values_of("kind"))
    enforced = json.loads(control_plane.must("get", "namespace", NAMESPACE, "-o", "json"))["metadata"]["labels"]
    assert enforced["pod-security.kubernetes.io/enforce"] == "restricted"
    for variant in VARIANTS:
        pods = [
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": f"probe-{number}", "namespace": NAMESPACE, "labels": labels},
                "spec": admissible(spec),
            }
            for manifest in (*rendered(variant), training(variant))
            for number, (_, spec, labels) in enumerate(pod_specs(manifest))
        ]
        together = json.dumps({"apiVersion": "v1", "kind": "List", "items": pods})
        done = control_plane.kubectl("create", "--dry-run=server", "-f", "-", stdin=together)
        assert done.returncode == 0, f"{variant}: {done.stderr}"
        assert "Warning" not in done.stderr, f"{variant}: {done.stderr}"


def training(variant: str) -> dict[str, Any]:
    """What the operator that this variant configures would submit."""
    asked = job("probe", compute={"workers": 2, "gpusPerWorker": 1})
    return ray_job(asked, asked.training_spec("lima"), operator_config(variant))


def admissible(spec: dict[str, Any]) -> dict[str, Any]:
    """A template's spec as its controller would make a pod of it, without what only a fuller cluster has."""
    made = copy.deepcopy(spec)
    for absent in ("priorityClassName", "runtimeClassName"):
        made.pop(absent, None)
    claims = {m["name"] for c in made["containers"] for m in c.get("volumeMounts", [])} - {
        volume["name"] for volume in made.get("volumes", [])
    }
    made.setdefault("volumes", []).extend(
        {"name": name, "persistentVolumeClaim": {"claimName": name}} for name in sorted(claims)
    )
    return made


@pytest.mark.usefixtures("clean")
def test_controllers_make_every_pod_where_restricted_is_enforced(control_plane: ControlPlane) -> None:
    if not control_plane.has("kube-controller-manager"):
        pytest.skip("KUBEBUILDER_ASSETS holds no kube-controller-manager, which makes the pods")
    must(control_plane, "helm4", "install", "lima", str(CHART), *values_of("kind"))
    wanted = {
        str(labels["app.kubernetes.io/component"])
        for manifest in rendered("kind")
        if manifest["kind"] in ("Deployment", "StatefulSet", "Job")
        for _, _, labels in pod_specs(manifest)
    }
    assert len(wanted) == 12

    def made() -> set[str]:
        pods = json.loads(control_plane.must("-n", NAMESPACE, "get", "pods", "-o", "json"))["items"]
        return {pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in pods}

    eventually(lambda: made() == wanted)


@pytest.mark.usefixtures("clean")
def test_no_account_of_the_chart_but_the_operators_has_any_right(control_plane: ControlPlane) -> None:
    must(control_plane, "helm4", "install", "lima", str(CHART), *values_of("kind"))
    accounts = control_plane.must("-n", NAMESPACE, "get", "serviceaccounts", "-o", "name").split()
    names = {account.partition("/")[2] for account in accounts} - {"default"}
    assert {"lima-operator", "lima-ray", "lima-jobs", "lima-curation"} <= names
    for name in names:
        asked = ["auth", "can-i", "--list", "--no-headers", f"--as=system:serviceaccount:{NAMESPACE}:{name}"]
        lines = control_plane.must("-n", NAMESPACE, *asked).splitlines()
        rights = {line.split()[0] for line in lines if not line.startswith(" ")}
        # What every authenticated account has: to ask about itself.
        own = {
            right for right in rights if not right.endswith(("reviews.authorization.k8s.io", "authentication.k8s.io"))
        }
        wanted = {
            "finetunejobs.lima.dev", "finetunejobs.lima.dev/status", "rayjobs.ray.io", "events.events.k8s.io",
            "leases.coordination.k8s.io",
        }  # fmt: skip
        assert own == (wanted if name == "lima-operator" else set()), name


def secret(plane: ControlPlane) -> str:
    return plane.must("-n", NAMESPACE, "get", "secret", "lima-auth", "-o", "jsonpath={.data.token}")


def token(plane: ControlPlane) -> str:
    return base64.b64decode(secret(plane)).decode()


def replicas(plane: ControlPlane, name: str) -> int:
    return int(plane.must("-n", NAMESPACE, "get", "deployment", name, "-o", "jsonpath={.spec.replicas}"))
