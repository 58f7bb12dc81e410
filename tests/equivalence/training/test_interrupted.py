"""A run that was interrupted and continued gives what an uninterrupted one gives: losses, order and weights."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.shared.records import RunPhase
from tests.equivalence.training.laboratory import Laboratory, Outcome, assert_same
from tests.equivalence.training.test_sharded import run_on_ranks, sharded
from training_jobs import worker
from training_jobs.__main__ import main

# Of several epochs, and with dropout, whose draws must be repeated too.
RECIPE = {"epochs": 12, "batch_size": 4, "residual_dropout": {"top": 0.3}}
SAVING = {"state_every_steps": 5}


@pytest.fixture(scope="module")
def uninterrupted(laboratory: Laboratory) -> Outcome:
    return laboratory.train("uninterrupted", RECIPE, checkpoints=SAVING)


def wait_for(happened: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 600
    while not happened():
        assert process.poll() is None, "the run ended before it could be interrupted"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def has_mid_epoch_state(folder: Path) -> Callable[[], bool]:
    def found() -> bool:
        states = (folder / "state").glob("step-*/manifest.json")
        return any(json.loads(path.read_text())["step"] % 10 for path in states)

    return found


def resume(laboratory: Laboratory, spec: Path) -> Outcome:
    os.environ.update(laboratory.environment)
    assert main(["run", "--spec", str(spec)]) == 0
    return laboratory.outcome(spec.stem)


def test_killed_without_warning(laboratory: Laboratory, uninterrupted: Outcome) -> None:
    spec = laboratory.spec("killed", RECIPE, checkpoints=SAVING)
    process = laboratory.start_held(spec, after=17)
    wait_for(has_mid_epoch_state(laboratory.run_folder("killed")), process)
    process.kill()
    process.wait()
    assert not (laboratory.run_folder("killed") / "checkpoints" / "epoch-12").exists()
    ours = resume(laboratory, spec)
    assert ours.status.restarts == 1
    assert_same(ours, uninterrupted, losses=1e-6, weights=1e-6)


def test_terminated_saves_first_and_goes_on(laboratory: Laboratory, uninterrupted: Outcome) -> None:
    """As a pod that is preempted: exit code 3, and not one step is lost."""
    spec = laboratory.spec("terminated", RECIPE)
    folder = laboratory.run_folder("terminated")
    process = laboratory.start_held(spec, after=13)
    wait_for(lambda: (folder / "checkpoints" / "epoch-01").exists(), process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=300) == 3
    stopped = json.loads((folder / "status.json").read_text())
    assert stopped["phase"] == RunPhase.PENDING
    assert (folder / "state" / f"step-{stopped['step']:06d}" / "manifest.json").is_file()
    assert_same(resume(laboratory, spec), uninterrupted, losses=1e-6, weights=1e-6)


def test_cancelled_and_started_again(laboratory: Laboratory, uninterrupted: Outcome) -> None:
    spec = laboratory.spec("cancelled", RECIPE)
    folder = laboratory.run_folder("cancelled")
    process = laboratory.start_held(spec, after=13)
    wait_for(lambda: (folder / "checkpoints" / "epoch-01").exists(), process)
    (folder / "cancel.json").write_text("{}")
    assert process.wait(timeout=300) == 3
    assert json.loads((folder / "status.json").read_text())["phase"] == RunPhase.CANCELLED
    assert_same(resume(laboratory, spec), uninterrupted, losses=1e-6, weights=1e-6)


def test_a_node_that_leaves_has_the_state_saved_once(
    laboratory: Laboratory, uninterrupted: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Ray would tell is given here; `test_on_ray_nodes.py` has a real node that is told to go."""
    train = worker.train
    monkeypatch.setattr(worker, "LEAVE_POLL_SECONDS", 0.0)
    monkeypatch.setattr(worker, "train", lambda spec, settings, engine: train(spec, settings, engine, lambda: True))
    ours = laboratory.train("warned", RECIPE)
    log = (laboratory.run_folder("warned") / "log.txt").read_text()
    assert log.count("a node leaves") == 1
    assert "a node leaves: the state of step 1 is saved" in log
    assert_same(ours, uninterrupted, losses=1e-6, weights=1e-6)


def test_a_complete_run_is_left_alone(laboratory: Laboratory, uninterrupted: Outcome) -> None:
    folder = laboratory.run_folder("uninterrupted")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert (
        resume(laboratory, laboratory.spec("uninterrupted", RECIPE, checkpoints=SAVING)).status == uninterrupted.status
    )
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.fixture(scope="module")
def killed_at_three(laboratory: Laboratory) -> Path:
    """The folder of a run that one process began and did not finish. Dropout is off: what is dropped depends on
    how a step is divided."""
    spec = laboratory.spec("moved", checkpoints={"state_every_steps": 1})
    folder = laboratory.run_folder("moved")
    process = laboratory.start_held(spec, after=3)
    wait_for((folder / "state" / "step-000003" / "manifest.json").is_file, process)
    process.kill()
    process.wait()
    return folder


def moved_copy(laboratory: Laboratory, begun: Path, name: str, compute: dict[str, Any]) -> Path:
    shutil.copytree(begun, laboratory.run_folder(name))
    return laboratory.spec(name, compute=compute)


def test_finished_by_two_ranks_of_every_stage(
    laboratory: Laboratory, reference: Outcome, killed_at_three: Path
) -> None:
    """Another engine and another number of ranks: the state belongs to none of them."""
    names = {stage: f"moved-{stage}" for stage in (0, 1, 2, 3)}
    run_on_ranks(
        laboratory,
        [moved_copy(laboratory, killed_at_three, name, sharded(stage)) for stage, name in names.items()],
    )
    for name in names.values():
        assert laboratory.outcome(name).status.restarts == 1
        assert_same(laboratory.outcome(name), reference, losses=1e-5, weights=5e-6)


def test_finished_on_ray(laboratory: Laboratory, reference: Outcome, killed_at_three: Path) -> None:
    compute = sharded(3, cpus_per_worker=0.5)
    ours = resume(laboratory, moved_copy(laboratory, killed_at_three, "moved-ray", compute))
    assert_same(ours, reference, losses=1e-5, weights=5e-6)
