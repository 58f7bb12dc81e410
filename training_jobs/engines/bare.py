"""One process, torch alone. With bf16, AdamW keeps fp32 masters of the weights and sums gradients in fp32."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from training_jobs.engines.base import MOMENTS, WEIGHT
from training_jobs.model import Batch, Trainee
from training_jobs.recipe import optimizer
from training_jobs.spec import Recipe


class BareEngine:
    rank = 0
    world_size = 1

    def __init__(self, trainee: Trainee, recipe: Recipe, device: torch.device) -> None:
        self.device = device
        self.trainee = trainee.to(device)
        self._clip = recipe.gradient_clip
        self._params = {name: p for name, p in trainee.named_weights().items() if p.requires_grad}
        self._masters = {name: _master(p) for name, p in self._params.items()}
        self._optimizer = optimizer(list(self._masters.values()), recipe)

    def accumulate(self, batch: Batch, *, last: bool) -> torch.Tensor:
        self.trainee.train()
        loss: torch.Tensor = self.trainee(batch.to(self.device))
        loss.backward()
        for name, master in self._masters.items():
            param = self._params[name]
            if master is not param and param.grad is not None:
                gradient = param.grad.float()
                master.grad = gradient if master.grad is None else master.grad.add_(gradient)
                param.grad = None
        return loss.detach()

    def update(self, learning_rate: float) -> float:
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        gradients = [master.grad for master in self._masters.values() if master.grad is not None]
        total = torch.nn.utils.get_total_norm(gradients)
        norm = float(total)
        if math.isfinite(norm):
            if self._clip is not None and norm > self._clip:
                torch.nn.utils.clip_grads_with_norm_(self._masters.values(), self._clip, total)
            self._optimizer.step()
            self._publish_masters()
        self._optimizer.zero_grad()
        return norm

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> torch.Tensor:
        self.trainee.eval()
        loss: torch.Tensor = self.trainee(batch.to(self.device))
        return loss

    def sum(self, value: torch.Tensor) -> float:
        return float(value)

    def barrier(self) -> None:
        pass

    def weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        for name, param in self.trainee.named_weights().items():
            yield name, param.detach()

    def state(self) -> Iterator[tuple[str, torch.Tensor]]:
        for name, master in self._masters.items():
            yield f"{WEIGHT}/{name}", master.detach()
            for moment in MOMENTS:
                yield f"{moment}/{name}", self._optimizer.state[master][moment]

    def load_state(self, read: Callable[[str], torch.Tensor], updates: int) -> None:
        with torch.no_grad():
            for name, master in self._masters.items():
                master.copy_(read(f"{WEIGHT}/{name}"))
                # AdamW counts its steps per parameter; the count corrects the moments' bias.
                loaded: dict[str, Any] = {"step": torch.tensor(float(updates))}
                for moment in MOMENTS:
                    loaded[moment] = read(f"{moment}/{name}").to(self.device, copy=True)
                self._optimizer.state[master] = loaded
        self._publish_masters()

    @torch.no_grad()
    def _publish_masters(self) -> None:
        for name, master in self._masters.items():
            if master is not self._params[name]:
                self._params[name].copy_(master)


def _master(param: nn.Parameter) -> nn.Parameter:
    return param if param.dtype == torch.float32 else nn.Parameter(param.detach().float())
