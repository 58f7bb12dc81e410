from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from training_jobs.loss import CHUNK_ROWS, OutputLoss


@pytest.mark.parametrize("softcap", [None, 5.0])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, CHUNK_ROWS, 2 * CHUNK_ROWS + 7])
def test_value_and_gradients_equal_the_plain_computation(rows: int, bias: bool, softcap: float | None) -> None:
    """fp32, relative 1e-5: only the order of summation differs."""
    torch.manual_seed(0)
    layer = nn.Linear(16, 50, bias=bias)
    hidden = (torch.randn(rows, 16) * 3).requires_grad_()
    labels = torch.randint(0, 50, (rows,))
    weights = torch.rand(rows)
    logits = layer(hidden)
    capped = torch.tanh(logits / softcap) * softcap if softcap else logits
    expected = (functional.cross_entropy(capped, labels, reduction="none") * weights).sum()
    wanted = torch.autograd.grad(expected, [hidden, *layer.parameters()])
    loss = OutputLoss(layer, softcap)(hidden, labels, weights)
    got = torch.autograd.grad(loss, [hidden, *layer.parameters()])
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    for ours, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_scaled_loss_scales_its_gradients() -> None:
    layer = nn.Linear(4, 6, bias=False)
    hidden, labels, weights = torch.randn(3, 4), torch.tensor([0, 1, 2]), torch.ones(3)
    loss = OutputLoss(layer, None)
    once = torch.autograd.grad(loss(hidden, labels, weights), layer.weight)[0]
    thrice = torch.autograd.grad(3 * loss(hidden, labels, weights), layer.weight)[0]
    torch.testing.assert_close(thrice, 3 * once)


def test_frozen_weights_get_no_gradient() -> None:
    layer = nn.Linear(4, 6, bias=False).requires_grad_(False)
    hidden = torch.randn(3, 4, requires_grad=True)
    OutputLoss(layer, None)(hidden, torch.tensor([0, 1, 2]), torch.ones(3)).backward()
    assert layer.weight.grad is None
    assert hidden.grad is not None
