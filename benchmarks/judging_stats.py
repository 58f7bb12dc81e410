"""A million verdicts to results with intervals: ours, and the straightforward way with pandas and SciPy.

    python -m benchmarks.judging_stats [--verdicts 1000000] [--rounds 3] [--record]

Five pairs of systems, five judges, both orders of every prompt. Ours computes everything a study reports (shares,
win rates, flip rate, position and length bias, Bradley-Terry, agreement) from verdict rows as the database gives
them. The peer computes the win rates alone, from a data frame that is there already: pandas averages each prompt,
scipy.stats.bootstrap resamples the prompts 2,000 times. Their intervals must agree.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd
from scipy.stats import bootstrap

from benchmarks.harness import Result, in_turn, main, seconds_of, version
from services.judging.columns import VerdictRow, to_columns
from services.judging.protocols import RULES, Protocol
from services.judging.results import Results, compute
from services.judging.statistics.resampling import RESAMPLES

PAIRS, JUDGES, ORDERS = 5, 5, 2
SOURCES = ("authored", "stackexchange", "reddit")
AGREEMENT = 0.01


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--verdicts", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)


def make_rows(verdicts: int) -> list[VerdictRow]:
    """Verdicts of judges that mostly see the same truth, and favour side A a little."""
    prompts = verdicts // (PAIRS * JUDGES * ORDERS)
    generator = np.random.default_rng(0)
    rows = []
    for pair in range(PAIRS):
        quality = generator.normal(0.2 * pair, 1, prompts)
        length = generator.normal(100, 300, prompts)
        for judge in range(JUDGES):
            for first_on_a in (True, False):
                seen = quality + generator.normal(0, 1, prompts) + (0.3 if first_on_a else -0.3)
                preference = np.where(np.abs(seen) < 0.4, 0.5, (seen > 0).astype(float))
                rows += [
                    VerdictRow(
                        f"prompt-{prompt}", (0, 0), ("ours", f"baseline-{pair}"), f"judge-{judge}", "llm",
                        f"judge-{judge}", "ok", float(value), "", None, first_on_a, 0, SOURCES[prompt % 3],
                        float(length[prompt]),
                    )
                    for prompt, value in enumerate(preference)
                ]  # fmt: skip
    return rows


def ours(rows: list[VerdictRow]) -> Results:
    return compute("benchmark", to_columns(rows), RULES[Protocol.PAIRWISE])


def peer(frame: pd.DataFrame) -> dict[tuple[str, str], tuple[float, float]]:
    """The interval of each win rate, prompts as clusters."""
    found = {}
    for key, part in frame.groupby(["second", "judge"]):
        means = part.groupby("prompt")["preference"].mean().to_numpy()
        interval = bootstrap(
            (means,), np.mean, n_resamples=RESAMPLES, batch=50, method="percentile", random_state=0
        ).confidence_interval
        found[key] = (interval.low, interval.high)
    return found


def run(arguments: argparse.Namespace) -> Result:
    rows = make_rows(arguments.verdicts)
    frame = pd.DataFrame(
        {
            "prompt": [row.prompt_id for row in rows],
            "second": [row.systems[1] for row in rows],
            "judge": [row.judge for row in rows],
            "preference": [row.preference for row in rows],
        }
    )
    results, intervals = ours(rows), peer(frame)
    for pair in results.pairs:
        low, high = intervals[pair.second, pair.judge]
        rate = pair.summary.win_rate
        if abs(rate.low - low) > AGREEMENT or abs(rate.high - high) > AGREEMENT:
            raise AssertionError(f"intervals differ: {rate} and [{low}, {high}]")
    begin = time.perf_counter()
    columns = to_columns(rows)
    columns_seconds = time.perf_counter() - begin
    del columns
    mine, theirs = in_turn(
        arguments.rounds, lambda: seconds_of(lambda: ours(rows)), lambda: seconds_of(lambda: peer(frame))
    )
    return Result(
        metric=f"{len(rows)} verdicts to results with {RESAMPLES} clustered resamples",
        value=round(mine, 2),
        unit="s",
        peer=f"pandas {version('pandas')} and scipy.stats.bootstrap {version('scipy')}, win rates only",
        peer_value=round(theirs, 2),
        ratio=round(theirs / mine, 2),
        packages=("numpy", "scipy", "pandas"),
        details={
            "verdicts": len(rows),
            "resamples": RESAMPLES,
            "pairs": PAIRS,
            "judges": JUDGES,
            "rounds": arguments.rounds,
            "of_which_rows_to_columns_seconds": round(columns_seconds, 2),
        },
    )


if __name__ == "__main__":
    main("judging_stats", run, options)
