"""From a dump to distinct examples: the whole funnel against a practitioner's, and near-duplicates against datasketch.

    python -m benchmarks.curation_funnel [--texts 10000] [--mebibytes 30] [--million] [--record]

`ratio` is of near-duplicates: signatures and joined bands of ours against MinHash and MinHashLSH of datasketch, with
the same number of hash functions and the same threshold, on short texts of which a tenth are planted duplicates.
`funnel` is the build of a dataset from a Posts.xml, less its files, against lxml.iterparse with BeautifulSoup or
lxml.html and then datasketch on what passes; ours compares prompts too, so a copy under another prompt stays. All take
turns in this process; seconds are of processor time. `--million` also runs ours on a million short documents, streamed
into a process of its own, and tells what memory that took.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from datasketch import MinHash, MinHashLSH

from benchmarks import curation_peers as peers
from benchmarks.curation_parse import HOST, REAL
from benchmarks.harness import Result, in_turn, main, peak_mib, version
from benchmarks.stack_exchange_dump import SAMPLE, write_dump
from services.curation.build import Builder, LocalCorpus
from services.curation.neardup import duplicates, shingles, signatures
from services.curation.sources.source import CorpusFile
from services.curation.spec import parse_spec

WORDS = 60
VOCABULARY = 20_000
THRESHOLD, PERMUTATIONS = 0.7, 128
MILLION = 1_000_000


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--mebibytes", type=int, default=30, help="size of the dump to make (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--million", action="store_true", help="also a million texts of ours, for the memory")


def made_texts(count: int) -> Iterator[str]:
    """Every tenth text repeats the one before it but for its last word."""
    draw = np.random.default_rng(1)
    words: list[str] = []
    for place in range(count):
        if is_planted(place):
            words[-1] = "changed"
        else:
            words = [f"w{number}" for number in draw.integers(VOCABULARY, size=WORDS).tolist()]
        yield " ".join(words)


def is_planted(place: int) -> bool:
    return place % 10 == 9


def ours(texts: Iterable[str]) -> set[int]:
    return {found.row for found in duplicates(signatures(texts, PERMUTATIONS), THRESHOLD)}


def by_datasketch(texts: Iterable[str]) -> set[int]:
    index = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)
    removed = set()
    for place, text in enumerate(texts):
        sketch = MinHash(num_perm=PERMUTATIONS)
        sketch.update_batch([shingle.encode() for shingle in shingles(text)])
        if index.query(sketch):
            removed.add(place)
        else:
            index.insert(str(place), sketch)
    return removed


def our_funnel(dump: Path) -> int:
    """Distinct examples of a dump, by a build that has read nothing before."""
    source = {"name": "s", "corpus": "c", "stack_exchange": {}, "quota": {"train": 1_000_000, "allow_fewer": True}}
    corpus = LocalCorpus("c", "", (CorpusFile(f"{HOST}/Posts.xml", dump, ""),))
    with tempfile.TemporaryDirectory() as cache:
        built = Builder(Path(cache)).build(parse_spec({"name": "funnel", "sources": [source]}), {"c": corpus})
    return len(built.examples["train"])


def peer_funnel(dump: Path, clean: Callable[[str], tuple[str, str]]) -> int:
    texts = list(peers.pipeline(dump, clean).values())
    return len(texts) - len(by_datasketch(texts))


def processor_seconds(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def a_million(count: int = MILLION) -> dict[str, float]:
    """Run in a process of its own: `peak_mib` is its most resident memory, interpreter and libraries included."""
    begin = time.perf_counter()
    found = ours(made_texts(count))
    seconds = time.perf_counter() - begin
    planted = count // 10
    return {
        "seconds_with_making_the_texts": round(seconds, 1),
        "texts_per_second": round(count / seconds),
        "pairs_decided_per_second": round(count * (count - 1) / 2 / seconds),
        "peak_mib": round(peak_mib()),
        "recall": round(sum(map(is_planted, found)) / planted, 4),
        "false_alarms": sum(not is_planted(place) for place in found),
    }


def a_million_alone() -> Mapping[str, float]:
    program = "import json; from benchmarks.curation_funnel import a_million; print(json.dumps(a_million()))"
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True)
    told: Mapping[str, float] = json.loads(done.stdout)
    return told


def whole_funnel(mebibytes: int, rounds: int) -> Mapping[str, Any]:
    source = REAL if REAL.is_file() else SAMPLE / HOST / "Posts.xml"
    with tempfile.TemporaryDirectory() as folder:
        dump = Path(folder) / "Posts.xml"
        write_dump(source, dump, mebibytes << 20)
        size = dump.stat().st_size / 1e6
        contestants = {
            "ours": partial(our_funnel, dump),
            "lxml_and_datasketch": partial(peer_funnel, dump, peers.with_lxml),
            "beautiful_soup_and_datasketch": partial(peer_funnel, dump, peers.with_beautiful_soup),
        }
        examples = {name: work() for name, work in contestants.items()}
        times = in_turn(rounds, *(partial(processor_seconds, work) for work in contestants.values()))
    return {
        "megabytes": round(size),
        "megabytes_per_second": {name: round(size / t, 1) for name, t in zip(contestants, times, strict=True)},
        "ratio": round(min(times[1:]) / times[0], 2),
        "distinct_examples": examples,
    }


def run(arguments: argparse.Namespace) -> Result:
    texts = list(made_texts(arguments.texts))
    planted = set(filter(is_planted, range(len(texts))))
    mine, theirs = ours(texts), by_datasketch(texts)
    times = in_turn(
        arguments.rounds,
        partial(processor_seconds, partial(ours, texts)),
        partial(processor_seconds, partial(by_datasketch, texts)),
    )
    details: dict[str, Any] = {
        "texts": arguments.texts,
        "words_each": WORDS,
        "threshold": THRESHOLD,
        "hash_functions": PERMUTATIONS,
        "recall": {
            "ours": round(len(mine & planted) / len(planted), 4),
            "peer": round(len(theirs & planted) / len(planted), 4),
        },
        "false_alarms": {"ours": len(mine - planted), "peer": len(theirs - planted)},
        "pairs_decided_per_second": round(arguments.texts * (arguments.texts - 1) / 2 / times[0]),
        "rounds": arguments.rounds,
        "funnel": whole_funnel(arguments.mebibytes, arguments.rounds),
    }
    if arguments.million:
        details["million"] = a_million_alone()
    return Result(
        metric="near-duplicates among short texts, one core",
        value=round(arguments.texts / times[0]),
        unit="texts/s",
        peer=f"datasketch {version('datasketch')} MinHashLSH",
        peer_value=round(arguments.texts / times[1]),
        ratio=round(times[1] / times[0], 2),
        packages=("rensa", "datasketch", "numpy", "lxml", "beautifulsoup4", "selectolax"),
        details=details,
    )


if __name__ == "__main__":
    main("curation_funnel", run, options)
