"""A run on a Ray of two nodes loses one, goes on with one worker, grows again, and loses its driver.

Two nodes on one machine take minutes to start and to find each other lost, so this runs only when it is asked for.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.equivalence.training.laboratory import REPOSITORY, Laboratory, assert_same
from tests.equivalence.training.test_interrupted import resume, wait_for
from tests.equivalence.training.test_on_ray import ASKED_FOR, has_state_after, status

pytestmark = [
    pytest.mark.skipif(not os.environ.get(ASKED_FOR), reason=f"takes minutes: set {ASKED_FOR}=1"),
    pytest.mark.timeout(900),
]

# Slow steps, or the run would end while Ray takes its time: 32 passes of one example each.
RECIPE = {"epochs": 20, "batch_size": 32}
SAVING = {"state_every_steps": 1}
ELASTIC = {
    "engine": "ray",
    "workers": 2,
    "min_workers": 1,
    "cpus_per_worker": 1,
    "threads": 1,
    "zero_stage": 2,
    "micro_batch_examples": 1,
}
NODE = {"num_cpus": 1, "object_store_memory": 80 << 20}
# Ray's own variables; a worker that is nice misses its health checks on a busy machine.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0", "RAY_worker_niceness": "0"}

IMPATIENT = """
import sys
from training_jobs import __main__, driver
driver.RESIZE_SECONDS = 5.0
sys.exit(__main__.main(["run", "--spec", sys.argv[1]]))
"""


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two nodes of one processor each: a raylet, an object store and workers per node."""
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)
    import ray
    from ray.cluster_utils import Cluster

    found: Any = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    try:
        found.add_node(**NODE)
        monkeypatch.setenv("RAY_ADDRESS", found.address)
        yield found
    finally:
        # The last driver of the test was this process: Ray refuses to stop a node that it is connected to.
        ray.shutdown()
        found.shutdown()


def begun_with(folder: Path, workers: int) -> Callable[[], bool]:
    return lambda: f", workers: {workers}," in (folder / "log.txt").read_text()


def test_a_lost_node_a_new_node_and_a_lost_driver(
    tmp_path: Path, laboratory: Laboratory, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The package's other laboratory has set this process up; this one only has more examples.
    larger = Laboratory(tmp_path, train=160)
    alone = {"engine": "bare", "threads": 1}
    undisturbed = larger.train("undisturbed", RECIPE, compute=alone)
    spec = larger.spec("elastic", RECIPE, checkpoints=SAVING, compute=ELASTIC)
    folder = larger.run_folder("elastic")
    driver = subprocess.Popen(
        [sys.executable, "-c", IMPATIENT, str(spec)], cwd=REPOSITORY, env=os.environ | larger.environment
    )
    try:
        wait_for(has_state_after(folder, 1), driver)
        assert begun_with(folder, 2)()

        (node,) = cluster.worker_nodes
        cluster.remove_node(node, allow_graceful=False)
        wait_for(begun_with(folder, 1), driver)
        wait_for(has_state_after(folder, status(folder)["step"]), driver)

        cluster.add_node(**NODE)
        wait_for(begun_with(folder, 2), driver)
        wait_for(has_state_after(folder, status(folder)["step"]), driver)
    finally:
        driver.kill()
        driver.wait()
    assert not (folder / "checkpoints" / "epoch-20").exists()
    # The cluster outlives this driver; the next one gets the room of the workers that were lost with it when Ray
    # has forgotten what the first one had asked for, after three minutes.
    ours = resume(larger, spec)
    assert ours.status.restarts == 3
    assert_same(ours, undisturbed, losses=1e-5, weights=5e-6)
