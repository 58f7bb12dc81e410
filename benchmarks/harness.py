"""What every benchmark shares: turns between ours and the peer, the machine it ran on, one JSON line at the end.

def run(arguments) -> Result: ...
if __name__ == "__main__":
    main("curation_parse", run)
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks import recorded


@dataclass(frozen=True)
class Result:
    """One comparison. `ratio` is above 1 where ours is better, whatever the metric."""

    metric: str
    value: float
    unit: str
    # Name and version of what ours is compared with; empty where there is no peer.
    peer: str = ""
    peer_value: float | None = None
    ratio: float | None = None
    # Distributions whose versions explain the result.
    packages: Sequence[str] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


def in_turn(rounds: int, *contestants: Callable[[], float]) -> list[float]:
    """Median of each contestant over `rounds` rounds, one after the other in every round.

    Turns keep a machine that speeds up or slows down from favouring one of them.
    """
    values: list[list[float]] = [[] for _ in contestants]
    for _ in range(rounds):
        for index, contestant in enumerate(contestants):
            values[index].append(contestant())
    return [statistics.median(column) for column in values]


def seconds_of(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def machine() -> dict[str, Any]:
    """Enough to tell whether two results may be compared, and nothing that names the machine."""
    return {
        "processor": processor_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": platform.system(),
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 1),
    }


def processor_name() -> str:
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.machine()


def peak_mib() -> float:
    """Most resident memory of this process or of any one child that has ended, in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    usages = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return max(usages) * unit / 2**20


def version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing"


def main(
    name: str,
    run: Callable[[argparse.Namespace], Result],
    options: Callable[[argparse.ArgumentParser], object] | None = None,
) -> None:
    """Run a benchmark from the command line and print its JSON line last."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}")
    parser.add_argument("--record", action="store_true", help="also write benchmarks/results/<name>-<machine>.json")
    if options:
        options(parser)
    arguments = parser.parse_args()
    begin = time.perf_counter()
    result = run(arguments)
    line = {
        "name": name,
        "metric": result.metric,
        "value": result.value,
        "unit": result.unit,
        "peer": result.peer,
        "peer_value": result.peer_value,
        "ratio": result.ratio,
        "seconds": round(time.perf_counter() - begin, 1),
        "peak_mib": round(peak_mib()),
        "machine": machine(),
        "versions": {package: version(package) for package in result.packages},
        **result.details,
    }
    if arguments.record:
        kind = f"cpu{line['machine']['cores']}" if "gpu" not in result.details else str(result.details["gpu"])
        path = recorded.RESULTS / f"{name}-{re.sub(r'[^a-z0-9]+', '-', kind.lower())}.json"
        path.write_text(json.dumps(line, indent=2) + "\n")
        recorded.write()
    print(json.dumps(line))
