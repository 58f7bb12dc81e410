"""Residual dropout (LIMA, section 3): none at the bottom layer, rising linearly to the top one.

The modules hang on forward hooks, so the model's own modules and state-dict keys stay what they were and a
saved checkpoint is a plain one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from training_jobs.families import Family
from training_jobs.spec import ResidualDropout


def dropout_rates(settings: ResidualDropout, layers: int) -> list[float]:
    """Rate of each layer, bottom first: p_l = bottom + (top - bottom) * l / (layers - 1)."""
    if layers == 1:
        return [settings.top]
    return [settings.bottom + (settings.top - settings.bottom) * layer / (layers - 1) for layer in range(layers)]


class ResidualDropouts(nn.Module):
    """One dropout per residual branch and layer; keep it a submodule of what is trained, so eval() reaches it."""

    def __init__(self, model: nn.Module, family: Family, settings: ResidualDropout) -> None:
        super().__init__()
        self._handles: list[Any] = []
        self.branches = nn.ModuleDict()
        for branch in settings.branches:
            ends = family.branch_ends(model, branch)
            dropouts = nn.ModuleList(nn.Dropout(rate) for rate in dropout_rates(settings, len(ends)))
            self.branches[branch] = dropouts
            for end, dropout in zip(ends, dropouts, strict=True):
                self._handles.append(end.register_forward_hook(_applier(dropout)))

    def remove(self) -> None:
        """Take the hooks off: the model is then exactly as it was loaded."""
        while self._handles:
            self._handles.pop().remove()


def _applier(dropout: nn.Module) -> Any:
    def apply(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        dropped: torch.Tensor = dropout(output)
        return dropped

    return apply
