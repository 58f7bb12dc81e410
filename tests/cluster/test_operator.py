"""The operator as its own process against a real API server, with the rights of the chart's Role.

Ray's side is scripted: nothing runs the RayJob, its status is written here as KubeRay writes it, and the run's status
goes to a real S3.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from services.operator.finetunejob import parse_job
from services.shared.objects import ObjectStore
from services.shared.records import RunPhase
from tests.cluster.conftest import NAMESPACE, eventually, get
from tests.cluster.control_plane import ControlPlane
from tests.unit.operator.jobs import manifest, put_inputs, put_run, run_status

Start = Callable[[], subprocess.Popen[bytes]]


@pytest.fixture(autouse=True)
def _inputs(object_store: ObjectStore) -> None:
    put_inputs(object_store)


def create(plane: ControlPlane, name: str, **spec: Any) -> str:
    """Create a job; returns the name of its child."""
    plane.must("-n", NAMESPACE, "create", "--validate=strict", "-f", "-", stdin=json.dumps(manifest(name, **spec)))
    return parse_job(get(plane, "ftj", name) or {}).child_name


def phase_is(plane: ControlPlane, name: str, phase: str) -> None:
    eventually(lambda: ((get(plane, "ftj", name) or {}).get("status") or {}).get("phase") == phase)


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
    done = (get(control_plane, "ftj", "lima") or {})["status"]
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


def test_an_api_server_that_goes_away_is_waited_for(
    control_plane: ControlPlane, operator: Start, object_store: ObjectStore
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
    walk_to_success(control_plane, object_store, "away", child)


def test_suspending_cancels_and_keeps(control_plane: ControlPlane, operator: Start) -> None:
    operator()
    child = create(control_plane, "paused")
    ray_says(control_plane, child, "Running", "RUNNING")
    control_plane.must("-n", NAMESPACE, "patch", "ftj", "paused", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    phase_is(control_plane, "paused", "Suspended")
    eventually(lambda: get(control_plane, "rayjob", child) is None)


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
    put_run(object_store, run_status(child, RunPhase.SUCCEEDED, step=4, total_steps=4))
    ray_says(control_plane, child, "Complete", "SUCCEEDED")
    eventually(lambda: get(control_plane, "ftj", "brief") is None)


def test_a_missing_dataset_is_a_condition(
    control_plane: ControlPlane, operator: Start, object_store: ObjectStore
) -> None:
    object_store.delete_prefix("datasets/")
    operator()
    child = create(control_plane, "early")

    def reason() -> str:
        conditions = ((get(control_plane, "ftj", "early") or {}).get("status") or {}).get("conditions") or []
        return next((c["reason"] for c in conditions if c["type"] == "Accepted"), "")

    eventually(lambda: reason() == "DatasetNotFound")
    assert get(control_plane, "rayjob", child) is None
    put_inputs(object_store)
    eventually(lambda: get(control_plane, "rayjob", child))
