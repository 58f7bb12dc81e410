"""Posts.xml to candidates on one core: ours, lxml.iterparse alone, and a practitioner's pipelines on it.

    python -m benchmarks.curation_parse [--mebibytes 60] [--rounds 5] [--source Posts.xml] [--record]

All run in this process on the same file, in turn; seconds are of processor time, so that other work on the machine
counts as little as possible. The pipelines must find the same questions. `ratio` is against the faster pipeline;
`over_iterparse` against lxml.iterparse alone. `where` says where our time goes.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks import curation_peers as peers
from benchmarks.harness import Result, in_turn, main, version
from benchmarks.stack_exchange_dump import SAMPLE, write_dump
from services.curation.funnel import Funnel, MalformedLimit
from services.curation.sources import rows
from services.curation.sources.posts import index_posts
from services.curation.sources.source import CorpusFile, Part, Reading
from services.curation.sources.stack_exchange import StackExchange

HOST = "physics.stackexchange.com"
REAL_DATA = Path(os.environ.get("LIMA_REAL_DATA", "../shared/data"))
REAL = REAL_DATA / "stackexchange" / "matheducators.stackexchange.com" / "Posts.xml"


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mebibytes", type=int, default=60, help="size of the dump to make (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--source", type=Path, help="a Posts.xml to repeat (default: real data if there, else the sample)"
    )


def ours(path: Path) -> set[int]:
    part = Part(HOST, {"posts": CorpusFile(f"{HOST}/Posts.xml", path, "")})
    found = StackExchange().read(part, Reading("benchmark", Funnel()))
    return {int(candidate.id.rpartition("-")[2]) for candidate in found}


def index(path: Path) -> int:
    return len(index_posts(path, peers.MIN_SCORE, MalformedLimit(Funnel(), "", 0)).questions)


def load(path: Path) -> int:
    """What reading the file costs: every byte copied once out of the system's cache."""
    buffer, size = bytearray(rows.BLOCK_BYTES), 0
    with path.open("rb", buffering=0) as file:
        while got := file.readinto(buffer):
            size += got
    return size


def scan(path: Path) -> int:
    """What finding the rows costs on top: one byte searched for in all."""
    with path.open("rb", buffering=0) as file:
        return sum(1 for _ in rows.tags(file, MalformedLimit(Funnel(), "", 0)))


def processor_seconds(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def run(arguments: argparse.Namespace) -> Result:
    source = arguments.source or (REAL if REAL.is_file() else SAMPLE / HOST / "Posts.xml")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "Posts.xml"
        copies = write_dump(source, path, arguments.mebibytes << 20)
        size = path.stat().st_size / 1e6
        soup, parsed = (partial(peers.pipeline, path, clean) for clean in (peers.with_beautiful_soup, peers.with_lxml))
        found = ours(path)
        agree = {
            name: len(found ^ work().keys()) / max(1, len(found)) for name, work in (("soup", soup), ("lxml", parsed))
        }
        contestants = (
            partial(ours, path),
            partial(peers.iterate, path),
            soup,
            parsed,
            partial(index, path),
            partial(scan, path),
            partial(load, path),
        )
        times = in_turn(arguments.rounds, *(partial(processor_seconds, work) for work in contestants))
    mine, alone, by_soup, by_lxml, indexing, scanning, loading = (size / seconds for seconds in times)
    fastest = max(by_soup, by_lxml)
    share = {
        "reading the file": times[6],
        "finding rows and deciding on their attributes": times[4] - times[6],
        "filters on top answers, Markdown of those that pass": times[0] - times[4],
    }
    return Result(
        metric="Posts.xml to candidates, one core",
        value=round(mine, 1),
        unit="MB/s",
        peer=f"lxml.iterparse {version('lxml')} with the faster of BeautifulSoup and lxml.html",
        peer_value=round(fastest, 1),
        ratio=round(mine / fastest, 2),
        packages=("lxml", "beautifulsoup4", "selectolax"),
        details={
            "over_iterparse": round(mine / alone, 2),
            "over_beautiful_soup": round(mine / by_soup, 2),
            "iterparse_alone": round(alone, 1),
            "pipeline_beautiful_soup": round(by_soup, 1),
            "pipeline_lxml": round(by_lxml, 1),
            "index_only": round(indexing, 1),
            "row_search_only": round(scanning, 1),
            "file_read_only": round(loading, 1),
            "where": {step: round(seconds / times[0], 2) for step, seconds in share.items()},
            "candidates": len(found),
            # Symmetric difference of the questions found, as a share of ours: HTML cleaners differ a little in length.
            "disagreement": {name: round(value, 3) for name, value in agree.items()},
            "file": {"megabytes": round(size), "copies": copies, "source": source.parent.name},
            "rounds": arguments.rounds,
        },
    )


if __name__ == "__main__":
    main("curation_parse", run, options)
