"""Peak memory of training against the plan, for models of growing size (fp32, one process, one full micro-batch).

    python -m benchmarks.train_memory --tokens 1024

Each size runs two optimiser steps in a process of its own; what the process held before the model was made is taken
off the peak. The "peer" is the plan itself: a ratio of 1 is a plan that is exact, above 1 one that is on the safe side.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from typing import Any

from benchmarks.harness import Result, main, peak_mib

# (width, layers): 5, 20 and 60 million parameters, roughly.
SIZES = ((192, 6), (384, 10), (576, 15))
VOCABULARY = 8192


def config_of(width: int, layers: int) -> dict[str, Any]:
    return {
        "model_type": "llama",
        "vocab_size": VOCABULARY,
        "hidden_size": width,
        "intermediate_size": width * 8 // 3,
        "num_hidden_layers": layers,
        "num_attention_heads": width // 64,
        "num_key_value_heads": width // 64,
        "tie_word_embeddings": True,
        "pad_token_id": None,
    }


def spec_of(tokens: int) -> Any:
    from training_jobs.spec import parse_spec

    compute = {"engine": "bare", "micro_batch_tokens": tokens}
    recipe = {"max_length": tokens, "residual_dropout": {"top": 0.3}}
    return parse_spec({"run": "memory", "base_model": "m", "dataset": "d", "recipe": recipe, "compute": compute})


def measure(width: int, layers: int, tokens: int) -> float:
    """Bytes that two steps of this process need at most beside what it held before."""
    from training_jobs.host import keep_memory

    keep_memory()
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from benchmarks.train_draws import draw_examples
    from training_jobs import attention
    from training_jobs.batches import flatten, target_weights
    from training_jobs.engines.bare import BareEngine
    from training_jobs.model import Trainee

    torch.set_num_threads(1)
    attention.register()
    spec = spec_of(tokens)
    # A first product makes the math library take its own buffers.
    torch.randn(64, 64) @ torch.randn(64, 64)
    before = peak_mib()
    settings = {key: value for key, value in config_of(width, layers).items() if key != "model_type"}
    model = LlamaForCausalLM(LlamaConfig(**settings))
    model.set_attn_implementation(attention.NAME)
    engine = BareEngine(Trainee(model, spec.recipe), spec.recipe, torch.device("cpu"))
    examples = draw_examples(VOCABULARY, [(tokens // 8, tokens // 8)] * 4, seed=1)
    weights = target_weights(spec.recipe, examples)
    for _ in range(2):
        engine.accumulate(flatten(examples, weights), last=True)
        engine.update(1e-5)
    return (peak_mib() - before) * 2**20


def run(arguments: argparse.Namespace) -> Result:
    from training_jobs.memory_plan import plan

    rows = []
    for width, layers in SIZES:
        command = [sys.executable, "-m", "benchmarks.train_memory", "--measure", str(width), str(layers)]
        command += ["--tokens", str(arguments.tokens)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ).stdout
        planned = plan(spec_of(arguments.tokens), config_of(width, layers))
        measured = float(output.strip().splitlines()[-1])
        rows.append({"parameters": planned.parameters, "measured": measured, "planned": planned.device_bytes})
    ratio = statistics.median(row["planned"] / row["measured"] for row in rows)
    return Result(
        metric="peak memory of a training step, largest model",
        value=round(rows[-1]["measured"] / 2**20),
        unit="MiB",
        peer="the plan",
        peer_value=round(rows[-1]["planned"] / 2**20),
        ratio=round(ratio, 3),
        packages=("torch", "transformers"),
        details={
            "tokens": arguments.tokens,
            "sizes": [
                {key: round(value / (1 if key == "parameters" else 2**20)) for key, value in row.items()}
                for row in rows
            ],
            "worst_error": round(max(abs(row["planned"] / row["measured"] - 1) for row in rows), 3),
        },
    )


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tokens", type=int, default=1024, help="tokens in the forward pass")
    parser.add_argument("--measure", type=int, nargs=2, help=argparse.SUPPRESS)


if __name__ == "__main__":
    if "--measure" in sys.argv:
        parser = argparse.ArgumentParser()
        options(parser)
        chosen = parser.parse_args()
        width, layers = chosen.measure
        print(json.dumps(measure(width, layers, chosen.tokens)))
    else:
        main("train_memory", run, options)
