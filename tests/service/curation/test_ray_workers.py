"""Sites read as Ray tasks on a real Ray: the same dataset as from one process, and errors that stay ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.service.curation.conftest import SAMPLES
from tests.unit.curation.builders import HOST, dump

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# A process of its own: a Ray that was started stays until its process ends.
PROGRAM = """
    import json, os, sys, time
    from pathlib import Path
    import ray
    from services.curation.build import Builder
    from services.curation.funnel import TooManyMalformed
    from services.curation.pool import LocalWorkers
    from services.curation.ray_workers import RayWorkers
    from services.curation.spec import parse_spec
    from tests.unit.curation.test_build import local, source, spec_value

    samples, hostile, work = map(Path, sys.argv[1:])
    corpora = {"stackexchange": local("stackexchange", samples), "hostile": local("hostile", hostile)}
    spec = parse_spec(spec_value(source("all", "stack_exchange", "stackexchange", {"train": 20, "dev": 3})))
    told = []
    def report(stage, done, total, unit, counts):
        told.append([stage, done, total])
    def examples(workers, folder, heard):
        built = Builder(work / folder, workers).build(spec, corpora, report=heard)
        return {split: [one.model_dump_json() for one in part] for split, part in built.examples.items()}

    alone = examples(LocalWorkers(1), "alone", lambda *_: None)
    on_ray = examples(RayWorkers(), "ray", report)
    # What the tasks held comes back, though Ray tells of it a moment later.
    patience = time.monotonic() + 60
    while (cpus := ray.available_resources().get("CPU", 0)) < 1 and time.monotonic() < patience:
        time.sleep(0.1)
    again = examples(RayWorkers(), "ray", lambda *_: None)
    bad = parse_spec(spec_value(source("bad", "stack_exchange", "hostile", {"train": 1}), max_malformed=0))
    try:
        Builder(work / "ray", RayWorkers()).build(bad, corpora)
        refused = ""
    except TooManyMalformed as error:
        refused = str(error)
    json.dump({"same": alone == on_ray == again, "count": len(alone["train"]), "told": told, "refused": refused,
               "cpus": cpus}, sys.stdout)
"""


def test_one_site_is_one_task_and_the_dataset_is_the_same(tmp_path: Path) -> None:
    hostile = tmp_path / "hostile"
    (hostile / HOST).mkdir(parents=True)
    (hostile / HOST / "Posts.xml").write_bytes(dump(["  <row broken"]))
    arguments = [SAMPLES / "stackexchange", hostile, tmp_path / "work"]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), *map(str, arguments)],
        env={name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["same"]
    assert told["count"] == 20
    assert [step[1:] for step in told["told"] if step[0] == "reading all"] == [[n, 4] for n in (0, 1, 2, 3, 4, 4)]
    assert "more than 0 malformed records" in told["refused"]
    assert told["cpus"] >= 1
