"""Real (non-padding) tokens per second of one optimiser step: ours, TRL with padding, TRL with its best packing.

    python -m benchmarks.train_throughput --model FOLDER --examples 8 --rounds 3

The same model, examples and step for all: fp32, no gradient checkpointing, AdamW, responses only, one step over all
examples. Each contestant runs in a process of its own, warms up on short examples, and is timed on the next step.
Lengths are drawn as in the paper's table (LIMA, table 1). Without --model a random Llama of 19 M parameters is used.
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
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import Result, main, peak_mib, version

CONTESTANTS = ("ours", "trl_padded", "trl_packed")
# (examples, mean prompt tokens, mean response tokens): LIMA, table 1.
TABLE = ((200, 117, 523), (200, 119, 530), (200, 12, 1811), (150, 34, 274), (50, 236, 92), (200, 40, 334))
MAX_LENGTH = 2048


@dataclass(frozen=True)
class Timed:
    seconds: float
    cpu_seconds: float
    loss: float


class Stopwatch:
    """Wall and processor time; on a machine that others use too, the latter is what can be compared."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def stop(self, loss: float) -> Timed:
        return Timed(time.perf_counter() - self._wall, time.process_time() - self._cpu, loss)


def draw_lengths(count: int, seed: int) -> list[tuple[int, int]]:
    """(prompt, response) tokens of `count` examples; log-normal about each source's mean with sigma 0.5."""
    rng = random.Random(seed)
    sources = rng.choices(TABLE, weights=[row[0] for row in TABLE], k=count)

    def draw(mean: int) -> int:
        return max(2, round(mean * rng.lognormvariate(-0.125, 0.5)))

    return [(draw(prompt), draw(response)) for _, prompt, response in sources]


def draw_examples(vocabulary: int, lengths: Sequence[tuple[int, int]], seed: int) -> list[Any]:
    """Random tokens: what they are does not change the work."""
    import numpy

    from training_jobs.dataset import Sequence as Example

    rng = numpy.random.default_rng(seed)
    examples = []
    for number, (prompt, response) in enumerate(lengths):
        tokens = rng.integers(10, vocabulary, min(prompt + response, MAX_LENGTH)).astype(numpy.int32)
        is_target = numpy.arange(len(tokens)) >= prompt
        examples.append(Example(f"{seed}-{number}", tokens, is_target, 0))
    return examples


def step_of_ours(folder: Path, batches: Sequence[list[Any]], micro_batch_tokens: int) -> list[Timed]:
    import torch

    from training_jobs.batches import flatten, target_weights
    from training_jobs.engines.bare import BareEngine
    from training_jobs.model import Trainee, load_model
    from training_jobs.spec import Compute, Recipe, ResidualDropout
    from training_jobs.step_plan import Limits, divide

    recipe = Recipe(residual_dropout=ResidualDropout(top=0.0), batch_size=len(batches[-1]))
    trainee = Trainee(load_model(folder, recipe, Compute()), recipe)
    engine = BareEngine(trainee, recipe, torch.device("cpu"))
    results = []
    for examples in batches:
        clock = Stopwatch()
        weights = target_weights(recipe, examples)
        lengths = [len(example.tokens) for example in examples]
        (parts,) = divide(range(len(examples)), lengths, 1, Limits(micro_batch_tokens))
        losses = [engine.accumulate(flatten([examples[i] for i in part], weights), last=False) for part in parts]
        engine.update(1e-9)
        results.append(clock.stop(float(torch.stack(losses).sum())))
    return results


def step_of_trl(folder: Path, batches: Sequence[list[Any]], packed: bool) -> list[Timed]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    return [_trl_step(model, tokenizer, examples, packed) for examples in batches]


def _trl_step(model: Any, tokenizer: Any, examples: list[Any], packed: bool) -> Timed:
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.clock = Stopwatch()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.timed = self.clock.stop(0.0)

    rows = [{"input_ids": e.tokens.tolist(), "completion_mask": e.is_target.astype(int).tolist()} for e in examples]
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        settings = SFTConfig(
            output_dir=folder,
            max_length=MAX_LENGTH,
            packing=packed,
            completion_only_loss=True,
            # One step over all examples; packed rows are fewer, so one batch holds them all.
            per_device_train_batch_size=len(examples),
            num_train_epochs=1,
            learning_rate=1e-9,
            # Its defaults on a CPU would be slower: bf16 without hardware for it, and recomputation.
            bf16=False,
            gradient_checkpointing=False,
            use_cpu=True,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )
        trainer = SFTTrainer(
            model=model,
            args=settings,
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            callbacks=[clock],
        )
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    if len(losses) != 1:
        raise SystemExit(f"TRL took {len(losses)} steps where one was meant")
    return Timed(clock.timed.seconds, clock.timed.cpu_seconds, losses[0])


def matrix_rate(shape: dict[str, int]) -> float:
    """FLOP per CPU-second of fp32 matrix products of the model's own shapes, best of five."""
    import torch

    tokens = torch.randn(2048, shape["hidden_size"])
    weight = torch.randn(shape["hidden_size"], shape["intermediate_size"])
    best = 0.0
    for _ in range(5):
        clock = Stopwatch()
        for _ in range(10):
            tokens @ weight
        best = max(best, 10 * 2 * tokens.numel() * weight.shape[1] / clock.stop(0.0).cpu_seconds)
    return best


def contest(arguments: argparse.Namespace) -> None:
    """One contestant in this process; prints its step's seconds, loss and peak memory."""
    import torch

    torch.set_num_threads(arguments.threads)
    folder = Path(arguments.model)
    config = json.loads((folder / "config.json").read_text())
    warm = draw_examples(config["vocab_size"], [(16, 48)] * 4, seed=1)
    measured = draw_examples(config["vocab_size"], draw_lengths(arguments.examples, arguments.seed), seed=2)
    if arguments.contestant == "ours":
        results = step_of_ours(folder, [warm, measured], arguments.micro_batch_tokens)
    else:
        results = step_of_trl(folder, [warm, measured], arguments.contestant == "trl_packed")
    last = results[-1]
    rate = matrix_rate(config) if arguments.contestant == "ours" else 0.0
    tokens = sum(len(example.tokens) for example in measured)
    row = {"tokens": tokens, "peak_mib": round(peak_mib()), "matrix_rate": rate}
    print(json.dumps(asdict(last) | row))


def run(arguments: argparse.Namespace) -> Result:
    from training_jobs.model_size import Shape

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(arguments.model) if arguments.model else _tiny(Path(scratch))
        config = json.loads((folder / "config.json").read_text())
        rows: dict[str, list[dict[str, float]]] = {name: [] for name in CONTESTANTS}
        for _ in range(arguments.rounds):
            for name in CONTESTANTS:
                rows[name].append(_in_child(name, folder, arguments))
    speeds, per_cpu = (
        {name: statistics.median(row["tokens"] / row[clock] for row in found) for name, found in rows.items()}
        for clock in ("seconds", "cpu_seconds")
    )
    parameters = Shape.of(config).parameters
    rate = statistics.median(row["matrix_rate"] for row in rows["ours"])
    return Result(
        metric="real tokens per second of an optimiser step",
        value=round(speeds["ours"], 1),
        unit="tokens/s",
        peer=f"trl {version('trl')} SFTTrainer, padding",
        peer_value=round(speeds["trl_padded"], 1),
        ratio=round(speeds["ours"] / speeds["trl_padded"], 2),
        packages=("torch", "transformers", "trl"),
        details={
            "packing_peer": f"trl {version('trl')} SFTTrainer, packing (bfd)",
            "packing_peer_value": round(speeds["trl_packed"], 1),
            "packing_ratio": round(speeds["ours"] / speeds["trl_packed"], 2),
            "tokens_per_cpu_second": {name: round(speed, 1) for name, speed in per_cpu.items()},
            "cpu_ratio": round(per_cpu["ours"] / per_cpu["trl_padded"], 2),
            "packing_cpu_ratio": round(per_cpu["ours"] / per_cpu["trl_packed"], 2),
            "losses": {name: found[-1]["loss"] for name, found in rows.items()},
            "peak_mib_each": {name: max(row["peak_mib"] for row in found) for name, found in rows.items()},
            "matrix_product_gflops_per_cpu": round(rate / 1e9, 1),
            "share_of_matrix_rate": round(6 * parameters * per_cpu["ours"] / rate, 3),
            "parameters": parameters,
            "examples": arguments.examples,
            "tokens": rows["ours"][0]["tokens"],
            "rounds": arguments.rounds,
            "threads": arguments.threads,
        },
    )


def _in_child(name: str, folder: Path, arguments: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.train_throughput", "--contestant", name, "--model", str(folder)]
    command += ["--examples", str(arguments.examples), "--seed", str(arguments.seed)]
    command += ["--micro-batch-tokens", str(arguments.micro_batch_tokens), "--threads", str(arguments.threads)]
    environment = os.environ | {
        "OMP_NUM_THREADS": str(arguments.threads),
        "HF_HUB_OFFLINE": "1",
        "DS_ACCELERATOR": "cpu",
    }
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    row: dict[str, float] = json.loads(output.strip().splitlines()[-1])
    return row


def _tiny(folder: Path) -> Path:
    import torch
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=8192,
            hidden_size=384,
            intermediate_size=1024,
            num_hidden_layers=8,
            num_attention_heads=6,
            num_key_value_heads=3,
            tie_word_embeddings=True,
            bos_token_id=0,
            eos_token_id=0,
        )
    ).save_pretrained(folder)
    vocabulary = {"<|end|>": 0} | {f"t{number}": number for number in range(1, 8192)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<|end|>"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>").save_pretrained(folder)
    return folder


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="", help="a Hugging Face folder; default: a tiny random Llama")
    parser.add_argument("--examples", type=int, default=8, help="examples in the measured step")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="of the lengths")
    parser.add_argument("--micro-batch-tokens", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--contestant", choices=CONTESTANTS, help=argparse.SUPPRESS)


if __name__ == "__main__":
    if "--contestant" in sys.argv:
        parser = argparse.ArgumentParser()
        options(parser)
        contest(parser.parse_args())
    else:
        main("train_throughput", run, options)
