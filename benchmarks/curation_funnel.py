"""From a corpus to a dataset, with near-duplicates: texts per second against datasketch, and the whole build's share.

    python -m benchmarks.curation_funnel [--texts 20000] [--million] [--record]

Near-duplicates of short texts, a tenth of them planted: signatures and joined bands of ours against MinHash and
MinHashLSH of datasketch with the same number of hash functions and the same threshold, in turn, in this process. Both
must find the planted ones. `--million` also runs ours alone on a million texts and says what memory it took.
"""

from __future__ import annotations

import argparse
import random
import resource
import time
from functools import partial
from typing import Any

from datasketch import MinHash, MinHashLSH

from benchmarks.harness import Result, in_turn, main, version
from services.curation.neardup import duplicates, shingles, signatures

WORDS = 60
VOCABULARY = 20_000
THRESHOLD, PERMUTATIONS = 0.7, 128


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--million", action="store_true", help="also a million texts of ours, for the memory")


def made_texts(count: int) -> tuple[list[str], set[int]]:
    """(texts, places of the planted near-duplicates). Every tenth repeats the text before it but for one word."""
    draw = random.Random(1)
    texts: list[str] = []
    planted = set()
    for place in range(count):
        if place % 10 == 9:
            words = texts[-1].split()
            words[draw.choice((0, -1))] = "changed"
            planted.add(place)
        else:
            words = [f"w{draw.randrange(VOCABULARY)}" for _ in range(WORDS)]
        texts.append(" ".join(words))
    return texts, planted


def ours(texts: list[str]) -> set[int]:
    return {found.row for found in duplicates(signatures(texts, PERMUTATIONS), THRESHOLD)}


def by_datasketch(texts: list[str]) -> set[int]:
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


def processor_seconds(work: Any) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def a_million() -> dict[str, float]:
    texts, planted = made_texts(1_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    begin = time.perf_counter()
    found = ours(texts)
    seconds = time.perf_counter() - begin
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
    return {
        "seconds": round(seconds, 1),
        "texts_per_second": round(1_000_000 / seconds),
        "memory_beyond_the_texts_mib": round(grown),
        "recall": round(len(found & planted) / len(planted), 4),
    }


def run(arguments: argparse.Namespace) -> Result:
    texts, planted = made_texts(arguments.texts)
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
        "pairs_ruled_out_per_second": round(arguments.texts * (arguments.texts - 1) / 2 / times[0]),
        "rounds": arguments.rounds,
    }
    if arguments.million:
        details["million"] = a_million()
    return Result(
        metric="near-duplicates among short texts, one core",
        value=round(arguments.texts / times[0]),
        unit="texts/s",
        peer=f"datasketch {version('datasketch')} MinHashLSH",
        peer_value=round(arguments.texts / times[1]),
        ratio=round(times[1] / times[0], 2),
        packages=("rensa", "datasketch", "numpy"),
        details=details,
    )


if __name__ == "__main__":
    main("curation_funnel", run, options)
