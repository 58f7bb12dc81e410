"""Low-rank adapters (Hu et al., 2021) beside frozen linear layers; EOT's rows stay trainable in the shared base.

Like residual dropout they hang on forward hooks, so the base keeps its modules and names. A checkpoint holds the
merged weights and loads as a plain model.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel

from training_jobs.families import Family
from training_jobs.spec import Lora

PREFIX = "lora"


class Adapter(nn.Module):
    """y += (alpha / rank) * up(down(x)); `up` starts at zero, so training starts at the base model."""

    def __init__(self, linear: nn.Linear, settings: Lora) -> None:
        super().__init__()
        options: dict[str, Any] = {"dtype": linear.weight.dtype, "device": linear.weight.device}
        self.scale = settings.alpha / settings.rank
        self.down = nn.Parameter(torch.empty(settings.rank, linear.in_features, **options))
        self.up = nn.Parameter(torch.zeros(linear.out_features, settings.rank, **options))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return (hidden @ self.down.T) @ self.up.T * self.scale


class LoraAdapters(nn.Module):
    """One adapter per chosen linear layer. Hang these before residual dropout, which drops the whole branch."""

    def __init__(self, model: PreTrainedModel, family: Family, settings: Lora, end_of_turn: int) -> None:
        super().__init__()
        model.requires_grad_(False)
        train_only_row(model, end_of_turn)
        self.adapters = nn.ModuleDict()
        self._targets: dict[str, str] = {}
        chosen = [*(family.attention_linears if "attention" in settings.modules else ())]
        chosen += [*(family.mlp_linears if "mlp" in settings.modules else ())]
        layers = model.get_submodule(family.layers)
        for number, layer in enumerate(cast(nn.ModuleList, layers)):
            for path in chosen:
                linear = cast(nn.Linear, layer.get_submodule(path))
                key = f"{number}-{path}".replace(".", "-")
                self.adapters[key] = Adapter(linear, settings)
                self._targets[key] = f"{family.layers}.{number}.{path}.weight"
                linear.register_forward_hook(_adder(self.adapters[key]))

    def merge(self, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Gathered weights by name, adapters among them -> the plain model's weights, adapters added in."""
        merged = {name: weight for name, weight in weights.items() if not name.startswith(f"{PREFIX}.")}
        for key, target in self._targets.items():
            parts = (weights[f"{PREFIX}.adapters.{key}.{part}"].float() for part in ("up", "down"))
            up, down = parts
            delta = up @ down * cast(Adapter, self.adapters[key]).scale
            merged[target] = (merged[target].float() + delta).to(merged[target].dtype)
        return merged


def train_only_row(model: PreTrainedModel, row: int) -> None:
    """Leave one row of the embedding and the output layer trainable."""
    layers = (model.get_input_embeddings(), model.get_output_embeddings())
    weights = {id(layer.weight): cast(nn.Parameter, layer.weight) for layer in cast("list[Any]", layers)}
    for weight in weights.values():
        weight.requires_grad_(True)
        weight.register_hook(_mask_to(row))


def _mask_to(row: int) -> Any:
    def mask(gradient: torch.Tensor) -> torch.Tensor:
        masked = torch.zeros_like(gradient)
        masked[row] = gradient[row]
        return masked

    return mask


def _adder(adapter: nn.Module) -> Any:
    def add(_module: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
        return output + cast(torch.Tensor, adapter(inputs[0]))

    return add
