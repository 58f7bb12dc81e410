from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from training_jobs.recipe import learning_rate, optimizer
from training_jobs.spec import Recipe, parse_spec

MINIMAL = {"run": "r1", "base_model": "m", "dataset": "d"}


def recipe(preset: str = "lima-65b", **changes: object) -> Recipe:
    return parse_spec({**MINIMAL, "preset": preset, "recipe": changes}).recipe


def test_the_rate_falls_linearly_from_first_to_last_step() -> None:
    rates = [learning_rate(recipe(), step, 480) for step in range(480)]
    assert rates[0] == 1e-5
    assert rates[-1] == pytest.approx(1e-6, rel=1e-12)
    falls = [a - b for a, b in pairwise(rates)]
    assert falls == pytest.approx([9e-6 / 479] * 479, rel=1e-6)


def test_alpacas_rate_warms_up_and_follows_a_cosine_to_zero() -> None:
    rates = [learning_rate(recipe("alpaca"), step, 1000) for step in range(1000)]
    assert rates[0] == pytest.approx(2e-5 / 31)
    assert max(rates) == rates[30] == 2e-5
    assert rates[-1] == pytest.approx(0.0, abs=1e-12)
    assert rates[30 + 969 // 2] == pytest.approx(1e-5, rel=0.01)


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_a_run_of_one_step_has_the_full_rate(schedule: str) -> None:
    assert learning_rate(recipe(schedule=schedule), 0, 1) == 1e-5


def test_norms_and_biases_do_not_decay_unless_asked_to() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
    decay = {
        id(p): group["weight_decay"]
        for group in optimizer(model.parameters(), recipe()).param_groups
        for p in group["params"]
    }
    assert decay[id(model[0].weight)] == 0.1
    assert {decay[id(p)] for p in (model[0].bias, model[1].weight, model[1].bias)} == {0.0}
    whole = optimizer(model.parameters(), recipe(decay_norms_and_biases=True))
    assert [group["weight_decay"] for group in whole.param_groups] == [0.1]


def test_a_step_of_adamw_equals_the_written_formula() -> None:
    """Loshchilov and Hutter (2019), algorithm 2, with the recipe's numbers."""
    chosen = recipe()
    weight = nn.Parameter(torch.tensor([[1.0, -2.0]], dtype=torch.float64))
    adamw = optimizer([weight], chosen)
    expected, first, second = weight.detach().clone(), torch.zeros(1, 2), torch.zeros(1, 2)
    for step in range(5):
        rate = learning_rate(chosen, step, 5)
        gradient = torch.tensor([[0.3, -0.1]], dtype=torch.float64) * (step + 1)
        adamw.param_groups[0]["lr"] = rate
        weight.grad = gradient.clone()
        adamw.step()
        first = 0.9 * first + 0.1 * gradient
        second = 0.95 * second + 0.05 * gradient**2
        corrected = first / (1 - 0.9 ** (step + 1)), second / (1 - 0.95 ** (step + 1))
        expected = expected * (1 - rate * 0.1) - rate * corrected[0] / (corrected[1].sqrt() + 1e-8)
    torch.testing.assert_close(weight.detach(), expected, rtol=1e-12, atol=0)
