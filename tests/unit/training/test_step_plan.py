from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.shared.errors import InvalidInput
from training_jobs.spec import Recipe
from training_jobs.step_plan import Limits, divide, epoch_steps, steps_per_epoch


def test_fifteen_epochs_of_a_thousand_examples() -> None:
    """ceil(1000 / 32) = 32 steps an epoch, 480 in all; without the last, smaller batch 31 and 465."""
    assert steps_per_epoch(Recipe(), 1000) * 15 == 480
    assert steps_per_epoch(Recipe(last_batch="drop"), 1000) * 15 == 465


@given(examples=st.integers(1, 200), batch=st.integers(1, 64), epoch=st.integers(1, 20), seed=st.integers(0, 99))
def test_an_epoch_sees_every_example_once_in_full_batches(examples: int, batch: int, epoch: int, seed: int) -> None:
    steps = epoch_steps(Recipe(batch_size=batch, seed=seed), examples, epoch)
    assert sorted(index for step in steps for index in step) == list(range(examples))
    assert all(len(step) == batch for step in steps[:-1])


def test_order_depends_on_seed_and_epoch_alone() -> None:
    first = epoch_steps(Recipe(seed=5), 100, 1)
    assert first == epoch_steps(Recipe(seed=5, epochs=3), 100, 1)
    assert first != epoch_steps(Recipe(seed=5), 100, 2)
    assert first != epoch_steps(Recipe(seed=6), 100, 1)


def test_a_batch_larger_than_the_dataset_cannot_be_dropped() -> None:
    with pytest.raises(InvalidInput, match="leaves no step"):
        epoch_steps(Recipe(last_batch="drop"), 10, 1)


@given(
    lengths=st.lists(st.integers(1, 2048), min_size=1, max_size=40),
    ranks=st.integers(1, 5),
    tokens=st.integers(1, 5000),
    examples=st.none() | st.integers(1, 8),
)
def test_a_division_loses_nothing_and_keeps_the_limits(
    lengths: list[int], ranks: int, tokens: int, examples: int | None
) -> None:
    parts = divide(range(len(lengths)), lengths, ranks, Limits(tokens, examples))
    assert sorted(index for rank in parts for micro in rank for index in micro) == list(range(len(lengths)))
    assert len({len(rank) for rank in parts}) == 1, "sharded engines communicate in every micro-batch"
    for micro in (micro for rank in parts for micro in rank):
        assert len(micro) <= 1 or sum(lengths[i] for i in micro) <= tokens
        assert examples is None or len(micro) <= examples


def test_longest_first_keeps_eight_ranks_97_percent_busy() -> None:
    """32 examples with lengths like the paper's table; see the anchors for the simulated 0.97."""
    rng = random.Random(0)
    means = [640] * 400 + [1823] * 200 + [308] * 150 + [328] * 50 + [374] * 200
    busy = []
    for _ in range(50):
        lengths = [min(2048, max(8, int(rng.gauss(mean, mean / 3)))) for mean in rng.sample(means, 32)]
        loads = [
            sum(lengths[i] for micro in rank for i in micro) for rank in divide(range(32), lengths, 8, Limits(8192))
        ]
        busy.append(sum(loads) / (8 * max(loads)))
    assert sum(busy) / len(busy) > 0.95
