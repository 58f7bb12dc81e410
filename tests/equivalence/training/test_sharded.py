"""DeepSpeed's stages on two ranks give what one process gives. fp32: only the order of summation differs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.equivalence.training.laboratory import REPOSITORY, Laboratory, Outcome, assert_same

RANKS = 2
LORA = {"lora": {"rank": 4}}


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
def stages(laboratory: Laboratory) -> dict[int, Outcome]:
    specs = {stage: laboratory.spec(f"zero-{stage}", compute=sharded(stage)) for stage in (0, 1, 2, 3)}
    bf16 = laboratory.spec("zero-bf16", {"precision": "bf16"}, compute=sharded(2))
    lora = laboratory.spec("zero-lora", LORA, compute=sharded(2))
    run_on_ranks(laboratory, [*specs.values(), bf16, lora])
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
