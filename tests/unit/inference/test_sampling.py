"""What sampling may be, and what each parameter does to the distribution."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
import torch

from services.inference.replica.engines.sampler import Drawer, draw
from services.inference.sampling import Sampling, derived_seed
from services.shared.errors import InvalidInputs

DRAWS = 4000
LOGITS = torch.tensor([[3.0, 2.0, 1.0, 0.0, -1.0]])


def test_defaults_are_the_papers() -> None:
    sampling = Sampling()
    assert (sampling.top_p, sampling.temperature, sampling.repetition_penalty) == (0.9, 0.7, 1.2)
    assert sampling.max_tokens == 2048


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("temperature", -0.1, "must be in [0, 2]"),
        ("temperature", math.nan, "must be in [0, 2]"),
        ("top_p", 1.3, "must be in (0, 1]"),
        ("top_p", 0.0, "must be in (0, 1]"),
        ("repetition_penalty", 0.5, "must be in [1, 10]"),
        ("max_tokens", 0, "must be in [1, 8192]"),
        ("max_tokens", 8193, "must be in [1, 8192]"),
        ("top_k", -1, "must be at least 0"),
        ("min_p", 1.5, "must be in [0, 1]"),
        ("stop", ("a",) * 9, "at most 8 strings"),
        ("stop", ("",), "strings of 1 to 256 characters"),
        ("seed", -1, "unsigned 64-bit"),
        ("logprobs", 21, "must be in [0, 20]"),
    ],
)
def test_a_bad_value_is_told_with_field_value_and_rule(field: str, value: Any, rule: str) -> None:
    with pytest.raises(InvalidInputs) as refused:
        Sampling(**{field: value})
    (violation,) = refused.value.violations
    assert violation.field == f"sampling.{field}"
    assert rule in violation.rule


def test_several_bad_values_are_told_at_once() -> None:
    with pytest.raises(InvalidInputs) as refused:
        Sampling(top_p=2, temperature=3)
    assert {violation.field for violation in refused.value.violations} == {"sampling.top_p", "sampling.temperature"}


def test_seeds_of_samples_differ_and_are_stable() -> None:
    sampling = Sampling(seed=5)
    assert sampling.for_sample(0).seed == 5
    assert sampling.for_sample(1).seed == derived_seed(5, 1) != derived_seed(5, 2)
    assert Sampling().for_sample(3).seed is None


def frequencies(sampling: Sampling, logits: torch.Tensor = LOGITS) -> list[float]:
    """Share of each token among many first draws with different seeds."""
    vocabulary = logits.shape[-1]
    counts: Counter[int] = Counter()
    for first in range(0, DRAWS, 500):
        drawers = [Drawer(Sampling.from_json(sampling.to_json() | {"seed": first + i})) for i in range(500)]
        counts.update(choice.token_id for choice in draw(logits.expand(500, -1), drawers))
    return [counts[token] / DRAWS for token in range(vocabulary)]


def assert_distribution(found: list[float], expected: torch.Tensor) -> None:
    """Each share within four standard errors; a token with probability 0 must never be drawn."""
    for share, probability in zip(found, expected.tolist(), strict=True):
        error = math.sqrt(probability * (1 - probability) / DRAWS)
        assert share == 0 if probability == 0 else abs(share - probability) <= 4 * error


def plain(**changes: Any) -> Sampling:
    return Sampling(**({"temperature": 1.0, "top_p": 1.0, "repetition_penalty": 1.0} | changes))


def test_temperature_scales_the_logits() -> None:
    assert_distribution(frequencies(plain(temperature=0.5)), (LOGITS[0] / 0.5).softmax(0))


def test_temperature_zero_takes_the_likeliest() -> None:
    assert frequencies(plain(temperature=0)) == [1, 0, 0, 0, 0]


def test_top_k_keeps_k() -> None:
    kept = LOGITS[0].clone()
    kept[2:] = -torch.inf
    assert_distribution(frequencies(plain(top_k=2)), kept.softmax(0))


def test_top_p_keeps_the_smallest_set_with_that_mass() -> None:
    kept = LOGITS[0].clone()
    # Masses 0.64, 0.23, 0.09: two tokens hold less than 0.9, three hold more.
    kept[3:] = -torch.inf
    assert_distribution(frequencies(plain(top_p=0.9)), kept.softmax(0))


def test_min_p_is_relative_to_the_likeliest() -> None:
    kept = LOGITS[0].clone()
    kept[kept < LOGITS[0, 0] + math.log(0.1)] = -torch.inf
    assert_distribution(frequencies(plain(min_p=0.1)), kept.softmax(0))


def test_filters_follow_the_order_of_transformers() -> None:
    from transformers import (
        LogitsProcessorList,
        MinPLogitsWarper,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    logits = torch.randn(1, 300, generator=torch.Generator().manual_seed(1)) * 2
    warpers = LogitsProcessorList(
        [TemperatureLogitsWarper(1.3), TopKLogitsWarper(20), TopPLogitsWarper(0.8), MinPLogitsWarper(0.15)]
    )
    expected = warpers(torch.zeros(1, 1, dtype=torch.long), logits.clone())[0].softmax(0)
    found = frequencies(plain(temperature=1.3, top_k=20, top_p=0.8, min_p=0.15), logits)
    assert_distribution(found, expected)


def test_a_flat_distribution_needs_and_gets_the_whole_vocabulary() -> None:
    logits = torch.zeros(1, 5000)
    drawers = [Drawer(plain(seed=seed)) for seed in range(300)]
    tokens = {choice.token_id for choice in draw(logits.expand(300, -1), drawers)}
    assert len(tokens) > 250
    assert max(tokens) > 4000


def test_repetition_penalty_looks_at_generated_tokens_only() -> None:
    from transformers import RepetitionPenaltyLogitsProcessor

    sampling = plain(repetition_penalty=1.5)
    generated = [0, 4, 4]
    expected = RepetitionPenaltyLogitsProcessor(1.5)(torch.tensor([generated]), LOGITS.clone())[0].softmax(0)
    drawers = [Drawer(Sampling.from_json(sampling.to_json() | {"seed": seed})) for seed in range(DRAWS)]
    for drawer in drawers:
        drawer.generated.extend(generated)
    counts = Counter(choice.token_id for choice in draw(LOGITS.expand(DRAWS, -1), drawers))
    assert_distribution([counts[token] / DRAWS for token in range(5)], expected)


def test_the_first_token_is_not_penalised_for_the_prompt() -> None:
    assert_distribution(frequencies(plain(repetition_penalty=5)), LOGITS[0].softmax(0))


def test_a_bias_shifts_its_token_and_no_log_probability() -> None:
    shifted = LOGITS[0].clone()
    shifted[4] += 3
    drawers = [Drawer(plain(seed=seed, logprobs=0), {4: 3.0}) for seed in range(DRAWS)]
    choices = draw(LOGITS.expand(DRAWS, -1), drawers)
    counts = Counter(choice.token_id for choice in choices)
    assert_distribution([counts[token] / DRAWS for token in range(5)], shifted.softmax(0))
    found = next(choice for choice in choices if choice.token_id == 4)
    assert found.logprob == pytest.approx(float(LOGITS[0].log_softmax(0)[4]), abs=1e-6)


def test_logprobs_are_of_the_untouched_logits() -> None:
    drawer = Drawer(Sampling(temperature=0, repetition_penalty=2, logprobs=2))
    drawer.generated.append(0)
    (choice,) = draw(LOGITS, [drawer])
    assert choice.token_id == 1
    expected = LOGITS[0].log_softmax(0)
    assert choice.logprob == pytest.approx(float(expected[1]), abs=1e-6)
    assert [token for token, _ in choice.alternatives] == [0, 1]
    assert choice.alternatives[0][1] == pytest.approx(float(expected[0]), abs=1e-6)


def test_rows_do_not_influence_one_another() -> None:
    logits = torch.randn(6, 200, generator=torch.Generator().manual_seed(2))
    drawers = [Drawer(Sampling(seed=row, temperature=1.2, logprobs=row % 3)) for row in range(6)]
    together = draw(logits, drawers)
    alone = [
        draw(logits[row : row + 1], [Drawer(Sampling(seed=row, temperature=1.2, logprobs=row % 3))])[0]
        for row in range(6)
    ]
    assert together == alone
