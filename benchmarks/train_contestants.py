"""One contestant of `benchmarks.train_throughput` in a process of its own: warms up, then takes one optimiser step.

    python -m benchmarks.train_contestants trl_packed --model FOLDER

Prints one JSON line: seconds, processor seconds, loss, tokens and the peak of memory; ours adds the rate of the bare
matrix products of such a step, and of square ones, each the mean of before and after it.

TRL's settings are its own: `trl_padded` has its defaults (batches of 8, recomputation of activations, and with
`--precision bf16` autocast), `trl_packed` its best packing (bfd, all rows in one batch, no recomputation), and
`trl_single` one example at a time, which nobody has by default but which pads nothing either. With `--precision fp32`
autocast is off.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.harness import peak_mib, seconds_of
from benchmarks.train_draws import MAX_LENGTH, draw_examples, draw_lengths

# TRL's per_device_train_batch_size, as it comes.
DEFAULT_BATCH = 8


@dataclass(frozen=True)
class Timed:
    seconds: float
    cpu_seconds: float
    loss: float


Step = Callable[[list[Any]], Timed]


class Stopwatch:
    """Wall and processor time; on a machine that others use too, the latter is what can be compared."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def stop(self, loss: float) -> Timed:
        return Timed(time.perf_counter() - self._wall, time.process_time() - self._cpu, loss)


def ours(folder: Path, arguments: argparse.Namespace) -> Step:
    import torch

    from training_jobs.batches import flatten, target_weights
    from training_jobs.engines.bare import BareEngine
    from training_jobs.model import Trainee, load_model
    from training_jobs.spec import Compute, Recipe, ResidualDropout
    from training_jobs.step_plan import Limits, divide

    recipe = Recipe(
        residual_dropout=ResidualDropout(top=0.0), batch_size=arguments.examples, precision=arguments.precision
    )
    trainee = Trainee(load_model(folder, recipe, Compute()), recipe)
    engine = BareEngine(trainee, recipe, torch.device("cpu"))

    def step(examples: list[Any]) -> Timed:
        clock = Stopwatch()
        weights = target_weights(recipe, examples)
        lengths = [len(example.tokens) for example in examples]
        (parts,) = divide(range(len(examples)), lengths, 1, Limits(arguments.micro_batch_tokens))
        losses = [engine.accumulate(flatten([examples[i] for i in part], weights), last=False) for part in parts]
        engine.update(1e-9)
        return clock.stop(float(torch.stack(losses).sum()))

    return step


def trl(folder: Path, arguments: argparse.Namespace, *, batch: int, packed: bool, recompute: bool) -> Step:
    """A step of TRL's trainer in batches of `batch` examples, or with 0 of them all (packed rows are fewer)."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token

    def step(examples: list[Any]) -> Timed:
        size = min(batch or len(examples), len(examples))
        settings = {
            "packing": packed,
            "per_device_train_batch_size": size,
            "gradient_accumulation_steps": 1 if packed else -(-len(examples) // size),
            "gradient_checkpointing": recompute,
            "bf16": arguments.precision == "bf16",
        }
        return _trl_step(model, tokenizer, examples, settings)

    return step


def _trl_step(model: Any, tokenizer: Any, examples: list[Any], chosen: dict[str, Any]) -> Timed:
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.watch = Stopwatch()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.timed = self.watch.stop(0.0)

    rows = [{"input_ids": e.tokens.tolist(), "completion_mask": e.is_target.astype(int).tolist()} for e in examples]
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        settings = SFTConfig(
            output_dir=folder,
            max_length=MAX_LENGTH,
            completion_only_loss=True,
            num_train_epochs=1,
            learning_rate=1e-9,
            use_cpu=True,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=False,
            **chosen,
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
    return Timed(clock.timed.seconds, clock.timed.cpu_seconds, float(losses[0]))


CONTESTANTS: dict[str, Callable[[Path, argparse.Namespace], Step]] = {
    "ours": ours,
    "trl_padded": partial(trl, batch=DEFAULT_BATCH, packed=False, recompute=True),
    "trl_packed": partial(trl, batch=0, packed=True, recompute=False),
    "trl_single": partial(trl, batch=1, packed=False, recompute=False),
}


def matrix_rate(config: dict[str, Any], tokens: int, targets: int, precision: str) -> float:
    """FLOP per second of the bare matrix products of one pass over `tokens`: forward, and both backward ones.

    The best of three turns for each product; weights are [out, in] as linear layers hold them.
    """
    import torch

    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    width, inner, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
    head = config.get("head_dim") or width // heads
    query, group = heads * head, config["num_key_value_heads"] * head
    # (rows, in, out, times): targets alone reach the output layer, 256 rows at a time.
    layers = config["num_hidden_layers"]
    products = [
        (tokens, width, query, layers),
        (tokens, width, group, 2 * layers),
        (tokens, query, width, layers),
        (tokens, width, inner, 2 * layers),
        (tokens, inner, width, layers),
        (256, width, config["vocab_size"], targets // 256),
    ]
    seconds = flop = 0.0
    for rows, inputs, outputs, times in products:
        hidden, weight = torch.randn(rows, inputs).to(dtype), torch.randn(outputs, inputs).to(dtype)
        slope = torch.randn(rows, outputs).to(dtype)
        for left, right in ((hidden, weight.T), (slope, weight), (slope.T, hidden)):
            best = min(seconds_of(partial(torch.matmul, left, right)) for _ in range(3))
            seconds += best * times
            flop += 2.0 * rows * inputs * outputs * times
    return flop / seconds


def square_rate(precision: str) -> float:
    """FLOP per second of a product of two square matrices of 2,048 rows, the best of three turns."""
    import torch

    left, right = torch.randn(2, 2048, 2048).to(torch.bfloat16 if precision == "bf16" else torch.float32)
    return 2.0 * 2048**3 / min(seconds_of(partial(torch.matmul, left, right)) for _ in range(3))


def contest(arguments: argparse.Namespace) -> dict[str, Any]:
    import torch

    from training_jobs.host import keep_memory

    if arguments.contestant == "ours":
        keep_memory()
    torch.set_num_threads(arguments.threads)
    folder = Path(arguments.model)
    config = json.loads((folder / "config.json").read_text())
    vocabulary = config["vocab_size"]
    step = CONTESTANTS[arguments.contestant](folder, arguments)
    # The first pass pays for what later ones find made: optimiser, libraries' buffers, a heap of the size of a step.
    step(draw_examples(vocabulary, [(64, MAX_LENGTH // 4)] * 2, seed=1))
    measured = draw_examples(vocabulary, draw_lengths(arguments.examples, arguments.seed), seed=2)
    tokens = sum(len(example.tokens) for example in measured)
    if arguments.contestant != "ours":
        return asdict(step(measured)) | {"tokens": tokens, "peak_mib": round(peak_mib())}
    # A shared machine's speed changes within seconds.
    targets = sum(example.targets for example in measured)
    passes = -(-tokens // arguments.micro_batch_tokens)

    def rates() -> tuple[float, float]:
        own = matrix_rate(config, tokens // passes, targets, arguments.precision)
        return own, square_rate(arguments.precision)

    before = rates()
    row = asdict(step(measured)) | {"tokens": tokens, "peak_mib": round(peak_mib())}
    own, square = (statistics.mean(pair) for pair in zip(before, rates(), strict=True))
    return row | {"matrix_rate": own, "square_rate": square}


def step_options(parser: argparse.ArgumentParser) -> None:
    """What every contestant must be told alike."""
    parser.add_argument("--examples", type=int, default=4, help="examples in the measured step")
    parser.add_argument("--seed", type=int, default=6, help="of the lengths")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--micro-batch-tokens", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train_contestants")
    parser.add_argument("contestant", choices=tuple(CONTESTANTS))
    parser.add_argument("--model", required=True, help="a Hugging Face folder")
    step_options(parser)
    # Libraries print as they like; the answer alone goes to the real stdout.
    answers, sys.stdout = sys.stdout, sys.stderr
    print(json.dumps(contest(parser.parse_args())), file=answers)
