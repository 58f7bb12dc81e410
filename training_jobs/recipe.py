"""The recipe's formulas: learning rate by step, and which parameters decay."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from training_jobs.spec import Recipe


def learning_rate(recipe: Recipe, step: int, total_steps: int) -> float:
    """Rate of optimiser step `step` (0-based): the first step has the full rate, the last the final one.

    During warm-up the rate climbs in equal parts and reaches the full rate at the step after it.
    """
    warmup = math.ceil(recipe.warmup * total_steps)
    if step < warmup:
        return recipe.learning_rate * (step + 1) / (warmup + 1)
    span = max(total_steps - warmup - 1, 1)
    done = min((step - warmup) / span, 1.0)
    high, low = recipe.learning_rate, recipe.final_learning_rate
    if recipe.schedule == "constant":
        return high
    if recipe.schedule == "cosine":
        return low + (high - low) * 0.5 * (1 + math.cos(math.pi * done))
    return high + (low - high) * done


def parameter_groups(parameters: Iterable[nn.Parameter], recipe: Recipe) -> list[dict[str, Any]]:
    """AdamW's groups. Norms and biases are the one-dimensional parameters."""
    decayed: list[nn.Parameter] = []
    spared: list[nn.Parameter] = []
    for parameter in parameters:
        # Under ZeRO-3 a parameter's own shape is that of its shard; `ds_shape` is the whole one.
        spare = not recipe.decay_norms_and_biases and len(getattr(parameter, "ds_shape", parameter.shape)) < 2
        # With adapters the embedding is trainable for EOT's row alone: decay would shrink the frozen ones.
        spare = spare or recipe.lora is not None
        (spared if spare else decayed).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def optimizer(parameters: Iterable[nn.Parameter], recipe: Recipe) -> torch.optim.AdamW:
    groups = parameter_groups(parameters, recipe)
    on_cpu = all(parameter.device.type == "cpu" for group in groups for parameter in group["params"])
    return torch.optim.AdamW(
        groups,
        lr=recipe.learning_rate,
        betas=(recipe.beta1, recipe.beta2),
        eps=recipe.epsilon,
        # One pass over memory instead of a dozen; on a GPU torch chooses.
        fused=True if on_cpu else None,
    )
