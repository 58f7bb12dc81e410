"""One run that meets everything a run on Ray can meet, one after the other, and ends as if nothing had been.

Each start of Ray Train takes some ten processes that import torch or Ray, so one run serves for all, and it runs only
when it is asked for.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from services.shared.records import RunPhase
from tests.equivalence.training.laboratory import Laboratory, assert_same
from tests.equivalence.training.test_interrupted import resume, wait_for
from tests.equivalence.training.test_sharded import sharded

ASKED_FOR = "RAY_FAILURE_TESTS"
pytestmark = [
    pytest.mark.skipif(not os.environ.get(ASKED_FOR), reason=f"takes minutes: set {ASKED_FOR}=1"),
    pytest.mark.timeout(600),
]

# Long enough to be caught twice, and slow enough at learning for rounding not to grow over so many steps. Without
# dropout: what is dropped depends on how a step is divided.
RECIPE = {"epochs": 20, "batch_size": 4, "learning_rate": 3e-4}
STEPS_PER_EPOCH = 10
SAVING = {"state_every_steps": 3, "keep_first": 20}


def status(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "status.json").read_text())
    return found


def rank_0(folder: Path) -> int:
    """The process that writes the run's log."""
    found = re.search(r"written by process (\d+) ", (folder / "log.txt").read_text())
    assert found is not None
    return int(found[1])


def has_state_after(folder: Path, step: int, *, unless_multiple_of: int = 0) -> Callable[[], bool]:
    def happened() -> bool:
        steps = [
            int(path.parent.name.removeprefix("step-")) for path in (folder / "state").glob("step-*/manifest.json")
        ]
        return any(found > step and not (unless_multiple_of and found % unless_multiple_of == 0) for found in steps)

    return happened


def has_mid_epoch_state_after(folder: Path, step: int) -> Callable[[], bool]:
    return has_state_after(folder, step, unless_multiple_of=STEPS_PER_EPOCH)


@contextmanager
def started(laboratory: Laboratory, spec: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The command in a process of its own, which is killed without warning at the end."""
    driver = laboratory.start(spec)
    try:
        yield driver
    finally:
        driver.kill()
        driver.wait()


def test_a_run_that_loses_its_driver_and_a_worker_and_is_preempted(
    laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    undisturbed = laboratory.train("undisturbed", RECIPE, checkpoints=SAVING)
    folder = laboratory.run_folder("hunted")

    # Two workers begin. Their driver is killed, and the Ray that it had started ends with it.
    fixed = sharded(2, cpus_per_worker=0.5)
    with started(laboratory, laboratory.spec("hunted", RECIPE, checkpoints=SAVING, compute=fixed)) as driver:
        wait_for(has_mid_epoch_state_after(folder, 0), driver)
        # Its agents look only now and then whether they are still wanted.
        children = psutil.Process(driver.pid).children(recursive=True)
        processes = [process for process in children if not process.name().endswith("Agent")]
        assert rank_0(folder) in [process.pid for process in processes]
    _, there = psutil.wait_procs(processes, timeout=60)
    # One that has ended and that nobody collects is there still.
    assert not [process for process in there if process.status() != psutil.STATUS_ZOMBIE]
    lost = status(folder)
    assert lost["phase"] == RunPhase.RUNNING

    # It goes on with another ZeRO stage, and with room for two of the three workers that are asked for. The one that
    # writes is killed: Ray Train starts both again, from the newest state.
    elastic = sharded(3, cpus_per_worker=(os.cpu_count() or 1) / 2) | {"workers": 3, "min_workers": 1}
    with started(laboratory, laboratory.spec("hunted", RECIPE, checkpoints=SAVING, compute=elastic)) as driver:
        wait_for(has_mid_epoch_state_after(folder, lost["step"]), driver)
        assert status(folder)["restarts"] == 1
        assert ", workers: 2," in (folder / "log.txt").read_text()
        os.kill(rank_0(folder), signal.SIGKILL)
        wait_for(lambda: status(folder)["restarts"] == 2, driver)

        # The driver is told to end, as a pod that is preempted: the state is saved first, and not one step is lost.
        driver.send_signal(signal.SIGTERM)
        assert driver.wait(timeout=300) == 3
    stopped = status(folder)
    assert stopped["phase"] == RunPhase.PENDING
    assert (folder / "state" / f"step-{stopped['step']:06d}" / "manifest.json").is_file()
    assert not (folder / "checkpoints" / "epoch-20").exists()

    # One process without Ray goes on to the end.
    ours = resume(laboratory, laboratory.spec("hunted", RECIPE, checkpoints=SAVING))
    assert ours.status.restarts == 2
    assert_same(ours, undisturbed, losses=1e-5, weights=5e-6)
