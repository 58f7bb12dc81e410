"""`kubectl lima` and `lima run --context` with a real kubectl against a real API server."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.cli.experiment.cluster import ClusterSite
from services.cli.kubectl_commands.cluster import Kubectl
from services.shared.objects import ObjectStore
from services.shared.records import RunPhase
from services.shared.settings import Settings
from tests.cluster.conftest import NAMESPACE, eventually, get
from tests.cluster.control_plane import ControlPlane
from tests.unit.operator.jobs import DIGEST, MODEL, put_inputs, put_run, run_status
from tests.unit.operator.test_lima_run import RUN, Stages, spec_of

FLAGS = ["--model", MODEL, "--dataset", f"lima@{DIGEST}"]
Lima = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def lima(control_plane: ControlPlane, crd: None, tmp_path: Path) -> Lima:
    """kubectl-lima with a kubeconfig whose current context leads nowhere: the flags must choose."""
    here = yaml.safe_load(control_plane.kubeconfig().read_text())
    here["clusters"].append({"name": "nowhere", "cluster": {"server": "https://127.0.0.1:1"}})
    here["contexts"].append({"name": "nowhere", "context": {"cluster": "nowhere", "user": "test"}})
    here["current-context"] = "nowhere"
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(here))
    environment = {
        **{name: value for name, value in os.environ.items() if name != "KUBECONFIG"},
        "LIMA_KUBECTL": str(control_plane.bin / "kubectl"),
        "COLUMNS": "200",
    }

    def run(*arguments: str, chosen: bool = True) -> subprocess.CompletedProcess[str]:
        flags = ["-n", NAMESPACE, "--kubeconfig", str(file), *(["--context", "test"] if chosen else [])]
        command = [sys.executable, "-m", "services.cli.kubectl", *arguments, *flags]
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    return run


def test_a_jobs_life(control_plane: ControlPlane, lima: Lima) -> None:
    shown = lima("train", "life", *FLAGS, "--set", "recipe.epochs=3", "--dry-run=client", "-o", "yaml")
    assert yaml.safe_load(shown.stdout)["spec"]["recipe"] == {"epochs": 3}
    assert lima("train", "life", *FLAGS, "--dry-run=server").returncode == 0
    assert get(control_plane, "ftj", "life") is None, "both only looked"
    control_plane.must("-n", NAMESPACE, "apply", "-f", "-", stdin=shown.stdout)
    try:
        made = lima("status", "life", "-o", "json")
        assert yaml.safe_load(made.stdout)["metadata"]["name"] == "life"
        assert lima("train", "life", *FLAGS).returncode == 5, "it is there already"
        for command, suspended in (("cancel", True), ("resume", False)):
            assert lima(command, "life").returncode == 0
            assert (get(control_plane, "ftj", "life") or {})["spec"]["suspend"] is suspended
        logs = lima("logs", "life")
        assert logs.returncode == 0
        assert "No resources found" in logs.stderr, "no pod runs, and kubectl's own words say so"
    finally:
        control_plane.must("-n", NAMESPACE, "delete", "ftj", "life")


def test_what_the_server_refuses_is_told_in_its_words(lima: Lima) -> None:
    long = lima("train", "n" * 39, *FLAGS, "--dry-run=client")
    assert long.returncode == 2
    for command in ("status", "logs", "cancel"):
        done = lima(command, "absent")
        assert done.returncode == 3, done.stderr
        assert "'absent'" in done.stderr


def test_the_context_that_is_named_is_the_one_that_is_asked(lima: Lima) -> None:
    done = lima("status", "anything", chosen=False)
    assert done.returncode == 4
    assert "127.0.0.1:1" in done.stderr
    assert "memcache.go" not in done.stderr, "the client's log is not the person's"


def test_a_run_of_an_experiment_is_a_job_that_is_followed(
    control_plane: ControlPlane,
    operator: Callable[[], subprocess.Popen[bytes]],
    object_store: ObjectStore,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LIMA_KUBECTL", str(control_plane.bin / "kubectl"))
    put_inputs(object_store)
    object_store.put_bytes("datasets/data/0123456789abcdef/manifest.json", b"{}")
    operator()
    site = ClusterSite(Kubectl(NAMESPACE, kubeconfig=str(control_plane.kubeconfig())), settings)
    stages = Stages()
    ray = threading.Thread(target=_play_ray, args=(control_plane, object_store))
    ray.start()
    status: Any = asyncio.run(site.train(RUN, spec_of(RUN, object_store), object_store, stages))
    ray.join()
    assert status.phase is RunPhase.SUCCEEDED
    assert status.run.startswith("tuned-0a1b2c3d-")
    assert any(stage.startswith("epoch 1/3") for stage, _, _ in stages.seen)


def _play_ray(plane: ControlPlane, store: ObjectStore) -> None:
    """What KubeRay and the run would write."""
    from tests.cluster.test_operator import phase_is, ray_says

    job = eventually(lambda: (get(plane, "ftj", "tuned-0a1b2c3d") or {}).get("status"))
    child = job["run"]
    ray_says(plane, child, "Running", "RUNNING")
    put_run(store, run_status(child, step=1, total_steps=3, epoch=1, total_epochs=3, loss=2.0))
    phase_is(plane, "tuned-0a1b2c3d", "Running")
    # The command looks every two seconds: let it see the run once.
    eventually(lambda: (get(plane, "ftj", "tuned-0a1b2c3d") or {})["status"].get("epoch") == 1)
    threading.Event().wait(5)
    put_run(store, run_status(child, RunPhase.SUCCEEDED, step=3, total_steps=3))
    ray_says(plane, child, "Complete", "SUCCEEDED")
