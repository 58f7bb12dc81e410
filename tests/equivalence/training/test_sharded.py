"""DeepSpeed's stages on two ranks give what one process gives. fp32: only the order of summation differs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from tests.equivalence.training.laboratory import REPOSITORY, Laboratory, Outcome, assert_same

RANKS = 2
LORA = {"lora": {"rank": 4}}
# The paper's step of 32 examples.
PAPER_STEP = {"batch_size": 32, "epochs": 3}
# AdamW divides by the gradient's size: without this epsilon, a row of the output layer whose token never comes, with a
# gradient next to nothing, would feel the order of summation.
EOT_COPIED = {"end_of_turn": {"initial": "<|end|>"}, "epsilon": 1e-6}


def sharded(stage: int, **more: Any) -> dict[str, Any]:
    return {"engine": "ray", "workers": RANKS, "threads": 1, "zero_stage": stage, "micro_batch_tokens": 150, **more}


def run_on_ranks(laboratory: Laboratory, specs: list[Path]) -> None:
    store = laboratory.folder / f"store-{specs[0].stem}"
    environment = os.environ | laboratory.environment | {"OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
    command = [sys.executable, "-m", "tests.equivalence.training.ranks"]
    ranks = [
        subprocess.Popen(
            [*command, str(rank), str(RANKS), str(store), *map(str, specs)],
            cwd=REPOSITORY,
            env=environment | {"LOCAL_RANK": str(rank), "RANK": str(rank), "WORLD_SIZE": str(RANKS)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(RANKS)
    ]
    try:
        outputs = [rank.communicate(timeout=900)[0] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert [rank.returncode for rank in ranks] == [0, 0], "\n".join(outputs)[-4000:]


@pytest.fixture(scope="module")
def untied(tmp_path_factory: pytest.TempPathFactory, laboratory: Laboratory) -> Laboratory:
    """A base whose output layer is not its embedding: EOT then has two rows."""
    return Laboratory(tmp_path_factory.mktemp("untied"), tied=False)


@pytest.fixture(scope="module")
def stages(laboratory: Laboratory, untied: Laboratory) -> dict[int, Outcome]:
    """One pair of processes for all that this module looks at."""
    specs = {stage: laboratory.spec(f"zero-{stage}", compute=sharded(stage)) for stage in (0, 1, 2, 3)}
    more = [
        laboratory.spec("zero-bf16", {"precision": "bf16"}, compute=sharded(2)),
        laboratory.spec("zero-lora", LORA, compute=sharded(2)),
        laboratory.spec("two-workers", PAPER_STEP, compute=sharded(2)),
        untied.spec("untied-3", EOT_COPIED, compute=sharded(3)),
    ]
    run_on_ranks(laboratory, [*specs.values(), *more])
    return {stage: laboratory.outcome(path.stem) for stage, path in specs.items()}


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_every_stage_on_two_ranks_equals_one_process(
    stages: dict[int, Outcome], reference: Outcome, stage: int
) -> None:
    assert_same(stages[stage], reference, losses=1e-5, weights=5e-6)
    norms = [[row.gradient_norm for row in run.rows if row.kind == "step"] for run in (stages[stage], reference)]
    assert norms[0] == pytest.approx(norms[1], rel=1e-4)


def test_bf16_on_two_ranks_follows_fp32(laboratory: Laboratory, stages: dict[int, Outcome], reference: Outcome) -> None:
    """bf16 keeps 8 bits of mantissa: losses within 1%."""
    ours = laboratory.outcome("zero-bf16")
    torch.testing.assert_close(torch.tensor(ours.losses()), torch.tensor(reference.losses()), rtol=1e-2, atol=0)
    assert {weight.dtype for weight in ours.weights.values()} == {torch.bfloat16}


def test_adapters_on_two_ranks_equal_one_process(laboratory: Laboratory, stages: dict[int, Outcome]) -> None:
    alone = laboratory.train("lora-alone", LORA)
    assert_same(laboratory.outcome("zero-lora"), alone, losses=1e-5, weights=5e-6)


def test_32_in_one_pass_equal_8_passes_of_4_equal_two_workers(
    laboratory: Laboratory, stages: dict[int, Outcome]
) -> None:
    whole = laboratory.train(
        "32-by-1", PAPER_STEP, compute={"engine": "bare", "threads": 1, "micro_batch_tokens": 10**6}
    )
    accumulated = {"engine": "bare", "threads": 1, "micro_batch_tokens": 10**6, "micro_batch_examples": 4}
    assert_same(laboratory.train("4-by-8", PAPER_STEP, compute=accumulated), whole, losses=1e-5, weights=2e-6)
    assert_same(laboratory.outcome("two-workers"), whole, losses=1e-5, weights=5e-6)


def test_both_rows_of_an_untied_eot_are_trained_under_stage_3(untied: Laboratory, stages: dict[int, Outcome]) -> None:
    alone = untied.train("untied-alone", EOT_COPIED)
    ours = untied.outcome("untied-3")
    assert_same(ours, alone, losses=1e-5, weights=5e-6)
    prepared = next((untied.folder / "state" / "training" / "cache").glob("base-*"))
    before = load_file(prepared / "model.safetensors")
    end = AutoTokenizer.from_pretrained(prepared).eos_token_id
    copied = AutoTokenizer.from_pretrained(untied.base).eos_token_id
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        assert torch.equal(before[name][end], before[name][copied])
        assert not torch.equal(ours.weights[name][end], before[name][end])
