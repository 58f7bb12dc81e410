"""What Ray and DeepSpeed cost over the bare loop, and what a checkpoint on its way to the store costs a step.

    python -m benchmarks.train_overhead --record             # a random Llama of 16 M parameters
    python -m benchmarks.train_overhead --small --record     # of the 135M model's shape: a full state of 1.6 GB

The same spec through the public command: `--engine bare`, and Ray Train with DeepSpeed and one worker, in turn, with
lengths drawn as in the paper's table, results in a real S3 server. Compared are the seconds of the optimiser steps as
the run itself recorded them; starting up is not counted.

The bare run saves its full state after every third step. `upload_extra_share` is by how much the steps
are longer beside which one travels than the others, and `upload_share_of_epoch` that extra over an epoch of the
paper's: one upload in 32 steps. `save_seconds` is the wait until a save is on the local disk.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.harness import Result, main
from benchmarks.train_draws import MAX_LENGTH, SMALL, TINY, draw_lengths, random_model

BUCKET = "overhead"
PAPER_STEPS = 32


@dataclass(frozen=True)
class Steps:
    """Seconds per token of a run's steps, and the seconds that its saves made it wait."""

    beside_upload: list[float]
    undisturbed: list[float]
    saves: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.beside_upload + self.undisturbed)


def write_dataset(folder: Path, steps: int, batch: int, seed: int) -> None:
    """Conversations of random words, one token each, so many and so long that `steps` steps are one epoch."""
    rng = random.Random(seed)
    lines = []
    for number, (prompt, response) in enumerate(draw_lengths(steps * batch, seed)):
        response = min(response, MAX_LENGTH - prompt - 4)
        turns = [
            {"role": role, "content": " ".join(f"t{rng.randint(1, 8000)}" for _ in range(count))}
            for role, count in (("user", prompt), ("assistant", response))
        ]
        lines.append(json.dumps({"id": f"e{number}", "source": "drawn", "split": "train", "messages": turns}))
    folder.mkdir()
    (folder / "train.jsonl").write_text("\n".join(lines) + "\n")


def train(run: str, engine: str, place: Path, environment: dict[str, str], arguments: argparse.Namespace) -> Steps:
    """One run to its end; the first two steps, which warm up, are left out."""
    every = arguments.save_every
    spec = {
        "run": run,
        "base_model": str(place / "base"),
        "dataset": str(place / "dataset"),
        "recipe": {"epochs": 1, "batch_size": arguments.examples, "residual_dropout": {"top": 0.0}},
        "compute": {"engine": engine, "threads": arguments.threads},
        "checkpoints": {"state_every_steps": every},
        "evaluation": {"stop_check": 0},
    }
    command = [sys.executable, "-m", "training_jobs", "run", "--spec-env", "LIMA_TRAINING_SPEC"]
    subprocess.run(
        command,
        env=os.environ | environment | {"LIMA_TRAINING_SPEC": json.dumps(spec)},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return steps_of(metrics(run, environment), every)


def metrics(run: str, environment: dict[str, str]) -> list[Any]:
    from services.shared.settings import PREFIX, Settings
    from training_jobs.run_folder import RunFolder

    values: dict[str, Any] = {
        name.removeprefix(PREFIX).lower(): value for name, value in environment.items() if name.startswith(PREFIX)
    }
    return [row for row in RunFolder.open(run, "", Settings(**values)).metrics() if row.kind == "step"]


def steps_of(rows: Sequence[Any], every: int) -> Steps:
    """The run records tokens per second of each step, and when it ended; the wait for a save lies between two ends."""
    beside: list[float] = []
    undisturbed: list[float] = []
    waits: list[tuple[float, int]] = []
    plain: list[tuple[float, int]] = []
    for before, row in pairwise(rows[1:]):
        saved = before.step % every == 0
        (beside if saved else undisturbed).append(1 / row.tokens_per_second)
        gap = ((row.time - before.time).total_seconds(), row.target_tokens)
        (waits if saved else plain).append(gap)
    pace = sum(seconds for seconds, _ in plain) / sum(tokens for _, tokens in plain)
    return Steps(beside, undisturbed, [seconds - tokens * pace for seconds, tokens in waits])


def run(arguments: argparse.Namespace) -> Result:
    from tests.fixtures.seaweedfs import running_seaweedfs

    found: dict[str, list[Steps]] = {"ray": [], "bare": []}
    with tempfile.TemporaryDirectory() as scratch, running_seaweedfs() as s3:
        place = Path(scratch)
        (place / "base").mkdir()
        random_model(place / "base", SMALL if arguments.small else TINY)
        write_dataset(place / "dataset", arguments.steps, arguments.examples, seed=8)
        environment = {
            "LIMA_STATE_DIR": str(place / "state"),
            "LIMA_OBJECT_STORE_ENDPOINT": s3.endpoint,
            "LIMA_OBJECT_STORE_ACCESS_KEY": s3.access_key,
            "LIMA_OBJECT_STORE_SECRET_KEY": s3.secret_key,
            "LIMA_OBJECT_STORE_BUCKET": BUCKET,
            "OMP_NUM_THREADS": str(arguments.threads),
        }
        for number in range(arguments.rounds):
            for engine, steps in found.items():
                steps.append(train(f"{engine}-{number}", engine, place, environment, arguments))
    speeds = {engine: 1 / statistics.median(steps.median for steps in runs) for engine, runs in found.items()}
    bare = found["bare"]
    beside, undisturbed = (
        statistics.median(value for steps in bare for value in getattr(steps, kind))
        for kind in ("beside_upload", "undisturbed")
    )
    return Result(
        metric="real tokens per second of a step, Ray Train and DeepSpeed",
        value=round(speeds["ray"], 1),
        unit="tokens/s",
        peer="the bare loop",
        peer_value=round(speeds["bare"], 1),
        ratio=round(speeds["ray"] / speeds["bare"], 3),
        packages=("torch", "ray", "deepspeed", "transformers"),
        details={
            "overhead": round(speeds["bare"] / speeds["ray"] - 1, 3),
            "upload_extra_share": round(beside / undisturbed - 1, 3),
            "upload_share_of_epoch": round((beside / undisturbed - 1) / PAPER_STEPS, 4),
            "save_seconds": round(statistics.median(wait for steps in bare for wait in steps.saves), 2),
            "steps": arguments.steps,
            "save_every": arguments.save_every,
            "examples": arguments.examples,
            "rounds": arguments.rounds,
            "threads": arguments.threads,
        },
    )


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--small", action="store_true", help="a random Llama of the 135M model's shape")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--save-every", type=int, default=3, help="steps between two saves")
    parser.add_argument("--examples", type=int, default=6, help="examples in a step")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)


if __name__ == "__main__":
    main("train_overhead" + ("_small" if "--small" in sys.argv else ""), run, options)
