"""The operator as its own process against a real API server, with the rights of the chart's Role.

Ray's side is scripted: nothing runs the RayJob, its status is written here as KubeRay writes it, and the run's status
goes to a real S3.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException

from services.operator.finetunejob import parse_job
from services.operator.lease import DURATION_SECONDS
from services.operator.rayjob import ray_job
from services.shared.objects import ObjectStore
from services.shared.records import RunPhase
from tests.cluster.conftest import NAMESPACE, PATIENCE_SECONDS, connected, eventually, get, install_kuberay
from tests.cluster.control_plane import OPERATOR, ControlPlane
from tests.unit.operator.jobs import MODEL, config, job, manifest, put_inputs, put_run, run_status
from tests.unit.operator.test_plan import SEVEN_BILLION

Start = Callable[[], subprocess.Popen[bytes]]


@pytest.fixture(autouse=True)
def _inputs(object_store: ObjectStore) -> None:
    put_inputs(object_store)


def create(plane: ControlPlane, name: str, **spec: Any) -> str:
    """Create a job; returns the name of its child."""
    plane.must("-n", NAMESPACE, "create", "--validate=strict", "-f", "-", stdin=json.dumps(manifest(name, **spec)))
    return parse_job(get(plane, "ftj", name) or {}).child_name


def phase_is(plane: ControlPlane, name: str, phase: str) -> None:
    eventually(lambda: status(plane, name).get("phase") == phase)


def status(plane: ControlPlane, name: str) -> dict[str, Any]:
    return (get(plane, "ftj", name) or {}).get("status") or {}


def condition(plane: ControlPlane, name: str, kind: str) -> dict[str, Any]:
    return next((found for found in status(plane, name).get("conditions") or [] if found["type"] == kind), {})


def holder(plane: ControlPlane) -> str:
    return str(((get(plane, "lease", "lima-operator") or {}).get("spec") or {}).get("holderIdentity"))


def ray_says(plane: ControlPlane, child: str, deployment: str, job: str) -> None:
    eventually(lambda: get(plane, "rayjob", child))
    patch = json.dumps({"status": {"jobDeploymentStatus": deployment, "jobStatus": job}})
    plane.must("-n", NAMESPACE, "patch", "rayjob", child, "--subresource=status", "--type=merge", "-p", patch)


def walk_to_success(plane: ControlPlane, store: ObjectStore, name: str, child: str) -> None:
    ray_says(plane, child, "Running", "RUNNING")
    put_run(store, run_status(child, step=1, total_steps=4, loss=2.0))
    phase_is(plane, name, "Running")
    put_run(store, run_status(child, RunPhase.SUCCEEDED, step=4, total_steps=4, last_checkpoint="epoch-15"))
    ray_says(plane, child, "Complete", "SUCCEEDED")
    phase_is(plane, name, "Succeeded")


def test_from_apply_to_succeeded(control_plane: ControlPlane, operator: Start, object_store: ObjectStore) -> None:
    operator()
    child = create(control_plane, "lima")
    walk_to_success(control_plane, object_store, "lima", child)
    done = status(control_plane, "lima")
    assert (done["progress"], done["lastCheckpoint"]) == ("100%", "epoch-15")
    assert {c["type"]: c["status"] for c in done["conditions"]}["Complete"] == "True"
    owned = (get(control_plane, "rayjob", child) or {})["metadata"]
    assert owned["ownerReferences"][0]["name"] == "lima"
    # The Lease's holder and the events prove the remaining verbs of the Role.
    assert control_plane.must("-n", NAMESPACE, "get", "lease", "lima-operator", "-o", "name")
    eventually(lambda: "Succeeded" in control_plane.must("-n", NAMESPACE, "get", "events.events.k8s.io"))


def test_a_restart_submits_nothing_twice(
    control_plane: ControlPlane, operator: Start, object_store: ObjectStore
) -> None:
    first = operator()
    child = create(control_plane, "twice")
    ray_says(control_plane, child, "Running", "RUNNING")
    phase_is(control_plane, "twice", "Running")
    before = (get(control_plane, "rayjob", child) or {})["metadata"]["uid"]
    first.kill()
    first.wait()
    operator()
    walk_to_success(control_plane, object_store, "twice", child)
    assert (get(control_plane, "rayjob", child) or {})["metadata"]["uid"] == before


def test_an_api_server_that_goes_away_is_waited_for_and_what_it_forgot_is_listed_again(
    control_plane: ControlPlane, operator: Start, object_store: ObjectStore, tmp_path: Path
) -> None:
    process = operator()
    child = create(control_plane, "away")
    ray_says(control_plane, child, "Running", "RUNNING")
    phase_is(control_plane, "away", "Running")
    control_plane.stop_api_server()
    control_plane.start_api_server()
    # An operator that could not renew its Lease for long ends, and a kubelet would start it again.
    if process.poll() is not None:
        assert process.returncode == 1
        operator()
    else:
        # A server that started anew remembers no version from before its start: it answers a watch with 410.
        eventually(lambda: "too old; listing again" in (tmp_path / "operator.log").read_text())
    walk_to_success(control_plane, object_store, "away", child)


def suspend(plane: ControlPlane, name: str, value: bool) -> None:
    patch = json.dumps({"spec": {"suspend": value}})
    plane.must("-n", NAMESPACE, "patch", "ftj", name, "--type=merge", "-p", patch)


def test_suspending_cancels_and_keeps_and_resuming_goes_on(
    control_plane: ControlPlane, operator: Start, object_store: ObjectStore
) -> None:
    operator()
    child = create(control_plane, "paused")
    ray_says(control_plane, child, "Running", "RUNNING")
    put_run(object_store, run_status(child, step=2, total_steps=4, last_checkpoint="epoch-02"))
    phase_is(control_plane, "paused", "Running")
    suspend(control_plane, "paused", True)
    phase_is(control_plane, "paused", "Suspended")
    eventually(lambda: get(control_plane, "rayjob", child) is None)
    assert status(control_plane, "paused")["lastCheckpoint"] == "epoch-02"
    suspend(control_plane, "paused", False)
    walk_to_success(control_plane, object_store, "paused", child)


def test_deleting_a_job_deletes_all_of_it(control_plane: ControlPlane, operator: Start) -> None:
    if not control_plane.has("kube-controller-manager"):
        pytest.skip("KUBEBUILDER_ASSETS holds no kube-controller-manager, whose garbage collector is what is tested")
    operator()
    child = create(control_plane, "gone")
    ray_says(control_plane, child, "Running", "RUNNING")
    phase_is(control_plane, "gone", "Running")
    control_plane.must("-n", NAMESPACE, "delete", "ftj", "gone")
    eventually(lambda: get(control_plane, "rayjob", child) is None)


def test_of_two_operators_one_acts_and_whoever_lost_the_lease_ends_and_goes_on_anew(
    control_plane: ControlPlane, operator: Start, object_store: ObjectStore
) -> None:
    first = operator()
    eventually(lambda: holder(control_plane) == "operator-0")
    second = operator()
    child = create(control_plane, "both")
    ray_says(control_plane, child, "Running", "RUNNING")
    phase_is(control_plane, "both", "Running")
    before = (get(control_plane, "rayjob", child) or {})["metadata"]["uid"]
    # Frozen, not ended: it gives nothing back, and thinks it holds the Lease still when it wakes.
    first.send_signal(signal.SIGSTOP)
    eventually(lambda: holder(control_plane) == "operator-1")
    first.send_signal(signal.SIGCONT)
    assert first.wait(timeout=PATIENCE_SECONDS) == 1, "it finds the Lease taken and ends"
    # As the kubelet does with a container that ended, whatever became of the other one since.
    operator()
    second.terminate()
    assert second.wait(timeout=PATIENCE_SECONDS) == 0
    eventually(lambda: holder(control_plane) == "operator-2")
    walk_to_success(control_plane, object_store, "both", child)
    assert (get(control_plane, "rayjob", child) or {})["metadata"]["uid"] == before


def test_a_dead_holder_whose_clock_was_wrong_is_outlived(control_plane: ControlPlane, operator: Start) -> None:
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "lima-operator", "namespace": NAMESPACE},
        "spec": {
            "holderIdentity": "of-the-future",
            "leaseDurationSeconds": DURATION_SECONDS,
            "renewTime": "2099-01-01T00:00:00.000000Z",
        },
    }
    control_plane.must("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(lease))
    operator()
    child = create(control_plane, "skewed")
    eventually(lambda: holder(control_plane) == "operator-0")
    eventually(lambda: get(control_plane, "rayjob", child))


def test_somebody_elses_writes_are_outlived(
    control_plane: ControlPlane, operator: Start, object_store: ObjectStore
) -> None:
    """The Lease changes between the operator's reading and writing: 409."""
    operator()
    eventually(lambda: holder(control_plane) == "operator-0")
    seen = len(control_plane.audited())

    def conflicts() -> int:
        return sum(event["responseStatus"].get("code") == 409 for event in control_plane.audited()[seen:])

    stop = threading.Event()
    writer = threading.Thread(target=lambda: _write_often(control_plane, stop), daemon=True)
    writer.start()
    eventually(conflicts)
    stop.set()
    writer.join()
    walk_to_success(control_plane, object_store, "fought", create(control_plane, "fought"))


def _write_often(plane: ControlPlane, stop: threading.Event) -> None:
    cluster, number = connected(plane), 0
    while not stop.is_set():
        held = cluster.get("coordination.k8s.io/v1", "Lease", "lima-operator")
        assert held
        number += 1
        held["metadata"]["annotations"] = {"written": str(number)}
        with contextlib.suppress(ApiException):
            cluster.replace(held)


def test_without_kuberay_a_job_says_so_and_starts_once_it_is_there(
    control_plane: ControlPlane, operator: Start
) -> None:
    control_plane.must("delete", "crd", "rayjobs.ray.io", "--wait=true")
    try:
        operator()
        child = create(control_plane, "orphan")
        eventually(lambda: condition(control_plane, "orphan", "Accepted").get("reason") == "KubeRayMissing")
        assert "install KubeRay" in condition(control_plane, "orphan", "Accepted")["message"]
    finally:
        install_kuberay(control_plane, "rayjobs")
    eventually(lambda: get(control_plane, "rayjob", child))


def test_what_does_not_fit_is_refused_with_the_arithmetic(
    control_plane: ControlPlane, operator: Start, object_store: ObjectStore
) -> None:
    object_store.put_bytes(f"{MODEL}/config.json", json.dumps(SEVEN_BILLION).encode())
    operator()
    child = create(control_plane, "large", compute={"workers": 1})
    phase_is(control_plane, "large", "Refused")
    accepted = condition(control_plane, "large", "Accepted")
    assert accepted["reason"] == "DoesNotFit"
    assert "6.738 billion parameters" in accepted["message"]
    assert get(control_plane, "rayjob", child) is None


def test_the_role_holds_every_verb_that_the_operator_uses_and_no_other(
    control_plane: ControlPlane, operator: Start, object_store: ObjectStore
) -> None:
    seen = len(control_plane.audited())
    # The chart's Lease is taken; one that somebody deleted is made anew.
    control_plane.must("-n", NAMESPACE, "delete", "lease", "lima-operator")
    process = operator()
    child = create(control_plane, "rights", ttlSecondsAfterFinished=0)
    ray_says(control_plane, child, "Running", "RUNNING")
    phase_is(control_plane, "rights", "Running")
    suspend(control_plane, "rights", True)
    eventually(lambda: get(control_plane, "rayjob", child) is None)
    suspend(control_plane, "rights", False)
    ray_says(control_plane, child, "Complete", "SUCCEEDED")
    eventually(lambda: get(control_plane, "ftj", "rights") is None)
    process.terminate()
    assert process.wait(timeout=PATIENCE_SECONDS) == 0
    asked = [event for event in control_plane.audited()[seen:] if "objectRef" in event]
    assert {event["responseStatus"].get("code") for event in asked} <= {200, 201, 404}, "nothing was forbidden"
    used = {(event["verb"], *_resource(event["objectRef"])) for event in asked}
    # Server-side apply of an object that is not there yet needs create beside patch: the test below.
    assert used | {("create", "ray.io", "rayjobs")} == granted(control_plane)


def _resource(reference: dict[str, str]) -> tuple[str, str]:
    part = f"/{reference['subresource']}" if "subresource" in reference else ""
    return reference.get("apiGroup", ""), reference["resource"] + part


def granted(plane: ControlPlane) -> set[tuple[str, str, str]]:
    role = json.loads(plane.must("-n", NAMESPACE, "get", "role", "lima-operator", "-o", "json"))
    return {
        (verb, group, resource)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.mark.usefixtures("chart_role")
def test_submitting_needs_the_right_to_create(control_plane: ControlPlane) -> None:
    asked = job("unmade").model_copy(update={"uid": "", "namespace": NAMESPACE})
    child = ray_job(asked, asked.training_spec("lima"), config())
    cluster = connected(control_plane, OPERATOR)
    role = json.loads(control_plane.must("-n", NAMESPACE, "get", "role", "lima-operator", "-o", "json"))
    for rule in role["rules"]:
        rule["verbs"] = [verb for verb in rule["verbs"] if (verb, rule["resources"]) != ("create", ["rayjobs"])]
    control_plane.must("-n", NAMESPACE, "replace", "-f", "-", stdin=json.dumps(role))

    def refused() -> bool:
        try:
            cluster.apply(child)
        except ApiException as error:
            return bool(error.status == 403)
        control_plane.must("-n", NAMESPACE, "delete", "rayjob", child["metadata"]["name"])
        return False

    eventually(refused)


def test_what_was_deleted_by_hand_comes_back(control_plane: ControlPlane, operator: Start) -> None:
    operator()
    child = create(control_plane, "hand")
    first = eventually(lambda: get(control_plane, "rayjob", child))["metadata"]["uid"]
    control_plane.must("-n", NAMESPACE, "delete", "rayjob", child)
    eventually(
        lambda: (get(control_plane, "rayjob", child) or {"metadata": {"uid": first}})["metadata"]["uid"] != first
    )


def test_an_expired_job_is_deleted(control_plane: ControlPlane, operator: Start, object_store: ObjectStore) -> None:
    operator()
    child = create(control_plane, "brief", ttlSecondsAfterFinished=0)
    ray_says(control_plane, child, "Running", "RUNNING")
    # The run's own word is enough, and with the job goes its RayJob.
    put_run(object_store, run_status(child, RunPhase.SUCCEEDED, step=4, total_steps=4))
    eventually(lambda: get(control_plane, "ftj", "brief") is None)


def test_a_missing_dataset_is_a_condition(
    control_plane: ControlPlane, operator: Start, object_store: ObjectStore
) -> None:
    object_store.delete_prefix("datasets/")
    operator()
    child = create(control_plane, "early")

    eventually(lambda: condition(control_plane, "early", "Accepted").get("reason") == "DatasetNotFound")
    assert get(control_plane, "rayjob", child) is None
    put_inputs(object_store)
    eventually(lambda: get(control_plane, "rayjob", child))
