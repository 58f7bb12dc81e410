"""Sites read on a real Ray: the same dataset as from one process, errors that stay ours, and no read that outlives
its build."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import textwrap
from typing import Any

import pytest

from tests.service.curation.conftest import SAMPLES
from tests.unit.curation.builders import HOST, dump

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# A process of its own: a Ray that was started stays until its process ends.
PROGRAM = """
    import json, os, sys, tempfile, time
    from dataclasses import dataclass
    from pathlib import Path
    import ray
    from services.curation.build import Builder
    from services.curation.funnel import TooManyMalformed
    from services.curation.pool import LocalWorkers, PartTask
    from services.curation.ray_workers import RayWorkers
    from services.curation.sources.source import Part
    from services.curation.spec import parse_spec
    from services.shared.errors import FailedPrecondition
    from tests.unit.curation.test_build import local, source, spec_value

    samples, hostile, work = map(Path, sys.argv[1:])
    corpora = {"stackexchange": local("stackexchange", samples), "hostile": local("hostile", hostile)}
    spec = parse_spec(spec_value(source("all", "stack_exchange", "stackexchange", {"train": 20, "dev": 3})))
    # What the readers held comes back, though Ray tells of it a moment later.
    def free():
        patience = time.monotonic() + 60
        while (cpus := ray.available_resources().get("CPU", 0)) < ray.cluster_resources()["CPU"]:
            if time.monotonic() > patience:
                break
            time.sleep(0.1)
        return cpus == ray.cluster_resources()["CPU"]

    # A part that takes an hour, and one that fails as soon as that one is being read.
    @dataclass(frozen=True)
    class Slow:
        begun: Path
        def read(self, part, reading):
            if part.name == "hour":
                self.begun.write_text(str(os.getpid()))
                time.sleep(3600)
            while not self.begun.is_file():
                time.sleep(0.02)
            raise FailedPrecondition("a part that fails")
            yield

    told = []
    def report(stage, done, total, unit, counts):
        told.append([stage, done, total])
    def examples(workers, folder, heard):
        built = Builder(work / folder, workers).build(spec, corpora, report=heard)
        return {split: [one.model_dump_json() for one in part] for split, part in built.examples.items()}

    alone = examples(LocalWorkers(1), "alone", lambda *_: None)
    on_ray = examples(RayWorkers(), "ray", report)
    again = examples(RayWorkers(), "ray", lambda *_: None)
    bad = parse_spec(spec_value(source("bad", "stack_exchange", "hostile", {"train": 1}), max_malformed=0))
    try:
        Builder(work / "ray", RayWorkers()).build(bad, corpora)
        refused = ""
    except TooManyMalformed as error:
        refused = str(error)
    freed, ended = free(), True
    if ray.cluster_resources()["CPU"] >= 2:
        begun = work / "begun"
        tasks = [PartTask(Slow(begun), Part(name, {}), "slow", 0, "off") for name in ("fails", "hour")]
        try:
            RayWorkers().read(tasks, work / "slow", lambda _: None)
        except FailedPrecondition as error:
            refused += f"; {error}"
        patience = time.monotonic() + 60
        while not (ended := not Path("/proc", begun.read_text()).exists()) and time.monotonic() < patience:
            time.sleep(0.1)
        freed = freed and free()
    json.dump({"same": alone == on_ray == again, "count": len(alone["train"]), "told": told, "refused": refused,
               "freed": freed, "ended": ended, "left": os.listdir(tempfile.gettempdir())}, sys.stdout)
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one process with one Ray found: Ray takes its time to start."""
    tmp_path = tmp_path_factory.mktemp("ray")
    hostile = tmp_path / "hostile"
    (hostile / HOST).mkdir(parents=True)
    (hostile / HOST / "Posts.xml").write_bytes(dump(["  <row broken"]))
    held = tmp_path / "held"
    held.mkdir()
    arguments = [SAMPLES / "stackexchange", hostile, tmp_path / "work"]
    # Ray's sockets need a short path.
    places = {"TMPDIR": str(held), "RAY_TMPDIR": tempfile.gettempdir()}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), *map(str, arguments)],
        env={name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"} | places,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_sites_are_read_one_by_one_and_the_dataset_is_the_same(told: dict[str, Any]) -> None:
    assert told["same"]
    assert told["count"] == 20
    assert [step[1:] for step in told["told"] if step[0] == "reading all"] == [[n, 4] for n in (0, 1, 2, 3, 4, 4)]


def test_what_a_reader_raises_is_raised_here(told: dict[str, Any]) -> None:
    assert "more than 0 malformed records" in told["refused"]


def test_a_long_read_ends_with_the_build_that_failed_beside_it(told: dict[str, Any]) -> None:
    if (os.cpu_count() or 1) < 2:
        pytest.skip("two readers need two processors")
    assert "a part that fails" in told["refused"]
    assert told["ended"]
    assert told["freed"], "every processor is free again"
    assert not told["left"], "nothing half-read stays on the disk"
