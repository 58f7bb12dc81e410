from __future__ import annotations

import numpy
import pytest
import torch
from transformers import AutoModelForCausalLM, PretrainedConfig

from tests.unit.training.test_residual_dropout import CONFIGS
from training_jobs import attention
from training_jobs.batches import flatten, target_weights
from training_jobs.dataset import Sequence
from training_jobs.model import Batch, Trainee
from training_jobs.spec import Recipe, ResidualDropout

PLAIN = Recipe(residual_dropout=ResidualDropout(top=0.0))
LENGTHS = (3, 40, 1, 17)


def sequence(length: int, seed: int) -> Sequence:
    rng = numpy.random.default_rng(seed)
    is_target = numpy.ones(length, dtype=numpy.bool_)
    is_target[0] = False
    return Sequence(str(seed), rng.integers(0, 128, length).astype(numpy.int32), is_target, 0)


def batch_of(*lengths: int) -> tuple[list[Sequence], Batch]:
    sequences = [sequence(length, seed) for seed, length in enumerate(lengths)]
    return sequences, flatten(sequences, target_weights(PLAIN, sequences))


def with_short_window(config: PretrainedConfig) -> PretrainedConfig:
    if getattr(config, "sliding_window", None) is not None:
        config.sliding_window = 8
    return config


@pytest.mark.parametrize("family", sorted(CONFIGS))
def test_a_flattened_batch_equals_its_sequences_one_by_one(family: str) -> None:
    """The reference is transformers' own eager attention, one sequence at a time; fp32, 2e-5."""
    attention.register()
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(with_short_window(CONFIGS[family]())).eval()
    sequences, batch = batch_of(*LENGTHS)
    model.set_attn_implementation("eager")
    alone = [model(torch.tensor(s.tokens, dtype=torch.int64)[None]).logits[0] for s in sequences]
    losses = [
        torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(s.tokens[1:], dtype=torch.int64), reduction="sum")
        for s, logits in zip(sequences, alone, strict=True)
        if len(s.tokens) > 1
    ]
    expected = torch.stack(losses).sum() / sum(s.targets for s in sequences)
    model.set_attn_implementation(attention.NAME)
    torch.testing.assert_close(Trainee(model, PLAIN)(batch), expected, rtol=2e-5, atol=2e-5)


def test_a_batch_without_bounds_is_refused() -> None:
    """Taken as one sequence, the documents would silently attend to each other."""
    attention.register()
    model = AutoModelForCausalLM.from_config(CONFIGS["llama"]()).eval()
    model.set_attn_implementation(attention.NAME)
    with pytest.raises(ValueError, match="needs `documents`"):
        model(torch.randint(0, 128, (1, 20)))


def test_bounds_and_targets_of_a_flattened_batch() -> None:
    sequences, batch = batch_of(3, 2)
    assert batch.documents.bounds == (0, 3, 5)
    assert batch.position_ids.tolist() == [[0, 1, 2, 0, 1]]
    assert batch.target_rows.tolist() == [0, 1, 3]
    assert batch.labels.tolist() == [*sequences[0].tokens[1:], *sequences[1].tokens[1:]]
    assert batch.token_weights.tolist() == pytest.approx([1 / 3] * 3)


def test_weights_of_a_step_sum_to_one_under_both_means() -> None:
    sequences = [sequence(length, seed) for seed, length in enumerate((5, 9))]
    tokens = flatten(sequences, target_weights(PLAIN, sequences)).token_weights
    examples = flatten(sequences, target_weights(Recipe(loss_mean="examples"), sequences)).token_weights
    assert tokens.tolist() == pytest.approx([1 / 12] * 12)
    assert examples.tolist() == pytest.approx([1 / 8] * 4 + [1 / 16] * 8)


def test_an_idle_rank_adds_nothing() -> None:
    attention.register()
    model = AutoModelForCausalLM.from_config(CONFIGS["llama"]())
    model.set_attn_implementation(attention.NAME)
    loss = Trainee(model, PLAIN)(flatten([], {}))
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())
