"""Memory of a large Posts.xml: a process of its own makes a dataset of a dump of --gigabytes and tells its peak.

    python -m benchmarks.curation_memory [--gigabytes 2] [--record]      10 for the bound that the project promises

The dump is made by repeating and renumbering rows, and deleted. `value` is the peak resident memory of the process that
reads, filters, removes near-duplicates and chooses, interpreter included; `growth` what a dump ten times smaller needs
less. All copies of a candidate but one are near-duplicates, so few are left to choose from.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.curation_parse import HOST, REAL
from benchmarks.harness import Result, main
from benchmarks.stack_exchange_dump import SAMPLE, write_dump

BUILDER = """
import resource, sys, time
from pathlib import Path
from services.curation.build import Builder, LocalCorpus
from services.curation.sources.source import CorpusFile
from services.curation.spec import parse_spec
dump, host, cache = sys.argv[1:]
source = {"name": "s", "corpus": "c", "stack_exchange": {}, "quota": {"train": 1000, "allow_fewer": True}}
spec = parse_spec({"name": "memory", "sources": [source]})
corpus = LocalCorpus("c", "", (CorpusFile(f"{host}/Posts.xml", Path(dump), ""),))
begin = time.perf_counter()
built = Builder(Path(cache)).build(spec, {"c": corpus})
steps = {step.filter: step.removed for step in built.funnels["s"].steps}
found = len(built.examples["train"]) + steps["near-duplicate"]
print(found, time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--folder", type=Path, help="where the dump is made (default: the folder of temporary files)")


def measure(source: Path, folder: Path | None, size: int) -> tuple[int, float, float]:
    """(candidates, seconds, peak MiB) of a build from a dump of that many bytes."""
    with tempfile.TemporaryDirectory(dir=folder) as made:
        path = Path(made) / "Posts.xml"
        write_dump(source, path, size)
        done = subprocess.run(
            [sys.executable, "-c", BUILDER, str(path), HOST, f"{made}/parts"],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    found, seconds, peak = done.stdout.split()
    return int(found), float(seconds), float(peak)


def run(arguments: argparse.Namespace) -> Result:
    source = REAL if REAL.is_file() else SAMPLE / HOST / "Posts.xml"
    size = int(arguments.gigabytes * 1e9)
    _, _, small = measure(source, arguments.folder, size // 10)
    found, seconds, peak = measure(source, arguments.folder, size)
    return Result(
        metric="peak resident memory of a dataset from one Posts.xml",
        value=round(peak, 1),
        unit="MiB",
        peer="the bound of 1 GiB",
        peer_value=1024,
        ratio=round(1024 / peak, 2),
        packages=("numpy", "selectolax"),
        details={
            "gigabytes": arguments.gigabytes,
            "growth_mib": round(peak - small, 1),
            "megabytes_per_second_of_wall_time": round(size / 1e6 / seconds),
            "candidates": found,
        },
    )


if __name__ == "__main__":
    main("curation_memory", run, options)
