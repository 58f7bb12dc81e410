"""A real API server admits good FineTuneJobs and refuses bad ones, rule by rule."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.operator.crd import RULES
from tests.chart.tools import ROOT
from tests.cluster.conftest import NAMESPACE
from tests.cluster.control_plane import ControlPlane
from tests.unit.operator.jobs import manifest

pytestmark = pytest.mark.usefixtures("crd")

# For every rule of services.operator.crd.RULES, in its order, a job that breaks it.
BREAKING: tuple[dict[str, Any], ...] = (
    {"recipe": {"learningRate": 1e-6, "finalLearningRate": 1e-5}},
    {"compute": {"workers": 2, "minWorkers": 3}},
    {"compute": {"offloadParameters": True, "zeroStage": 2}},
    {"compute": {"quantizedWeights": True}},
    {"checkpoints": {"keepFirst": 5, "keepLast": 3}},
    {"checkpointSelection": {"policy": "Last", "epoch": 3}},
    {"compute": {"workers": 3}, "workersPerPod": 2},
)


def create(plane: ControlPlane, job: dict[str, Any], *flags: str) -> Any:
    return plane.kubectl("-n", NAMESPACE, "create", "--validate=strict", *flags, "-f", "-", stdin=json.dumps(job))


@pytest.mark.parametrize(("spec", "rule"), list(zip(BREAKING, RULES, strict=True)))
def test_what_types_cannot_say_is_refused_by_a_rule(
    control_plane: ControlPlane, spec: dict[str, Any], rule: tuple[str, str, str]
) -> None:
    done = create(control_plane, manifest(**spec), "--dry-run=server")
    assert done.returncode != 0
    assert rule[2] in done.stderr


@pytest.mark.parametrize(
    ("job", "told"),
    [
        (manifest(preset="lima-13b"), "spec.preset"),
        (manifest(recipe={"epochs": 0}), "spec.recipe.epochs"),
        (manifest(recipe={"epoch": 1}), 'unknown field "spec.recipe.epoch"'),
        (manifest(baseModel="s3://elsewhere/x"), "spec.baseModel"),
        (manifest(dataset={"name": "lima", "digest": "latest"}), "spec.dataset.digest"),
        (manifest(retries=-1), "spec.retries"),
        (manifest("n" * 39), "metadata.name must be at most 38"),
        (manifest("a.b"), "metadata.name must be at most 38"),
        (manifest("7b"), "begin with a letter"),
    ],
)
def test_what_the_schema_says_is_kept(control_plane: ControlPlane, job: dict[str, Any], told: str) -> None:
    done = create(control_plane, job, "--dry-run=server")
    assert done.returncode != 0
    assert told in done.stderr


@pytest.mark.parametrize("sample", ["finetune-lima-7b.yaml", "finetune-small.yaml"])
def test_the_samples_are_admitted(control_plane: ControlPlane, sample: str) -> None:
    file = str(ROOT / "k8s/samples" / sample)
    control_plane.must("-n", NAMESPACE, "create", "--validate=strict", "--dry-run=server", "-f", file)


def test_a_job_cannot_be_edited_but_suspended(control_plane: ControlPlane) -> None:
    job = manifest("fixed", recipe={"epochs": 3})
    assert create(control_plane, job).returncode == 0
    try:
        for change in ({"recipe": {"epochs": 4}}, {"queue": "fast"}, {"recipe": None}, {"baseModel": "models/other/1"}):
            patch = json.dumps({"spec": change})
            done = control_plane.kubectl("-n", NAMESPACE, "patch", "ftj", "fixed", "--type=merge", "-p", patch)
            assert done.returncode != 0, change
            assert "cannot change after creation" in done.stderr
        control_plane.must("-n", NAMESPACE, "patch", "ftj", "fixed", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    finally:
        control_plane.must("-n", NAMESPACE, "delete", "ftj", "fixed")


def test_the_table_has_the_columns_that_people_look_for(control_plane: ControlPlane) -> None:
    assert create(control_plane, manifest("seen")).returncode == 0
    status = {
        "phase": "Running",
        "progress": "25%",
        "epoch": 4,
        "loss": "1.2",
        "lastCheckpoint": "epoch-04",
        "restarts": 1,
    }
    try:
        patch = json.dumps({"status": status})
        control_plane.must("-n", NAMESPACE, "patch", "ftj", "seen", "--subresource=status", "--type=merge", "-p", patch)
        head, row = control_plane.must("-n", NAMESPACE, "get", "ftj", "seen").splitlines()
        assert head.split() == ["NAME", "PHASE", "PROGRESS", "EPOCH", "LOSS", "CHECKPOINT", "RESTARTS", "AGE"]
        assert row.split()[:7] == ["seen", "Running", "25%", "4", "1.2", "epoch-04", "1"]
    finally:
        control_plane.must("-n", NAMESPACE, "delete", "ftj", "seen")


@pytest.mark.parametrize("file", ["k8s/samples/rayjob-lima-7b.yaml", "k8s/batch/curate.yaml", "k8s/batch/judge.yaml"])
def test_the_plain_manifests_are_admitted(control_plane: ControlPlane, file: str) -> None:
    control_plane.must("-n", NAMESPACE, "create", "--validate=strict", "--dry-run=server", "-f", str(ROOT / file))


def test_the_house_rules_are_admitted_and_kept(control_plane: ControlPlane) -> None:
    file = str(ROOT / "k8s/cluster/policy.yaml")
    control_plane.must("apply", "--server-side", "-f", file)
    try:
        large = manifest("large", compute={"workers": 32, "gpusPerWorker": 1})

        def refused() -> bool:
            done = create(control_plane, large, "--dry-run=server")
            return "at most 16 GPUs" in done.stderr

        from tests.cluster.conftest import eventually

        eventually(refused)
    finally:
        control_plane.must("delete", "-f", file)
