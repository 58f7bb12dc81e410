"""A million verdicts in a database to results with intervals: ours, and the straightforward way with pandas and SciPy.

    python -m benchmarks.judging_stats [--verdicts 1000000] [--rounds 3] [--record]

Five pairs of systems, five judges, both orders of every prompt, in the service's own SQLite tables. Ours reads them and
computes everything a study reports (shares, win rates, flip rate, position and length bias, Bradley-Terry, agreement,
and the same for each source of prompts). The peer computes the win rates alone, from a data frame that is in
memory already: pandas averages each prompt, scipy.stats.bootstrap resamples the prompts 2,000 times. Their intervals
must agree.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import bootstrap

from benchmarks.harness import Result, in_turn, main, seconds_of, version
from services.judging import tables as t
from services.judging.__main__ import MIGRATIONS, NAME
from services.judging.aggregates import load_columns
from services.judging.columns import Columns
from services.judging.items import Answer, make_items
from services.judging.repository import StudyRepository
from services.judging.results import Results, compute
from services.judging.statistics.estimate import FloatArray
from services.judging.statistics.resampling import RESAMPLES
from services.judging.study import StudySpec
from services.shared.database import Database
from services.shared.records import Turn
from services.shared.settings import Settings

PAIRS, JUDGES, ORDERS = 5, 5, 2
SOURCES = ("authored", "stackexchange", "reddit")
AGREEMENT = 0.01
WORDS = 12
BATCH = 10_000
SPEC = StudySpec.parse(
    {
        "name": "benchmark",
        "protocol": "pairwise",
        "systems": [
            {"name": name, "responses_uri": "s3://benchmark/none"}
            for name in ("ours", *(f"baseline-{pair}" for pair in range(PAIRS)))
        ],
    }
)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--verdicts", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)


@dataclass(frozen=True)
class Cell:
    """One judge's preferences on one pair in one order, by prompt."""

    pair: int
    judge: str
    first_on_a: bool
    preference: FloatArray


def judged(prompts: int) -> Iterator[Cell]:
    """Verdicts of judges that mostly see the same truth, and favour side A a little."""
    generator = np.random.default_rng(0)
    for pair in range(PAIRS):
        quality = generator.normal(0.2 * pair, 1, prompts)
        for judge in range(JUDGES):
            for first_on_a in (True, False):
                seen = quality + generator.normal(0, 1, prompts) + (0.3 if first_on_a else -0.3)
                preference = np.where(np.abs(seen) < 0.4, 0.5, (seen > 0).astype(float))
                yield Cell(pair, f"judge-{judge}", first_on_a, preference)


async def filled(settings: Settings, prompts: int) -> Database:
    """The tables of a study with all its verdicts."""
    database = Database.open(settings, NAME, MIGRATIONS)
    await database.migrate()
    generator = np.random.default_rng(1)
    answers = {
        system.name: {
            (f"prompt-{prompt}", 0, 0): Answer(
                (Turn(role="user", content=f"Question {prompt}"),),
                (Turn(role="assistant", content="word " * int(words)),),
                SOURCES[prompt % len(SOURCES)],
                (),
            )
            for prompt, words in enumerate(generator.integers(1, 2 * WORDS, prompts))
        }
        for system in SPEC.systems
    }
    items = make_items(SPEC, answers)
    await StudyRepository(database).create(SPEC, SPEC.digest(), items, {}, "")
    ids = {(item.systems[1], item.prompt_id): item.id for item in items}
    async with database.transaction() as session:
        for cell in judged(prompts):
            rows = list(verdict_rows(cell, ids))
            for start in range(0, len(rows), BATCH):
                await session.execute(t.verdicts.insert(), rows[start : start + BATCH])
    return database


def verdict_rows(cell: Cell, ids: dict[tuple[str, str], str]) -> Iterator[dict[str, Any]]:
    for prompt, preference in enumerate(cell.preference.tolist()):
        yield {
            "study": SPEC.name,
            "item": ids[f"baseline-{cell.pair}", f"prompt-{prompt}"],
            "judge": cell.judge,
            "kind": "llm",
            "state": "ok",
            "preference": preference,
            "scores": [],
            "first_on_a": cell.first_on_a,
            "draw": 0,
            "reasoning": "Because the first of them says more of what was asked for.",
            "seconds": 1.0,
            "created": 0.0,
        }


def peer(frame: pd.DataFrame) -> dict[tuple[str, str], tuple[float, float]]:
    """The interval of each win rate, prompts as clusters."""
    found = {}
    for key, part in frame.groupby(["second", "judge"], observed=True):
        means = part.groupby("prompt")["preference"].mean().to_numpy()
        interval = bootstrap(
            (means,), np.mean, n_resamples=RESAMPLES, batch=50, method="percentile", random_state=0
        ).confidence_interval
        found[key] = (interval.low, interval.high)
    return found


def make_frame(prompts: int) -> pd.DataFrame:
    parts = [
        pd.DataFrame(
            {
                "prompt": np.arange(prompts),
                "second": pd.Categorical([f"baseline-{cell.pair}"] * prompts),
                "judge": pd.Categorical([cell.judge] * prompts),
                "preference": cell.preference,
            }
        )
        for cell in judged(prompts)
    ]
    frame = pd.concat(parts, ignore_index=True)
    return frame.astype({"second": "category", "judge": "category"})


def check(results: Results, intervals: dict[tuple[str, str], tuple[float, float]]) -> None:
    for pair in results.pairs:
        low, high = intervals[pair.second, pair.judge]
        rate = pair.summary.win_rate
        if abs(rate.low - low) > AGREEMENT or abs(rate.high - high) > AGREEMENT:
            raise AssertionError(f"intervals differ: {rate} and [{low}, {high}]")


def run(arguments: argparse.Namespace) -> Result:
    prompts = arguments.verdicts // (PAIRS * JUDGES * ORDERS)
    reading: list[float] = []
    with tempfile.TemporaryDirectory(prefix="lima-bench-") as place, asyncio.Runner() as runner:
        database = runner.run(filled(Settings(state_dir=Path(place)), prompts))

        def ours() -> Results:
            begin = time.perf_counter()
            columns: Columns = runner.run(load_columns(database, SPEC))
            reading.append(time.perf_counter() - begin)
            return compute(SPEC.name, columns, SPEC.rules)

        frame = make_frame(prompts)
        results = ours()
        check(results, peer(frame))
        mine, theirs = in_turn(arguments.rounds, lambda: seconds_of(ours), lambda: seconds_of(lambda: peer(frame)))
        runner.run(database.close())
    return Result(
        metric=f"{results.verdicts} verdicts in SQLite to results with {RESAMPLES} clustered resamples",
        value=round(mine, 2),
        unit="s",
        peer=f"pandas {version('pandas')} and scipy.stats.bootstrap {version('scipy')}, win rates only, from memory",
        peer_value=round(theirs, 2),
        ratio=round(theirs / mine, 2),
        packages=("numpy", "scipy", "pandas", "sqlalchemy", "aiosqlite"),
        details={
            "verdicts": results.verdicts,
            "resamples": RESAMPLES,
            "pairs": PAIRS,
            "judges": JUDGES,
            "rounds": arguments.rounds,
            "of_which_reading_seconds": round(float(np.median(reading[1:])), 2),
        },
    )


if __name__ == "__main__":
    main("judging_stats", run, options)
