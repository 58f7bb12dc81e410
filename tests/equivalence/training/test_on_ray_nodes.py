"""A run on a Ray of two nodes loses one with and without warning, goes on with one worker, grows, loses its driver.

Two nodes on one machine take minutes to start and to find each other lost, so this runs only when it is asked for.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
ALONE = {"engine": "bare", "threads": 1}
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
    """A Ray of one node with one processor; tests add others."""
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)
    import ray
    from ray.cluster_utils import Cluster

    found: Any = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    try:
        monkeypatch.setenv("RAY_ADDRESS", found.address)
        yield found
    finally:
        # The last driver of a test is this process: Ray refuses to stop a node that it is connected to.
        ray.shutdown()
        found.shutdown()


@contextmanager
def node_program(address: str) -> Iterator[subprocess.Popen[bytes]]:
    """A node as pods run it: `ray start --block`, which lets the cluster know before it ends."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--address", address]
    command += [f"--{name.replace('_', '-')}={value}" for name, value in NODE.items()]
    node = subprocess.Popen(command, env=os.environ | {"RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "20"})
    try:
        yield node
    finally:
        node.terminate()
        node.wait()


@contextmanager
def impatient_driver(laboratory: Laboratory, spec: Path) -> Iterator[subprocess.Popen[bytes]]:
    driver = subprocess.Popen(
        [sys.executable, "-c", IMPATIENT, str(spec)], cwd=REPOSITORY, env=os.environ | laboratory.environment
    )
    try:
        yield driver
    finally:
        driver.kill()
        driver.wait()


def begun_with(folder: Path, workers: int) -> Callable[[], bool]:
    return lambda: f", workers: {workers}," in (folder / "log.txt").read_text()


def test_a_lost_node_a_new_node_and_a_lost_driver(tmp_path: Path, laboratory: Laboratory, cluster: Any) -> None:
    # The package's other laboratory has set this process up; this one only has more examples.
    larger = Laboratory(tmp_path, train=160)
    undisturbed = larger.train("undisturbed", RECIPE, compute=ALONE)
    spec = larger.spec("elastic", RECIPE, checkpoints=SAVING, compute=ELASTIC)
    folder = larger.run_folder("elastic")
    node = cluster.add_node(**NODE)
    with impatient_driver(larger, spec) as driver:
        wait_for(has_state_after(folder, 1), driver)
        assert begun_with(folder, 2)()

        cluster.remove_node(node, allow_graceful=False)
        wait_for(begun_with(folder, 1), driver)
        wait_for(has_state_after(folder, status(folder)["step"]), driver)

        cluster.add_node(**NODE)
        wait_for(begun_with(folder, 2), driver)
        wait_for(has_state_after(folder, status(folder)["step"]), driver)
    assert not (folder / "checkpoints" / "epoch-20").exists()
    # The cluster outlives this driver; the next one gets the room of the workers that were lost with it when Ray
    # has forgotten what the first one had asked for, after three minutes.
    ours = resume(larger, spec)
    assert ours.status.restarts == 3
    assert_same(ours, undisturbed, losses=1e-5, weights=5e-6)


def test_a_node_that_is_told_to_go_has_the_state_saved_first(
    tmp_path: Path, laboratory: Laboratory, cluster: Any
) -> None:
    larger = Laboratory(tmp_path, train=1600)
    recipe = RECIPE | {"epochs": 5, "learning_rate": 3e-4}
    steps_per_epoch = 50
    undisturbed = larger.train("undisturbed", recipe, compute=ALONE)
    # Without `state_every_steps`, what is saved in the middle of an epoch was saved for the node's sake.
    spec = larger.spec("warned", recipe, compute=ELASTIC)
    folder = larger.run_folder("warned")
    with node_program(cluster.address) as node:
        cluster.wait_for_nodes(2)
        with impatient_driver(larger, spec) as driver:
            wait_for(has_state_after(folder, 1), driver)
            assert begun_with(folder, 2)()
            node.send_signal(signal.SIGTERM)
            wait_for(has_state_after(folder, 1, unless_multiple_of=steps_per_epoch), driver)
            saved = newest_state(folder)
            wait_for(begun_with(folder, 1), driver)
            assert driver.wait() == 0
    assert saved % steps_per_epoch
    ours = larger.outcome("warned")
    assert ours.status.restarts == 1
    assert_same(ours, undisturbed, losses=1e-5, weights=5e-6)


def newest_state(folder: Path) -> int:
    """The step of the newest full state."""
    return max(int(json.loads(path.read_text())["step"]) for path in (folder / "state").glob("step-*/manifest.json"))
