"""Real (non-padding) tokens per second of one optimiser step: ours, TRL with padding, TRL with its best packing.

    python -m benchmarks.train_throughput --model FOLDER --record

The same model, examples and step for all: fp32, no gradient checkpointing, AdamW, responses only, one step over all
examples. Each contestant lives in a process of its own, warms up on short examples, and takes its turn in every round.
Lengths are drawn as in the paper's table (LIMA, table 1). A random Llama of 19 M parameters goes first, then the model
in FOLDER. TRL's padded batch is its default, 8 examples, which holds the whole step; its packed rows all go into one
batch, which it flattens. `expected_real_share` says how well a batch of so many drawn lengths fills its padded form on
average, `real_share_of_padded` how this draw does.
`share_of_matrix_rate` is 6 FLOP per parameter and real token, over what this processor reaches in the same run on the
bare matrix products of one step: every product of a layer and of the output layer, forward and both backward ones.
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
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.harness import Result, main, peak_mib, seconds_of, version

CONTESTANTS = ("ours", "trl_padded", "trl_packed")
# (examples, mean prompt tokens, mean response tokens): LIMA, table 1.
TABLE = ((200, 117, 523), (200, 119, 530), (200, 12, 1811), (150, 34, 274), (50, 236, 92), (200, 40, 334))
MAX_LENGTH = 2048


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


def ours(folder: Path, arguments: argparse.Namespace) -> Step:
    import torch

    from training_jobs.batches import flatten, target_weights
    from training_jobs.engines.bare import BareEngine
    from training_jobs.model import Trainee, load_model
    from training_jobs.spec import Compute, Recipe, ResidualDropout
    from training_jobs.step_plan import Limits, divide

    recipe = Recipe(residual_dropout=ResidualDropout(top=0.0), batch_size=arguments.examples)
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


def trl(folder: Path, arguments: argparse.Namespace, *, packed: bool) -> Step:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    # Packed rows are fewer than examples, so one batch holds them all.
    return lambda examples: _trl_step(model, tokenizer, examples, 0 if packed else arguments.peer_batch)


def _trl_step(model: Any, tokenizer: Any, examples: list[Any], batch: int) -> Timed:
    """One optimiser step in padded batches of `batch`, or packed where that is 0."""
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
            packing=batch == 0,
            completion_only_loss=True,
            per_device_train_batch_size=min(batch or len(examples), len(examples)),
            gradient_accumulation_steps=-(-len(examples) // batch) if batch else 1,
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


def matrix_rate(config: dict[str, Any], tokens: int, targets: int) -> float:
    """FLOP per second of the bare matrix products of one pass over `tokens`: forward, and both backward ones.

    The best of three turns for each product; weights are [out, in] as linear layers hold them.
    """
    import torch

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
        hidden, weight = torch.randn(rows, inputs), torch.randn(outputs, inputs)
        slope = torch.randn(rows, outputs)
        for left, right in ((hidden, weight.T), (slope, weight), (slope.T, hidden)):
            best = min(seconds_of(partial(torch.matmul, left, right)) for _ in range(3))
            seconds += best * times
            flop += 2.0 * rows * inputs * outputs * times
    return flop / seconds


def contest(arguments: argparse.Namespace) -> None:
    """One contestant in this process: for each line on stdin one step, told in one line on stdout."""
    import torch

    from training_jobs.host import use_large_pages

    if arguments.contestant == "ours":
        use_large_pages()
    torch.set_num_threads(arguments.threads)
    folder = Path(arguments.model)
    config = json.loads((folder / "config.json").read_text())
    answers, sys.stdout = sys.stdout, sys.stderr
    makers: dict[str, Any] = {
        "ours": ours,
        "trl_padded": partial(trl, packed=False),
        "trl_packed": partial(trl, packed=True),
    }
    step = makers[arguments.contestant](folder, arguments)
    step(draw_examples(config["vocab_size"], [(16, 48)] * 4, seed=1))
    measured = draw_examples(config["vocab_size"], draw_lengths(arguments.examples, arguments.seed), seed=2)
    tokens = sum(len(example.tokens) for example in measured)
    targets = sum(example.targets for example in measured)
    print("ready", file=answers, flush=True)
    for _ in sys.stdin:
        row = asdict(step(measured)) | {"tokens": tokens, "peak_mib": round(peak_mib())}
        if arguments.contestant == "ours":
            row["matrix_rate"] = matrix_rate(config, min(arguments.micro_batch_tokens, tokens), targets)
        print(json.dumps(row), file=answers, flush=True)


class Contestant:
    """A child process that takes a step when it is asked to."""

    def __init__(self, name: str, folder: Path, arguments: argparse.Namespace) -> None:
        command = [sys.executable, "-m", "benchmarks.train_throughput", "--contestant", name, "--model", str(folder)]
        for option in ("examples", "seed", "micro_batch_tokens", "peer_batch", "threads"):
            command += [f"--{option.replace('_', '-')}", str(getattr(arguments, option))]
        threads = {"OMP_NUM_THREADS": str(arguments.threads)}
        environment = os.environ | threads | {"HF_HUB_OFFLINE": "1", "DS_ACCELERATOR": "cpu"}
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self._answer()

    def step(self) -> dict[str, float]:
        assert self._child.stdin is not None
        print("step", file=self._child.stdin, flush=True)
        row: dict[str, float] = json.loads(self._answer())
        return row

    def end(self) -> None:
        self._child.kill()
        self._child.wait()

    def _answer(self) -> str:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise SystemExit(f"a contestant ended with exit code {self._child.wait()}: its reason is above")
        return line


def compete(folder: Path, arguments: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    """Every contestant's rows; each round gives everyone one turn."""
    contestants: dict[str, Contestant] = {}
    try:
        for name in CONTESTANTS:
            contestants[name] = Contestant(name, folder, arguments)
        rounds = [{name: child.step() for name, child in contestants.items()} for _ in range(arguments.rounds)]
    finally:
        for child in contestants.values():
            child.end()
    return {name: [row[name] for row in rounds] for name in CONTESTANTS}


def run(arguments: argparse.Namespace) -> Result:
    tiny: dict[str, Any] = {}
    if arguments.tiny or not arguments.model:
        with tempfile.TemporaryDirectory() as scratch:
            tiny = measured(tiny_model(Path(scratch)), arguments)
    found = measured(Path(arguments.model), arguments) if arguments.model else tiny
    lengths = [min(sum(pair), MAX_LENGTH) for pair in draw_lengths(arguments.examples, arguments.seed)]
    return Result(
        metric="real tokens per second of an optimiser step",
        value=found["tokens_per_second"]["ours"],
        unit="tokens/s",
        peer=f"trl {version('trl')} SFTTrainer, padding",
        peer_value=found["tokens_per_second"]["trl_padded"],
        ratio=found["padding_ratio"],
        packages=("torch", "transformers", "trl"),
        details={
            **found,
            **({"tiny": tiny} if arguments.model and tiny else {}),
            "lengths": lengths,
            "real_share_of_padded": round(sum(lengths) / (len(lengths) * max(lengths)), 2),
            "expected_real_share": round(expected_share(arguments.examples), 2),
            "peer_batch": arguments.peer_batch,
            "rounds": arguments.rounds,
            "threads": arguments.threads,
        },
    )


def expected_share(examples: int) -> float:
    """Mean share of real tokens in a batch of so many examples that is padded to its longest, over many draws."""
    draws = [[min(sum(pair), MAX_LENGTH) for pair in draw_lengths(examples, seed)] for seed in range(2000)]
    return statistics.mean(sum(lengths) / (examples * max(lengths)) for lengths in draws)


def measured(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """All contestants on one model: medians over the rounds."""
    from training_jobs.model_size import Shape

    config = json.loads((folder / "config.json").read_text())
    rows = compete(folder, arguments)
    speeds, per_cpu = (
        {name: statistics.median(row["tokens"] / row[clock] for row in found) for name, found in rows.items()}
        for clock in ("seconds", "cpu_seconds")
    )
    parameters = Shape.of(config).parameters
    # Each round's share is of the rate measured next to it: processors of shared machines change their speed.
    shares = [6 * parameters * row["tokens"] / row["seconds"] / row["matrix_rate"] for row in rows["ours"]]
    return {
        "parameters": parameters,
        "tokens_per_second": _rounded(speeds),
        "tokens_per_cpu_second": _rounded(per_cpu),
        "padding_ratio": round(speeds["ours"] / speeds["trl_padded"], 2),
        "packing_ratio": round(speeds["ours"] / speeds["trl_packed"], 2),
        "packing_peer": f"trl {version('trl')} SFTTrainer, packing (bfd)",
        "matrix_product_gflops": [round(row["matrix_rate"] / 1e9, 1) for row in rows["ours"]],
        "share_of_matrix_rate": round(statistics.median(shares), 3),
        "losses": {name: found[-1]["loss"] for name, found in rows.items()},
        "peak_mib_each": {name: max(row["peak_mib"] for row in found) for name, found in rows.items()},
        "seconds_each": {name: [round(row["seconds"], 2) for row in found] for name, found in rows.items()},
    }


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 1) for name, value in values.items()}


def tiny_model(folder: Path) -> Path:
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
    parser.add_argument("--model", default="", help="a Hugging Face folder, to be measured after a tiny random Llama")
    parser.add_argument("--no-tiny", dest="tiny", action="store_false", help="measure the model in FOLDER alone")
    parser.add_argument("--examples", type=int, default=5, help="examples in the measured step")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seed", type=int, default=3, help="of the lengths")
    parser.add_argument("--peer-batch", type=int, default=8, help="most examples in one padded batch of the peer's")
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
