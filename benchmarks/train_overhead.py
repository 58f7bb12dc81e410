"""What Ray and DeepSpeed cost over the bare loop, and what a checkpoint on its way to the store costs a step.

    python -m benchmarks.train_overhead --record             # a random Llama of 16 M parameters
    python -m benchmarks.train_overhead --small --record     # of the 135M model's shape: a full state of 1.6 GB

The same spec through the public command: `--engine bare`, and Ray Train with DeepSpeed and one worker, in turn, with
lengths drawn as in the paper's table, results in a real S3 server. Compared are the seconds of the optimiser steps as
the run itself recorded them; starting up is not counted.

These two save nothing on the way. A third run, bare again, saves its full state after every third step.
`upload_seconds` is by how much longer it takes to the same step for every save, the wait for the local disk and the
upload beside training included; `upload_share_of_epoch` is that over an epoch of the paper's, after which the state is
saved once: 32 steps, of the size measured, which is a fifth of the paper's.
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
from pathlib import Path
from typing import Any

from benchmarks.harness import Result, main
from benchmarks.train_draws import MAX_LENGTH, SMALL, TINY, draw_lengths, random_model

BUCKET = "overhead"
PAPER_STEPS = 32


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


def train(
    run: str, engine: str, place: Path, environment: dict[str, str], arguments: argparse.Namespace, every: int = 0
) -> list[Any]:
    """The rows of one run's steps but for the first two, which warm up. It saves its state after `every` steps."""
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
    return metrics(run, environment)[2:]


def metrics(run: str, environment: dict[str, str]) -> list[Any]:
    from services.shared.settings import PREFIX, Settings
    from training_jobs.run_folder import RunFolder

    values: dict[str, Any] = {
        name.removeprefix(PREFIX).lower(): value for name, value in environment.items() if name.startswith(PREFIX)
    }
    return [row for row in RunFolder.open(run, "", Settings(**values)).metrics() if row.kind == "step"]


def speed(rows: Sequence[Any]) -> float:
    """Tokens per second of the steps, the median."""
    return float(statistics.median(row.tokens_per_second for row in rows))


def span(rows: Sequence[Any]) -> float:
    """Seconds from the end of the first of the steps to the end of the last, whatever was done between them."""
    return float((rows[-1].time - rows[0].time).total_seconds())


def run(arguments: argparse.Namespace) -> Result:
    from tests.fixtures.seaweedfs import running_seaweedfs

    every = {"ray": 0, "bare": 0, "saving": arguments.save_every}
    found: dict[str, list[list[Any]]] = {name: [] for name in every}
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
            for name, runs in found.items():
                engine = "ray" if name == "ray" else "bare"
                runs.append(train(f"{name}-{number}", engine, place, environment, arguments, every[name]))
    speeds = {name: statistics.median(map(speed, runs)) for name, runs in found.items()}
    spans = {name: statistics.median(map(span, runs)) for name, runs in found.items()}
    # The last step ends an epoch, which is saved after it.
    saves = len(range(arguments.save_every, arguments.steps, arguments.save_every))
    upload = (spans["saving"] - spans["bare"]) / saves
    step = spans["bare"] / (arguments.steps - 3)
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
            "upload_seconds": round(upload, 2),
            "upload_share_of_epoch": round(upload / (PAPER_STEPS * step), 4),
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
