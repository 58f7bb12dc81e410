"""The chart against a real API server: installed, upgraded, rolled back and uninstalled by both Helms."""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chart.render import CHART, HELMS, VARIANTS, helm, rendered, values_of
from tests.chart.rules import pod_specs
from tests.cluster.conftest import NAMESPACE
from tests.cluster.control_plane import ControlPlane

KINDS = ",".join(
    (
        "deployments", "statefulsets", "services", "configmaps", "secrets", "jobs", "roles", "rolebindings",
        "serviceaccounts", "networkpolicies", "poddisruptionbudgets", "rayservices", "horizontalpodautoscalers",
    )
)  # fmt: skip
# What Kubernetes itself puts into a namespace.
OWN = {"configmap/kube-root-ca.crt", "serviceaccount/default"}


def run(plane: ControlPlane, version: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return helm(version, *arguments, "--kubeconfig", str(plane.kubeconfig()), "--namespace", NAMESPACE)


def must(plane: ControlPlane, version: str, *arguments: str) -> str:
    done = run(plane, version, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(plane: ControlPlane) -> set[str]:
    return set(plane.must("-n", NAMESPACE, "get", KINDS, "-o", "name").split()) - OWN


@pytest.fixture
def clean(control_plane: ControlPlane) -> Iterator[None]:
    # A CRD that another test applied by hand is not Helm's to own.
    control_plane.kubectl("delete", "crd", "finetunejobs.lima.dev", "--ignore-not-found", "--wait=true")
    yield
    run(control_plane, "helm4", "uninstall", "lima", "--ignore-not-found", "--wait")
    control_plane.must("apply", "--server-side", "-f", str(CHART / "files/finetunejobs.yaml"))


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
    assert objects(control_plane) - before == set()
    assert control_plane.kubectl("get", "crd", "finetunejobs.lima.dev").returncode != 0


@pytest.mark.usefixtures("clean")
def test_every_pod_of_every_variant_is_admitted_where_restricted_is_enforced(control_plane: ControlPlane) -> None:
    must(control_plane, "helm4", "install", "lima", str(CHART), *values_of("kind"))
    for variant in VARIANTS:
        for manifest in rendered(variant):
            for path, spec, labels in pod_specs(manifest):
                pod = {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": {"name": "probe", "labels": labels},
                    "spec": admissible(spec),
                }
                done = control_plane.kubectl(
                    "-n", NAMESPACE, "create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod)
                )
                assert done.returncode == 0, f"{variant} {manifest['metadata']['name']} {path}: {done.stderr}"


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
def test_the_operators_role_is_enough_and_no_more(control_plane: ControlPlane) -> None:
    must(control_plane, "helm4", "install", "lima", str(CHART), *values_of("kind"))
    account = f"--as=system:serviceaccount:{NAMESPACE}:lima-operator"

    def may(verb: str, resource: str) -> bool:
        return control_plane.kubectl("-n", NAMESPACE, "auth", "can-i", verb, resource, account).stdout.strip() == "yes"

    assert may("create", "rayjobs.ray.io")
    assert may("patch", "finetunejobs.lima.dev/status") or may("patch", "finetunejobs.lima.dev")
    for verb, resource in (
        ("get", "secrets"), ("create", "pods"), ("delete", "leases"), ("update", "finetunejobs.lima.dev"),
        ("list", "nodes"),
    ):  # fmt: skip
        assert not may(verb, resource), f"{verb} {resource}"


def secret(plane: ControlPlane) -> str:
    return plane.must("-n", NAMESPACE, "get", "secret", "lima-auth", "-o", "jsonpath={.data.token}")


def replicas(plane: ControlPlane, name: str) -> int:
    return int(plane.must("-n", NAMESPACE, "get", "deployment", name, "-o", "jsonpath={.spec.replicas}"))
