"""The whole operator over a socket: from apply to Succeeded, and through everything that goes wrong on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from services.operator import cluster, reconcile, state
from services.operator.app import Operator
from services.operator.finetunejob import parse_job
from services.shared.objects import ObjectStore
from services.shared.records import RunPhase
from tests.chart.render import of_kind, rendered
from tests.unit.operator.conftest import eventually
from tests.unit.operator.fake_kubernetes import FakeKubernetes
from tests.unit.operator.jobs import manifest, put_inputs, put_run, run_status

Start = Callable[..., Operator]


def create(fake: FakeKubernetes, name: str = "lima", **spec: Any) -> str:
    """Create a job; returns the name of its child."""
    return parse_job(fake.put("finetunejobs", manifest(name, **spec))).child_name


def status(fake: FakeKubernetes, name: str = "lima") -> dict[str, Any]:
    return (fake.get("finetunejobs", name) or {}).get("status") or {}


def phase_is(fake: FakeKubernetes, phase: str, name: str = "lima") -> None:
    eventually(lambda: status(fake, name).get("phase") == phase)


def ray_says(fake: FakeKubernetes, child: str, deployment: str, job: str = "") -> None:
    eventually(lambda: fake.get("rayjobs", child))
    fake.set_status("rayjobs", child, jobDeploymentStatus=deployment, jobStatus=job)


def walk_to_success(fake: FakeKubernetes, store: ObjectStore, child: str, name: str = "lima") -> None:
    ray_says(fake, child, "Running", "RUNNING")
    put_run(store, run_status(child, step=1, total_steps=4, loss=2.0))
    eventually(lambda: status(fake, name).get("progress") == "25%")
    put_run(store, run_status(child, RunPhase.SUCCEEDED, step=4, total_steps=4, last_checkpoint="epoch-15"))
    ray_says(fake, child, "Complete", "SUCCEEDED")
    phase_is(fake, "Succeeded", name)


def test_from_apply_to_succeeded(fake: FakeKubernetes, start: Start, object_store: ObjectStore) -> None:
    start()
    child = create(fake)
    walk_to_success(fake, object_store, child)
    done = status(fake)
    assert (done["progress"], done["lastCheckpoint"], done["rayJob"]) == ("100%", "epoch-15", child)
    assert fake.requests.count(("patch", "rayjobs")) == 1, "submitted once"
    eventually(lambda: notes(fake) == ["Running", "Succeeded"])
    fake.remove("finetunejobs", "lima")
    assert fake.get("rayjobs", child) is None


def test_the_role_of_the_chart_has_every_verb_and_no_other(
    fake: FakeKubernetes, start: Start, object_store: ObjectStore
) -> None:
    operator = start()
    child = create(fake, ttlSecondsAfterFinished=0)
    ray_says(fake, child, "Running", "RUNNING")
    phase_is(fake, "Running")
    held = fake.get("finetunejobs", "lima")
    assert held
    fake.put("finetunejobs", {**held, "spec": {**held["spec"], "suspend": True}})
    eventually(lambda: fake.get("rayjobs", child) is None)
    held = fake.get("finetunejobs", "lima")
    assert held
    fake.put("finetunejobs", {**held, "spec": {**held["spec"], "suspend": False}})
    ray_says(fake, child, "Complete", "SUCCEEDED")
    eventually(lambda: fake.get("finetunejobs", "lima") is None)
    assert operator.lease.try_hold()
    (role,) = of_kind(rendered("default"), "Role")
    granted = {(verb, resource) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}
    # Server-side apply of an object that is not there yet is authorised as create beside patch.
    assert set(fake.requests) | {("create", "rayjobs")} == granted


def test_two_starts_make_one_child(fake: FakeKubernetes, start: Start, object_store: ObjectStore) -> None:
    first = start()
    child = create(fake)
    ray_says(fake, child, "Running", "RUNNING")
    phase_is(fake, "Running")
    first.stop()
    eventually(lambda: not first.lease.held)
    start("operator-1")
    walk_to_success(fake, object_store, child)
    assert [name for plural, name in fake.objects if plural == "rayjobs"] == [child]


def test_of_two_operators_one_acts(fake: FakeKubernetes, start: Start) -> None:
    first = start("operator-0")
    eventually(lambda: first.lease.held)
    second = start("operator-1")
    create(fake)
    eventually(lambda: status(fake).get("phase"))
    assert not second.lease.held
    first.stop()
    eventually(lambda: second.lease.held)
    child = create(fake, "next")
    eventually(lambda: fake.get("rayjobs", child))


@pytest.mark.parametrize(
    ("verb", "code"), [("patch", 409), ("patch", 500), ("list", 500), ("watch", 410), ("get", 503)]
)
def test_an_error_of_the_api_server_is_outlived(
    fake: FakeKubernetes, start: Start, object_store: ObjectStore, verb: str, code: int
) -> None:
    fake.fail_next(verb, code)
    start()
    walk_to_success(fake, object_store, create(fake))


def test_a_forgotten_past_is_listed_again(fake: FakeKubernetes, start: Start, object_store: ObjectStore) -> None:
    start()
    create(fake)
    phase_is(fake, "Pending")
    fake.compact()
    child = create(fake, "next")
    walk_to_success(fake, object_store, child, "next")


def test_an_api_server_that_goes_away_is_waited_for(
    fake: FakeKubernetes, start: Start, object_store: ObjectStore
) -> None:
    start()
    child = create(fake)
    ray_says(fake, child, "Running", "RUNNING")
    phase_is(fake, "Running")
    fake.down = True
    fake.compact()
    ray_says(fake, child, "Complete", "SUCCEEDED")
    fake.down = False
    phase_is(fake, "Succeeded")


def test_a_connection_that_went_silent_is_left(
    fake: FakeKubernetes, start: Start, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half-open: the server's side is there, and nothing ever comes of it, not even a bookmark."""
    monkeypatch.setattr(cluster, "SILENCE_SECONDS", 0.5)
    start()
    create(fake, "before")
    phase_is(fake, "Pending", "before")
    fake.mute()
    walk_to_success(fake, object_store, create(fake, "after"), "after")


def test_an_object_store_that_goes_away_is_waited_for(
    fake: FakeKubernetes, start: Start, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = object_store.bucket
    monkeypatch.setattr(object_store, "bucket", "gone-away")
    start()
    child = create(fake)
    eventually(lambda: ("get", "leases") in fake.requests)
    assert fake.get("rayjobs", child) is None
    monkeypatch.setattr(object_store, "bucket", bucket)
    walk_to_success(fake, object_store, child)


def test_a_ray_job_deleted_by_hand_comes_back(fake: FakeKubernetes, start: Start, object_store: ObjectStore) -> None:
    start()
    child = create(fake)
    ray_says(fake, child, "Running", "RUNNING")
    phase_is(fake, "Running")
    fake.remove("rayjobs", child)
    phase_is(fake, "Pending")
    walk_to_success(fake, object_store, child)


def test_a_driver_that_hangs_after_the_runs_end_holds_no_gpu(
    fake: FakeKubernetes, start: Start, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (state, reconcile):
        monkeypatch.setattr(module, "LINGER_SECONDS", 0)
    start()
    child = create(fake)
    ray_says(fake, child, "Running", "RUNNING")
    put_run(object_store, run_status(child, RunPhase.SUCCEEDED, step=4, total_steps=4))
    phase_is(fake, "Succeeded")
    eventually(lambda: fake.get("rayjobs", child) is None)


def test_suspending_cancels_and_keeps_and_resuming_goes_on(
    fake: FakeKubernetes, start: Start, object_store: ObjectStore
) -> None:
    start()
    child = create(fake)
    ray_says(fake, child, "Running", "RUNNING")
    put_run(object_store, run_status(child, step=2, total_steps=4, last_checkpoint="epoch-02"))
    eventually(lambda: status(fake).get("progress") == "50%")
    for suspend in (True, False):
        held = fake.get("finetunejobs", "lima")
        assert held
        fake.put("finetunejobs", {**held, "spec": {**held["spec"], "suspend": suspend}})
        if suspend:
            phase_is(fake, "Suspended")
            assert fake.get("rayjobs", child) is None
            assert status(fake)["lastCheckpoint"] == "epoch-02"
    walk_to_success(fake, object_store, child)


def test_a_dataset_that_comes_later_is_waited_for(
    fake: FakeKubernetes, start: Start, object_store: ObjectStore
) -> None:
    start()
    object_store.delete_prefix("datasets/")
    child = create(fake)
    eventually(lambda: _accepted(fake).get("reason") == "DatasetNotFound")
    assert "lima datasets list" in _accepted(fake)["message"]
    put_inputs(object_store)
    eventually(lambda: fake.get("rayjobs", child))
    eventually(lambda: _accepted(fake).get("status") == "True")


def test_without_kuberay_a_job_says_so_and_starts_once_it_is_there(fake: FakeKubernetes, start: Start) -> None:
    fake.uninstall("ray.io")
    start()
    child = create(fake)
    eventually(lambda: _accepted(fake).get("reason") == "KubeRayMissing")
    assert "helm install kuberay-operator" in _accepted(fake)["message"]
    fake.install("ray.io")
    eventually(lambda: fake.get("rayjobs", child))


def test_kuberay_that_is_uninstalled_under_the_operator_is_missed(fake: FakeKubernetes, start: Start) -> None:
    start()
    before = create(fake, "before")
    eventually(lambda: fake.get("rayjobs", before))
    fake.uninstall("ray.io")
    fake.compact()
    child = create(fake, "after")
    eventually(lambda: _accepted(fake, "after").get("reason") == "KubeRayMissing")
    fake.install("ray.io")
    eventually(lambda: fake.get("rayjobs", child))


def test_a_spec_that_cannot_be_is_refused(fake: FakeKubernetes, start: Start) -> None:
    start()
    create(fake, "rates", recipe={"learningRate": 1e-6, "finalLearningRate": 1e-5})
    phase_is(fake, "Refused", "rates")
    assert "must not exceed learning_rate" in _accepted(fake, "rates")["message"]
    fake.put("finetunejobs", manifest("colour", colour="red"))
    phase_is(fake, "Refused", "colour")
    assert "spec.colour" in _accepted(fake, "colour")["message"]
    assert not [name for plural, name in fake.objects if plural == "rayjobs"]


def notes(fake: FakeKubernetes) -> list[str]:
    return [item["reason"] for (plural, _), item in list(fake.objects.items()) if plural == "events"]


def _accepted(fake: FakeKubernetes, name: str = "lima") -> dict[str, Any]:
    conditions = status(fake, name).get("conditions") or [{}]
    return dict(next(condition for condition in conditions if condition.get("type", "Accepted") == "Accepted"))
