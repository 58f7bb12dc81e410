"""What the loop needs of an engine. Methods marked "collective" must be called by every rank, equally often."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import torch

from training_jobs.model import Batch

# The parts of a full training state, each a tensor per parameter; "weight" is the fp32 master weight.
MOMENTS = ("exp_avg", "exp_avg_sq")
WEIGHT = "weight"


class Engine(Protocol):
    rank: int
    world_size: int
    device: torch.device

    def accumulate(self, batch: Batch, *, last: bool) -> torch.Tensor:
        """Forward and backward of one micro-batch; returns its part of the loss. Collective.

        `last` marks the last micro-batch before `update`.
        """

    def update(self, learning_rate: float) -> float:
        """One AdamW step from what was accumulated; returns the gradient's norm before clipping. Collective.

        A norm that is not finite ends the run; the weights are then not to be trusted.
        """

    def evaluate(self, batch: Batch) -> torch.Tensor:
        """The batch's part of the loss, without dropout and gradients. Collective."""

    def sum(self, value: torch.Tensor) -> float:
        """The sum over ranks. Collective."""

    def barrier(self) -> None: ...

    def weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Every parameter, whole and in the precision it is held in, by its name in the model. Collective."""

    def state(self) -> Iterator[tuple[str, torch.Tensor]]:
        """The full training state as ("weight/<name>", fp32), ("exp_avg/<name>", fp32), ... Collective.

        The same for every engine and any number of ranks.
        """

    def load_state(self, read: Callable[[str], torch.Tensor], updates: int) -> None:
        """Continue from a state, `updates` optimiser steps old. Collective."""
