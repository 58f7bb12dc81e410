"""What Ray and DeepSpeed cost over the bare loop, and what a checkpoint on its way to the store costs a step.

    python -m benchmarks.train_overhead --record                  # a random Llama of 16 M parameters, two threads
    python -m benchmarks.train_overhead --one-thread --record
    python -m benchmarks.train_overhead --small --record          # of the 135M model's shape: a full state of 1.6 GB

The same spec through the public command: `--engine bare`, and Ray Train with DeepSpeed and one worker, with lengths
drawn as in the paper's table, results in a real S3 server. They run at once, by turns of two seconds (`time_slices`):
from one run to the next a shared machine's speed changes by more than what is looked for. Compared is for how long each
was let run from the end of one step to the end of the next, as the run itself recorded them; starting up and the first
two steps are not counted.

These two save nothing on the way. A third run in the same turns, bare again, saves its full state after every third
step. `upload_seconds` is by how much longer it takes to the same step for every save, the wait for the local disk and
the upload beside training included; `upload_share_of_epoch` is that over an epoch of the paper's, after which the state
is saved once: 32 steps, of the size measured, which is a fifth of the paper's.

Ray's other processes want a twentieth of two processors. With `--one-thread`, training leaves them one, as it does on a
GPU node; with two threads it shares both with them.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.harness import Result, main
from benchmarks.time_slices import Contestant, in_slices
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


def command(run: str, engine: str, place: Path, arguments: argparse.Namespace, every: int) -> list[str]:
    """What trains on the dataset; it saves its state after `every` steps."""
    spec = {
        "run": run,
        "base_model": str(place / "base"),
        "dataset": str(place / "dataset"),
        "recipe": {"epochs": 1, "batch_size": arguments.examples, "residual_dropout": {"top": 0.0}},
        "compute": {"engine": engine, "threads": threads(arguments)},
        "checkpoints": {"state_every_steps": every},
        "evaluation": {"stop_check": 0},
    }
    path = place / f"{run}.yaml"
    path.write_text(json.dumps(spec))
    return [sys.executable, "-m", "training_jobs", "run", "--spec", str(path)]


def metrics(run: str, environment: dict[str, str]) -> list[Any]:
    from services.shared.settings import PREFIX, Settings
    from training_jobs.run_folder import RunFolder

    values: dict[str, Any] = {
        name.removeprefix(PREFIX).lower(): value for name, value in environment.items() if name.startswith(PREFIX)
    }
    return [row for row in RunFolder.open(run, "", Settings(**values)).metrics() if row.kind == "step"]


def threads(arguments: argparse.Namespace) -> int:
    return 1 if arguments.one_thread else 2


def step_seconds(contestant: Contestant, rows: Sequence[Any]) -> list[float]:
    """For how long it ran from the end of one step to the end of the next, from the third step on."""
    ends = [row.time.timestamp() for row in rows[1:]]
    return [contestant.seconds_between(begin, end) for begin, end in pairwise(ends)]


def run(arguments: argparse.Namespace) -> Result:
    from tests.fixtures.seaweedfs import running_seaweedfs

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
            "OMP_NUM_THREADS": str(threads(arguments)),
        }
        commands = {
            "ray": command("ray", "ray", place, arguments, 0),
            "bare": command("bare", "bare", place, arguments, 0),
            "saving": command("saving", "bare", place, arguments, arguments.save_every),
        }
        ended = in_slices(commands, environment)
        seconds = {name: step_seconds(one, metrics(name, environment)) for name, one in ended.items()}
    step = {name: statistics.mean(each) for name, each in seconds.items()}
    ratios = [ray / bare for ray, bare in zip(seconds["ray"], seconds["bare"], strict=True)]
    # The last step ends an epoch, which is saved after it.
    saves = len([number for number in range(2, arguments.steps) if number % arguments.save_every == 0])
    upload = (sum(seconds["saving"]) - sum(seconds["bare"])) / saves
    return Result(
        metric="seconds of a step, Ray Train and DeepSpeed",
        value=round(step["ray"], 3),
        unit="s",
        peer="the bare loop",
        peer_value=round(step["bare"], 3),
        ratio=round(step["bare"] / step["ray"], 3),
        packages=("torch", "ray", "deepspeed", "transformers"),
        details={
            "overhead": round(step["ray"] / step["bare"] - 1, 3),
            "overhead_of_median_step": round(statistics.median(ratios) - 1, 3),
            "upload_seconds": round(upload, 2),
            "upload_share_of_epoch": round(upload / (PAPER_STEPS * step["bare"]), 4),
            "steps": arguments.steps,
            "save_every": arguments.save_every,
            "examples": arguments.examples,
            "threads": threads(arguments),
        },
    )


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--small", action="store_true", help="a random Llama of the 135M model's shape")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--save-every", type=int, default=3, help="steps between two saves")
    parser.add_argument("--examples", type=int, default=6, help="examples in a step")
    parser.add_argument("--one-thread", action="store_true", help="train with one thread instead of two")


if __name__ == "__main__":
    shape = "_small" if "--small" in sys.argv else ""
    form = "_one_thread" if "--one-thread" in sys.argv else ""
    main(f"train_overhead{shape}{form}", run, options)
