"""Many sites, one a task: wall time of reading them with one worker and with as many as there are cores.

    python -m benchmarks.curation_sites [--sites 16] [--mebibytes 700] [--ray] [--record]

The sites are equal dumps under different names. `value` is the speed with all cores, `peer_value` with one process, so
`ratio` divided by the cores is the efficiency. Starting worker processes is counted. `--ray` also reads them as tasks
of a Ray of this machine, whose start is not counted. All must give the same candidates.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.curation_parse import HOST, REAL
from benchmarks.harness import Result, in_turn, main, seconds_of, version
from benchmarks.stack_exchange_dump import SAMPLE, write_dump
from services.curation.build import Builder, LocalCorpus
from services.curation.pool import LocalWorkers, Workers
from services.curation.sources.source import CorpusFile
from services.curation.spec import parse_spec
from services.shared.digest import digest_json


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sites", type=int, default=16)
    parser.add_argument(
        "--mebibytes", type=int, default=700, help="size of each site's Posts.xml (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ray", action="store_true", help="also as tasks of a local Ray")
    parser.add_argument("--folder", type=Path, help="where the dumps are made (default: the folder of temporary files)")


def candidates_of(corpus: LocalCorpus, workers: Workers) -> str:
    """A digest of all candidates, read anew."""
    source = {"name": "s", "corpus": "c", "stack_exchange": {}, "quota": {"train": 1}}
    spec = parse_spec({"name": "sites", "sources": [source], "dedup": {"enabled": False}})
    with tempfile.TemporaryDirectory() as cache:
        [read] = Builder(Path(cache), workers).gather(spec, {"c": corpus})
        return digest_json(sorted(read.pool.keys))


def made_sites(folder: Path, count: int, size: int) -> LocalCorpus:
    """One dump under many names: the file system may share it, what is read may not."""
    source = REAL if REAL.is_file() else SAMPLE / HOST / "Posts.xml"
    dump = folder / "Posts.xml"
    write_dump(source, dump, size)
    files = [CorpusFile(f"site{place}.example/Posts.xml", dump, str(place)) for place in range(count)]
    return LocalCorpus("c", "", tuple(files))


def run(arguments: argparse.Namespace) -> Result:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    contestants: dict[str, Workers] = {"all_cores": LocalWorkers(cores), "one_process": LocalWorkers(1)}
    if arguments.ray:
        from services.curation.ray_workers import RayWorkers

        contestants["ray"] = RayWorkers()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        corpus = made_sites(Path(folder), arguments.sites, arguments.mebibytes << 20)
        size = sum(file.path.stat().st_size for file in corpus.files) / 1e6
        works = {name: partial(candidates_of, corpus, workers) for name, workers in contestants.items()}
        same = len({work() for work in works.values()}) == 1
        times = in_turn(arguments.rounds, *(partial(seconds_of, work) for work in works.values()))
    speeds = {name: round(size / seconds, 1) for name, seconds in zip(works, times, strict=True)}
    details: dict[str, Any] = {
        "sites": arguments.sites,
        "megabytes": round(size),
        "megabytes_per_second": speeds,
        "efficiency": round(times[1] / times[0] / cores, 2),
        "same_candidates": same,
        "rounds": arguments.rounds,
    }
    return Result(
        metric=f"reading {arguments.sites} sites, one a task, {cores} processes",
        value=speeds["all_cores"],
        unit="MB/s",
        peer="one process" + (f", and Ray {version('ray')}" if arguments.ray else ""),
        peer_value=speeds["one_process"],
        ratio=round(times[1] / times[0], 2),
        packages=("numpy", "selectolax", "ray"),
        details=details,
    )


if __name__ == "__main__":
    main("curation_sites", run, options)
